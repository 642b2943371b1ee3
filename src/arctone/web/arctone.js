// arctone in a page: sound from text without a server.
//
//   import { load } from "./arctone.js";
//   const model = await load();
//   const sound = await model.generate("rain on a tin roof", { seconds: 4, seed: 7 });
//   const player = new AudioContext();
//   const source = new AudioBufferSourceNode(player, { buffer: sound.toAudioBuffer() });
//   source.connect(player.destination);
//   source.start();
//
// Everything is computed in a worker. Fields of a request have the names of the HTTP API, in camelCase if you like.

import { ModelError, UsageError, unpacked } from "./engine/errors.js";
import { forget as forgetFiles, request, storedBytes as storedFiles } from "./engine/files.js";
import { resolve } from "./engine/request.js";
import { readSource } from "./engine/source.js";
import { wavFile } from "./engine/wav.js";

export { ModelError, UsageError };

const MANIFEST = "web.json", SCHEMA = 1;
const BIT_DEPTHS = [16, 24, 32];

/**
 * Open a model.
 *
 * `url`: folder that holds web.json and the model's files; "model/" next to this module if not given.
 * `onProgress({ stage, file, loaded, total })`: "downloading" in bytes, then "opening" in graphs.
 * `signal`: AbortSignal. `storage`: "cache" keeps the files in the browser's storage, "none" does not.
 * Returns: Model. Throws: ModelError; the signal's reason.
 */
export async function load(url, { onProgress = () => {}, signal, storage = "cache" } = {}) {
  if (!["cache", "none"].includes(storage)) {
    throw new UsageError("", { field: "storage", value: storage, allowed: "one of cache, none" });
  }
  signal?.throwIfAborted();
  const base = folderOf(url), manifest = await readManifest(base, signal);
  const model = new Model(manifest);
  try {
    await model._open(base, storage, onProgress, signal);
  } catch (failure) {
    model.close();
    throw failure;
  }
  return model;
}

/** What a model is and takes, without its files: as `description` of a Model. */
export async function describe(url, { signal } = {}) {
  return (await readManifest(folderOf(url), signal)).description;
}

/** Bytes of a model's files that are in the browser's storage. */
export async function storedBytes(url) {
  const base = folderOf(url);
  return storedFiles(base, (await readManifest(base)).files);
}

/** Remove a model's files from the browser's storage. */
export const forget = (url) => forgetFiles(folderOf(url));

function folderOf(url = new URL("model/", import.meta.url)) {
  const folder = new URL(url, globalThis.document?.baseURI ?? import.meta.url);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  return folder.href;
}

async function readManifest(base, signal) {
  const response = await request(new URL(MANIFEST, base), { cache: "no-cache", signal });
  const manifest = await response.json().catch(() => null);
  if (manifest?.schema === SCHEMA) return manifest;
  throw new ModelError(`${new URL(MANIFEST, base)} does not describe a model that this version of arctone.js reads.`);
}

/** An open model. `load` makes them. */
export class Model {
  constructor(manifest) {
    this._manifest = manifest;
    this._calls = new Map();
    this._numCalls = 0;
    this._secondsPerStep = null;
    const { description: about, config, record, features } = manifest;
    this.description = about;
    this._about = { ...about, config, request: record.request, features };
    Object.assign(this, { name: about.name, version: record.version, hash: about.model_hash });
    Object.assign(this, { sampleRate: about.sample_rate, channels: about.channels, defaults: about.defaults });
    Object.assign(this, { maxDurationSeconds: about.max_duration_seconds, windowSeconds: about.window_seconds });
    Object.assign(this, { fields: about.fields, features: manifest.features });
    this._worker = startWorker(`arctone ${about.name}`);
    this._worker.onmessage = ({ data }) => this._receive(data);
    this._worker.onerror = (event) => {
      event.preventDefault?.();
      this._end(new ModelError(`The engine's worker cannot be started or failed: ${event.message ?? "it was not found"}.`));
    };
  }

  /**
   * Generate one sound.
   *
   * `prompt`: text, or an object with all fields. `options`: fields of the request (seconds, seed, steps, sampler,
   * normalize, loop, bars, bpm, ...), and `onProgress({ stage, item, step, num_steps })`, `signal`. `source`: the sound that
   * is edited, which initNoiseLevel, inpaint and extend are about: a Blob, an AudioBuffer, { samples, sampleRate }, or what
   * `read` gave; `sourceName` is its name in the record. `onPart({ samples, start, isLast })` gets each part of a sound of
   * several windows as soon as it is done, so that its beginning can be played; parts have the level of the first one,
   * because that of the whole is known only at its end. Loops and edits come as a whole.
   * Returns: Sound. Throws: UsageError for a request that cannot be met; ModelError; the signal's reason.
   */
  async generate(prompt, options = {}) {
    const given = typeof prompt === "object" ? { ...prompt, ...options } : { prompt, ...options };
    const { onProgress = () => {}, onPart, signal, source: sound, sourceName, ...fields } = given;
    signal?.throwIfAborted();
    const source = sound ? await this.read(sound, sourceName) : null;
    const resolved = this.check(fields, source?.seconds);
    const order = { kind: "generate", resolved, source, wantsParts: Boolean(onPart) };
    const made = await this._call(order, onProgress, signal, onPart);
    this._secondsPerStep = made.timings.total / 1000 / this._cost(resolved.request);
    return new Sound(made, resolved.request, this._manifest.record, this.sampleRate);
  }

