// Endless sound: parts are made ahead and laid on the audio clock, each cross-faded into the next. If making is slower
// than playing, the last part is laid again, so that there is never silence. A part that is new in words or tempo, or
// that comes while another is repeated, does not wait for the end of what plays.

import { decode } from "./wav.js";

const AHEAD = 2.2; // parts that are kept ready beyond the one that plays
const GUARD_MS = 100;
const PLAYED = 8; // parts that can still be kept when they are over
const FIRST_FADE = 0.05; // seconds
const SOON = 0.15; // seconds that the audio clock is left to take a change in
const POINTS = 64;
const RISE = Float32Array.from({ length: POINTS }, (_, n) => Math.sin((Math.PI / 2) * (n / (POINTS - 1))));
const FALL = RISE.slice().reverse();

/** Length of a part and of a cross-fade in seconds; with a tempo both are whole beats, so that the beat goes on. */
export function partTimes(wanted, longest, bpm) {
  if (!bpm) return { seconds: Math.min(wanted, longest), fade: Math.min(2, Math.min(wanted, longest) / 4) };
  const beat = 60 / bpm;
  const beats = Math.floor(Math.min(wanted, longest) / beat);
  const whole = beats >= 4 ? beats - (beats % 4) : Math.max(1, beats);
  return { seconds: Math.min(longest, whole * beat), fade: Math.min(2 * beat <= 2 ? 2 * beat : beat, (whole * beat) / 3) };
}

/** Whether a part with these settings takes the place of a part instead of following it. */
function replaces(settings, part) {
  if (!part) return false;
  return part.isRepeat || part.settings.words !== settings.words || part.settings.request.bpm !== settings.request.bpm;
}

/** Emits "change". make(signal, settings, theme): a Promise of {blob, job}; theme: the part that others vary, or null. */
export class Live extends EventTarget {
  constructor(player, make) {
    super();
    this.player = player;
    this.make = make;
    this.running = false;
    this.parts = []; // {source, gain, buffer, start, end, fade, words, kept}: on the clock, in order
    this.played = []; // the last parts that are over: {settings, made, seconds}, newest first
    this.stats = { made: 0, gaps: 0, repeats: 0, speed: null };
    this.problem = null;
  }

  get now() {
    return this.player.context.currentTime;
  }

  /** Seconds that are laid out beyond this moment. */
  get buffered() {
    return this.parts.length ? Math.max(0, this.parts.at(-1).end - this.now) : 0;
  }

  get current() {
    const { now } = this;
    return this.parts.findLast((part) => part.start <= now && now < part.end) ?? null;
  }

  /** Start with settings {words, seconds, fade, ...}; what else is in them is for `make`. */
  start(settings) {
    if (this.running) return;
    Object.assign(this, { running: true, settings, theme: null, parts: [], problem: null });
    this.stats = { made: 0, gaps: 0, repeats: 0, speed: null };
    this.guard = setInterval(() => this.#watch(), GUARD_MS);
    this.#keepMaking();
    this.#changed();
  }

  stop() {
    this.running = false;
    clearInterval(this.guard);
    this.making?.abort();
    const { now } = this;
    for (const { source, gain } of this.parts) {
      gain.gain.cancelScheduledValues(now);
      gain.gain.setTargetAtTime(0, now, 0.05);
      source.stop(now + 0.4);
    }
    this.parts = [];
    this.#changed();
  }

  /** Change settings while it plays: what is laid out for later is made again. newTheme: not as a variation. */
  steer(settings, { newTheme = false } = {}) {
    const words = this.settings?.words;
    this.settings = settings;
    if (!this.running) return;
    if (newTheme || words !== settings.words) this.theme = null;
    this.#clearLater();
    this.making?.abort();
  }

  /** Take back the parts that start late enough for a new one to be made before. */
  #clearLater() {
    this.#clearFrom(this.now + this.settings.seconds / (this.stats.speed ?? 1) + 0.5);
  }

