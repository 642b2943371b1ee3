// Level and edges of a sound, and windows put together: see arctone.audio.loudness, audio.crossfade and inference.splice.
// A sound is an array of channels, each a Float32Array.

import { rounded } from "./plan.js";

const PEAK_TARGET_DB = -1, LOUDNESS_TARGET_LUFS = -14, SILENCE_DB = -70;
const WINDOW_FADE_SECONDS = 0.5, EDGE_IN_SECONDS = 0.001, EDGE_OUT_SECONDS = 0.008;
const LEVEL_SECONDS = 2, MAX_RETURN_DB = 24, MAX_GOING_ON_DB = 12;
const QUIET = 10 ** (-60 / 20);
const ABSOLUTE_GATE_LUFS = -70, RELATIVE_GATE_LU = -10;

const decibels = (amplitude) => (amplitude > 0 ? 20 * Math.log10(amplitude) : -Infinity);

// --- level -------------------------------------------------------------------------------------------------------

/** Highest sample in dBFS. */
export function peakDb(sound) {
  let peak = 0;
  for (const channel of sound) for (let n = 0; n < channel.length; n++) peak = Math.max(peak, Math.abs(channel[n]));
  return decibels(peak);
}

/** Whether a sound is below -70 dBFS. */
export const isSilent = (sound) => peakDb(sound) < SILENCE_DB;

/** How many samples lie beyond full scale, which files of whole numbers clip. */
export function numOver(sound) {
  let count = 0;
  for (const channel of sound) for (let n = 0; n < channel.length; n++) if (channel[n] > 1 || channel[n] < -1) count++;
  return count;
}

/** How much of a sound lies beyond full scale, in words; "" if nothing does. */
export function overWarning(sound, name) {
  const count = numOver(sound), peak = peakDb(sound).toFixed(1);
  return count ? `${name} has ${count} samples beyond full scale (peak ${peak < 0 ? "" : "+"}${peak} dBFS)` : "";
}

/** The gain that brings the highest sample of a sound to its target. */
export const peakGain = (sound) => 10 ** ((PEAK_TARGET_DB - peakDb(sound)) / 20);

/** Bring a sound to its level, in place. `policy`: "peak", "loudness" or "off". Returns: what could not be met, in words. */
export function normalize(sound, policy, sampleRate) {
  if (policy === "off") return "";
  if (isSilent(sound)) return `The sound is silent (below ${SILENCE_DB} dBFS) and was not made louder.`;
  const roomDb = PEAK_TARGET_DB - peakDb(sound);
  if (policy === "peak") {
    amplify(sound, roomDb);
    return "";
  }
  const loudness = loudnessLufs(sound, sampleRate);
  if (loudness === -Infinity) return "The sound is too soft for a loudness to be measured and was left as it is.";
  const wantedDb = LOUDNESS_TARGET_LUFS - loudness, gainDb = Math.min(wantedDb, roomDb);
  amplify(sound, gainDb);
  if (gainDb >= wantedDb - 0.05) return "";
  const reached = (loudness + gainDb).toFixed(1);
  return `The loudness is ${reached} instead of ${LOUDNESS_TARGET_LUFS} LUFS, because the peaks have no more room.`;
}

function amplify(sound, gainDb) {
  const gain = Math.fround(10 ** (gainDb / 20));
  for (const channel of sound) for (let n = 0; n < channel.length; n++) channel[n] *= gain;
}

/** Integrated loudness, gated. Source: ITU-R BS.1770-4, annex 1. */
export function loudnessLufs(sound, sampleRate) {
  const powers = blockPowers(sound, sampleRate);
  const lufs = (power) => -0.691 + 10 * Math.log10(Math.max(power, 1e-300));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const loud = powers.filter((power) => lufs(power) > ABSOLUTE_GATE_LUFS);
  if (!loud.length) return -Infinity;
  const gate = lufs(mean(loud)) + RELATIVE_GATE_LU;
  return lufs(mean(loud.filter((power) => lufs(power) > gate)));
}

