// The model of the engine in this page: fetched once, with progress and cancel, and then kept by the browser.

import { button, el, size } from "./dom.js";
import { say } from "./say.js";

const panel = document.getElementById("model-panel");

/** Show how the model stands. engine: the engine in this page. run: calls an action and shows its problem. */
export function showModel(engine, run) {
  const fetchIt = () => run(() => engine.openModel());
  const bar = el("progress", { max: 1, "aria-label": "Progress of the download" });
  const standing = el("span", { class: "standing" });
  let shown = "";
  const update = () => {
    const { state, loaded, total, words } = engine.status.now;
    panel.hidden = ["ready", "stored"].includes(state);
    document.body.dataset.model = state;
    if (total && loaded) bar.value = loaded / total;
    else bar.removeAttribute("value");
    standing.textContent = state === "fetching" ? `${size(loaded)} of ${size(total)}` : "Opening the model";
    if (state === shown) return;
    shown = state;
    panel.replaceChildren(...PARTS[state]?.({ fetchIt, bar, standing, total, words, engine }) ?? []);
    if (state === "ready") say("The model is ready.");
  };
  engine.status.addEventListener("change", update);
  update();
}

const PROMISE = "Sounds are made in this page, on this machine; nothing is sent anywhere, and it works without a network.";
const PARTS = {
  absent: ({ fetchIt, total }) => [
    el("p", {}, `${PROMISE} For that the model is fetched once (${size(total)}) and kept by this browser.`),
    el("div", { class: "actions" }, button("Fetch the model", fetchIt, { glyph: "save", kind: "main", id: "fetch-model" })),
  ],
  fetching: ({ bar, standing, engine }) => [
    el("p", {}, "The model is being fetched. Sounds that you ask for now are made when it is there."),
    el("div", { class: "working" }, bar, standing, button("Cancel", () => engine.stopOpening(), { glyph: "close", id: "cancel-fetch" })),
  ],
  opening: ({ bar, standing }) => [el("div", { class: "working" }, bar, standing)],
  failed: ({ fetchIt, words }) => [
    el("p", { class: "hint" }, words),
    el("div", { class: "actions" }, button("Try again", fetchIt, { glyph: "again", kind: "main", id: "fetch-model" })),
  ],
};
