// The takes of the history: named, starred, filtered, saved, deleted.

import { el, size } from "./dom.js";
import { engine } from "./engine.js";
import { fileName } from "./history.js";
import * as orders from "./orders.js";
import { at, closeUp, grid, inspector, player, run, state } from "./page.js";
import { complain, offerUndo, say } from "./say.js";
import * as store from "./store.js";
import { toWav, trimmed } from "./wav.js";
import { zip } from "./zip.js";

export async function removeBatch(batch) {
  const ids = batch.takes.map(({ id }) => id);
  if (orders.isRunning(batch)) await orders.cancel(batch);
  player.drop(ids);
  if (ids.includes(closeUp.entry?.take.id)) closeUp.close();
  grid.remove(batch);
  await store.forget(batch.id, []);
  offerUndo("Batch deleted.", async () => {
    grid.restore(batch);
    await store.keepBatch(batch);
  }, () => run(async () => {
    await store.forget(null, [...ids, `${batch.id}/source`]);
    showStorage();
  }));
}

export async function removeTake(batch, take) {
  if (batch.takes.length === 1) return removeBatch(batch);
  player.drop([take.id]);
  if (closeUp.entry?.take.id === take.id) closeUp.close();
  grid.move(1);
  const place = batch.takes.indexOf(take);
  batch.takes = batch.takes.filter(({ id }) => id !== take.id);
  grid.removeTake(batch, take);
  await store.keepBatch(batch);
  offerUndo("Take deleted.", async () => {
    batch.takes.splice(place, 0, take);
    grid.refill(batch);
    await store.keepBatch(batch);
    grid.select(take.id);
  }, () => run(() => store.forget(null, [take.id])));
}

/** Ask for the name of a take, in its card. */
export function rename(id) {
  const entry = grid.get(id);
  const label = entry.card.querySelector(".name");
  const field = el("input", { type: "text", maxLength: 80, value: entry.take.name ?? "", "aria-label": `Name of take ${entry.take.index + 1}` });
  let isOver = false;
  const end = async (keeps) => {
    if (isOver) return;
    isOver = true;
    if (keeps) entry.take.name = field.value.trim() || undefined;
    field.replaceWith(label);
    grid.named(entry);
    inspector.show(grid.get());
    if (keeps) await store.keepBatch(entry.batch);
    entry.card.focus();
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" || event.key === "Escape") run(() => end(event.key === "Enter"));
  });
  field.addEventListener("blur", () => run(() => end(true)));
  label.replaceWith(field);
  field.focus();
  field.select();
}

export async function saveZip(ids, title) {
  const files = [];
  for (const id of ids) {
    const { batch, take } = grid.get(id);
    const blob = await store.sound(id);
    if (blob) files.push({ name: fileName(batch, take), blob });
  }
  if (!files.length) throw new Error("There are no takes to save.");
  save(await zip(files), fileName(null, { name: title }, "zip"));
  say(`${files.length} ${files.length === 1 ? "take" : "takes"} saved as a ZIP file.`);
}

export async function saveTrimmed(batch, take, from, to, fade) {
  const blob = await store.sound(take.id);
  save(toWav(await trimmed(blob, from, to, fade)), fileName(batch, take).replace(/\.wav$/, "-trimmed.wav"));
  say("The trimmed take is saved.");
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function applyFilter() {
  const starred = at("filter-starred").getAttribute("aria-pressed") === "true";
  return grid.filter(at("filter-words").value, starred);
}

export async function star(id) {
  const { batch, take } = grid.get(id);
  take.starred = !take.starred;
  player.dispatchEvent(new Event("change"));
  await store.keepBatch(batch);
}

export function choose(slot, id) {
  player.assign(slot, grid.playable(id));
  say(`Take ${grid.get(id).take.index + 1} is ${slot}.`);
}

export async function showStorage() {
  const bytes = await store.used();
  const ofModel = (await engine.modelBytes?.()) ?? 0;
  const history = bytes ? `History ${size(Math.max(0, bytes - ofModel))}` : "";
  at("storage").textContent = [history, ofModel ? `model ${size(ofModel)}` : ""].filter(Boolean).join(", ");
}

export async function showHistory() {
  let all = [];
  try {
    all = await store.batches();
  } catch {
    complain("The browser does not keep the history, so takes will not survive a reload.");
  }
  for (const batch of all) {
    grid.show(batch, { last: true });
    if (batch.state === "waiting") run(() => orders.resume(batch, grid));
  }
  state.lastBatch = all[0] ?? null;
  const newest = all.find((batch) => batch.takes.length);
  if (newest) grid.select(newest.takes[0].id, { focus: false });
  showStorage();
  run(() => store.forgetOrphans(all));
}
