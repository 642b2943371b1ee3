// Spectral features that the encoder sees, as arctone.audio.spectral.features; and sound that lies next to gaps.

import { PairTransform } from "./fft.js";
import { BANDS, BINS, HOP, N_FFT, bandEdges } from "./synthesis.js";

const PADDING = (N_FFT - HOP) / 2, FLOOR = 3e-3, LEVEL_CENTER = -2, LEVEL_SCALE = 3, DIFFERENCE_SCALE = 2;
const ROWS = BINS + 2 * BANDS;
const fft = new PairTransform(N_FFT);

/**
 * Features of a stereo sound, [1121, frames]: scaled level, difference and coherence of the channels.
 * `sound`: two channels; silence follows them up to 512 frames samples.
 */
export function features(sound, frames, sampleRate) {
  const edges = bandEdges(sampleRate), out = new Float32Array(ROWS * frames);
  const re = new Float64Array(N_FFT), im = new Float64Array(N_FFT), powers = new Float64Array(3 * BINS);
  for (let frame = 0; frame < frames; frame++) {
    const first = frame * HOP - PADDING;
    for (let n = 0; n < N_FFT; n++) {
      const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / N_FFT);
      re[n] = (sound[0][first + n] ?? 0) * window;
      im[n] = (sound[1][first + n] ?? 0) * window;
    }
    fft.forward(re, im);
    binPowers(re, im, powers);
    const put = (row, value) => (out[row * frames + frame] = value);
    for (let bin = 0; bin < BINS; bin++) {
      const level = 0.5 * Math.log(0.5 * (powers[bin] + powers[BINS + bin]) + FLOOR ** 2);
      put(bin, (level - LEVEL_CENTER) / LEVEL_SCALE);
    }
    for (let band = 0; band < BANDS; band++) {
      const [left, right, cross] = [0, 1, 2].map((part) => bandSum(powers, part * BINS, edges[band], edges[band + 1]));
      put(BINS + band, (0.5 * Math.log(left / right)) / DIFFERENCE_SCALE);
      put(BINS + BANDS + band, cross / Math.sqrt(left * right));
    }
  }
  return out;
}

/** Of each bin: the power left and right, and the real part of their product. */
function binPowers(re, im, powers) {
  for (let bin = 0; bin < BINS; bin++) {
    const p = fft.places[bin], q = fft.places[(N_FFT - bin) % N_FFT];
    const lRe = 0.5 * (re[p] + re[q]), lIm = 0.5 * (im[p] - im[q]), rRe = 0.5 * (im[p] + im[q]), rIm = 0.5 * (re[q] - re[p]);
    powers[bin] = lRe * lRe + lIm * lIm;
    powers[BINS + bin] = rRe * rRe + rIm * rIm;
    powers[2 * BINS + bin] = lRe * rRe + lIm * rIm;
  }
}

function bandSum(powers, at, first, end) {
  let sum = FLOOR ** 2;
  for (let bin = first; bin < end; bin++) sum += powers[at + bin];
  return sum;
}

/** A sound whose gaps hold the mirror images of what lies next to them. `spans`: the gaps, [first, end) each, in order. */
export function mirrored(sound, spans) {
  const out = sound.map((channel) => channel.slice());
  spans.forEach(([first, end], number) => {
    const length = end - first, lastEnd = number ? spans[number - 1][1] : 0;
    const nextFirst = number + 1 < spans.length ? spans[number + 1][0] : sound[0].length;
    sound.forEach((channel, side) => {
      const left = channel.slice(Math.max(lastEnd, first - length), first).reverse();
      const right = channel.slice(end, Math.min(nextFirst, end + length)).reverse();
      for (let n = 0; n < length; n++) {
        const from = left.length ? reflected(left, n) : null;
        const to = right.length ? reflected(right, right.length - length + n) : null;
        const angle = ((Math.PI / 2) * (n + 1)) / (length + 1);
        const mixed = from !== null && to !== null ? from * Math.cos(angle) + to * Math.sin(angle) : from ?? to ?? 0;
        out[side][first + n] = mixed;
      }
    });
  });
  return out;
}

/** A place of an image that is reflected to and fro beyond its ends. */
function reflected(image, place) {
  const length = image.length, turn = ((place % (2 * length)) + 2 * length) % (2 * length);
  return image[turn < length ? turn : 2 * length - 1 - turn];
}
