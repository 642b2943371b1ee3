// Sound from spectral parameters, as arctone.audio.spectral.synthesis makes it: levels with a scatter that is drawn again,
// the image of the stereo, and phases that follow spectral peaks, refined by Griffin-Lim steps.
// Shapes: M frames of 512 samples, K = 1025 bins, 48 bands. Left and right are transformed as one complex sound.

import { PairTransform } from "./fft.js";
import { Pcg64 } from "./random.js";

export const N_FFT = 2048, HOP = 512, BINS = 1025, BANDS = 48;
const OVERLAPS = N_FFT / HOP, PADDING = (N_FFT - HOP) / 2;
const FLOOR = 3e-3, LEVEL_CENTER = -2, LEVEL_SCALE = 3, DIFFERENCE_SCALE = 2, NOISE_SCATTER = 0.45;
const COHERENCE_FRAMES = 15, SIGN_BINS = 16, MOMENTUM = 0.9, COVERAGE = 1.5;
const DIFFERENCE = BINS, COHERENCE = BINS + BANDS, SCATTER = BINS + 2 * BANDS, ROWS = BINS + 3 * BANDS;
const TILE = 16;

const fft = new PairTransform(N_FFT);
const WINDOW = Float32Array.from({ length: N_FFT }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / N_FFT));
// Where the bins k and N - k lie in a spectrum.
const PLACE = fft.places.slice(0, BINS);
const MIRROR = PLACE.map((_, bin) => fft.places[(N_FFT - bin) % N_FFT]);

/** Bands to bins: for each bin the band below it, and how far it lies on the way to the next. */
function interpolation(sampleRate) {
  const edges = bandEdges(sampleRate);
  const centers = Array.from({ length: BANDS }, (_, band) => (edges[band] + edges[band + 1] - 1) / 2);
  const below = new Int32Array(BINS), way = new Float32Array(BINS);
  for (let bin = 0; bin < BINS; bin++) {
    let band = 0;
    while (band < BANDS - 2 && centers[band + 1] <= bin) band++;
    below[bin] = band;
    way[bin] = Math.min(1, Math.max(0, (bin - centers[band]) / (centers[band + 1] - centers[band])));
  }
  return { below, way };
}

/** First bin of each band and the end of the last; mel-spaced, at least one bin each. */
export function bandEdges(sampleRate) {
  const nyquist = sampleRate / 2, top = 2595 * Math.log10(1 + nyquist / 700);
  const edges = [];
  for (let index = 0; index <= BANDS; index++) {
    const hertz = 700 * (10 ** ((top * index) / BANDS / 2595) - 1);
    const edge = roundHalfEven((hertz / nyquist) * BINS);
    edges.push(index ? Math.max(edge, edges[index - 1] + 1) : edge);
  }
  return edges;
}

function roundHalfEven(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}

/** Makes sound from parameters. Holds what it computes with, so that it can be used again. */
export class Synthesis {
  /** `iterations`: Griffin-Lim refinements. */
  constructor(iterations, sampleRate = 44100) {
    this._iterations = iterations;
    this._bands = interpolation(sampleRate);
    this._re = new Float64Array(N_FFT);
    this._im = new Float64Array(N_FFT);
    this._gains = new Float32Array(4 * BANDS);
    this._drawn = new Float32Array(BINS);
    this._rows = new Float32Array(TILE * ROWS);
    this._deviation = new Float32Array(2 * BINS);
  }

  /**
   * `parameters`: Float32Array of rows [1169, stride], of which the first `frames` columns are used; frames is even.
   * `seed`: of the random part. Returns: two Float32Array of 512 M samples.
   */
  run(parameters, stride, frames, seed) {
    const random = draws(seed, frames);
    const half = halfAngles(parameters, stride, frames);
    const left = new Float32Array(frames * BINS), right = new Float32Array(frames * BINS);
    let overlap = new Overlap(frames);
    const { start: phase } = random;
    for (let frame = 0; frame < frames; frame++) {
      if (frame % TILE === 0) this._turn(parameters, stride, frame, Math.min(TILE, frames - frame));
      if (frame % 2 === 0) this._scatter(random.noise, frame);
      const row = (frame % TILE) * ROWS, at = frame * BINS;
      this._level(row, (frame % 2) * BINS);
      this._magnitudes(row, left, right, at);
      this._polar(phase, half, frame, random.signs, left, right, at);
      fft.inverse(this._re, this._im);
      overlap.add(frame, this._re, this._im);
    }
    overlap.finish();
    for (let turn = 0; turn < this._iterations; turn++) overlap = this._refined(overlap, left, right, frames, turn);
    return overlap.sounds();
  }

