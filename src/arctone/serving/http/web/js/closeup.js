// A take over the whole width: its waveform and spectrogram, zoomed in as far as single waves, and a part of it chosen.

import { button, clock, el } from "./dom.js";
import { say } from "./say.js";
import * as store from "./store.js";
import { drawClosely } from "./wave.js";

const panel = document.getElementById("closeup");
const STEP = 2;
const MOST = 64; // times the width of the panel
const SHORTEST = 0.02; // seconds; a shorter drag is a click

/** The panel. actions: {play(id, seconds), trim(batch, take, from, to), remake(batch, take, from, to)}. */
export class CloseUp {
  constructor(player, actions) {
    this.actions = actions;
    this.entry = null;
    this.can = new Set();
    player.addEventListener("time", ({ detail }) => {
      if (this.entry && this.picture) this.picture.playhead(detail.take?.id === this.entry.take.id ? detail.seconds : null);
    });
    panel.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP);
    }, { passive: false });
  }

  get isOpen() {
    return !panel.hidden;
  }

  /** Show a take. Throws: Error with words if its sound is gone. */
  async show(entry) {
    const blob = await store.sound(entry.take.id);
    if (!blob) throw new Error("The browser no longer has this sound: redo the take to make it again.");
    this.close();
    this.entry = entry;
    this.factor = 1;
    this.part = null;
    const { take, batch } = entry;
    const strip = el("div", { class: "strip", "aria-hidden": "true" });
    this.factorShown = el("output", { class: "factor" });
    this.tools = el("div", { class: "actions" });
    panel.replaceChildren(
      el("header", {}, el("h2", {}, "Close-up"),
        el("span", { class: "filename" }, `${take.name ?? `${batch.request.prompt}, take ${take.index + 1}`} · ${clock(take.seconds)}`),
        button("Zoom out", () => this.zoom(1 / STEP), { glyph: "less", quiet: true, key: "-" }), this.factorShown,
        button("Zoom in", () => this.zoom(STEP), { glyph: "more", quiet: true, key: "+" }),
        button("Close the close-up", () => this.close(), { glyph: "close", quiet: true, key: "W" })),
      strip, this.tools);
    panel.hidden = false;
    this.picture = drawClosely(strip, blob, {
      onSeek: (seconds) => this.actions.play(take.id, seconds),
      onPart: (from, to) => this.choose(to - from < SHORTEST ? null : { from, to }),
    });
    this.#showFactor();
    this.choose(null);
    await this.picture.ready;
    panel.dataset.ready = "";
  }

  close() {
    this.picture?.destroy();
    this.picture = null;
    this.entry = null;
    panel.hidden = true;
    delete panel.dataset.ready;
    panel.replaceChildren();
  }

  /** Zoom by a factor, around the part that is chosen or what is in view. */
  zoom(by) {
    if (!this.isOpen) return;
    this.factor = Math.max(1, Math.min(MOST, this.factor * by));
    this.picture.zoom(this.factor, this.part?.from ?? null);
    this.#showFactor();
  }

  /** Choose a part {from, to} in seconds, or nothing. */
  choose(part) {
    this.part = part;
    const { batch, take } = this.entry;
    this.tools.replaceChildren(...(part ? [
      el("span", { class: "chosen" }, `${part.from.toFixed(3)} to ${part.to.toFixed(3)} s`),
      button("Save the part", () => this.actions.trim(batch, take, part.from, part.to), { glyph: "save" }),
      this.can.has("inpaint") && button("Remake the part", () => this.actions.remake(batch, take, part.from, part.to), { glyph: "range" }),
      button("No part", () => {
        this.picture.clearPart();
        this.choose(null);
      }, { glyph: "close" }),
    ].filter(Boolean) : [el("p", { class: "quiet" }, "Click to play from there; drag to choose a part. Ctrl and the wheel zoom as well.")]));
  }

  #showFactor() {
    this.factorShown.textContent = `${this.factor} ×`;
    say(`Zoom ${this.factor} times.`);
  }
}
