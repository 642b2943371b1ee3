// The page as a whole: its parts, and what happens between them.

import { CloseUp } from "./closeup.js";
import { button, el, size } from "./dom.js";
import * as dropping from "./dropping.js";
import * as folder from "./folder.js";
import { engine } from "./engine.js";
import { Form, limitsOf } from "./form.js";
import { Grid } from "./grid.js";
import { fileName, plain, redoRequest, rerollRequest, sourceOf } from "./history.js";
import { Inspector } from "./inspector.js";
import * as keys from "./keys.js";
import { Live } from "./live.js";
import { LivePage } from "./live_page.js";
import * as orders from "./orders.js";
import { Player } from "./player.js";
import { Problem } from "./problem.js";
import * as recording from "./record.js";
import { complain, offerUndo, say, settle, takeBack } from "./say.js";
import { Source } from "./source.js";
import * as store from "./store.js";
import * as theme from "./theme.js";
import { playsNew, Transport } from "./transport.js";
import { readable, toWav, trimmed } from "./wav.js";
import { zip } from "./zip.js";

const at = (id) => document.getElementById(id);
const DRAFT = "arctone-draft";
// Prompts that the gallery's measurement finds again in the sounds of the bundled model.
const IDEAS = ["techno drum loop, 130 BPM", "ocean waves on a beach", "string ensemble, long chords", "magic spell, sparkling", "kick drum, 808"];
const TIPS = ["distant", "close", "slow", "fast", "soft", "hard", "deep", "bright", "wooden", "metal", "glass", "water", "wind", "rain", "footsteps", "door", "engine", "bird",
  "drum loop", "bass", "pad", "bell", "piano", "in a large hall", "in a small room", "120 BPM", "in C minor"];
const SOURCE_FIELDS = ["init_noise_level", "inpaint", "extend"];

let models = [];
let model = null;
let lastBatch = null;

const player = new Player();
const form = new Form(() => {
  saveDraft();
  showCostSoon();
});
const source = new Source(() => showCostSoon());
const grid = new Grid(player, {
  play: (id, seconds) => run(() => (seconds === undefined ? player.toggle(grid.playable(id)) : player.play(grid.playable(id), seconds))),
  reroll: (batch) => run(() => reroll(batch)),
  reuse: (batch) => run(() => reuse(batch, batch.request)),
  cancel: (batch) => run(() => orders.cancel(batch)),
  remove: (batch) => run(() => removeBatch(batch)),
  select: (entry) => {
    inspector.show(entry);
    if (closeUp.isOpen && entry) run(() => closeUp.show(entry));
  },
  slot: (slot, id) => choose(slot, id),
  star: (id) => run(() => star(id)),
  rename: (id) => run(() => rename(id)),
  closeUp: (batch, take) => run(() => closeUp.show({ batch, take })),
  zip: (batch) => run(() => saveZip(batch.takes.map(({ id }) => id), batch.request.prompt)),
});
const inspector = new Inspector({
  reuseTake: (batch, take) => run(() => reuse(batch, { ...batch.request, seed: take.seed, diverse: false })),
  redo: (batch, take) => run(() => redo(batch, take)),
  start: (batch, take, mode) => run(() => startFrom(batch, take, mode)),
  removeTake: (batch, take) => run(() => removeTake(batch, take)),
  rename: (id) => run(() => rename(id)),
  closeUp: (batch, take) => run(() => closeUp.show({ batch, take })),
  more: (batch, take, level) => run(() => moreLike(batch, take, level)),
  trim: (batch, take, from, to, fade) => run(() => saveTrimmed(batch, take, from, to, fade)),
  sound: (take) => store.sound(take.id),
});
const closeUp = new CloseUp(player, {
  play: (id, seconds) => run(() => player.play(grid.playable(id), seconds)),
  trim: (batch, take, from, to) => run(() => saveTrimmed(batch, take, from, to, 0.005)),
  remake: (batch, take, from, to) => run(() => startFrom(batch, take, "inpaint", { inpaint: [`${from}:${to}`] })),
});
const live = new Live(player, (signal, settings, before) => {
  const request = { ...settings.request };
  const varied = before && settings.strength !== null && settings.strength < 1;
  if (varied) request.init_noise_level = settings.strength;
  return orders.takeFor(request, model.name, varied ? before : null, signal);
});
const livePage = new LivePage(live, { toggle: () => run(toggleLive), newTheme: () => run(newTheme), keep: (part) => run(() => keepPart(part)) });
new Transport(player, run);

