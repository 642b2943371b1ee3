// One take close up: every setting that made it, and what can be done with it.

import { button, clock, el } from "./dom.js";
import { engine } from "./engine.js";
import { label } from "./form.js";
import { fileName } from "./history.js";
import { Problem } from "./problem.js";
import { say } from "./say.js";

const panel = document.getElementById("inspector");

/** Shows the chosen take. actions: reuse, redo, start, removeTake, play. can: which capabilities the model has. */
export class Inspector {
  constructor(actions) {
    this.actions = actions;
    this.formats = ["wav"];
    this.can = new Set();
    this.entry = null;
    this.format = "wav";
    this.likeness = 0.6;
  }

  show(entry) {
    this.entry = entry;
    if (!entry) {
      panel.replaceChildren(el("h2", {}, "Take"), el("p", { class: "quiet" }, "Choose a take to see its settings."));
      return;
    }
    const { batch, take } = entry;
    const { can } = this;
    panel.replaceChildren(...[
      el("h2", {}, take.name ?? `Take ${take.index + 1}`, el("span", { class: "unit" }, ` of ${batch.result ? Math.max(batch.request.variations ?? 1, batch.takes.length) : 1}`)),
      el("p", { class: "words" }, batch.request.prompt),
      this.#actionButtons(batch, take),
      can.has("init") && this.#moreLikeThis(batch, take),
      this.#trim(batch, take),
      this.#download(batch, take),
      el("h3", {}, "Settings"),
      el("dl", { class: "settings" }, settings(batch, take).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])),
    ].filter(Boolean));
  }

  #actionButtons(batch, take) {
    const { actions, can } = this;
    return el(
      "div", { class: "actions" },
      button("Reuse settings", () => actions.reuseTake(batch, take), { glyph: "reuse", key: "U" }),
      button("Redo", () => actions.redo(batch, take), { glyph: "again", key: "Y" }),
      can.has("init") && button("Restyle", () => actions.start(batch, take, "init"), { glyph: "brush", key: "E" }),
      can.has("inpaint") && button("Remake a part", () => actions.start(batch, take, "inpaint"), { glyph: "range", key: "I" }),
      can.has("extend") && button("Continue", () => actions.start(batch, take, "extend"), { glyph: "onward", key: "C" }),
      button("Close-up", () => actions.closeUp(batch, take), { glyph: "lens", key: "W" }),
      button("Name", () => actions.rename(take.id), { glyph: "pen", key: "N" }),
      button("Delete take", () => actions.removeTake(batch, take), { glyph: "bin", key: "Del" }),
    );
  }

  #moreLikeThis(batch, take) {
    const slider = el("input", { type: "range", id: "likeness", min: 0.1, max: 1, step: 0.05, value: this.likeness, "aria-label": "How different more takes may be",
      oninput: () => { this.likeness = Number(slider.value); } });
    return el("div", { class: "likeness" },
      el("span", {}, "close"), slider, el("span", {}, "free"),
      button("More like this", () => this.actions.more(batch, take, this.likeness), { glyph: "dice", key: "M" }));
  }

  #trim(batch, take) {
    const number = (id, words, value) => el("label", { for: id }, words, el("input", { type: "number", id, min: 0, step: 0.01, value }));
    const values = () => ["trim-from", "trim-to", "trim-fade"].map((id) => Number(document.getElementById(id).value));
    return el("details", { class: "trim" }, el("summary", {}, "Trim and fade"),
      el("div", { class: "trimfields" }, number("trim-from", "From (s)", 0), number("trim-to", "To (s)", Number(take.seconds.toFixed(2))), number("trim-fade", "Fade (s)", 0.01)),
      button("Save as WAV", () => this.actions.trim(batch, take, ...values()), { glyph: "save" }));
  }

  #download(batch, take) {
    const choose = el("select", { id: "format", "aria-label": "File format", onchange: () => { this.format = choose.value; } },
      this.formats.map((format) => el("option", { value: format, selected: format === this.format }, format.toUpperCase())));
    return el("div", { class: "download" }, choose, button("Download", () => this.save(), { glyph: "save", key: "D" }),
      el("p", { class: "quiet" }, "Or drag the take into your DAW or a folder. Drop the file back here to get its settings."));
  }

  /** Save the chosen take in the chosen format. Throws: Problem with words. */
  async save() {
    const { batch, take } = this.entry;
    const blob = this.format === "wav" ? await this.actions.sound(take) : await this.#converted(batch, take);
    const url = URL.createObjectURL(blob);
    el("a", { href: url, download: fileName(batch, take, this.format) }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say(`${fileName(batch, take, this.format)} saved.`);
  }

  async #converted(batch, take) {
    try {
      return await engine.audio(batch.jobId, take.index, this.format);
    } catch (failure) {
      if (failure.status !== 404) throw failure;
      throw new Problem(engine.words.lostTake(this.format.toUpperCase()));
    }
  }
}

function settings(batch, take) {
  const { prompt, seed, variations, ...others } = batch.resolved;
  const shown = Object.entries(others).map(([name, value]) => [label(name), Array.isArray(value) ? value.join(", ") : value === true ? "yes" : value]);
  const { result } = batch;
  return [
    ["Seed", take.seed],
    ["Length", clock(take.seconds)],
    ["Samples", take.samples],
    ...shown.filter(([name]) => name !== "Duration"),
    batch.source ? ["Start sound", batch.source.name] : null,
    ["Model", `${result.model_name} ${String(result.model_hash ?? "").slice(0, 8)}`],
    ["Version", `arctone ${result.version}`],
    ["Made", new Date(batch.made).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })],
    result.timings_ms?.total ? ["Took", `${(result.timings_ms.total / 1000).toFixed(2)} s`] : null,
  ].filter(Boolean);
}