  /** Copy some frames of the parameters, frame by frame. */
  _turn(parameters, stride, first, count) {
    const rows = this._rows;
    for (let row = 0; row < ROWS; row++) {
      const from = row * stride + first;
      for (let frame = 0; frame < count; frame++) rows[frame * ROWS + row] = parameters[from + frame];
    }
  }

  /** How the levels of two frames of noise deviate from their median, in nepers. */
  _scatter(noise, frame) {
    const re = this._re, im = this._im, out = this._deviation, first = frame * HOP, second = first + HOP;
    const window = WINDOW, places = PLACE, mirrors = MIRROR;
    for (let n = 0; n < N_FFT; n++) {
      re[n] = noise[first + n] * window[n];
      im[n] = noise[second + n] * window[n];
    }
    fft.forward(re, im);
    for (let bin = 0; bin < BINS; bin++) {
      const p = places[bin], q = mirrors[bin];
      const aRe = re[p] + re[q], aIm = im[p] - im[q], bRe = im[p] + im[q], bIm = re[q] - re[p];
      out[bin] = 0.5 * Math.log(0.25 * (aRe * aRe + aIm * aIm) + 1e-4);
      out[BINS + bin] = 0.5 * Math.log(0.25 * (bRe * bRe + bIm * bIm) + 1e-4);
    }
  }

  /** The level of a frame with its scatter, natural logarithm, in `_drawn`. */
  _level(row, noise) {
    const { below, way } = this._bands, rows = this._rows, drawn = this._drawn, amounts = this._gains;
    const deviation = this._deviation;
    for (let band = 0; band < BANDS; band++) {
      amounts[band] = (Math.exp(rows[row + SCATTER + band]) * LEVEL_SCALE) / NOISE_SCATTER;
    }
    for (let bin = 0; bin < BINS; bin++) {
      const band = below[bin];
      const amount = Math.min(1, amounts[band] + (amounts[band + 1] - amounts[band]) * way[bin]);
      drawn[bin] = rows[row + bin] * LEVEL_SCALE + LEVEL_CENTER + deviation[noise + bin] * amount * amount;
    }
  }

  /** Magnitudes of both channels. */
  _magnitudes(row, left, right, at) {
    const { below, way } = this._bands, rows = this._rows, drawn = this._drawn, gains = this._gains;
    for (let band = 0; band < BANDS; band++) {
      const scaled = rows[row + DIFFERENCE + band] * DIFFERENCE_SCALE;
      const ratio = Math.exp(Math.min(8, Math.max(-8, scaled)));
      const norm = 1 / Math.sqrt(0.5 * (ratio + 1 / ratio));
      gains[band] = Math.sqrt(ratio) * norm;
      gains[BANDS + band] = norm / Math.sqrt(ratio);
    }
    for (let bin = 0; bin < BINS; bin++) {
      const magnitude = Math.max(0, Math.exp(Math.min(9, drawn[bin])) - FLOOR);
      const band = below[bin], share = way[bin], other = BANDS + band;
      left[at + bin] = (gains[band] + (gains[band + 1] - gains[band]) * share) * magnitude;
      right[at + bin] = (gains[other] + (gains[other + 1] - gains[other]) * share) * magnitude;
    }
  }

