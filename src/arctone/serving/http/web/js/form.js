// The settings: controls made from the fields that the model publishes, so that what a model lacks is not there.

import { button, el } from "./dom.js";

/** Fields with a place of their own on the page; all others stand in "More settings". */
const PLACED = {
  prompt: "form-prompt",
  duration_seconds: "form-main",
  variations: "form-main",
  diverse: "form-main",
  seed: "form-main",
  loop: "form-loop",
  bars: "form-loop",
  bpm: "form-loop",
  init_noise_level: null, // these three stand where the start sound is shown
  inpaint: null,
  extend: null,
  threads: null, // the server's business
};
const WORDS = {
  prompt: "Prompt",
  negative_prompt: "Not this",
  duration_seconds: "Duration",
  variations: "Variations",
  diverse: "As different as possible",
  seed: "Seed",
  steps: "Steps",
  cfg_scale: "Prompt strength",
  sampler: "Sampler",
  bpm: "Tempo",
  init_noise_level: "Style",
  inpaint: "Parts",
  extend: "Continue",
  normalize: "Level",
  loop: "Seamless loop",
  bars: "Bars",
};
const UNITS = { seconds: "s", "beats per minute": "BPM" };
const VARIATIONS = [1, 4, 8, 16];

export const label = (name) => WORDS[name] ?? name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

/** The form of one model: reads and writes requests, and shows problems next to the field that they name. */
export class Form {
  constructor(onChange) {
    this.onChange = onChange;
    this.fields = new Map();
    this.model = null;
  }

  /** Build the controls of a model, and keep what was set where the new model has the same field. */
  show(model) {
    const kept = this.model ? this.read() : {};
    this.model = model;
    this.fields.clear();
    for (const place of ["form-prompt", "form-main", "form-loop", "form-more"]) {
      document.getElementById(place).replaceChildren();
    }
    for (const field of model.fields) this.add(field);
    document.getElementById("loop-part").hidden = !this.fields.has("loop") && !this.fields.has("bpm");
    document.getElementById("more-part").hidden = !document.getElementById("form-more").childElementCount;
    this.write(kept);
  }

  add(field) {
    const place = field.name in PLACED ? PLACED[field.name] : "form-more";
    if (!place || field.choices?.length === 1) return;
    const control = this.control(field);
    const input = control.matches("input, textarea, select") ? control : control.querySelector("[data-value]");
    input.id = `field-${field.name}`;
    input.dataset.value = field.name;
    input.setAttribute("aria-describedby", `hint-${field.name}`);
    const row = el(
      "div",
      { class: `field field-${field.name}` },
      el("label", { for: input.id, title: field.help }, label(field.name), this.unit(field)),
      control,
      el("p", { class: "hint", id: `hint-${field.name}` }),
    );
    if (input.type === "checkbox") row.classList.add("check");
    document.getElementById(place).append(row);
    this.fields.set(field.name, { field, input, row });
    input.addEventListener("input", () => this.changed(field.name));
  }

  unit(field) {
    const unit = UNITS[field.unit] ?? field.unit;
    return unit ? el("span", { class: "unit" }, ` ${unit}`) : null;
  }

  control(field) {
    if (field.name === "prompt") {
      return el("textarea", {
        rows: 4, required: true, maxLength: field.max_length ?? -1, spellcheck: true, enterKeyHint: "go",
        placeholder: "ocean waves on a beach, distant thunder",
      });
    }
    if (field.name === "duration_seconds") return this.slider(field);
    if (field.name === "variations") return this.choiceOfNumbers(field);
    if (field.name === "seed") return this.seed(field);
    if (field.choices?.length) return el("select", {}, this.open(field), field.choices.map((word) => el("option", { value: word }, word)));
    if (field.kind === "boolean") return el("input", { type: "checkbox" });
    if (["integer", "number"].includes(field.kind)) return this.number(field);
    return el("input", { type: "text", maxLength: field.max_length ?? -1, placeholder: field.help.split(";")[0] });
  }

  open(field) {
    return field.optional ? el("option", { value: "" }, `Model's own${this.standard(field)}`) : null;
  }

  standard(field) {
    const value = this.model.defaults?.[field.name];
    return value === undefined || value === null ? "" : ` (${value})`;
  }

  number(field) {
    const standard = this.model.defaults?.[field.name];
    return el("input", {
      type: "number", inputMode: "decimal", step: field.kind === "integer" ? "1" : "any", min: field.minimum, max: field.maximum,
      placeholder: standard === undefined ? (field.name === "bpm" ? "free" : "") : String(standard),
    });
  }

  slider(field) {
    const most = Math.min(this.model.window_seconds ?? 30, this.model.max_duration_seconds);
    const number = el("input", {
      type: "number", "data-value": true, step: "any", min: 0.1, max: this.model.max_duration_seconds, inputMode: "decimal",
      placeholder: String(this.model.defaults?.duration_seconds ?? ""),
    });
    const range = el("input", { type: "range", min: 0.5, max: most, step: 0.01, tabIndex: -1, "aria-hidden": "true" });
    range.addEventListener("input", () => {
      number.value = range.value;
      number.dispatchEvent(new Event("input"));
    });
    number.addEventListener("input", () => { range.value = number.value || number.placeholder; });
    range.value = number.placeholder;
    return el("div", { class: "slider" }, range, number);
  }

