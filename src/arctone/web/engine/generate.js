// One sound: encode the prompt, then sample, decode and put together its windows, level it. The order and the numbers are
// those of arctone.inference.pipeline and .sampling.

import { keepsSource, spansOf } from "./edit.js";
import { ModelError } from "./errors.js";
import { features, mirrored } from "./features.js";
import { SAMPLERS, addNoise, bridged, guided, holding, projected, resampled, samplerTimes } from "./flow.js";
import { cut, filled } from "./graphs.js";
import { statedNote, keyNumber } from "./keys.js";
import { fadeEdges, isSilent, normalize, numOver, overWarning, peakGain, rotated, spliceWindow } from "./level.js";
import { planRequest, planSeam, seamPosition } from "./plan.js";
import { itemNoise, windowSeed } from "./random.js";
import { drawSeed, samplingOf } from "./request.js";
import { HOP } from "./synthesis.js";

const MAX_REDRAWS = 4, REPAINT_ROUNDS = 3, REPAINT_START = 0.9, CONTEXT_FRAMES = 16;
const STEPS_PER_WINDOW = 10_000n, STEPS_PER_PASS = 10n ** 12n;

/**
 * Generate the sound of a resolved request.
 *
 * `parts`: { config, tokenizer, synthesis, graph(path): an open Graph }. `resolved`: see request.js. `source`: the sound that
 * is edited, two channels at the model's rate; or null. `pause()`: lets messages in and throws if the sound is no longer
 * wanted. `report(stage, step, numSteps)`: progress. `give(samples, start, isLast)`: takes each part of a sound of several
 * windows from text as soon as it no longer changes, but for its level; or null.
 * Returns: { samples, seed, warnings, timings, numOver: samples beyond full scale }.
 */
export async function generate(parts, resolved, { source = null, pause, report, give = null }) {
  return new Generation(parts, resolved, { source, pause, report, give }).run();
}

class Generation {
  constructor(parts, resolved, { source, pause, report, give }) {
    const { request, network } = resolved, { config } = parts;
    Object.assign(this, parts, { request, network, pause, report });
    // A loop changes at its seam at the end, and an edit holds sound from its beginning.
    this.give = request.loop || source ? null : give;
    this.mayDrawAgain = resolved.hasDrawnSeed && !source;
    this.warnings = [...resolved.warnings];
    this.timings = {};
    this.done = {};
    this.sampling = samplingOf(config, network);
    const cuts = request.inpaint.length ? spansOf(request.inpaint, request.duration_seconds, config.sample_rate) : null;
    this.plan = planRequest(request, config, source, cuts);
    this.numSamples = request.loop ? planLength(request, config) : this.plan.numSamples;
    this.totals = this.stepTotals();
  }

  async run() {
    const started = performance.now();
    this.report("text", 0, 1);
    await this.pause();
    await this.timed("text", () => this.encodePrompts());
    this.report("text", 1, 1);
    const known = this.plan.needsEncoding ? await this.known() : null;
    let seed = BigInt(this.request.seed), sound = await this.sound(this.plan, known, seed);
    for (let turn = 0; this.mayDrawAgain && turn < MAX_REDRAWS && isSilent(sound); turn++) {
      this.warn("A seed gave silence, so another one was drawn; the result names the one that was used.");
      this.done = {};
      seed = BigInt(drawSeed());
      sound = await this.sound(this.plan, null, seed);
    }
    if (this.request.loop) sound = await this.closedLoop(sound, seed);
    this.finish(sound);
    this.timings.total = performance.now() - started;
    return { samples: sound, seed, warnings: this.warnings, timings: this.timings, numOver: numOver(sound) };
  }

  /** Set the edges and the level of a sound, in place. */
  finish(sound) {
    const { request, config } = this;
    if (request.extend || !(request.loop || keepsSource(request))) fadeEdges(sound, config.sample_rate, !request.extend);
    this.warn(normalize(sound, request.normalize, config.sample_rate));
    const over = overWarning(sound, "The sound");
    if (over) this.warn(`${over}, which files of whole numbers clip; normalize peak or 32-bit files keep it.`);
  }

  // --- text --------------------------------------------------------------------------------------------------------

