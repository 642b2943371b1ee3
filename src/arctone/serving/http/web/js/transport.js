// The bar at the foot of the page: what plays, once or as a loop, how fast, and A against B.

import { button, clock, el, icon } from "./dom.js";

const bar = document.getElementById("transport");

const AUTOPLAY = "arctone-autoplay";

/** Whether the first take of a new batch plays by itself. */
export const playsNew = () => localStorage.getItem(AUTOPLAY) !== "off";

/** The bar. run: calls an action and shows its problem. */
export class Transport {
  constructor(player, run) {
    this.player = player;
    this.play = button("Play", () => run(() => player.toggle()), { glyph: "play", quiet: true, kind: "round" });
    this.title = el("span", { class: "title" }, "Nothing plays");
    this.time = el("span", { class: "time" }, "0.00 s");
    this.loop = button("Loop", () => run(() => player.setLoops(!player.loops)), { glyph: "loop", key: "L", "aria-pressed": "false", kind: "switch" });
    this.tempo = el("input", { type: "range", id: "tempo", min: 0.5, max: 2, step: 0.01, value: 1, oninput: () => this.#showTempo(Number(this.tempo.value)), onchange: () => run(() => player.setRate(Number(this.tempo.value))) });
    this.shownTempo = el("output", { for: "tempo" }, "100 %");
    this.volume = el("input", { type: "range", id: "volume", min: 0, max: 1, step: 0.01, value: 1, oninput: () => player.setVolume(Number(this.volume.value)) });
    this.swap = button("A/B", () => run(() => player.swap()), { key: "X", kind: "switch", id: "swap" });
    this.sides = el("span", { class: "sides" });
    this.auto = button("Play new takes", () => setPlaysNew(!playsNew()), { kind: "switch", id: "autoplay", "aria-pressed": String(playsNew()) });
    const setPlaysNew = (on) => {
      localStorage.setItem(AUTOPLAY, on ? "on" : "off");
      this.auto.setAttribute("aria-pressed", String(on));
    };
    bar.append(
      this.play, el("div", { class: "now" }, this.title, this.time),
      el("div", { class: "group" }, this.swap, this.sides),
      el("div", { class: "group" }, this.loop, this.auto),
      el("div", { class: "group" }, el("label", { for: "tempo" }, "Speed"), this.tempo, this.shownTempo,
        button("Normal speed", () => run(() => player.setRate(1)), { glyph: "again", quiet: true, kind: "plain", key: "\\" })),
      el("div", { class: "group volume" }, el("label", { for: "volume" }, "Volume"), this.volume),
    );
    player.addEventListener("change", () => this.#show());
    player.addEventListener("time", ({ detail }) => this.#tick(detail));
    this.#show();
  }

  #show() {
    const { player } = this;
    this.play.firstChild.replaceWith(icon(player.playing ? "pause" : "play"));
    this.play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    this.play.disabled = !player.take;
    this.title.textContent = player.take?.title ?? "Nothing plays";
    this.loop.setAttribute("aria-pressed", String(player.loops));
    this.tempo.value = player.rate;
    this.#showTempo(player.rate);
    const { A, B } = player.slots;
    this.swap.disabled = !A || !B;
    const side = A && player.take?.id === A.id ? "A" : B && player.take?.id === B.id ? "B" : null;
    this.sides.textContent = A && B ? (side ? `hearing ${side}, levels matched` : "A and B are set") : A ? "choose B" : B ? "choose A" : "choose A and B";
  }

  #showTempo(rate) {
    const bpm = this.player.take?.bpm;
    this.shownTempo.textContent = bpm ? `${(bpm * rate).toFixed(1)} BPM` : `${Math.round(100 * rate)} %`;
    this.tempo.setAttribute("aria-valuetext", this.shownTempo.textContent);
  }

  #tick({ take, seconds }) {
    this.time.textContent = take ? `${clock(seconds)} / ${clock(take.seconds)}` : "";
  }
}
