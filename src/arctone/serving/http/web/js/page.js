// The parts of the page and what they share. The parts call `actions`, which lie in the chapters and which main.js fills
// in: chapters use the parts.

import { CloseUp } from "./closeup.js";
import { engine } from "./engine.js";
import { Form } from "./form.js";
import { Grid } from "./grid.js";
import { Inspector } from "./inspector.js";
import { Live } from "./live.js";
import { LivePage } from "./live_page.js";
import * as orders from "./orders.js";
import { Player } from "./player.js";
import { Problem } from "./problem.js";
import { complain, say } from "./say.js";
import { Source } from "./source.js";
import * as store from "./store.js";
import { Transport } from "./transport.js";

export const at = (id) => document.getElementById(id);
export const SOURCE_FIELDS = ["init_noise_level", "inpaint", "extend"];

/** models: of the engine. model: the chosen one. lastBatch: the newest order. */
export const state = { models: [], model: null, lastBatch: null };
export const actions = {};

export const player = new Player();
export const form = new Form(() => {
  actions.saveDraft();
  actions.showCostSoon();
});
export const source = new Source(() => actions.showCostSoon());
export const grid = new Grid(player, {
  play: (id, seconds) => run(() => (seconds === undefined ? player.toggle(grid.playable(id)) : player.play(grid.playable(id), seconds))),
  reroll: (batch) => run(() => actions.reroll(batch)),
  reuse: (batch) => run(() => actions.reuse(batch, batch.request)),
  cancel: (batch) => run(() => orders.cancel(batch)),
  remove: (batch) => run(() => actions.removeBatch(batch)),
  select: (entry) => {
    inspector.show(entry);
    if (closeUp.isOpen && entry) run(() => closeUp.show(entry));
  },
  slot: (slot, id) => actions.choose(slot, id),
  star: (id) => run(() => actions.star(id)),
  rename: (id) => run(() => actions.rename(id)),
  closeUp: (batch, take) => run(() => closeUp.show({ batch, take })),
  zip: (batch) => run(() => actions.saveZip(batch.takes.map(({ id }) => id), batch.request.prompt)),
});
export const inspector = new Inspector({
  reuseTake: (batch, take) => run(() => actions.reuse(batch, { ...batch.request, seed: take.seed, diverse: false })),
  redo: (batch, take) => run(() => actions.redo(batch, take)),
  start: (batch, take, mode) => run(() => actions.startFrom(batch, take, mode)),
  removeTake: (batch, take) => run(() => actions.removeTake(batch, take)),
  rename: (id) => run(() => actions.rename(id)),
  closeUp: (batch, take) => run(() => closeUp.show({ batch, take })),
  more: (batch, take, level) => run(() => actions.moreLike(batch, take, level)),
  trim: (batch, take, from, to, fade) => run(() => actions.saveTrimmed(batch, take, from, to, fade)),
  sound: (take) => store.sound(take.id),
});
export const closeUp = new CloseUp(player, {
  play: (id, seconds) => run(() => player.play(grid.playable(id), seconds)),
  trim: (batch, take, from, to) => run(() => actions.saveTrimmed(batch, take, from, to, 0.005)),
  remake: (batch, take, from, to) => run(() => actions.startFrom(batch, take, "inpaint", { inpaint: [`${from}:${to}`] })),
});
export const live = new Live(player, (signal, settings, before) => {
  const request = { ...settings.request };
  const varied = before && settings.strength !== null && settings.strength < 1;
  if (varied) request.init_noise_level = settings.strength;
  return orders.takeFor(request, state.model.name, varied ? before : null, signal);
});
export const livePage = new LivePage(live, { toggle: () => run(actions.toggleLive), newTheme: () => run(actions.newTheme), keep: (part) => run(() => actions.keepPart(part)) });
new Transport(player, run);

/** Do something that may fail; its problem is shown next to the field it names, or on top. */
export async function run(action) {
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

/** The model of that name. Throws: Error with words. */
export function known(name) {
  const found = state.models.find((one) => one.name === name);
  if (!found) throw new Error(engine.words.noModel(name));
  return found;
}
