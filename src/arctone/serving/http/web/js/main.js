// The page as a whole: its parts, and what happens between them.

import * as api from "./api.js";
import { button, el, size } from "./dom.js";
import * as dropping from "./dropping.js";
import * as folder from "./folder.js";
import { Form, limitsOf } from "./form.js";
import { Grid } from "./grid.js";
import { fileName, plain, redoRequest, rerollRequest, sourceOf } from "./history.js";
import { Inspector } from "./inspector.js";
import * as keys from "./keys.js";
import { Live } from "./live.js";
import { LivePage } from "./live_page.js";
import * as orders from "./orders.js";
import { Player } from "./player.js";
import * as recording from "./record.js";
import { complain, say, settle } from "./say.js";
import { Source } from "./source.js";
import * as store from "./store.js";
import * as theme from "./theme.js";
import { Transport } from "./transport.js";
import { readable } from "./wav.js";

const at = (id) => document.getElementById(id);
const DRAFT = "arctone-draft";
const IDEAS = ["funky drum loop, 120 BPM", "rain on a tin roof", "warm analog pad, slow attack", "glass breaking", "deep sub bass hit"];
const SOURCE_FIELDS = ["init_noise_level", "inpaint", "extend"];

let models = [];
let model = null;
let lastBatch = null;

const player = new Player();
const form = new Form(saveDraft);
const source = new Source(() => {});
const grid = new Grid(player, {
  play: (id, seconds) => run(() => (seconds === undefined ? player.toggle(grid.playable(id)) : player.play(grid.playable(id), seconds))),
  reroll: (batch) => run(() => reroll(batch)),
  reuse: (batch) => run(() => reuse(batch, batch.request)),
  cancel: (batch) => run(() => orders.cancel(batch)),
  remove: (batch) => run(() => removeBatch(batch)),
  select: (entry) => inspector.show(entry),
  slot: (slot, id) => choose(slot, id),
  star: (id) => run(() => star(id)),
});
const inspector = new Inspector({
  reuseTake: (batch, take) => run(() => reuse(batch, { ...batch.request, seed: take.seed })),
  redo: (batch, take) => run(() => redo(batch, take)),
  start: (batch, take, mode) => run(() => startFrom(batch, take, mode)),
  removeTake: (batch, take) => run(() => removeTake(batch, take)),
  sound: (take) => store.sound(take.id),
});
const live = new Live(player, (signal, settings, before) => {
  const request = { ...settings.request };
  const varied = before && settings.strength !== null && settings.strength < 1;
  if (varied) request.init_noise_level = settings.strength;
  return orders.takeFor(request, model.name, varied ? before : null, signal);
});
const livePage = new LivePage(live, { toggle: () => run(toggleLive), newTheme: () => run(newTheme), keep: (part) => run(() => keepPart(part)) });
new Transport(player, run);

/** Do something that may fail; its problem is shown beside the field it names, or on top. */
async function run(action) {
  try {
    return await action();
  } catch (failure) {
    if (failure.name === "AbortError") return undefined;
    if (SOURCE_FIELDS.includes(failure.parameter) && source.hint(failure.message)) return undefined;
    if (!failure.parameter || !form.hint(failure.parameter, failure.message)) complain(failure.message);
    say(failure.message);
    if (!(failure instanceof api.Problem) && failure.constructor !== Error) console.warn(failure);
    return undefined;
  }
}

// --- ordering ---

function readOrder() {
  form.clearHints();
  source.hint("");
  const request = form.read();
  if (!request.prompt) throw new api.Problem("Say what the sound should be.", { parameter: "prompt" });
  try {
    Object.assign(request, source.read());
  } catch (failure) {
    throw new api.Problem(failure.message, { parameter: "inpaint" });
  }
  return request;
}

async function generate() {
  settle();
  await place(readOrder(), model.name, source.sound);
}

