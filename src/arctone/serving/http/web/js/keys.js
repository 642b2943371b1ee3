// The keyboard: one table of keys, which is also what the help shows.

import { el } from "./dom.js";

const OFF = "arctone-keys-off";
const dialog = document.getElementById("help");

/** Listen for keys. table: [[key, words, action, shown?], ...] by KeyboardEvent.key; actions may throw. */
export function listen(table, run) {
  const actions = new Map(table.map(([key, , action]) => [key, action]));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey) return;
    const order = (event.ctrlKey || event.metaKey) && event.key === "Enter" ? "Ctrl+Enter" : null;
    if (!order && (event.ctrlKey || event.metaKey)) return;
    if (!order && event.key === "Escape" && isField(event.target)) {
      event.target.blur();
      return;
    }
    if (!order && !isFree(event)) return;
    const action = actions.get(order ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key));
    if (!action) return;
    event.preventDefault();
    run(action);
  });
  showHelp(table);
}

/** Whether a key is nobody else's: not typed into a field, not a button's own, no dialog open, not switched off. */
function isFree(event) {
  const { target, key } = event;
  if (document.querySelector("dialog[open]")) return false;
  if (key === "Escape") return true;
  if (localStorage.getItem(OFF) && key.length === 1 && key !== "?") return false;
  if (isField(target)) return false;
  if (target.matches("button, a, summary, input, audio") && [" ", "Enter"].includes(key)) return false;
  return !(target.matches("input, audio") && key.startsWith("Arrow"));
}

const isField = (target) => target.matches?.("textarea, select, input:not([type=range], [type=radio], [type=checkbox])");

function showHelp(table) {
  const rows = table.filter(([, words]) => words).map(([key, words, , shown]) => el("div", {}, el("dt", {}, ...kbds(shown ?? NAMES[key] ?? key.toUpperCase())), el("dd", {}, words)));
  const box = el("input", { type: "checkbox", id: "keys-on", checked: !localStorage.getItem(OFF), onchange: ({ target }) => {
    if (target.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  } });
  dialog.replaceChildren(
    el("form", { method: "dialog" },
      el("header", {}, el("h2", {}, "Keyboard"), el("button", { class: "button", autofocus: true }, "Close")),
      el("dl", { class: "keys" }, rows),
      el("label", { class: "check" }, box, "Keys of one letter are on")));
}

const NAMES = { " ": "Space", ArrowRight: "→", ArrowLeft: "←", Escape: "Esc", Delete: "Del" };
const kbds = (words) => words.split(" ").map((word) => el("kbd", {}, word));

export const help = () => dialog.showModal();
