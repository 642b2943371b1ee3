// The live mode's controls: what is steered, what is laid out, and how much is ready.

import { button, clock, colour, el } from "./dom.js";
import { partTimes } from "./live.js";

const PART_SECONDS = 12;
const STEER_AFTER_MS = 600; // people type: steer when they pause
// Prompts that the gallery's measurement finds again in the sounds of the bundled model.
const STEER_TO = ["dark drone, evolving", "string ensemble, long chords", "ocean waves on a beach", "a choir singing ah, cathedral", "techno drum loop, 130 BPM"];
const panel = document.getElementById("live");

/** The panel. on: {toggle(), newTheme(), keep(part)}. */
export class LivePage {
  constructor(live, on) {
    this.live = live;
    this.on = on;
    this.model = null;
    this.build();
    live.addEventListener("change", () => this.#update());
  }

  build() {
    const steer = () => this.#steerSoon();
    this.prompt = el("textarea", { id: "live-prompt", rows: 3, maxLength: 2000, oninput: steer, placeholder: "slow ambient pad, warm, evolving" });
    this.strength = el("input", { type: "range", id: "live-strength", step: 0.01, oninput: () => {
      this.#tellStrength();
      steer();
    } });
    this.shownStrength = el("output", { for: "live-strength" });
    this.tempo = el("input", { type: "number", id: "live-tempo", min: 20, max: 400, placeholder: "free", oninput: steer });
    this.strengthLabel = el("label", { for: "live-strength" }, "Strength");
    this.tempoField = el("div", { class: "field" }, el("label", { for: "live-tempo" }, "Tempo", el("span", { class: "unit" }, " BPM")), this.tempo);
    this.toggle = button("Start", () => this.on.toggle(), { glyph: "play", kind: "main", key: "Space", id: "live-toggle" });
    this.meter = el("meter", { id: "live-meter", min: 0, max: 1, low: 0.2, high: 0.6, optimum: 1, "aria-label": "Sound that is ready" });
    this.ready = el("span", { class: "ready" });
    this.timeline = el("div", { class: "timeline", "aria-hidden": "true" });
    this.facts = el("p", { class: "quiet", id: "live-facts" });
    this.played = el("ul", { class: "played", "aria-label": "Parts that have played" });
    this.hint = el("p", { class: "hint", id: "live-hint", role: "alert" });
    this.keep = button("Keep this part", () => this.on.keep(this.live.current), { glyph: "save", disabled: true });
    panel.replaceChildren(
      el("h2", {}, "Live"),
      el("p", { class: "quiet" }, "Endless sound: the next parts are made while you listen, and each flows into the next. Change anything while it plays."),
      el("div", { class: "live-grid" },
        el("div", { class: "field wide" }, el("label", { for: "live-prompt" }, "Prompt"), this.prompt, this.hint),
        el("div", { class: "field" }, this.strengthLabel, el("div", { class: "slider" }, this.strength, this.shownStrength)),
        this.tempoField),
      el("div", { class: "actions" }, this.toggle, button("New theme", () => this.on.newTheme(), { glyph: "again", key: "R" }), this.keep),
      el("ul", { class: "steer", "aria-label": "Prompts to steer to" }, STEER_TO.map((words) => el("li", {}, button(words, () => {
        this.prompt.value = words;
        steer();
      }, { kind: "idea" })))),
      el("div", { class: "buffer" }, el("span", {}, "Ready"), this.meter, this.ready),
      this.timeline,
      this.facts,
      this.played,
    );
  }

  /** Fit the controls to a model. */
  show(model) {
    this.model = model;
    this.varies = model.capabilities.includes("init");
    const has = (name) => model.fields.find((field) => field.name === name);
    const scale = has("cfg_scale");
    const shown = this.varies || (scale && !model.post_trained);
    this.strengthLabel.textContent = this.varies ? "Change from part to part" : "Prompt strength";
    this.strengthLabel.closest(".field").hidden = !shown;
    Object.assign(this.strength, this.varies ? { min: 0.1, max: 1 } : { min: 1, max: 10 });
    this.strength.value = this.varies ? 0.8 : model.defaults.cfg_scale;
    this.tempoField.hidden = !has("bpm");
    this.#tellStrength();
  }

  #tellStrength() {
    this.shownStrength.textContent = this.varies ? `${Math.round(100 * this.strength.value)} %` : Number(this.strength.value).toFixed(1);
  }