  async encodePrompts() {
    const { prompt, negative_prompt: negative } = this.request;
    this.text = await this.embed("prompt", prompt);
    this.negative = negative.trim() ? await this.embed("negative_prompt", negative.trim()) : this.noText();
    const hears = (name) => (this.config.dit.controls ?? []).includes(name);
    this.key = this.request.key ? keyNumber(this.request.key) : 0;
    this.note = hears("note") ? statedNote(prompt) : 0;
  }

  async embed(field, text) {
    const { ids, mask, wasCut } = this.tokenizer.encode(text), length = ids.length;
    if (wasCut) this.warn(`${field} was truncated to ${length} tokens.`);
    const graph = await this.graph("text.tflite");
    const { tokens, pooled } = await graph.run("text", { ids: [ids, [1, length]], mask: [mask, [1, length]] });
    return { tokens, pooled, mask, isEmpty: false };
  }

  noText() {
    const { width, max_tokens: length } = this.config.text;
    const zeros = (size) => new Float32Array(size);
    return { tokens: zeros(length * width), pooled: zeros(width), mask: zeros(length), isEmpty: true };
  }

  // --- velocity ----------------------------------------------------------------------------------------------------

  /** The guided velocity at a point. `frames`: of x; `seconds`: that the transformer is conditioned on. */
  async velocity(x, t, frames, seconds, inpaint) {
    const scale = this.request.cfg_scale;
    const towards = scale !== 0 ? await this.oneVelocity(this.text, x, t, frames, seconds, inpaint, true) : null;
    const away = scale !== 1 ? await this.oneVelocity(this.negative, x, t, frames, seconds, inpaint, false) : null;
    if (!towards || !away) return towards ?? away;
    if (this.config.sampling.guidance === "projected") return projected(towards, away, x, t, scale);
    return guided(towards, away, scale);
  }

  /** Number of steps that a few-step model receives, as arctone.inference.context has it; 0 = none. */
  statedSteps() {
    const { sampling } = this;
    return sampling.post_trained ? Math.min(this.request.steps, sampling.steps) : 0;
  }

  async oneVelocity(text, x, t, frames, seconds, inpaint, isPrompt) {
    const graph = await this.graph(`${this.network}.tflite`), window = graph.window(frames);
    const { latent_channels: channels, controls = [] } = this.config.dit;
    const { width, max_tokens: length } = this.config.text;
    const number = (value) => [Float32Array.of(value), [1]];
    const mask = new Float32Array(window).fill(1, 0, frames);
    const inputs = {
      x: [filled(x, frames, window), [1, channels, window]],
      t: number(t),
      text_tokens: [text.tokens, [1, length, width]],
      text_mask: [text.mask, [1, length]],
      text_pooled: [text.pooled, [1, width]],
      seconds: number(seconds),
      bpm: number(isPrompt ? this.request.bpm ?? 0 : 0),
      frame_mask: [mask, [1, window]],
      key: number(isPrompt ? this.key : 0),
      note: number(isPrompt ? this.note : 0),
      steps: number(this.statedSteps()),
    };
    for (const name of controls) inputs[name] ??= [new Float32Array(2 * window), [1, 2, window]];
    if (inpaint) inputs.inpaint = [filled(inpaint, frames, window), [1, channels + 1, window]];
    await this.pause();
    const { velocity } = await graph.run(`T${window}`, inputs);
    return cut(velocity, window, frames);
  }

  // --- one pass ----------------------------------------------------------------------------------------------------

  /** Sample, decode and splice the windows of a plan. `known`: latents [C, T] of its sound, or null. Returns: its channels. */
  async sound(plan, known, seed) {
    const { config } = this, channels = config.dit.latent_channels;
    const sound = plan.sound?.map((channel) => channel.slice())
      ?? Array.from({ length: config.channels }, () => new Float32Array(plan.numSamples));
    if (!plan.windows.length) return sound;
    const pass = { plan, seed, latents: known?.slice() ?? new Float32Array(channels * plan.numFrames), unknown: [...plan.unknown] };
    let before = null;
    this.advance("sampling", 0);
    for (const window of plan.windows) {
      const latents = await this.timed("sampling", () => this.sampled(pass, window));
      await this.pause();
      await this.timed("decoding", async () => {
        const decoded = await this.decoded(latents, window.stop - window.start, windowSeed(seed, window.start, plan.pass));
        spliceWindow(sound, decoded, window, before, plan);
      });
      this.givePart(sound, before, window);
      before = window;
      this.advance("decoding", 1);
    }
    return sound;
  }

