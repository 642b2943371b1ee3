// What the page tells: the status line, which screen readers read aloud, and problems that stay until they are dealt with.

import { button, el } from "./dom.js";

const status = document.getElementById("status");
const problems = document.getElementById("problems");

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
}

/** Take away all problems. */
export function settle() {
  problems.replaceChildren();
}
