// The page as a whole: what listens to what, and how it starts.

import { button, el } from "./dom.js";
import * as dropping from "./dropping.js";
import { engine } from "./engine.js";
import * as folder from "./folder.js";
import { limitsOf } from "./form.js";
import * as keys from "./keys.js";
import * as making from "./making.js";
import * as mode from "./mode.js";
import * as opening from "./opening.js";
import { actions, at, closeUp, form, grid, inspector, known, live, livePage, player, run, source, state } from "./page.js";
import { say } from "./say.js";
import { KEYS } from "./shortcuts.js";
import * as takes from "./takes.js";
import * as theme from "./theme.js";

// Prompts that the gallery's measurement finds again in the sounds of the bundled model.
const IDEAS = ["techno drum loop, 130 BPM", "ocean waves on a beach", "string ensemble, long chords", "magic spell, sparkling", "kick drum, 808"];
const TIPS = ["distant", "close", "slow", "fast", "soft", "hard", "deep", "bright", "wooden", "metal", "glass", "water", "wind", "rain", "footsteps", "door", "engine", "bird",
  "drum loop", "bass", "pad", "bell", "piano", "in a large hall", "in a small room", "120 BPM", "in C minor"];

Object.assign(actions, making, takes, opening, mode, { pick });

// --- the model ---

/** Choose a model: the form and the edits that are offered are its own. */
function pick(name) {
  const model = known(name);
  state.model = model;
  at("model").value = name;
  at("model-limits").textContent = limitsOf(model);
  form.show(model);
  source.allow(model.capabilities);
  making.showAdapters(model.adapters ?? []);
  livePage.show(model);
  inspector.can = new Set(model.capabilities);
  closeUp.can = inspector.can;
  inspector.show(grid.get());
  opening.saveDraft();
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

// --- the start ---

function listen() {
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run(making.generate);
  });
  at("form").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || !event.target.matches("textarea")) return;
    event.preventDefault();
    if (!event.ctrlKey && !event.metaKey) run(making.generate);
    else event.stopPropagation(), run(making.generate);
  });
  at("model").addEventListener("change", () => run(() => pick(at("model").value)));
  at("help-button").addEventListener("click", keys.help);
  at("mode-studio").addEventListener("click", () => mode.showMode("studio"));
  at("mode-live").addEventListener("click", () => mode.showMode("live"));
  at("choose-start").addEventListener("click", () => at("start-file").click());
  at("restore").addEventListener("click", () => at("restore-file").click());
  at("record").addEventListener("click", () => run(opening.record));
  at("folder").addEventListener("click", () => run(opening.chooseFolder));
  at("folder").hidden = !folder.canChoose();
  for (const [id, action] of [["start-file", opening.startWith], ["restore-file", opening.restore]]) {
    at(id).addEventListener("change", async ({ target }) => {
      const [file] = target.files;
      if (file) await run(() => action(file));
      target.value = "";
    });
  }
  dropping.listen({ restore: (file) => run(() => opening.restore(file)), start: (file) => run(() => opening.startWith(file)), either: (file) => run(() => opening.restoreOrStart(file)), canStart: () => source.can.size > 0 });
  keys.listen(KEYS, run);
  source.onPlay = (sound) => run(() => player.play({ id: `source/${sound.name}`, seconds: sound.seconds, bpm: null, title: sound.name, sound: async () => sound.blob }));
  engine.onUnauthorized(askForToken);
  at("ideas").append(...IDEAS.map((words) => el("li", {}, button(words, () => {
    form.write({ ...form.read(), prompt: words });
    run(making.generate);
  }, { kind: "idea" }))));
  at("tip-words").append(...TIPS.map((words) => el("li", {}, button(words, () => {
    const prompt = (form.value("prompt") ?? "").replace(/[\s,]+$/, "");
    form.write({ ...form.read(), prompt: prompt ? `${prompt}, ${words}` : words });
    at("field-prompt").focus();
  }))));
  at("filter-words").addEventListener("input", () => say(`${takes.applyFilter()} takes are shown.`));
  at("filter-starred").addEventListener("click", ({ currentTarget }) => {
    currentTarget.setAttribute("aria-pressed", String(currentTarget.getAttribute("aria-pressed") !== "true"));
    say(`${takes.applyFilter()} takes are shown.`);
  });
  at("filter-zip").addEventListener("click", () => run(() => {
    const shown = [...document.querySelectorAll("#batches .take")].filter((card) => !card.closest("[hidden]"));
    return takes.saveZip(shown.map((card) => card.dataset.id), at("filter-words").value.trim() || "takes");
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
  await takes.showHistory();
  state.models = await engine.models();
  const { models } = state;
  if (engine.kind === "page") await startInPage();
  at("model").replaceChildren(...models.map(({ name }) => el("option", { value: name }, name)));
  at("model").parentElement.dataset.count = models.length;
  const { model: name, request } = opening.draft();
  pick(models.some((one) => one.name === name) ? name : (models.find((one) => one.is_default) ?? models[0]).name);
  if (request) form.write(request);
  opening.showAddressed();
  addEventListener("hashchange", opening.showAddressed);
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
  engine.status.addEventListener("change", () => engine.status.now.state === "ready" && takes.showStorage());
  if (engine.status.now.state === "stored") run(engine.openModel);
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {}); // works without, but not offline
}

run(start);

/** For the browser tests: what the live mode has done. */
export { live, player };