async function place(request, name, start) {
  say("Sent.");
  const done = orders.order(request, name, start && { name: start.name, blob: start.blob }, grid);
  lastBatch = [...grid.sections.values()].at(-1).batch;
  await done;
  showStorage();
}

async function reroll(batch) {
  if (!batch) return generate();
  return place(rerollRequest(batch), known(batch.model).name, await sourceOf(batch));
}

async function redo(batch, take) {
  const chosen = known(batch.model);
  const now = chosen.model_hash;
  if (now && batch.result.model_hash && now !== batch.result.model_hash) {
    complain(`${chosen.name} is another version than the one that made this take, so it will sound different.`);
  }
  return place(redoRequest(batch, take), chosen.name, await sourceOf(batch));
}

function known(name) {
  const found = models.find((one) => one.name === name);
  if (!found) throw new Error(`The model ${name} is not on this server.`);
  return found;
}

async function reuse(batch, request) {
  if (batch.model !== model.name && models.some(({ name }) => name === batch.model)) pick(batch.model);
  form.write(request);
  const start = await sourceOf(batch);
  if (start) await source.set(start, null, request);
  else source.clear();
  at("field-prompt").focus();
  say("Settings are in the form.");
}

async function startFrom(batch, take, mode) {
  const blob = await store.sound(take.id);
  if (!blob) throw new Error("The browser no longer has this sound: redo the take to make it again.");
  await source.set({ name: fileName(batch, take), blob }, mode);
  if (!form.value("prompt")) form.write({ ...form.read(), prompt: batch.request.prompt });
  if (mode === "extend") form.write({ ...form.read(), duration_seconds: Number((2 * take.seconds).toFixed(2)) });
  at("source").scrollIntoView({ block: "nearest" });
  at("source").querySelector("input:checked")?.focus();
}

// --- files ---

async function restore(file) {
  const { model: made, ...record } = await api.record(file);
  if (made && made !== model.name && models.some(({ name }) => name === made)) pick(made);
  const settings = plain(record.request ?? record);
  form.write(settings);
  say(`The settings of ${file.name} are in the form.`);
  const missing = SOURCE_FIELDS.filter((name) => settings[name] !== undefined);
  if (missing.length && !source.sound) complain("This take was made from another sound, which is not in the file: choose it as the start sound.");
  at("field-prompt").focus();
}

async function startWith(file) {
  const blob = await readable(file);
  await source.set({ name: blob.name ?? file.name, blob });
}

async function chooseFolder() {
  const name = await folder.choose();
  at("folder").textContent = name ? `Into ${name}` : "Drop folder";
  say(name ? `Every new take is written into ${name}.` : "Takes are written into no folder.");
}

async function record() {
  if (recording.isRecording()) {
    at("record").textContent = "Record";
    at("record").classList.remove("hot");
    await source.set(await recording.end());
  } else {
    await recording.begin();
    at("record").textContent = "Stop recording";
    at("record").classList.add("hot");
    say("Recording.");
  }
}

// --- the history ---

async function removeBatch(batch) {
  const ids = batch.takes.map(({ id }) => id);
  player.drop(ids);
  grid.remove(batch);
  await store.forget(batch.id, [...ids, `${batch.id}/source`]);
  showStorage();
  say("Batch deleted.");
}

async function removeTake(batch, take) {
  if (batch.takes.length === 1) return removeBatch(batch);
  player.drop([take.id]);
  grid.move(1);
  batch.takes = batch.takes.filter(({ id }) => id !== take.id);
  grid.removeTake(batch, take);
  await store.forget(null, [take.id]);
  await store.keepBatch(batch);
  say("Take deleted.");
}

async function star(id) {
  const { batch, take } = grid.get(id);
  take.starred = !take.starred;
  player.dispatchEvent(new Event("change"));
  await store.keepBatch(batch);
}

function choose(slot, id) {
  player.assign(slot, grid.playable(id));
  say(`Take ${grid.get(id).take.index + 1} is ${slot}.`);
}

