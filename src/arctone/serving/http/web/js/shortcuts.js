// What each key does.

import { showMode, newTheme, toggleLive } from "./mode.js";
import { startFrom, generate, moreLike, redo, reroll, reuse } from "./making.js";
import * as keys from "./keys.js";
import * as orders from "./orders.js";
import { at, closeUp, grid, inspector, live, player, state } from "./page.js";
import { say, takeBack } from "./say.js";
import { choose, removeTake, rename, star } from "./takes.js";

const chosen = (action) => () => {
  const entry = grid.get();
  return entry ? action(entry) : say("Choose a take first.");
};
const edit = (mode) => chosen(({ batch, take }) => inspector.can.has(mode) && startFrom(batch, take, mode));
const inStudio = (action) => () => (document.body.dataset.mode === "live" ? undefined : action());

export const KEYS = [
  ["Ctrl+Enter", "Generate, from anywhere; Enter does it in the prompt", inStudio(() => generate()), "Ctrl Enter"],
  ["g", "Go to the prompt", () => at(document.body.dataset.mode === "live" ? "live-prompt" : "field-prompt").focus()],
  ["r", "Re-roll: other takes with the same settings", () => (live.running ? newTheme() : reroll(grid.get()?.batch ?? state.lastBatch))],
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