/** Weighted power of each block of 400 ms, 75 % overlapped, over all channels. */
function blockPowers(sound, sampleRate) {
  const hop = rounded(0.1 * sampleRate), length = sound[0].length, hops = Math.floor(length / hop);
  const sums = new Float64Array(Math.max(1, hops));
  const size = hops < 4 ? length : hop;
  for (const channel of sound) {
    const shelf = biquad(shelfOf(sampleRate)), highPass = biquad(highPassOf(sampleRate));
    for (let n = 0; n < length; n++) {
      const value = highPass(shelf(channel[n])), place = Math.floor(n / size);
      if (place < sums.length) sums[place] += (value * value) / size;
    }
  }
  if (hops < 4) return [sums[0]];
  return Array.from(sums.subarray(3), (_, n) => (sums[n] + sums[n + 1] + sums[n + 2] + sums[n + 3]) / 4);
}

function biquad([b, a]) {
  let x1 = 0, x2 = 0, y1 = 0, y2 = 0;
  return (x) => {
    const y = (b[0] * x + b[1] * x1 + b[2] * x2 - a[1] * y1 - a[2] * y2) / a[0];
    [x2, x1, y2, y1] = [x1, x, y1, y];
    return y;
  };
}

function shelfOf(sampleRate) {
  const k = Math.tan((Math.PI * 1681.974450955533) / sampleRate), q = 0.7071752369554196;
  const high = 10 ** (3.999843853973347 / 20), band = high ** 0.4996667741545416;
  const b = [high + (band * k) / q + k * k, 2 * (k * k - high), high - (band * k) / q + k * k];
  return [b, [1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k]];
}

function highPassOf(sampleRate) {
  const denominator = (rate) => {
    const k = Math.tan((Math.PI * 38.13547087602444) / rate), q = 0.5003270373238773;
    return [1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k];
  };
  const gain = denominator(48000)[0];
  return [[gain, -2 * gain, gain], denominator(sampleRate)];
}

// --- edges -------------------------------------------------------------------------------------------------------

/** Let a sound begin and end at zero, in place: one cut in full swing ends in a click. `begins`, `ends`: which of both. */
export function fadeEdges(sound, sampleRate, begins = true, ends = true) {
  for (const channel of sound) {
    const length = channel.length;
    const head = begins ? Math.min(length >> 1, rounded(EDGE_IN_SECONDS * sampleRate)) : 0;
    const tail = ends ? Math.min(length >> 1, rounded(EDGE_OUT_SECONDS * sampleRate)) : 0;
    for (let n = 0; n < head; n++) channel[n] *= Math.fround(Math.sin((Math.PI / 2) * (n / head)) ** 2);
    for (let n = 0; n < tail; n++) channel[length - 1 - n] *= Math.fround(Math.sin((Math.PI / 2) * (n / tail)) ** 2);
  }
}

/** A sound begun that many samples later; what came before follows at the end. */
export function rotated(sound, by) {
  return sound.map((channel) => {
    const length = channel.length, first = ((by % length) + length) % length, out = new Float32Array(length);
    out.set(channel.subarray(first));
    out.set(channel.subarray(0, first), length - first);
    return out;
  });
}

// --- windows put together ----------------------------------------------------------------------------------------

/**
 * Put the decoded sound of a window into the whole sound, in place: its level matched to what it adjoins, cross-faded.
 * `before`: the window before it, or null.
 */
export function spliceWindow(sound, decoded, window, before, plan) {
  const hop = plan.config.hop_length, begin = window.start * hop;
  const low = before ? before.keptStop * hop : begin;
  const drafted = before ? (before.stop - before.keptStop) * hop : 0;
  const isLast = window.stop >= plan.numFrames;
  const high = Math.min(isLast ? plan.numSamples : window.stop * hop, begin + decoded[0].length);
  for (const span of plan.spans) {
    if (Math.max(span[0], low) >= Math.min(span[1], high)) continue;
    const place = placeOf(span, low, high, drafted, plan);
    const gains = gainsOf(sound, decoded, begin, place, plan.config.sample_rate);
    const part = decoded.map((channel) => {
      const cut = channel.slice(place.first - begin, place.end - begin);
      if (gains) for (let n = 0; n < cut.length; n++) cut[n] *= gains(n);
      return cut;
    });
    put(sound, part, place.first, place.fadeIn, place.fadeOut);
  }
}

