// Playing takes: once through the audio element, or as a loop through Web Audio, where the seam is exact to the sample.

import { stretchLoop } from "./stretch.js";
import { decode } from "./wav.js";

const audio = document.getElementById("audio");

/** Emits "change" (what plays, settings) and "time" (with detail {take, seconds}). */
export class Player extends EventTarget {
  take = null; // {id, seconds, bpm, title, sound(): Promise<Blob>}
  loops = false;
  rate = 1;
  volume = 1;
  slots = { A: null, B: null };
  #url = null;
  #context = null;
  #gain = null;
  #loop = null; // {source, seconds, startedAt}: what sounds now as a loop
  #turn = 0;
  #levels = new Map(); // take id -> RMS
  #frame = null; // the next frame that tells the time; none is asked for while nothing plays

  constructor() {
    super();
    for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, () => this.#changed());
  }

  get playing() {
    return this.#loop !== null || !audio.paused;
  }

  /** Where the take is, in seconds of the take itself, whatever the tempo. */
  get position() {
    if (!this.#loop) return audio.currentTime;
    const passed = (this.#context.currentTime - this.#loop.startedAt) % this.#loop.seconds;
    return Math.max(0, passed) * this.rate;
  }

  /** The context that loops and live mode share; made on first use, which has to be a key or a click. */
  get context() {
    if (!this.#context) {
      this.#context = new AudioContext({ sampleRate: 44100, latencyHint: "interactive" });
      this.#gain = this.#context.createGain();
      this.#gain.gain.value = this.volume;
      this.#gain.connect(this.#context.destination);
    }
    this.#context.resume();
    return this.#context;
  }

  get output() {
    return this.context && this.#gain;
  }

  async play(take, at = 0) {
    const turn = ++this.#turn;
    const blob = await take.sound();
    if (turn !== this.#turn) return;
    if (!blob) throw new Error("The browser no longer has this sound: redo the take to make it again.");
    if (this.take?.id !== take.id) this.#open(take, blob);
    this.#stopLoop();
    if (this.loops) await this.#startLoop(blob, at, turn);
    else await this.#startOnce(at);
    this.#changed();
  }

  #open(take, blob) {
    audio.pause();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(blob);
    audio.src = this.#url;
    audio.setAttribute("aria-label", take.title);
    this.take = take;
  }

  async #startOnce(at) {
    audio.preservesPitch = true;
    audio.playbackRate = this.rate;
    audio.volume = this.volume * this.#matched(this.take);
    audio.currentTime = at;
    await audio.play().catch((failure) => {
      if (failure.name !== "AbortError") throw failure; // another take was started meanwhile
    });
  }

  async #startLoop(blob, at, turn) {
    audio.pause();
    const { context } = this;
    const buffer = this.#atTempo(await decode(blob, context.sampleRate));
    if (turn !== this.#turn) return;
    const source = new AudioBufferSourceNode(context, { buffer, loop: true });
    const level = new GainNode(context, { gain: this.#matched(this.take) });
    source.connect(level).connect(this.output);
    const offset = (at / this.rate) % buffer.duration;
    source.start(0, offset);
    this.#loop = { source, seconds: buffer.duration, startedAt: context.currentTime - offset };
  }

  #atTempo(buffer) {
    if (this.rate === 1) return buffer;
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, n) => buffer.getChannelData(n));
    const stretched = stretchLoop(channels, buffer.sampleRate, this.rate);
    const result = new AudioBuffer({
      numberOfChannels: channels.length, length: stretched[0].length, sampleRate: buffer.sampleRate,
    });
    stretched.forEach((samples, channel) => result.copyToChannel(samples, channel));
    return result;
  }

  #stopLoop() {
    this.#loop?.source.stop();
    this.#loop = null;
  }

  stop() {
    this.#turn += 1;
    this.#stopLoop();
    audio.pause();
    this.#changed();
  }

  async toggle(take = this.take) {
    if (!take) return;
    if (this.playing && this.take?.id === take.id) {
      const at = this.position;
      this.stop();
      audio.currentTime = at;
    } else {
      const goesOn = this.take?.id === take.id && audio.currentTime < take.seconds - 0.02;
      await this.play(take, goesOn ? audio.currentTime : 0);
    }
  }


  async setLoops(loops) {
    const at = this.position;
    this.loops = loops;
    if (this.playing) await this.play(this.take, at);
    else this.#changed();
  }

  async setRate(rate) {
    const at = this.position;
    this.rate = Math.max(0.5, Math.min(2, rate));
    audio.playbackRate = this.rate;
    if (this.#loop) await this.play(this.take, at);
    else this.#changed();
  }

  setVolume(volume) {
    this.volume = volume;
    audio.volume = volume * this.#matched(this.take);
    if (this.#gain) this.#gain.gain.setTargetAtTime(volume, this.#context.currentTime, 0.02);
    this.#changed();
  }

  async assign(slot, take) {
    this.slots[slot] = take;
    this.#changed();
    const blob = await take.sound();
    if (blob) this.#levels.set(take.id, rms(await decode(blob)));
    if (this.take) this.setVolume(this.volume);
  }

  /** The gain (at most 1) that brings A and B to the softer one's level, so that the ear compares sounds and not levels. */
  #matched(take) {
    const { A, B } = this.slots;
    if (!take || !A || !B || ![A.id, B.id].includes(take.id)) return 1;
    const [own, ...both] = [take, A, B].map(({ id }) => this.#levels.get(id));
    return own && both.every(Boolean) ? Math.min(...both) / own : 1;
  }

  /** Hear the other of A and B at the same place. */
  async swap() {
    const { A, B } = this.slots;
    if (!A || !B) throw new Error("Choose a take for A and one for B first.");
    const other = this.take?.id === A.id ? B : A;
    const at = this.playing ? Math.min(this.position, other.seconds - 0.05) : 0;
    await this.play(other, Math.max(0, at));
  }

  /** Forget takes that are deleted. */
  drop(ids) {
    for (const slot of ["A", "B"]) if (ids.includes(this.slots[slot]?.id)) this.slots[slot] = null;
    if (ids.includes(this.take?.id)) {
      this.stop();
      audio.removeAttribute("src");
      this.take = null;
    }
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
    this.#tellTime();
    this.#follow();
  }

  /** Tell the time on every frame until nothing plays. */
  #follow() {
    if (this.#frame !== null || !this.playing) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = null;
      if (this.take) this.#tellTime();
      this.#follow();
    });
  }

  #tellTime() {
    this.dispatchEvent(new CustomEvent("time", { detail: { take: this.take, seconds: this.position } }));
  }
}

function rms(buffer) {
  let sum = 0;
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    for (const sample of buffer.getChannelData(channel)) sum += sample * sample;
  }
  return Math.sqrt(sum / (buffer.length * buffer.numberOfChannels)) || null;
}