/** Do something that may fail; its problem is shown next to the field it names, or on top. */
async function run(action) {
  try {
    return await action();
  } catch (failure) {
    if (failure.name === "AbortError") return undefined;
    const words = failure.parameter ? form.worded(failure.message) : failure.message;
    if (SOURCE_FIELDS.includes(failure.parameter) && source.hint(words)) return undefined;
    if (!failure.parameter || !form.hint(failure.parameter, words)) complain(words);
    say(words);
    if (!(failure instanceof Problem) && failure.constructor !== Error) console.warn(failure);
    return undefined;
  }
}

// --- ordering ---

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

function showAdapters(names) {
  at("lora-part").hidden = !names.length;
  at("form-lora").replaceChildren(...names.map((name) => {
    const value = el("output", {}, "0");
    const slider = el("input", { type: "range", id: `lora-${name}`, name, min: 0, max: 1.5, step: 0.05, value: 0, oninput: () => { value.textContent = slider.value; } });
    return el("div", { class: "field" }, el("label", { for: slider.id }, name), el("div", { class: "slider" }, slider, value));
  }));
}

async function generate() {
  settle();
  const request = readOrder();
  const start = source.sound;
  const accepted = place(request, model.name, start);
  // A take was started from for this one sound; what somebody chose from a folder stays until it is removed.
  if (start?.before) {
    source.clear();
    form.write({ ...form.read(), duration_seconds: start.before.duration_seconds });
  }
  await accepted;
}

/** Other takes that begin from this one: level says how far they may go from it. */
async function moreLike(batch, take, level) {
  const blob = await store.sound(take.id);
  if (!blob) throw new Error("The browser no longer has this sound: redo the take to make it again.");
  const { seed, inpaint, extend, duration_seconds: length, bars, loop, ...request } = batch.request;
  await place({ ...request, variations: 4, init_noise_level: level }, known(batch.model).name, { name: fileName(batch, take), blob });
}