  /** What the live mode is to make now. */
  settings() {
    const bpm = this.tempo.value && !this.tempoField.hidden ? Number(this.tempo.value) : null;
    const longest = this.model.window_seconds ?? this.model.defaults.duration_seconds;
    const times = partTimes(Math.min(PART_SECONDS, longest), longest, bpm);
    const request = { prompt: this.prompt.value.trim(), duration_seconds: Number(times.seconds.toFixed(4)) };
    if (bpm) request.bpm = bpm;
    const strength = Number(this.strength.value);
    if (!this.varies && !this.strengthLabel.closest(".field").hidden) request.cfg_scale = strength;
    return { words: request.prompt, request, strength: this.varies ? strength : null, ...times };
  }

  #steerSoon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      if (this.prompt.value.trim()) this.live.steer(this.settings());
    }, STEER_AFTER_MS);
  }

  #update() {
    const { live } = this;
    const words = live.running ? "Stop" : "Start";
    if (this.toggle.textContent !== words) {
      this.toggle.replaceWith((this.toggle = button(words, () => this.on.toggle(), { glyph: live.running ? "stop" : "play", kind: "main", key: "Space", id: "live-toggle" })));
    }
    const most = 3 * (live.settings?.seconds ?? 1);
    const seconds = live.running ? live.buffered : 0;
    this.meter.value = Math.min(1, seconds / most);
    this.ready.textContent = live.running ? `${seconds.toFixed(1)} s` : "stopped";
    this.keep.disabled = !live.current;
    this.hint.textContent = live.problem ?? "";
    this.facts.textContent = this.#describe();
    this.#drawTimeline(most);
    this.#showPlayed();
  }

  /** What has played can still be kept. Rows stay as they are while others come and go, so that a click meets its own. */
  #showPlayed() {
    const { played } = this.live;
    for (const part of played.filter(({ row }) => !row).reverse()) {
      part.row = el("li", {},
        el("span", {}, part.settings.words), el("span", { class: "quiet" }, clock(part.seconds)),
        button("Keep", () => this.on.keep(part), { glyph: "save", "aria-label": `Keep the part: ${part.settings.words}` }));
      this.played.prepend(part.row);
    }
    while (this.played.childElementCount > played.length) this.played.lastChild.remove();
  }

  #describe() {
    const { running, stats, parts } = this.live;
    if (!running) return "";
    if (!parts.length) return "Making the first part";
    const speed = stats.speed ? `${stats.speed.toFixed(1)} times as fast as it plays` : "";
    const slow = stats.repeats ? `; ${stats.repeats} repeated, because making was slower than playing` : "";
    return `${stats.made} ${stats.made === 1 ? "part" : "parts"} made, ${speed}${slow}`;
  }

  #drawTimeline(span) {
    if (!this.live.running) {
      this.timeline.replaceChildren();
      return;
    }
    const { now, parts } = this.live;
    const blocks = parts.map((part) => {
      part.block ??= this.#block(part, span);
      part.block.style.left = `${(100 * (part.start - now)) / span}%`;
      part.block.style.width = `${(100 * (part.end - part.start)) / span}%`;
      // A part that gives way to another before its end is cut, not squeezed.
      part.block.firstChild.style.width = `${(100 * part.buffer.duration) / (part.end - part.start)}%`;
      return part.block;
    });
    if (blocks.length !== this.timeline.childElementCount || blocks.some((block) => block.parentElement !== this.timeline)) {
      this.timeline.replaceChildren(...blocks);
    }
  }

  /** A part on the timeline: its words over its waveform. */
  #block(part, span) {
    const width = Math.max(1, Math.round((this.timeline.clientWidth * (part.end - part.start)) / span));
    const picture = el("canvas", { width, height: 96 });
    drawPeaks(picture, part.buffer.getChannelData(0), colour("wave"));
    return el("div", { class: "part" }, picture, el("span", {}, `${part.settings.words} · ${clock(part.end - part.start)}`));
  }
}

function drawPeaks(picture, samples, ink) {
  const pen = picture.getContext("2d");
  const { width, height } = picture;
  const step = samples.length / width;
  pen.fillStyle = ink;
  for (let x = 0; x < width; x += 1) {
    let peak = 0;
    for (let n = Math.floor(x * step); n < (x + 1) * step; n += 8) peak = Math.max(peak, Math.abs(samples[n]));
    pen.fillRect(x, (height / 2) * (1 - peak), 1, Math.max(1, height * peak));
  }
}
