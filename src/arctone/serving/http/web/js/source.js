// The start sound: what is restyled, remade in parts or continued, with the ranges dragged over its waveform.

import { button, clock, el } from "./dom.js";
import { say } from "./say.js";
import { decode } from "./wav.js";
import { draw } from "./wave.js";

const panel = document.getElementById("source");
const MODES = [
  ["init", "Restyle", "The whole sound changes as far as the slider says."],
  ["inpaint", "Remake parts", "Drag over the waveform: those parts are made again, all else stays as it is."],
  ["extend", "Continue", "New sound follows the old one, up to the duration in all."],
];
const STYLE = 0.7;
const SHORTEST = 0.02; // seconds; a shorter drag is a click

/** The panel of the start sound. form: gets the hints of its fields. */
export class Source {
  constructor(onChange) {
    this.onChange = onChange;
    this.sound = null; // {name, blob, seconds}
    this.expected = null; // {make}, where a link names a sound that is to be made first
    this.mode = "init";
    this.style = STYLE;
    this.parts = []; // [{start, end, region}]
    this.can = new Set();
    this.picture = null;
  }

  /** What the model can do with a sound; nothing: there is no start sound at all. */
  allow(capabilities) {
    this.can = new Set(MODES.map(([mode]) => mode).filter((mode) => capabilities.includes(mode)));
    document.getElementById("start-part").hidden = !this.can.size;
    if (!this.can.size) this.clear();
    else if (!this.can.has(this.mode)) this.mode = [...this.can][0];
  }

  /** Take a sound to start from. settings: a request whose edit settings are shown again. Throws: Error with words. */
  async set({ name, blob, before = null }, mode = null, settings = {}) {
    let buffer;
    try {
      buffer = await decode(blob);
    } catch {
      throw new Error(`${name} is not a sound that this browser can read.`);
    }
    this.expected = null;
    this.sound = { name, blob, seconds: buffer.duration, before };
    this.mode = mode ?? (settings.extend ? "extend" : settings.inpaint ? "inpaint" : "init");
    if (!this.can.has(this.mode)) this.mode = [...this.can][0];
    this.style = settings.init_noise_level ?? STYLE;
    this.parts = (settings.inpaint ?? []).map((words) => {
      const [start, end] = words.split(":").map(Number);
      return { start, end };
    });
    this.show();
    say(`${name}, ${clock(buffer.duration)}, is the start sound.`);
  }

  /** Name a start sound that is made before what starts from it. make: makes it and sets it. */
  expect(prompt, make) {
    this.clear();
    this.expected = { make };
    panel.replaceChildren(
      el("header", {},
        el("h2", {}, "Start sound"),
        el("span", { class: "filename" }, `${prompt} · made first`),
        button("Remove start sound", () => this.clear(), { glyph: "close", quiet: true })),
      el("p", { class: "quiet" }, "Generate makes this sound, and then the one that starts from it."),
    );
    panel.hidden = false;
  }

  clear() {
    this.sound = null;
    this.expected = null;
    this.parts = [];
    this.picture?.destroy();
    this.picture = null;
    panel.hidden = true;
    panel.replaceChildren();
    this.onChange();
  }

  /** The part of a request that is about the start sound. Throws: Error with words if a range is missing. */
  read() {
    if (!this.sound) return {};
    if (this.mode === "extend") return { extend: true };
    if (this.mode === "init") return { init_noise_level: this.style };
    if (!this.parts.length) throw new Error("Drag over the start sound, or add a part, to say what is made again.");
    return { inpaint: this.parts.map(({ start, end }) => `${round(start)}:${round(end)}`) };
  }

  show() {
    this.picture?.destroy();
    const strip = el("div", { class: "strip", "aria-hidden": "true" });
    this.controls = el("div", { class: "edit" });
    panel.replaceChildren(
      el("header", {},
        el("h2", {}, "Start sound"),
        el("span", { class: "filename" }, `${this.sound.name} · ${clock(this.sound.seconds)}`),
        this.#modes(),
        button("Play start sound", () => this.onPlay(this.sound), { glyph: "play", quiet: true }),
        button("Remove start sound", () => this.clear(), { glyph: "close", quiet: true })),
      strip,
      this.controls,
      el("p", { class: "hint", id: "hint-source", role: "alert" }),
    );
    panel.hidden = false;
    this.picture = draw(strip, this.sound.blob, { height: 72, spectrogram: 56, ranges: true });
    this.#listenToRanges(this.picture);
    this.#showControls();
    this.onChange();
  }