  /**
   * The spectrum of both channels, from magnitudes and phases. A peak advances with its interpolated frequency and lends
   * its phase to the bins around it. Source: Beauregard, Harish and Wyse 2015, "Single Pass Spectrogram Inversion".
   * `phase`: of each bin in the frame before, changed in place. `half`: half the angle between the channels, by band.
   */
  _polar(phase, half, frame, signs, left, right, at) {
    const drawn = this._drawn, { below, way } = this._bands, re = this._re, im = this._im;
    const places = PLACE, mirrors = MIRROR, row = frame * BANDS;
    let peak = nextPeak(drawn, 0) || BINS >> 1, first = 0;
    while (peak) {
      const next = nextPeak(drawn, peak), end = next ? ((peak + next) >> 1) + 1 : BINS;
      const angle = Math.fround(phase[peak] + advance(drawn, peak));
      const cos = Math.cos(angle), sin = Math.sin(angle);
      for (let bin = first; bin < end; bin++) {
        phase[bin] = angle;
        const band = row + below[bin];
        // Sine and cosine, to 1e-8, of an angle from 0 to pi / 2, by way of its half.
        const x = 0.5 * (half[band] + (half[band + 1] - half[band]) * way[bin]), y = x * x;
        const s = x * (1 + y * (-1 / 6 + y * (1 / 120 + y * (-1 / 5040 + y * (1 / 362880)))));
        const c = 1 + y * (-1 / 2 + y * (1 / 24 + y * (-1 / 720 + y * (1 / 40320 - y * (1 / 3628800)))));
        // Frames that start at their first sample turn the phase of bin k by -pi k.
        const centered = bin & 1 ? -1 : 1, across = (1 - 2 * s * s) * centered, along = 2 * s * c * signs[bin] * centered;
        const l = left[at + bin], r = right[at + bin];
        const lRe = l * (cos * across - sin * along), lIm = l * (sin * across + cos * along);
        const rRe = r * (cos * across + sin * along), rIm = r * (sin * across - cos * along);
        const p = places[bin], q = mirrors[bin];
        re[q] = lRe + rIm;
        im[q] = rRe - lIm;
        re[p] = lRe - rIm;
        im[p] = lIm + rRe;
        if (p === q) keepReal(re, im, p, lRe, rRe);
      }
      first = end;
      peak = next;
    }
  }

  /** One step of fast Griffin-Lim: phases of the sound's own spectra, wanted magnitudes. Source: Perraudin et al. 2013. */
  _refined(sound, left, right, frames, turn) {
    const re = this._re, im = this._im, overlap = new Overlap(frames);
    const isLast = turn + 1 === this._iterations;
    if (turn === 0 && !isLast) this._previous = new Float32Array(frames * BINS * 4);
    for (let frame = 0; frame < frames; frame++) {
      sound.windowed(frame, re, im);
      fft.forward(re, im);
      this._scaled(left, right, frame * BINS, turn > 0, !isLast);
      fft.inverse(re, im);
      overlap.add(frame, re, im);
    }
    if (isLast) this._previous = null;
    overlap.finish();
    return overlap;
  }

  /** Give a spectrum the wanted magnitudes, in place; `hasPrevious`: go on beyond it in the direction of the last change. */
  _scaled(left, right, at, hasPrevious, keeps) {
    const re = this._re, im = this._im, places = PLACE, mirrors = MIRROR, previous = this._previous;
    for (let bin = 0; bin < BINS; bin++) {
      const p = places[bin], q = mirrors[bin];
      let lRe = re[p] + re[q], lIm = im[p] - im[q], rRe = im[p] + im[q], rIm = re[q] - re[p];
      if (hasPrevious || keeps) {
        const n = 4 * (at + bin), was = hasPrevious ? previous.slice(n, n + 4) : null;
        if (keeps) previous.set([lRe, lIm, rRe, rIm], n);
        if (was) {
          lRe += MOMENTUM * (lRe - was[0]);
          lIm += MOMENTUM * (lIm - was[1]);
          rRe += MOMENTUM * (rRe - was[2]);
          rIm += MOMENTUM * (rIm - was[3]);
        }
      }
      const l = left[at + bin] / Math.max(2e-9, Math.sqrt(lRe * lRe + lIm * lIm));
      const r = right[at + bin] / Math.max(2e-9, Math.sqrt(rRe * rRe + rIm * rIm));
      re[q] = l * lRe + r * rIm;
      im[q] = r * rRe - l * lIm;
      re[p] = l * lRe - r * rIm;
      im[p] = l * lIm + r * rRe;
      if (p === q) keepReal(re, im, p, l * lRe, r * rRe);
    }
  }
}

/** The first and the last bin of a real sound are real. */
function keepReal(re, im, place, left, right) {
  re[place] = left;
  im[place] = right;
}

/** The first peak above a bin; 0 if there is none. */
function nextPeak(level, bin) {
  for (let at = bin + 1; at < BINS - 1; at++) {
    if (level[at] > level[at - 1] && !(level[at + 1] > level[at])) return at;
  }
  return 0;
}