async function showStorage() {
  const bytes = await store.used();
  at("storage").textContent = bytes ? `History ${size(bytes)}` : "";
}

async function showHistory() {
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
  lastBatch = all[0] ?? null;
  const newest = all.find((batch) => batch.takes.length);
  if (newest) grid.select(newest.takes[0].id, { focus: false });
  showStorage();
}

// --- live ---

async function toggleLive() {
  if (live.running) {
    live.stop();
    say("Live stopped.");
    return;
  }
  const settings = livePage.settings();
  if (!settings.words) throw new Error("Say what the live sound should be.");
  player.stop();
  live.start(settings);
  say("Live started.");
}

function newTheme() {
  live.steer(livePage.settings(), { newTheme: true });
}

async function keepPart(part) {
  await orders.keep(part.settings.request, model.name, part.made, grid);
  say("The part is among the takes.");
}

function showMode(mode) {
  const isLive = mode === "live";
  document.body.dataset.mode = mode;
  at("live").hidden = !isLive;
  for (const id of ["form", "takes", "inspector"]) at(id).hidden = isLive;
  at("mode-studio").setAttribute("aria-pressed", String(!isLive));
  at("mode-live").setAttribute("aria-pressed", String(isLive));
  if (isLive && !livePage.prompt.value) livePage.prompt.value = form.value("prompt") ?? "";
}

// --- the model and the draft ---

function pick(name) {
  model = known(name);
  at("model").value = name;
  at("model-limits").textContent = limitsOf(model);
  form.show(model);
  source.allow(model.capabilities);
  livePage.show(model);
  inspector.can = new Set(model.capabilities);
  inspector.show(grid.get());
  saveDraft();
}

function saveDraft() {
  if (model) localStorage.setItem(DRAFT, JSON.stringify({ model: model.name, request: form.read() }));
}

function draft() {
  try {
    return JSON.parse(localStorage.getItem(DRAFT)) ?? {};
  } catch {
    return {};
  }
}

function askForToken(wasWrong) {
  const dialog = at("token");
  if (wasWrong) at("token-note").textContent = "That token is not the right one.";
  at("token-text").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "go" ? at("token-text").value.trim() : null);
  });
}

// --- the keyboard ---

const chosen = (action) => () => {
  const entry = grid.get();
  return entry ? action(entry) : say("Choose a take first.");
};
const edit = (mode) => chosen(({ batch, take }) => inspector.can.has(mode) && startFrom(batch, take, mode));
const inStudio = (action) => () => (document.body.dataset.mode === "live" ? undefined : action());

const KEYS = [
  ["Ctrl+Enter", "Generate, from anywhere; Enter does it in the prompt", inStudio(() => generate()), "Ctrl Enter"],
  ["g", "Go to the prompt", () => at(document.body.dataset.mode === "live" ? "live-prompt" : "field-prompt").focus()],
  ["r", "Re-roll: other takes with the same settings", () => (live.running ? newTheme() : reroll(grid.get()?.batch ?? lastBatch))],
  [" ", "Play or pause", () => (document.body.dataset.mode === "live" ? toggleLive() : grid.get() ? player.toggle(grid.playable(grid.selected)) : player.toggle())],
  ["j", "Next take", () => grid.move(1), "J →"],
  ["k", "Take before", () => grid.move(-1), "K ←"],
  ["ArrowRight", "", () => grid.move(1)],
  ["ArrowLeft", "", () => grid.move(-1)],
  ["a", "Make the take A", chosen(({ take }) => choose("A", take.id))],
  ["b", "Make the take B", chosen(({ take }) => choose("B", take.id))],
  ["x", "Hear the other of A and B, at the same place", () => player.swap()],
  ["l", "Loop on or off", () => player.setLoops(!player.loops)],
  ["[", "Slower", () => player.setRate(player.rate - 0.02)],
  ["]", "Faster", () => player.setRate(player.rate + 0.02)],
  ["\\", "Tempo as it was", () => player.setRate(1)],
  ["u", "Reuse the take's settings", chosen(({ batch, take }) => reuse(batch, { ...batch.request, seed: take.seed }))],
  ["y", "Redo the take, exactly", chosen(({ batch, take }) => redo(batch, take))],
  ["e", "Restyle the take", edit("init")],
  ["i", "Remake a part of the take", edit("inpaint")],
  ["c", "Continue the take", edit("extend")],
  ["d", "Download the take", chosen(() => inspector.save())],
  ["s", "Star the take", chosen(({ take }) => star(take.id))],
  ["Delete", "Delete the take", chosen(({ batch, take }) => removeTake(batch, take))],
  ["o", "Open a file's settings", () => at("restore-file").click()],
  ["v", "Studio or live", () => showMode(document.body.dataset.mode === "live" ? "studio" : "live")],
  ["t", "Dark, light or automatic", () => at("theme").click()],
  ["Escape", "Cancel what is being made", () => cancelNewest()],
  ["?", "This help", () => keys.help()],
];