  choiceOfNumbers(field) {
    const number = el("input", {
      type: "number", "data-value": true, step: 1, min: field.minimum, max: field.maximum, value: field.default ?? 1,
    });
    const quick = VARIATIONS.filter((count) => count <= (field.maximum ?? 16)).map((count) =>
      el("button", { type: "button", class: "choice", "aria-label": `${count} variations`, onclick: () => {
        number.value = count;
        number.dispatchEvent(new Event("input"));
      } }, String(count)));
    const mark = () => quick.forEach((one) => one.setAttribute("aria-pressed", one.textContent === number.value));
    number.addEventListener("input", mark);
    mark();
    return el("div", { class: "choices" }, quick, number);
  }

  seed() {
    const text = el("input", { type: "text", "data-value": true, inputMode: "numeric", placeholder: "new each time", autocomplete: "off" });
    const clear = button("New seed each time", () => {
      text.value = "";
      text.dispatchEvent(new Event("input"));
    }, { glyph: "dice", quiet: true, kind: "plain" });
    return el("div", { class: "withbutton" }, text, clear);
  }

  changed(name) {
    this.hint(name, "");
    this.showWhatHasEffect();
    this.onChange();
  }

  /**
   * What has no effect with the other settings is not shown: guidance words without guidance, bars without a loop. A
   * post-trained model with its flow model next to it is guided by that one where nothing is set.
   */
  showWhatHasEffect() {
    const scale = this.value("cfg_scale") ?? this.model.defaults?.cfg_scale ?? 1;
    const isGuided = Number(scale) !== 1 || (this.model.has_flow && this.value("cfg_scale") === undefined);
    this.toggle("negative_prompt", isGuided);
    this.toggle("bars", this.value("loop") === true);
    this.toggle("diverse", this.value("variations") > 1);
  }

  toggle(name, shown) {
    const entry = this.fields.get(name);
    if (entry) entry.row.hidden = !shown;
  }

  /** The value of a field: undefined where it is left to the model or not shown. */
  value(name) {
    const entry = this.fields.get(name);
    if (!entry || (entry.row.hidden && name !== "cfg_scale")) return undefined;
    const { field, input } = entry;
    if (input.type === "checkbox") return input.checked || undefined;
    const text = input.value.trim();
    if (!text) return undefined;
    if (field.kind === "integer") return wholeNumber(text);
    if (field.kind === "number") return Number(text);
    return text;
  }

  /** The request, with only what was set. */
  read() {
    const request = {};
    for (const name of this.fields.keys()) {
      const value = this.value(name);
      if (value !== undefined) request[name] = value;
    }
    return request;
  }

  /** Show the settings of a request; fields that it does not name go back to the model's own. */
  write(request) {
    for (const [name, { field, input }] of this.fields) {
      const value = request[name];
      if (input.type === "checkbox") input.checked = Boolean(value);
      else input.value = value ?? (field.optional || field.required ? "" : field.default ?? "");
      input.dispatchEvent(new Event("input"));
    }
  }

  /** Put words next to a field. Returns: whether there is such a field to see. */
  hint(name, words) {
    const entry = this.fields.get(name);
    if (!entry) return false;
    const note = entry.row.querySelector(".hint");
    note.textContent = words;
    entry.input.toggleAttribute("aria-invalid", Boolean(words));
    if (words) {
      entry.input.setAttribute("aria-invalid", "true");
      entry.row.hidden = false;
      entry.row.closest("details")?.setAttribute("open", "");
      entry.input.focus();
    }
    return true;
  }

  /** Words of the server with the names that this page shows: "duration_seconds must be ..." says "Duration must be ...". */
  worded(message) {
    return (this.model?.fields ?? []).reduce((text, { name }) => text.replaceAll(new RegExp(`\\b${name}\\b`, "g"), label(name)), message);
  }

  /** Whether a field holds something that the model's limits allow; empty fields do. */
  isValid(name) {
    const { field, input } = this.fields.get(name);
    if (input.type === "checkbox" || !input.value.trim()) return true;
    const value = this.value(name);
    if (field.name === "seed") return /^(-1|\d{1,20})$/.test(input.value.trim());
    if (!["integer", "number"].includes(field.kind) || value === undefined) return true;
    if (field.kind === "integer" && !Number.isInteger(value)) return false;
    const low = field.minimum ?? -Infinity;
    return value >= low && !(value <= (field.exclusive_minimum ?? -Infinity)) && value <= (field.maximum ?? Infinity);
  }

  /** The request without values that cannot be used: what a later visit may begin with. */
  readValid() {
    return Object.fromEntries(Object.entries(this.read()).filter(([name]) => this.isValid(name)));
  }

  clearHints() {
    for (const name of this.fields.keys()) this.hint(name, "");
  }
}

/** Digits as a number, exact beyond 2**53 too: JSON is written from it with `toJson`. */
function wholeNumber(text) {
  const number = Number(text);
  if (!/^-?\d+$/.test(text)) return Number.isNaN(number) ? text : number;
  return Number.isSafeInteger(number) ? number : text;
}

export const limitsOf = (model) => [
  `up to ${model.max_duration_seconds} s`,
  `${(model.sample_rate / 1000).toFixed(1)} kHz ${model.channels === 2 ? "stereo" : "mono"}`,
  model.defaults ? `${model.defaults.steps} steps` : null,
].filter(Boolean).join(" · ");