/** How far the phase of a peak between bins turns in a hop, in radians from -pi to pi. */
function advance(level, peak) {
  const before = level[peak - 1], here = level[peak], after = level[peak + 1];
  const offset = (before - after) / Math.min(-1e-6, 2 * (before + after - 2 * here));
  const turns = ((peak & (OVERLAPS - 1)) + Math.min(0.5, Math.max(-0.5, offset))) * (HOP / N_FFT);
  return Math.fround((turns - Math.round(turns)) * 2 * Math.PI);
}

/** All that is random: noise [512 M + 1536] with zeros at its ends, the first phases [K], the side of each bin [K]. */
function draws(seed, frames) {
  const generator = new Pcg64(seed), noise = new Float32Array(frames * HOP + 2 * PADDING);
  const scale = Math.fround(Math.sqrt(12 / (Math.log(2) * 0.375 * N_FFT)));
  for (let n = PADDING; n < noise.length - PADDING; n++) noise[n] = (generator.float32() - 0.5) * scale;
  const start = Float32Array.from({ length: BINS }, () => -Math.PI + 2 * Math.PI * generator.float64());
  const sides = Array.from({ length: Math.floor(BINS / SIGN_BINS) + 1 }, () => 2 * generator.bit() - 1);
  return { noise, start, signs: Float32Array.from({ length: BINS }, (_, bin) => sides[Math.floor(bin / SIGN_BINS)]) };
}

/** Half the angle between the channels, [M, 48], from the coherence, averaged over time. */
function halfAngles(parameters, stride, frames) {
  const half = new Float32Array(frames * BANDS), reach = COHERENCE_FRAMES >> 1;
  for (let band = 0; band < BANDS; band++) {
    const row = (COHERENCE + band) * stride;
    const at = (frame) => Math.min(1, Math.max(-1, parameters[row + Math.min(frames - 1, Math.max(0, frame))]));
    let sum = 0;
    for (let frame = -reach; frame < reach; frame++) sum += at(frame);
    for (let frame = 0; frame < frames; frame++) {
      sum += at(frame + reach);
      half[frame * BANDS + band] = 0.5 * Math.acos(Math.min(1, Math.max(-1, sum / COHERENCE_FRAMES)));
      sum -= at(frame - reach);
    }
  }
  return half;
}

const SYNTHESIS_WINDOW = WINDOW.map((value) => value / COVERAGE / N_FFT);

/** Frames added to two sounds, each nearest to its spectra (least squares, Griffin and Lim 1984). */
class Overlap {
  constructor(frames) {
    this._frames = frames;
    this._left = new Float32Array((frames + OVERLAPS - 1) * HOP);
    this._right = new Float32Array(this._left.length);
  }

  /** Add a frame: `re` is of the left channel, `im` of the right. */
  add(frame, re, im) {
    const at = frame * HOP, left = this._left, right = this._right, window = SYNTHESIS_WINDOW;
    for (let n = 0; n < N_FFT; n++) {
      left[at + n] += re[n] * window[n];
      right[at + n] += im[n] * window[n];
    }
  }

  /** Scale the ends, which fewer frames cover, and silence the padding. */
  finish() {
    const last = this._frames - 1, hops = this._frames + OVERLAPS - 1;
    for (let hop = 0; hop < hops; hop++) {
      if (hop >= OVERLAPS - 1 && hop <= last) continue;
      for (let n = 0; n < HOP; n++) {
        let coverage = 0;
        for (let part = Math.max(0, hop - last); part <= Math.min(hop, OVERLAPS - 1); part++) {
          coverage += WINDOW[part * HOP + n] ** 2;
        }
        const factor = COVERAGE / Math.max(coverage, 1e-3);
        this._left[hop * HOP + n] *= factor;
        this._right[hop * HOP + n] *= factor;
      }
    }
    for (const sound of [this._left, this._right]) sound.fill(0, 0, PADDING).fill(0, sound.length - PADDING);
  }

  /** A frame of both sounds, windowed. */
  windowed(frame, re, im) {
    const at = frame * HOP, left = this._left, right = this._right, window = WINDOW;
    for (let n = 0; n < N_FFT; n++) {
      re[n] = left[at + n] * window[n];
      im[n] = right[at + n] * window[n];
    }
  }

  /** Both sounds without padding. */
  sounds() {
    return [this._left, this._right].map((sound) => sound.slice(PADDING, sound.length - PADDING));
  }
}