function cancelNewest() {
  const waiting = [...grid.sections.values()].map(({ batch }) => batch).filter(orders.isRunning);
  return waiting.length ? orders.cancel(waiting.at(-1)) : undefined;
}

// --- the start ---

function listen() {
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run(generate);
  });
  at("form").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || !event.target.matches("textarea")) return;
    event.preventDefault();
    if (!event.ctrlKey && !event.metaKey) run(generate);
    else event.stopPropagation(), run(generate);
  });
  at("model").addEventListener("change", () => run(() => pick(at("model").value)));
  at("help-button").addEventListener("click", keys.help);
  at("mode-studio").addEventListener("click", () => showMode("studio"));
  at("mode-live").addEventListener("click", () => showMode("live"));
  at("choose-start").addEventListener("click", () => at("start-file").click());
  at("restore").addEventListener("click", () => at("restore-file").click());
  at("record").addEventListener("click", () => run(record));
  at("folder").addEventListener("click", () => run(chooseFolder));
  at("folder").hidden = !folder.canChoose();
  for (const [id, action] of [["start-file", startWith], ["restore-file", restore]]) {
    at(id).addEventListener("change", async ({ target }) => {
      const [file] = target.files;
      if (file) await run(() => action(file));
      target.value = "";
    });
  }
  dropping.listen({ restore: (file) => run(() => restore(file)), start: (file) => run(() => startWith(file)), canStart: () => source.can.size > 0 });
  keys.listen(KEYS, run);
  source.onPlay = (sound) => run(() => player.play({ id: `source/${sound.name}`, seconds: sound.seconds, bpm: null, title: sound.name, sound: async () => sound.blob }));
  api.onUnauthorized(askForToken);
  at("ideas").append(...IDEAS.map((words) => el("li", {}, button(words, () => {
    form.write({ ...form.read(), prompt: words });
    at("field-prompt").focus();
  }, { kind: "idea" }))));
}

async function start() {
  document.body.dataset.mode = "studio";
  listen();
  theme.start(at("theme"), () => grid.redraw());
  inspector.show(null);
  await showHistory();
  models = await api.models();
  at("model").replaceChildren(...models.map(({ name }) => el("option", { value: name }, name)));
  at("model").parentElement.dataset.count = models.length;
  const { model: name, request } = draft();
  pick(models.some((one) => one.name === name) ? name : (models.find((one) => one.is_default) ?? models[0]).name);
  if (request) form.write(request);
  inspector.formats = (await api.limits()).file_formats ?? ["wav"];
  inspector.show(grid.get());
  document.body.dataset.ready = "";
  if (matchMedia("(min-width: 700px)").matches) at("field-prompt").focus();
}

run(start);

/** For the browser tests: what the live mode has done. */
export { live, player };
