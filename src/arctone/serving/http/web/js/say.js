// What the page tells: the status line, which screen readers read aloud, and problems that stay until they are dealt with.

import { button, el } from "./dom.js";

const status = document.getElementById("status");
const problems = document.getElementById("problems");
const MOST = 2; // bars at the same time; older ones go
const UNDO_MS = 15_000;

/** Say something that passes, in the status line. */
export function say(words) {
  status.textContent = words;
}

/** Show a problem in the server's or our own words until it is closed. The same words are shown once. */
export function complain(words) {
  for (const known of problems.children) if (known.dataset.words === words) known.remove();
  const line = el("div", { class: "problem" }, el("span", {}, words));
  line.dataset.words = words;
  line.append(button("Dismiss", () => line.remove(), { glyph: "close", quiet: true, kind: "plain" }));
  problems.append(line);
  while (problems.children.length > MOST) problems.firstChild.remove();
}

/** Take away all problems. */
export function settle() {
  problems.replaceChildren();
}

const undos = document.getElementById("undo");
let undoable = null; // {undo, end, timer}

/** Offer to take something back for a while. undo: takes it back. end: makes it final. */
export function offerUndo(words, undo, end) {
  finishUndo();
  undoable = { undo, end, timer: setTimeout(finishUndo, UNDO_MS) };
  undos.replaceChildren(el("span", {}, words), button("Undo", () => takeBack(), { key: "Z" }));
  undos.hidden = false;
  say(`${words} Press Z to undo.`);
}

/** Undo what was offered last, if its time is not over. */
export async function takeBack() {
  if (!undoable) return say("There is nothing to undo.");
  const { undo, timer } = undoable;
  clearTimeout(timer);
  undoable = null;
  undos.hidden = true;
  await undo();
  return say("Undone.");
}

function finishUndo() {
  if (!undoable) return;
  clearTimeout(undoable.timer);
  undoable.end();
  undoable = null;
  undos.hidden = true;
}