  #clearFrom(time) {
    const from = this.parts.findIndex((part, n) => n > 0 && part.start > time);
    if (from < 0) return;
    const late = this.parts.splice(from);
    for (const { source } of late) source.stop();
    this.parts.at(-1).gain.gain.cancelScheduledValues(late[0].start - 0.01); // it no longer fades out
    this.#changed();
  }

  async #keepMaking() {
    while (this.running) {
      if (this.parts.length && this.buffered > AHEAD * this.settings.seconds) {
        await new Promise((wake) => setTimeout(wake, GUARD_MS));
      } else {
        await this.#makeOne();
      }
    }
  }

  async #makeOne() {
    const { settings } = this;
    this.making = new AbortController();
    const began = performance.now();
    try {
      const made = await this.make(this.making.signal, settings, this.theme);
      const buffer = await decode(made.blob, this.player.context.sampleRate);
      if (!this.running || settings !== this.settings) return;
      this.theme ??= made.blob;
      this.stats.made += 1;
      this.stats.speed = buffer.duration / ((performance.now() - began) / 1000);
      this.problem = null;
      this.#lay(buffer, settings, made);
    } catch (failure) {
      if (!this.running || this.making.signal.aborted) return;
      this.problem = failure.message;
      this.#changed();
      await new Promise((wake) => setTimeout(wake, 1000));
    }
  }

  /** Put a part on the clock: after the last one, or instead of the rest of it. */
  #lay(buffer, settings, made, isRepeat = false) {
    const { context, output } = this.player;
    if (!isRepeat && replaces(settings, this.parts.at(-1))) this.#clearFrom(context.currentTime + SOON);
    const last = this.parts.at(-1);
    const fade = Math.min(settings.fade, buffer.duration / 3, last ? (last.end - last.start) / 3 : Infinity);
    const due = last ? this.#due(last, settings, fade, isRepeat) : 0;
    const start = Math.max(due, context.currentTime + 0.05);
    if (last && start > last.end) this.stats.gaps += 1;
    const source = new AudioBufferSourceNode(context, { buffer });
    const gain = new GainNode(context, { gain: 0 });
    source.connect(gain).connect(output);
    const rise = last ? Math.max(0.02, Math.min(fade, last.end - start)) : FIRST_FADE;
    gain.gain.setValueCurveAtTime(RISE, start, rise);
    if (last && last.end > start) {
      last.gain.gain.setValueCurveAtTime(FALL, start, rise);
      last.end = start + rise;
      last.source.stop(last.end);
    }
    source.start(start);
    this.parts.push({ source, gain, buffer, start, end: start + buffer.duration, fade, rise, settings, made, isRepeat });
    this.#changed();
  }

  /** When the next part starts: as the last one ends, or if it takes its place as soon as may be, on the beat. */
  #due(last, settings, fade, isRepeat) {
    const usual = last.end - fade;
    if (isRepeat || !replaces(settings, last)) return usual;
    const soonest = Math.max(this.now + SOON, last.start + last.rise + 0.05);
    const { bpm } = last.settings.request;
    const beats = bpm ? Math.ceil(((soonest - last.start) * bpm) / 60) : null;
    return Math.min(usual, bpm ? last.start + (beats * 60) / bpm : soonest);
  }

  /** Forget parts that are over; lay the last one again if the next is not there in time. */
  #watch() {
    const { now } = this;
    while (this.parts.length > 1 && this.parts[0].end < now) this.#remember(this.parts.shift());
    const last = this.parts.at(-1);
    if (last) {
      const length = last.end - last.start;
      // Timers of pages in the background come once a second, so the reserve is longer than that where it can be.
      const reserve = Math.min(1.3, length / 4);
      if (now > last.end - last.fade - reserve) {
        this.stats.repeats += 1;
        this.#lay(last.buffer, last.settings, last.made, true);
      }
    }
    this.#changed();
  }

  #remember({ settings, made, buffer, isRepeat }) {
    if (isRepeat) return;
    this.played = [{ settings, made, seconds: buffer.duration }, ...this.played].slice(0, PLAYED);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
