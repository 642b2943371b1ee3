// WAV files with the record of how the sound was made, as arctone writes them.

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
