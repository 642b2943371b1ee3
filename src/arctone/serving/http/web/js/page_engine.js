// The engine in this page: the model runs in a worker, on this machine, and jobs wait here for their turn.

import { forget, load, storedBytes } from "../../arctone.js";
import { fromJson, Problem } from "./problem.js";

export const kind = "page";

export const words = {
  lostJob: "The page was closed before this sound was finished.",
  lostTake: (format) => `This page saves takes as WAV only, not as ${format}.`,
  noModel: (name) => `The model ${name} is not part of this page.`,
};

const MODEL = new URL("../../model/", import.meta.url);
const LATER = ["flow.tflite", "encoder.tflite"]; // fetched when an edit, guidance, a loop or a long sound first needs them
// As Python and as JavaScript write it.
const MARKS = ['{"mark": "AI-generated"', '{"mark":"AI-generated"'];
const MOST_RECORD_BYTES = 50_000;

/**
 * How the model stands: `now` is {state, loaded, total, words}, and "change" is sent after each change. state: "absent"
 * (not in this browser), "stored" (in it, not opened yet), "fetching", "opening", "ready" or "failed" (words say why).
 */
export const status = Object.assign(new EventTarget(), { now: { state: "absent", loaded: 0, total: 0, words: "" } });

let description = null;
let model = null;
let opening = null; // {promise, stop} while the model is fetched or opened
const jobs = new Map(); // id -> Job
let last = Promise.resolve(); // settles when the last job in the queue has ended
let numJobs = 0;

function tell(change) {
  status.now = { ...status.now, ...change };
  status.dispatchEvent(new Event("change"));
}

/** Nobody asks for a token here. */
export function onUnauthorized() {}

/** The model of this page, known before its files are there. Throws: Problem if the folder has none. */
export async function models() {
  if (description) return [description];
  let manifest;
  try {
    manifest = await (await fetch(new URL("web.json", MODEL))).json();
  } catch {
    throw new Problem("The folder of this page has no model/web.json that can be read: export it again.");
  }
  description = manifest.description;
  const total = manifest.files.reduce((sum, { path, bytes }) => sum + (LATER.includes(path) ? 0 : bytes), 0);
  const stored = await storedBytes(MODEL).catch(() => 0);
  tell({ state: stored >= total ? "stored" : "absent", total });
  return [description];
}

export const limits = async () => ({ file_formats: ["wav"] });

/** Bytes of the model in the browser's storage. */
export const modelBytes = () => storedBytes(MODEL).catch(() => 0);

/** Remove the model from the browser's storage. */
export async function forgetModel() {
  model?.close();
  model = null;
  await forget(MODEL);
  tell({ state: "absent", loaded: 0 });
}

/** Fetch the model unless the browser has it, check it, and open it. Throws: Problem, AbortError. */
export async function openModel() {
  if (model) return model;
  if (!opening) {
    const stop = new AbortController();
    opening = { stop, promise: open(stop.signal).finally(() => { opening = null; }) };
  }
  return opening.promise;
}

/** Stop fetching or opening the model. */
export const stopOpening = () => opening?.stop.abort();

async function open(signal) {
  tell({ state: status.now.state === "stored" ? "opening" : "fetching", loaded: 0, words: "" });
  try {
    await navigator.storage?.persist?.();
    model = await load(MODEL, { signal, onProgress: ({ stage, loaded, total }) => {
      if (stage === "downloading") tell({ state: status.now.state === "opening" ? "opening" : "fetching", loaded, total });
      else tell({ state: "opening" });
    } });
  } catch (failure) {
    const isStopped = failure.name === "AbortError";
    tell({ state: isStopped ? "absent" : "failed", loaded: 0, words: isStopped ? "" : failure.message });
    throw isStopped ? failure : new Problem(failure.message, { status: failure.status ?? 0 });
  }
  description = { ...description, ...model.description };
  tell({ state: "ready" });
  return model;
}

/** How long a request will take; without the model nothing has been measured yet. */
export async function estimate(request, sourceSeconds = null) {
  const { model: _, variations, ...fields } = request;
  if (model) return model.estimate(fields, sourceSeconds);
  const { defaults } = description;
  const seconds = fields.duration_seconds ?? sourceSeconds ?? defaults.duration_seconds;
  return { steps: fields.steps ?? defaults.steps, duration_seconds: seconds, seconds: null };
}

/** Put a request into the queue. Returns: the job. Throws: Problem for a value that the engine refuses. */
export async function order(request, audio, signal) {
  const { model: _, variations = 1, ...fields } = request;
  if (model) await check(fields, audio);
  signal?.throwIfAborted();
  numJobs += 1;
  const job = new Job(`page-${performance.timeOrigin}-${numJobs}`, fields, variations, audio);
  jobs.set(job.id, job);
  last = last.then(() => job.run());
  return job.view();
}

async function check(fields, audio) {
  try {
    model.check(fields, audio && (await model.read(audio)).seconds);
  } catch (failure) {
    throw asProblem(failure);
  }
}

const asProblem = (failure) => new Problem(failure.message, { parameter: failure.field ?? null });

/** Follow a job to its end: onChange receives each state of it. Returns: the final job. */
export async function follow(id, onChange, signal) {
  const job = find(id);
  for (;;) {
    const changed = job.changed();
    onChange(job.view());
    if (job.isFinal) return job.view();
    await raced(changed, signal);
  }
}