  /** Give what no later window changes, at the level of the first part alone: the sound's own is known at its end. */
  givePart(sound, before, window) {
    if (!this.give) return;
    const { config } = this, length = sound[0].length, start = before ? before.keptStop * config.hop_length : 0;
    const isLast = window.stop >= this.plan.numFrames;
    const part = sound.map((channel) => channel.slice(start, isLast ? length : window.keptStop * config.hop_length));
    fadeEdges(part, config.sample_rate, start === 0, isLast);
    if (start === 0) this.partGain = this.request.normalize === "off" || isSilent(part) ? 1 : peakGain(part);
    for (const channel of part) for (let n = 0; n < channel.length; n++) channel[n] *= this.partGain;
    this.give(part, start, isLast);
  }

  /** The latents of a window; those that are kept become known to the windows after it. */
  async sampled(pass, window) {
    const { plan, latents: whole, unknown } = pass, frames = window.stop - window.start, total = plan.numFrames;
    const part = (values) => columns(values, total, window.start, window.stop);
    const base = part(whole), known = unknown.slice(window.start, window.stop).map((is) => !is);
    let latents = base;
    for await (const x of this.steps(pass, window, base, known)) {
      latents = x;
      this.advance("sampling", 1);
    }
    if (!latents.every(Number.isFinite)) {
      throw new ModelError(`the model ${this.config.name} gave values that are not finite; the sound was not made.`);
    }
    latents = latents.map((value, n) => (known[n % frames] ? base[n] : value));
    const kept = window.keptStop - window.start;
    for (let row = 0; row * frames < latents.length; row++) {
      whole.set(latents.subarray(row * frames, row * frames + kept), row * total + window.start);
    }
    unknown.fill(false, window.start, window.keptStop);
    return latents;
  }

  steps(pass, window, base, known) {
    const { plan, seed } = pass, { config, request } = this, frames = known.length;
    const seconds = frames === plan.numFrames ? plan.numSamples / config.sample_rate
      : Math.min((frames * config.hop_length) / config.sample_rate, config.dit.max_seconds);
    const inpaint = config.dit.inpaint_channels ? inpaintChannels(base, known) : null;
    const velocity = holding((x, t) => this.velocity(x, t, frames, seconds, inpaint), base, known);
    const noise = (step) => {
      const number = BigInt(step) + STEPS_PER_WINDOW * BigInt(window.start) + STEPS_PER_PASS * BigInt(plan.pass);
      return itemNoise(seed, number, config.dit.latent_channels, frames);
    };
    const sampler = SAMPLERS[request.sampler];
    let times = this.times(plan.level), rounds = 1;
    if (!inpaint && known.some(Boolean)) {
      rounds = request.sampler === "ping_pong" ? 1 : REPAINT_ROUNDS;
      if (plan.level === 1) {
        base = bridged(base, known);
        times = this.times(REPAINT_START);
      }
    }
    const start = times[0] === 1 ? noise(0) : addNoise(base, noise(0), times[0]);
    return rounds === 1 ? sampler(velocity, start, times, noise) : resampled(sampler, velocity, start, times, noise, rounds);
  }

  times(level) {
    const { config, request } = this, frames = Math.ceil(this.numSamples / config.hop_length);
    return samplerTimes(request.sampler, request.steps, this.sampling, Math.min(frames, config.dit.max_frames), level);
  }

  async decoded(latents, frames, seed) {
    const graph = await this.graph("decoder.tflite"), window = graph.window(frames);
    const channels = this.config.dit.latent_channels, mask = new Float32Array(window).fill(1, 0, frames);
    const inputs = { latents: [filled(latents, frames, window), [1, channels, window]], frame_mask: [mask, [1, window]] };
    const [parameters] = Object.values(await graph.run(`T${window}`, inputs));
    await this.pause();
    const perFrame = this.config.hop_length / HOP;
    return this.timed("synthesis", () => this.synthesis.run(parameters, window * perFrame, frames * perFrame, seed));
  }

  // --- known sound and loops -------------------------------------------------------------------------------------------------------

  /** Latents of the sound that is edited; the first pass of all variations starts from them. */
  async known() {
    this.report("encoding", 0, 1);
    const latents = await this.timed("encoding", () => this.encoded(this.plan));
    this.report("encoding", 1, 1);
    return latents;
  }