async function place(request, name, start) {
  say("Sent.");
  const hear = (batch) => playsNew() && !live.running && run(() => player.play(grid.playable(batch.takes[0].id)));
  const done = orders.order(request, name, start && { name: start.name, blob: start.blob }, grid, hear);
  lastBatch = [...grid.sections.values()].at(-1).batch;
  if (matchMedia("(max-width: 700px)").matches) grid.sections.get(lastBatch.id)?.section.scrollIntoView({ block: "start" });
  await done;
  showStorage();
  applyFilter();
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
  if (!found) throw new Error(engine.words.noModel(name));
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

async function startFrom(batch, take, mode, settings = {}) {
  const blob = await store.sound(take.id);
  if (!blob) throw new Error("The browser no longer has this sound: redo the take to make it again.");
  await source.set({ name: fileName(batch, take), blob, before: { duration_seconds: form.value("duration_seconds") } }, mode, settings);
  if (!form.value("prompt")) form.write({ ...form.read(), prompt: batch.request.prompt });
  if (mode === "extend") form.write({ ...form.read(), duration_seconds: Number((2 * take.seconds).toFixed(2)) });
  at("source").scrollIntoView({ block: "nearest" });
  at("source").querySelector("input:checked")?.focus();
}

// --- files ---

async function restore(file) {
  const { model: made, ...record } = await engine.record(file);
  if (made && made !== model.name && models.some(({ name }) => name === made)) pick(made);
  const settings = plain(record.request ?? record);
  form.write(settings);
  say(`The settings of ${file.name} are in the form.`);
  const missing = SOURCE_FIELDS.filter((name) => settings[name] !== undefined);
  if (missing.length && !source.sound) complain("This take was made from another sound, which is not in the file: choose it as the start sound.");
  at("field-prompt").focus();
}

/** A file that was dropped somewhere: a take of arctone gives its settings back, any other sound becomes the start sound. */
async function restoreOrStart(file) {
  try {
    await restore(file);
  } catch (failure) {
    if (failure.status !== 422) throw failure;
    await startWith(file);
  }
}

async function startWith(file) {
  const blob = await readable(file);
  await source.set({ name: blob.name ?? file.name, blob });
}

async function chooseFolder() {
  const name = await folder.choose();
  at("folder").textContent = name ? `Into ${name}` : "Output folder";
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

async function removeTake(batch, take) {
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
function rename(id) {
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

async function saveZip(ids, title) {
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

async function saveTrimmed(batch, take, from, to, fade) {
  const blob = await store.sound(take.id);
  save(toWav(await trimmed(blob, from, to, fade)), fileName(batch, take).replace(/\.wav$/, "-trimmed.wav"));
  say("The trimmed take is saved.");
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function applyFilter() {
  const starred = at("filter-starred").getAttribute("aria-pressed") === "true";
  return grid.filter(at("filter-words").value, starred);
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
  const ofModel = (await engine.modelBytes?.()) ?? 0;
  const history = bytes ? `History ${size(Math.max(0, bytes - ofModel))}` : "";
  at("storage").textContent = [history, ofModel ? `model ${size(ofModel)}` : ""].filter(Boolean).join(", ");
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
  run(() => store.forgetOrphans(all));
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
  showAdapters(model.adapters ?? []);
  livePage.show(model);
  inspector.can = new Set(model.capabilities);
  closeUp.can = inspector.can;
  inspector.show(grid.get());
  saveDraft();
}

function saveDraft() {
  if (model) localStorage.setItem(DRAFT, JSON.stringify({ model: model.name, request: form.readValid() }));
}

// --- the cost of a click ---

let costTimer = 0;
let costRequest = null;

function showCostSoon() {
  clearTimeout(costTimer);
  costTimer = setTimeout(showCost, 250);
}

/** Say how many steps the request takes and about how long, before it is made. */
async function showCost() {
  costRequest?.abort();
  costRequest = new AbortController();
  const request = { ...form.readValid(), model: model?.name };
  if (!model || !request.prompt) {
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

/** Settings in the address (#prompt=rain&seed=7), as links of the gallery have them, go into the form. */
function showAddressed() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (!wanted.get("prompt")) return;
  const settings = {};
  for (const { name, kind } of model.fields) {
    if (wanted.has(name)) settings[name] = kind === "boolean" ? wanted.get(name) === "true" : wanted.get(name);
  }
  form.write(settings);
  history.replaceState(null, "", location.pathname + location.search);
  say("The settings of the link are in the form.");
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
  ["\\", "Normal speed", () => player.setRate(1)],
  ["u", "Reuse the take's settings", chosen(({ batch, take }) => reuse(batch, { ...batch.request, seed: take.seed, diverse: false }))],
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
  ["w", "Close-up of the take, or close it", () => (closeUp.isOpen ? closeUp.close() : chosen((entry) => closeUp.show(entry))())],
  ["+", "Zoom the close-up in", () => closeUp.zoom(2)],
  ["-", "Zoom the close-up out", () => closeUp.zoom(0.5)],
  ["n", "Name the take", chosen(({ take }) => rename(take.id))],
  ["m", "More like the take", chosen(({ batch, take }) => inspector.can.has("init") && moreLike(batch, take, inspector.likeness))],
  ["z", "Undo the last deletion", () => takeBack()],
  ["f", "Filter the takes", inStudio(() => at("filter-words").focus())],
  ["Escape", "Leave a field; cancel what is being made", () => cancelNewest()],
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
  dropping.listen({ restore: (file) => run(() => restore(file)), start: (file) => run(() => startWith(file)), either: (file) => run(() => restoreOrStart(file)), canStart: () => source.can.size > 0 });
  keys.listen(KEYS, run);
  source.onPlay = (sound) => run(() => player.play({ id: `source/${sound.name}`, seconds: sound.seconds, bpm: null, title: sound.name, sound: async () => sound.blob }));
  engine.onUnauthorized(askForToken);
  at("ideas").append(...IDEAS.map((words) => el("li", {}, button(words, () => {
    form.write({ ...form.read(), prompt: words });
    run(generate);
  }, { kind: "idea" }))));
  at("tip-words").append(...TIPS.map((words) => el("li", {}, button(words, () => {
    const prompt = (form.value("prompt") ?? "").replace(/[\s,]+$/, "");
    form.write({ ...form.read(), prompt: prompt ? `${prompt}, ${words}` : words });
    at("field-prompt").focus();
  }))));
  at("filter-words").addEventListener("input", () => say(`${applyFilter()} takes are shown.`));
  at("filter-starred").addEventListener("click", ({ currentTarget }) => {
    currentTarget.setAttribute("aria-pressed", String(currentTarget.getAttribute("aria-pressed") !== "true"));
    say(`${applyFilter()} takes are shown.`);
  });
  at("filter-zip").addEventListener("click", () => run(() => {
    const shown = [...document.querySelectorAll("#batches .take")].filter((card) => !card.closest("[hidden]"));
    return saveZip(shown.map((card) => card.dataset.id), at("filter-words").value.trim() || "takes");
  }));
  const foot = new ResizeObserver(([{ target }]) => document.body.style.setProperty("--foot", `${target.offsetHeight}px`));
  foot.observe(document.querySelector("footer"));
}

async function start() {
  document.body.dataset.mode = "studio";
  listen();
  theme.start(at("theme"), () => {
    grid.redraw();
    if (closeUp.isOpen) run(() => closeUp.show(closeUp.entry));
  });
  inspector.show(null);
  run(showExamples);
  await showHistory();
  models = await engine.models();
  if (engine.kind === "page") await startInPage();
  at("model").replaceChildren(...models.map(({ name }) => el("option", { value: name }, name)));
  at("model").parentElement.dataset.count = models.length;
  const { model: name, request } = draft();
  pick(models.some((one) => one.name === name) ? name : (models.find((one) => one.is_default) ?? models[0]).name);
  if (request) form.write(request);
  showAddressed();
  inspector.formats = (await engine.limits()).file_formats ?? ["wav"];
  inspector.show(grid.get());
  document.body.dataset.ready = "";
  if (matchMedia("(min-width: 700px)").matches) at("field-prompt").focus();
}

/** Finished sounds that can be played before anything is generated. */
async function showExamples() {
  const answer = await fetch("static/sounds/list.json").catch(() => null);
  const examples = answer?.ok ? await answer.json() : [];
  document.querySelector("#examples ul").append(...examples.map(({ file, request }) => el("li", {}, button(request.prompt, () => run(async () => {
    form.write({ ...form.read(), ...request });
    const sound = async () => (await fetch(`static/sounds/${file}`)).blob();
    await player.play({ id: `example/${file}`, seconds: request.duration_seconds, bpm: null, title: request.prompt, sound });
  }), { kind: "idea", glyph: "play" }))));
  at("examples").hidden = !examples.length;
}

/** What only the page with its own engine does: show how the model stands, open it if it is here, and work offline. */
async function startInPage() {
  const { showModel } = await import("./model_panel.js");
  showModel(engine, run);
  engine.status.addEventListener("change", () => engine.status.now.state === "ready" && showStorage());
  if (engine.status.now.state === "stored") run(engine.openModel);
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {}); // works without, but not offline
}

run(start);

/** For the browser tests: what the live mode has done. */
export { live, player };