  #modes() {
    const buttons = MODES.filter(([mode]) => this.can.has(mode)).map(([mode, words, help]) =>
      el("label", { class: "mode", title: help },
        el("input", { type: "radio", name: "mode", value: mode, checked: mode === this.mode, onchange: () => this.#setMode(mode) }), words));
    return el("fieldset", { class: "modes" }, el("legend", { class: "hidden" }, "What happens to it"), buttons);
  }

  #setMode(mode) {
    this.mode = mode;
    this.#showControls();
    this.#drawRanges();
    this.onChange();
  }

  #showControls() {
    const [, , help] = MODES.find(([mode]) => mode === this.mode);
    const rows = { init: () => this.#styleSlider(), inpaint: () => this.#partList(), extend: () => [] }[this.mode]();
    this.controls.replaceChildren(el("p", { class: "quiet" }, help), ...rows);
  }

  #styleSlider() {
    const value = el("output", { for: "style" });
    const slider = el("input", { type: "range", id: "style", min: 0, max: 1, step: 0.01, value: this.style, oninput: () => {
      this.style = Number(slider.value);
      value.textContent = `${Math.round(100 * this.style)} %`;
      this.onChange();
      slider.setAttribute("aria-valuetext", `${value.textContent} may change`);
    } });
    slider.dispatchEvent(new Event("input"));
    return [el("div", { class: "style" }, el("label", { for: "style" }, "Style"), el("span", {}, "keep it"), slider, el("span", {}, "forget it"), value)];
  }

  #partList() {
    const rows = this.parts.map((part, n) => {
      const number = (side) => el("input", {
        type: "number", min: 0, max: round(this.sound.seconds), step: 0.01, value: round(part[side]),
        "aria-label": `Part ${n + 1} ${side === "start" ? "from" : "to"}, seconds`,
        onchange: ({ target }) => this.#movePart(part, side, Number(target.value), target.closest("li")),
      });
      return el("li", {}, number("start"), "to", number("end"), "s",
        button(`Remove part ${n + 1}`, () => this.#removePart(part), { glyph: "close", quiet: true, kind: "plain" }));
    });
    return [el("ul", { class: "parts" }, rows), button("Add a part", () => this.#addPart(), { glyph: "more" })];
  }

  #addPart() {
    const third = this.sound.seconds / 3;
    this.parts.push({ start: third, end: 2 * third });
    this.#partsChanged();
    this.controls.querySelector("li:last-child input").select();
  }

  /** Move a side of a part; the list stays as it is, so that the keyboard stays where it is too. */
  #movePart(part, side, seconds, row) {
    part[side] = Math.max(0, Math.min(this.sound.seconds, seconds));
    if (part.start > part.end) [part.start, part.end] = [part.end, part.start];
    const [start, end] = row.querySelectorAll("input");
    start.value = round(part.start);
    end.value = round(part.end);
    this.#drawRanges();
    this.onChange();
  }

  #removePart(part) {
    this.parts.splice(this.parts.indexOf(part), 1);
    this.#partsChanged();
  }

  #partsChanged() {
    this.#showControls();
    this.#drawRanges();
    this.onChange();
  }

  #drawRanges() {
    this.picture.regions.clearRegions();
    if (this.mode !== "inpaint") return;
    for (const part of this.parts) {
      part.region = this.picture.regions.addRegion({ start: part.start, end: part.end, color: RANGE, drag: true, resize: true });
    }
  }

  #listenToRanges(picture) {
    picture.ready.then(() => {
      if (this.picture !== picture) return;
      if (this.can.has("inpaint")) picture.regions.enableDragSelection({ color: RANGE });
      this.#drawRanges();
      panel.dataset.ready = "";
    });
    // Ranges that this page adds are in `parts` before they are drawn; others come from a drag over the waveform.
    picture.regions.on("region-created", (region) => {
      setTimeout(() => this.parts.some((part) => part.region === region) || this.#dragged(region), 0);
    });
    picture.regions.on("region-updated", (region) => this.#dragged(region));
  }

  #dragged(region) {
    const known = this.parts.find((part) => part.region === region);
    if (!known && region.end - region.start < SHORTEST) {
      region.remove();
      return;
    }
    if (known) Object.assign(known, { start: region.start, end: region.end });
    else this.parts.push({ start: region.start, end: region.end, region });
    if (this.mode !== "inpaint") {
      this.mode = "inpaint";
      panel.querySelector("input[value=inpaint]").checked = true;
    }
    this.#showControls();
    this.onChange();
  }

  hint(words) {
    const note = document.getElementById("hint-source");
    if (note) note.textContent = words;
    return Boolean(note);
  }
}

const RANGE = "rgba(255, 150, 40, 0.32)";
const round = (seconds) => Number(seconds.toFixed(3));