  /** Cut a sound to the length of the loop and generate its seam again while that lies in the middle. */
  async closedLoop(sound, seed) {
    const { config, request, numSamples } = this, seam = seamPosition(numSamples, config, request.bpm);
    const turned = rotated(sound.map((channel) => channel.slice(0, numSamples)), numSamples - seam);
    const plan = planSeam(numSamples, seam, config, request.bpm, turned);
    this.advance("encoding", 0);
    const latents = await this.timed("encoding", () => this.encoded(plan));
    this.advance("encoding", 1);
    return rotated(await this.sound(plan, latents, seed), seam - numSamples);
  }

  /** Latents [C, T] of what a plan keeps of its sound; longer sounds than the encoder holds go in pieces that overlap. */
  async encoded(plan) {
    const { config } = this, hop = config.hop_length, most = config.dit.max_frames, total = plan.numFrames;
    const length = Math.min(plan.numSamples, plan.numReal + CONTEXT_FRAMES * hop), frames = Math.ceil(length / hop);
    const whole = plan.level < 1 ? plan.sound : mirrored(plan.sound, plan.spans);
    const sound = whole.map((channel) => channel.subarray(0, length));
    const out = new Float32Array(config.dit.latent_channels * total);
    const context = frames <= most ? 0 : Math.min(CONTEXT_FRAMES, Math.floor(most / 4)), stride = most - 2 * context;
    for (let first = 0; first < frames; first += stride) {
      await this.pause();
      const begin = Math.max(0, first - context), end = Math.min(frames, first + most - context);
      const piece = await this.encodedPiece(sound.map((channel) => channel.subarray(begin * hop, end * hop)), end - begin);
      const kept = Math.min(frames, first + stride) - first;
      for (let row = 0; row * total < out.length; row++) {
        const from = row * (end - begin) + first - begin;
        out.set(piece.subarray(from, from + Math.max(0, Math.min(kept, total - first))), row * total + first);
      }
    }
    return out;
  }

  async encodedPiece(sound, frames) {
    const graph = await this.graph("encoder.tflite"), window = graph.window(frames), { config } = this;
    const perFrame = config.hop_length / HOP, found = features(sound, frames * perFrame, config.sample_rate);
    const rows = found.length / (frames * perFrame), mask = new Float32Array(window).fill(1, 0, frames);
    const wide = filled(found, frames * perFrame, window * perFrame);
    const inputs = { features: [wide, [1, rows, window * perFrame]], frame_mask: [mask, [1, window]] };
    const [latents] = Object.values(await graph.run(`T${window}`, inputs));
    return cut(latents, window, frames);
  }

  // --- progress ----------------------------------------------------------------------------------------------------

  stepTotals() {
    const { request, config, plan } = this;
    let windows = plan.windows.length;
    if (request.loop) {
      const seam = seamPosition(this.numSamples, config, request.bpm);
      windows += planSeam(this.numSamples, seam, config, request.bpm).windows.length;
    }
    return { encoding: 1, sampling: windows * request.steps, decoding: windows };
  }

  advance(stage, steps) {
    this.done[stage] = (this.done[stage] ?? 0) + steps;
    this.report(stage, this.done[stage], this.totals[stage]);
  }

  warn(warning) {
    if (warning && !this.warnings.includes(warning)) this.warnings.push(warning);
  }

  /** Add the milliseconds of some work to a stage. */
  async timed(stage, work) {
    const started = performance.now();
    const found = await work();
    this.timings[stage] = (this.timings[stage] ?? 0) + performance.now() - started;
    return found;
  }
}

const planLength = (request, config) => planRequest({ ...request, loop: false }, config).numSamples;

/** Columns [first, end) of rows of `width` numbers. */
function columns(values, width, first, end) {
  const rows = values.length / width, out = new Float32Array(rows * (end - first));
  for (let row = 0; row < rows; row++) out.set(values.subarray(row * width + first, row * width + end), row * (end - first));
  return out;
}

/** Mask and known latents, [1 + C, T], for a model that is conditioned on them. */
function inpaintChannels(base, known) {
  const out = new Float32Array(known.length + base.length);
  known.forEach((is, frame) => (out[frame] = is ? 1 : 0));
  base.forEach((value, n) => (out[known.length + n] = known[n % known.length] ? value : 0));
  return out;
}
