// Ordering sound: what the form and the start sound ask for, and takes that are made again, varied or continued.

import { el } from "./dom.js";
import { engine } from "./engine.js";
import { fileName, redoRequest, rerollRequest, sourceOf } from "./history.js";
import * as orders from "./orders.js";
import { actions, at, form, grid, known, live, player, run, source, state } from "./page.js";
import { Problem } from "./problem.js";
import { complain, say, settle } from "./say.js";
import * as store from "./store.js";
import { applyFilter, showStorage } from "./takes.js";
import { playsNew } from "./transport.js";

function readOrder() {
  form.clearHints();
  source.hint("");
  const request = form.read();
  if (!request.prompt) throw new Problem("Say what the sound should be.", { parameter: "prompt" });
  try {
    Object.assign(request, source.read(), adapters());
  } catch (failure) {
    throw new Problem(failure.message, { parameter: "inpaint" });
  }
  return request;
}

/** The adapters that have a strength: {lora: {name: strength}}, or nothing. */
function adapters() {
  const inputs = [...at("form-lora").querySelectorAll("input")].filter(({ value }) => Number(value) > 0);
  return inputs.length ? { lora: Object.fromEntries(inputs.map(({ name, value }) => [name, Number(value)])) } : {};
}

export function showAdapters(names) {
  at("lora-part").hidden = !names.length;
  at("form-lora").replaceChildren(...names.map((name) => {
    const value = el("output", {}, "0");
    const slider = el("input", { type: "range", id: `lora-${name}`, name, min: 0, max: 1.5, step: 0.05, value: 0, oninput: () => { value.textContent = slider.value; } });
    return el("div", { class: "field" }, el("label", { for: slider.id }, name), el("div", { class: "slider" }, slider, value));
  }));
}

export async function generate() {
  settle();
  if (source.expected) await source.expected.make();
  const request = readOrder();
  const start = source.sound;
  const accepted = place(request, state.model.name, start);
  // A take was started from for this one sound; what somebody chose from a folder stays until it is removed.
  if (start?.before) {
    source.clear();
    form.write({ ...form.read(), duration_seconds: start.before.duration_seconds });
  }
  await accepted;
}

/** Other takes that begin from this one: level says how far they may go from it. */
export async function moreLike(batch, take, level) {
  const blob = await store.sound(take.id);
  if (!blob) throw new Error("The browser no longer has this sound: redo the take to make it again.");
  const { seed, inpaint, extend, duration_seconds: length, bars, loop, ...request } = batch.request;
  await place({ ...request, variations: 4, init_noise_level: level }, known(batch.model).name, { name: fileName(batch, take), blob });
}

async function place(request, name, start) {
  say("Sent.");
  const hear = (batch) => playsNew() && !live.running && run(() => player.play(grid.playable(batch.takes[0].id)));
  const done = orders.order(request, name, start && { name: start.name, blob: start.blob }, grid, hear);
  state.lastBatch = [...grid.sections.values()].at(-1).batch;
  if (matchMedia("(max-width: 700px)").matches) grid.sections.get(state.lastBatch.id)?.section.scrollIntoView({ block: "start" });
  const batch = await done;
  showStorage();
  applyFilter();
  return batch;
}

export async function reroll(batch) {
  if (!batch) return generate();
  return place(rerollRequest(batch), known(batch.model).name, await sourceOf(batch));
}

export async function redo(batch, take) {
  const chosen = known(batch.model);
  const now = chosen.model_hash;
  if (now && batch.result.model_hash && now !== batch.result.model_hash) {
    complain(`${chosen.name} is another version than the one that made this take, so it will sound different.`);
  }
  return place(redoRequest(batch, take), chosen.name, await sourceOf(batch));
}

export async function reuse(batch, request) {
  if (batch.model !== state.model.name && state.models.some(({ name }) => name === batch.model)) actions.pick(batch.model);
  form.write(request);
  const start = await sourceOf(batch);
  if (start) await source.set(start, null, request);
  else source.clear();
  at("field-prompt").focus();
  say("Settings are in the form.");
}

export async function startFrom(batch, take, mode, settings = {}) {
  const blob = await store.sound(take.id);
  if (!blob) throw new Error("The browser no longer has this sound: redo the take to make it again.");
  await source.set({ name: fileName(batch, take), blob, before: { duration_seconds: form.value("duration_seconds") } }, mode, settings);
  if (!form.value("prompt")) form.write({ ...form.read(), prompt: batch.request.prompt });
  if (mode === "extend") form.write({ ...form.read(), duration_seconds: Number((2 * take.seconds).toFixed(2)) });
  at("source").scrollIntoView({ block: "nearest" });
  at("source").querySelector("input:checked")?.focus();
}

/** Make the sound that an edit starts from, and take it as the start sound. request: of that sound. settings: of the edit. */
export async function makeStart(request, settings) {
  const batch = await place(request, state.model.name, null);
  const [take] = batch.takes;
  if (!take) throw new Error("The start sound was not made, so nothing starts from it.");
  await source.set({ name: fileName(batch, take), blob: await store.sound(take.id) }, null, settings);
}

// --- the cost of a click ---

let costTimer = 0;
let costRequest = null;

export function showCostSoon() {
  clearTimeout(costTimer);
  costTimer = setTimeout(showCost, 250);
}

/** Say how many steps the request takes and about how long, before it is made. */
async function showCost() {
  costRequest?.abort();
  costRequest = new AbortController();
  const request = { ...form.readValid(), model: state.model?.name };
  if (!state.model || !request.prompt) {
    at("cost").textContent = "";
    return;
  }
  try {
    Object.assign(request, source.read());
    const cost = await engine.estimate(request, source.sound?.seconds, costRequest.signal);
    const count = request.variations ?? 1;
    const takes = count > 1 ? `${count} takes of ` : "";
    const time = cost.seconds === null ? "" : `, about ${cost.seconds < 10 ? cost.seconds.toFixed(1) : Math.round(cost.seconds)} s`;
    at("cost").textContent = `${takes}${Number(cost.duration_seconds.toFixed(2))} s, ${cost.steps} steps${count > 1 ? " each" : ""}${time}`;
  } catch {
    at("cost").textContent = ""; // a value that cannot be used is said when it is sent
  }
}
