// WAV files: written with the record of how the sound was made, as arctone writes them, and read to the bit.

import { rounded } from "./plan.js";

const MARK = "AI-generated", MAX_RECORD_BYTES = 50_000, TITLE_LENGTH = 100;

/**
 * The bytes of a WAV file. `samples`: Float32Array of each channel. `record`: JSON-ready, or null for none.
 * `bitDepth`: 16, 24 or 32 (float). Samples are rounded to the nearest step and stop at full scale.
 */
export function wavFile(samples, sampleRate, record = null, bitDepth = 16) {
  const parts = [chunk("fmt ", format(samples.length, sampleRate, bitDepth))];
  if (record) parts.push(chunk("LIST", join([latin("INFO"), ...tags(record)])));
  parts.push(chunk("data", interleaved(samples, bitDepth)));
  const { loop, bpm } = record?.request ?? {};
  if (loop) parts.push(...loopChunks(samples[0].length, sampleRate, bpm));
  return join([chunk("RIFF", join([latin("WAVE"), ...parts]))]);
}

function format(channels, sampleRate, bitDepth) {
  const view = new DataView(new ArrayBuffer(16)), frame = (channels * bitDepth) / 8;
  view.setUint16(0, bitDepth === 32 ? 3 : 1, true);
  view.setUint16(2, channels, true);
  view.setUint32(4, sampleRate, true);
  view.setUint32(8, sampleRate * frame, true);
  view.setUint16(12, frame, true);
  view.setUint16(14, bitDepth, true);
  return new Uint8Array(view.buffer);
}

function tags(record) {
  const software = record.version ? `arctone ${record.version} (${MARK})` : `arctone (${MARK})`;
  const comment = JSON.stringify({ mark: MARK, ...record }).replace(/"seed":"(\d+)"/, '"seed":$1');
  const title = (record.request?.prompt ?? "").replace(/\p{C}/gu, " ").split(/\s+/).join(" ").trim().slice(0, TITLE_LENGTH);
  const texts = { INAM: title, ISFT: software, IART: `arctone (${MARK})`, ICMT: comment };
  const bytes = Object.entries(texts).map(([name, text]) => [name, new TextEncoder().encode(`${text}\0`)]);
  if (bytes.some(([, text]) => text.length > MAX_RECORD_BYTES)) throw new Error("the record is too long for a WAV file.");
  return bytes.map(([name, text]) => chunk(name, text));
}

function interleaved(samples, bitDepth) {
  const channels = samples.length, count = samples[0].length, size = bitDepth / 8;
  const view = new DataView(new ArrayBuffer(count * channels * size)), full = 2 ** (bitDepth - 1);
  for (let n = 0; n < count; n++) {
    for (let channel = 0; channel < channels; channel++) {
      const at = (n * channels + channel) * size, value = samples[channel][n];
      if (bitDepth === 32) view.setFloat32(at, value, true);
      else {
        const step = Math.max(-full, Math.min(full - 1, rounded(value * full)));
        if (bitDepth === 16) view.setInt16(at, step, true);
        else {
          view.setUint16(at, step & 0xffff, true);
          view.setInt8(at + 2, step >> 16);
        }
      }
    }
  }
  return new Uint8Array(view.buffer);
}

/** Loop points for samplers, and with a tempo the beats for sequencers. */
function loopChunks(count, sampleRate, bpm) {
  const loop = new DataView(new ArrayBuffer(60)), middleC = 60;
  [0, 0, Math.round(1e9 / sampleRate), middleC, 0, 0, 0, 1, 0, 0, 0, 0, count - 1, 0, 0].forEach((value, n) =>
    loop.setUint32(4 * n, value, true));
  const parts = [chunk("smpl", new Uint8Array(loop.buffer))];
  if (!bpm) return parts;
  const beats = Math.round((count / sampleRate) * (bpm / 60)), acid = new DataView(new ArrayBuffer(24));
  acid.setUint32(0, 4, true);
  acid.setUint16(4, middleC, true);
  acid.setUint16(6, 0x8000, true);
  acid.setUint32(12, beats, true);
  acid.setUint16(16, 4, true);
  acid.setUint16(18, 4, true);
  acid.setFloat32(20, bpm, true);
  return [...parts, chunk("acid", new Uint8Array(acid.buffer))];
}

const latin = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** A chunk of a RIFF file, of even length. */
function chunk(name, content) {
  const size = new DataView(new ArrayBuffer(4));
  size.setUint32(0, content.length, true);
  return join([latin(name), new Uint8Array(size.buffer), content, new Uint8Array(content.length % 2)]);
}

function join(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

// --- reading -----------------------------------------------------------------------------------------------------

const WHOLE = 1, FLOAT = 3, EXTENSIBLE = 0xfffe, FRAMES_AT_ONCE = 1 << 17;
const READERS = {
  [`${WHOLE} 8`]: (view, at) => (view.getUint8(at) - 128) / 128,
  [`${WHOLE} 16`]: (view, at) => view.getInt16(at, true) / 32768,
  [`${WHOLE} 24`]: (view, at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8388608,
  [`${WHOLE} 32`]: (view, at) => view.getInt32(at, true) / 2147483648,
  [`${FLOAT} 32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT} 64`]: (view, at) => view.getFloat64(at, true),
};

/** The samples of a WAV file: { samples: Float32Array[], sampleRate }; null for other files and for compressed ones. */
export async function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || word(0) !== "RIFF" || word(8) !== "WAVE") return null;
  let shape = null;
  for (let at = 12, size; at + 8 <= bytes.length; at += 8 + size + (size % 2)) {
    size = view.getUint32(at + 4, true);
    const start = at + 8, end = Math.min(start + size, bytes.length);
    if (word(at) === "fmt " && end - start >= 16) shape = shapeOf(view, start, end);
    if (word(at) === "data") return shape && { samples: await channelsIn(view, start, end, shape), sampleRate: shape.sampleRate };
  }
  return null;
}

/** null for a coding that is not read here. */
function shapeOf(view, at, end) {
  const tag = view.getUint16(at, true), isExtensible = tag === EXTENSIBLE && end - at >= 26;
  const bits = view.getUint16(at + 14, true), read = READERS[`${isExtensible ? view.getUint16(at + 24, true) : tag} ${bits}`];
  const channels = view.getUint16(at + 2, true), sampleRate = view.getUint32(at + 4, true);
  return read && channels && sampleRate ? { read, channels, sampleRate, size: bits / 8 } : null;
}

/** In pieces, because a long file would hold up the page. */
async function channelsIn(view, start, end, { read, channels, size }) {
  const length = Math.floor((end - start) / (channels * size));
  const samples = Array.from({ length: channels }, () => new Float32Array(length));
  for (let first = 0; first < length; first += FRAMES_AT_ONCE) {
    if (first) await new Promise((resume) => setTimeout(resume));
    const last = Math.min(length, first + FRAMES_AT_ONCE);
    samples.forEach((channel, number) => {
      for (let n = first; n < last; n++) channel[n] = read(view, start + (n * channels + number) * size);
    });
  }
  return samples;
}