function placeOf(span, low, high, drafted, plan) {
  const first = Math.max(span[0], low), end = Math.min(span[1], high), goesOn = first > span[0];
  const windowFade = Math.min(drafted, rounded(WINDOW_FADE_SECONDS * plan.config.sample_rate));
  const fadeIn = goesOn ? windowFade : first > 0 ? plan.fade : 0;
  const hasRight = end === span[1] && end < plan.numSamples;
  return { first, end, fadeIn, fadeOut: hasRight ? plan.fade : 0,
    steadyLeft: goesOn || plan.isSteady, steadyRight: hasRight && plan.isSteady };
}

/** The gain of each sample of a part, straight in decibels from that of its left edge to that of its right; null for none. */
function gainsOf(sound, decoded, begin, place, sampleRate) {
  const { first, end, fadeIn, fadeOut } = place, reach = rounded(LEVEL_SECONDS * sampleRate);
  const last = Math.min(begin + decoded[0].length, sound[0].length);
  const inner = [Math.min(first + fadeIn, end), Math.max(end - fadeOut, first)];
  const madeLeft = [inner[0], Math.min(inner[1], inner[0] + reach)];
  const madeRight = [Math.max(inner[0], inner[1] - reach), inner[1]];
  const edge = (kept, made) => edgeGainDb(sound, decoded, begin, kept, made);
  const left = edge([Math.max(begin, first - reach), first], place.steadyLeft ? madeLeft : null);
  const right = edge([end, fadeOut ? Math.min(last, end + reach) : end], place.steadyRight ? madeRight : null);
  if (left === null && right === null) return null;
  const from = left ?? right, to = right ?? left, count = end - first;
  return (n) => Math.fround(10 ** ((count > 1 ? from + ((to - from) * n) / (count - 1) : from) / 20));
}

function edgeGainDb(sound, decoded, begin, kept, made) {
  const reference = rms(sound, kept[0], kept[1]);
  const back = differenceDb(rms(decoded, kept[0] - begin, kept[1] - begin), reference);
  if (back === null) return null;
  const returned = limited(back, MAX_RETURN_DB);
  const goingOn = made && differenceDb(rms(decoded, made[0] - begin, made[1] - begin), reference);
  return goingOn === null ? returned : returned + limited(goingOn - returned, MAX_GOING_ON_DB);
}

const limited = (gainDb, most) => Math.min(most, Math.max(-most, gainDb));
const differenceDb = (level, reference) => (Math.min(level, reference) > QUIET ? decibels(reference / level) : null);

function rms(sound, first, end) {
  let sum = 0, count = 0;
  for (const channel of sound) {
    for (let n = Math.max(0, first); n < Math.min(end, channel.length); n++, count++) sum += channel[n] * channel[n];
  }
  return count ? Math.sqrt(sum / count) : 0;
}

/** Replace a part of a sound, in place; the fades lie inside that part. */
function put(sound, part, start, fadeIn, fadeOut) {
  const length = part[0].length;
  if (fadeIn + fadeOut > length) {
    [fadeIn, fadeOut] = [Math.min(fadeIn, length >> 1), Math.min(fadeOut, length - (length >> 1))];
  }
  const old = sound.map((channel) => channel.slice(start, start + length));
  sound.forEach((channel, number) => channel.set(part[number], start));
  crossfade(sound, old, part, start, 0, fadeIn);
  crossfade(sound, part, old, start, length - fadeOut, length);
}

/** A cross-fade of constant power. Source: Fink, Holters and Zoelzer 2016. */
function crossfade(sound, going, coming, start, first, end) {
  const count = end - first, alike = correlation(going, coming, first, end);
  for (let n = 0; n < count; n++) {
    const angle = ((Math.PI / 2) * (n + 1)) / (count + 1), shrink = Math.sqrt(1 + alike * Math.sin(2 * angle));
    const down = Math.cos(angle) / shrink, up = Math.sin(angle) / shrink;
    sound.forEach((channel, number) => {
      channel[start + first + n] = going[number][first + n] * down + coming[number][first + n] * up;
    });
  }
}

function correlation(one, other, first, end) {
  let both = 0, powerOne = 0, powerOther = 0;
  one.forEach((channel, number) => {
    for (let n = first; n < end; n++) {
      both += channel[n] * other[number][n];
      powerOne += channel[n] ** 2;
      powerOther += other[number][n] ** 2;
    }
  });
  const power = powerOne * powerOther;
  return power > 0 ? Math.min(1, Math.max(0, both / Math.sqrt(power))) : 0;
}