/** The sound of one take; each is handed out once, so that the page holds it once. */
export async function audio(id, index, format) {
  if (format && format !== "wav") throw new Problem(words.lostTake(format.toUpperCase()));
  return find(id).takeSound(index);
}

export async function cancel(id) {
  find(id).stop.abort();
}

function find(id) {
  const job = jobs.get(id);
  if (!job) throw new Problem(words.lostJob, { status: 404 });
  return job;
}

/** What a promise gives, unless the signal aborts first. Throws: AbortError. */
function raced(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/**
 * One request on its way: its state as the HTTP API would show it, and the sounds that nobody has taken yet. Its result
 * grows take by take, so that the page shows each as soon as it is there, and keeps them if the rest is cancelled.
 */
class Job {
  constructor(id, fields, variations, audio) {
    Object.assign(this, { id, fields, variations, audio, state: "queued", progress: null, error: null, made: [], sounds: [] });
    this.stop = new AbortController();
    this.listeners = [];
  }

  get isFinal() {
    return ["done", "failed", "cancelled"].includes(this.state);
  }

  changed() {
    return new Promise((wake) => this.listeners.push(wake));
  }

  set(change) {
    Object.assign(this, change);
    for (const wake of this.listeners.splice(0)) wake();
  }

  view() {
    const waiting = [...jobs.values()].filter(({ state }) => state === "queued");
    return {
      id: this.id,
      state: this.state,
      position: this.state === "queued" ? waiting.indexOf(this) : null,
      eta_seconds: null,
      progress: this.progress,
      error: this.error,
      request: { ...(this.made[0]?.request ?? this.fields), variations: this.variations },
      result: this.made.length ? this.result() : null,
    };
  }

  result() {
    return {
      model_name: model?.name ?? description.name,
      model_hash: model?.hash ?? description.model_hash,
      version: model?.version ?? "",
      warnings: [...new Set(this.made.flatMap(({ warnings }) => warnings))],
      timings_ms: { total: this.made.reduce((sum, { milliseconds }) => sum + milliseconds, 0) },
      takes: this.made.map(({ take }) => take),
    };
  }

  async run() {
    const { signal } = this.stop;
    try {
      signal.throwIfAborted();
      this.set({ state: "running", progress: { stage: "model", item: 0, step: 0, num_steps: 0 } });
      const engine = await raced(openModel(), signal);
      const source = this.audio ? await engine.read(this.audio) : null;
      for (let item = 0; item < this.variations; item += 1) await this.makeOne(engine, source, item, signal);
      this.set({ state: "done", progress: null });
    } catch (failure) {
      const isStopped = failure.name === "AbortError";
      const error = isStopped ? null : { message: failure.message, parameter: failure.field ?? failure.parameter ?? null };
      this.set({ state: isStopped ? "cancelled" : "failed", error, progress: null });
    }
  }

  async makeOne(engine, source, item, signal) {
    const seed = item === 0 ? this.fields.seed : plus(this.made[0].take.seed, item);
    const onProgress = (progress) => this.set({ progress: { ...progress, item } });
    const sound = await engine.generate({ ...this.fields, source, seed, signal, onProgress });
    this.sounds[item] = sound.toWav();
    const take = {
      index: item,
      seed: typeof sound.seed === "bigint" ? String(sound.seed) : sound.seed,
      duration_seconds: sound.durationSeconds,
      num_samples: sound.numSamples,
      num_channels: sound.samples.length,
      sample_rate: sound.sampleRate,
    };
    this.made.push({ take, request: sound.request, warnings: sound.warnings, milliseconds: sound.timings.total });
    this.set({});
  }

  takeSound(index) {
    const sound = this.sounds[index];
    if (!sound) throw new Problem(words.lostJob, { status: 404 });
    delete this.sounds[index];
    return sound;
  }
}

/** A seed further on; beyond 2**53 it is text. */
function plus(seed, count) {
  const sum = BigInt(seed) + BigInt(count);
  return sum <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(sum) : String(sum);
}

/** The record that arctone wrote into a sound file, of whatever format. Throws: Problem with status 422 if there is none. */
export async function record(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const found = recordIn(bytes);
  if (!found) throw new Problem(`${file.name ?? "This file"} carries no record of arctone.`, { status: 422 });
  return found;
}

/** Every format keeps the record as one run of UTF-8 in its comment: from its mark to the brace that closes it. */
function recordIn(bytes) {
  const start = MARKS.map((mark) => indexOf(bytes, new TextEncoder().encode(mark))).find((at) => at >= 0);
  if (start === undefined) return null;
  const text = new TextDecoder().decode(bytes.subarray(start, start + MOST_RECORD_BYTES));
  const end = closingBrace(text);
  try {
    return end ? fromJson(text.slice(0, end)) : null;
  } catch {
    return null;
  }
}

function indexOf(bytes, wanted) {
  for (let at = bytes.indexOf(wanted[0]); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, n) => bytes[at + n] === byte)) return at;
  }
  return -1;
}

/** Where the object that begins a text ends, or 0; braces within strings do not count. */
function closingBrace(text) {
  let depth = 0;
  for (const match of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}]/gs)) {
    if (match[0] === "{") depth += 1;
    else if (match[0] === "}" && --depth === 0) return match.index + 1;
  }
  return 0;
}