  /**
   * Read a sound once that several calls of `generate` edit. `source`: see there. `name`: of its file, for the record.
   * Returns: the sound, of which `seconds` is the length. Throws: UsageError.
   */
  async read(source, name) {
    if (!this.features.edit) {
      const words = `source cannot be edited, because this folder has no encoder of ${this.name}: it was exported with --slim.`;
      throw new UsageError(words, { field: "source" });
    }
    if (source.conformed) return source;
    const found = await readSource(source, this.sampleRate, name);
    return { ...found, seconds: found.conformed[0].length / this.sampleRate };
  }

  /**
   * Check a request as `generate` does, at once. `sourceSeconds`: length of the sound that is edited; null = text alone.
   * Returns: the request with every open field filled in. Throws: UsageError.
   */
  check(fields, sourceSeconds = null) {
    return resolve(typeof fields === "string" ? { prompt: fields } : fields, this._about, sourceSeconds);
  }

  /** What a request costs: { steps, duration_seconds, seconds }; seconds is null before the first sound. */
  async estimate(fields, sourceSeconds = null) {
    const { request } = this.check(fields, sourceSeconds);
    const seconds = this._secondsPerStep === null ? null : this._secondsPerStep * this._cost(request);
    return { steps: request.steps, duration_seconds: request.duration_seconds, seconds };
  }

  /** End the worker and give its memory back; calls that wait fail. */
  close() {
    this._end(new ModelError(`The model ${this.name} is closed.`));
  }

  _cost({ steps, duration_seconds: seconds }) {
    return (2 + steps) * Math.max(1, seconds);
  }

  _open(base, storage, onProgress, signal) {
    const runtime = new URL("runtime/", import.meta.url).href;
    return this._call({ kind: "open", base, runtime, manifest: this._manifest, storage }, onProgress, signal);
  }

  _call(message, onProgress, signal, onPart) {
    if (this._failure) return Promise.reject(this._failure);
    const id = this._numCalls++;
    return new Promise((resolveCall, reject) => {
      const cancel = () => this._worker.postMessage({ kind: "cancel", id });
      const settle = (act) => (value) => {
        this._calls.delete(id);
        signal?.removeEventListener("abort", cancel);
        act(value);
      };
      this._calls.set(id, { onProgress, onPart, done: settle(resolveCall), fail: settle(reject), signal });
      signal?.addEventListener("abort", cancel);
      this._worker.postMessage({ ...message, id });
    });
  }

  _receive({ id, kind, value, error }) {
    const call = this._calls.get(id);
    if (!call) return;
    if (kind === "progress") call.onProgress(value);
    else if (kind === "part") call.onPart(value);
    else if (kind === "done") call.done(value);
    else if (kind === "cancelled") call.fail(call.signal?.reason ?? new DOMException("The work was cancelled.", "AbortError"));
    else call.fail(unpacked(error));
  }

  _end(failure) {
    this._failure ??= failure;
    this._worker.terminate();
    for (const call of [...this._calls.values()]) call.fail(this._failure);
  }
}

function startWorker(name) {
  const script = new URL("engine/worker.js", import.meta.url);
  try {
    return new Worker(script, { name });
  } catch (failure) {
    throw new ModelError(`The engine's worker cannot be started from ${script}: ${failure.message}`);
  }
}

/** A finished sound. */
export class Sound {
  constructor({ samples, seed, warnings, timings, source, numOver }, request, record, sampleRate) {
    Object.assign(this, { samples, sampleRate, warnings, timings });
    this.numSamples = samples[0].length;
    this.durationSeconds = this.numSamples / this.sampleRate;
    this.seed = seed <= Number.MAX_SAFE_INTEGER ? Number(seed) : seed;
    this.request = { ...request, seed: typeof this.seed === "bigint" ? String(seed) : this.seed };
    const over = numOver ? { num_samples_over_full_scale: numOver } : {};
    this.record = { ...record, request: this.request, ...(source ? { source } : {}), ...over };
  }

  /** The sound as the Web Audio API plays it. */
  toAudioBuffer() {
    const { samples, numSamples: length, sampleRate } = this;
    const buffer = new AudioBuffer({ numberOfChannels: samples.length, length, sampleRate });
    samples.forEach((channel, number) => buffer.copyToChannel(channel, number));
    return buffer;
  }

  /** A WAV file, as a Blob, with the record of how the sound was made. `bitDepth`: 16, 24 or 32 (float). */
  toWav({ bitDepth = 16 } = {}) {
    if (!BIT_DEPTHS.includes(bitDepth)) {
      throw new UsageError("", { field: "bitDepth", value: bitDepth, allowed: `one of ${BIT_DEPTHS.join(", ")}` });
    }
    return new Blob([wavFile(this.samples, this.sampleRate, this.record, bitDepth)], { type: "audio/wav" });
  }
}
