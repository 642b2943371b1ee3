// The sound that an edit starts from. The page reads it, because only pages decode; the worker checks it and brings it to
// two channels: see arctone.inference.source.

import { UsageError, shown } from "./errors.js";
import { sha256Of } from "./files.js";
import { numOver, overWarning } from "./level.js";
import { rounded } from "./plan.js";
import { readWav, wavFile } from "./wav.js";

const SILENCE = 10 ** (-70 / 20);

/**
 * Read a sound, in a page.
 *
 * `source`: Blob of any format that the browser decodes, AudioBuffer, or { samples: Float32Array[], sampleRate }. `name`: of
 * its file, for the record. Samples are those of the file where it is WAV; of other files as the browser decodes them.
 * Returns: { name, samples, sampleRate, conformed: samples at the model's rate }. Throws: UsageError.
 */
export async function readSource(source, modelRate, name = source?.name ?? "") {
  if (source instanceof Blob) return readFile(new Uint8Array(await source.arrayBuffer()), modelRate, name);
  const { sampleRate } = source, samples = source.getChannelData ? channelsOf(source) : source.samples;
  const isSound = Array.isArray(samples) && samples.length && samples.every((one) => one instanceof Float32Array && one.length === samples[0].length);
  if (!isSound || !(sampleRate > 0)) {
    const allowed = "a Blob, an AudioBuffer or { samples: Float32Array of each channel, sampleRate }";
    throw new UsageError("", { field: "source", value: source, allowed });
  }
  return { name, samples, sampleRate, conformed: await resampled(samples, sampleRate, modelRate, name) };
}

async function readFile(bytes, modelRate, name) {
  const found = await readWav(bytes);
  if (!found) {
    const samples = await decoded(bytes, modelRate, name);
    return { name, samples, sampleRate: modelRate, conformed: samples };
  }
  const { samples, sampleRate } = found;
  return { name, samples, sampleRate, conformed: await resampled(samples, sampleRate, modelRate, name) };
}

/** Samples at another rate. A browser resamples what it decodes better than what it plays. */
async function resampled(samples, rate, modelRate, name) {
  const length = samples[0].length, wanted = rounded((length * modelRate) / rate);
  if (rate === modelRate || !length) return samples;
  const found = await decoded(wavFile(samples, rate, null, 32), modelRate, name);
  return found.map((channel) => {
    const out = new Float32Array(wanted);
    out.set(channel.subarray(0, wanted));
    return out;
  });
}

async function decoded(bytes, rate, name) {
  try {
    return channelsOf(await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.slice().buffer));
  } catch {
    throw new UsageError(`${name || "source"} is not a sound that this browser can read.`, { field: "source" });
  }
}

const channelsOf = (buffer) => Array.from({ length: buffer.numberOfChannels }, (_, number) => buffer.getChannelData(number));

/**
 * Check a sound that was read and bring it to two channels, in the worker.
 * Returns: { sound: two channels at the model's rate, record: what is remembered of it, warning }. Throws: UsageError.
 */
export async function openSource({ name, samples, sampleRate, conformed }) {
  if (!samples[0].length) throw new UsageError("the source holds no samples.", { field: "audio" });
  if (!samples.every((channel) => channel.every(Number.isFinite))) {
    throw new UsageError("samples must be finite numbers, but some are NaN or infinite.", { field: "audio" });
  }
  if (samples.every(isConstant)) {
    throw new UsageError("the source is silent: there is no sound above -70 dBFS in it.", { field: "audio" });
  }
  const sound = asStereo(conformed), many = samples.length > 2;
  const over = overWarning(sound, "The source");
  const words = [many ? `The source has ${samples.length} channels; their mean is edited.` : "", over ? `${over}.` : ""];
  const record = {
    sha256: await hashOf(samples, sampleRate), name, sample_rate: sampleRate,
    num_channels: samples.length, num_samples: samples[0].length,
  };
  return { sound, record, warning: words.filter(Boolean).join(" ") };
}

/** Whether nothing moves in a channel: apart from a constant offset it is silent. */
function isConstant(channel) {
  let sum = 0;
  for (let n = 0; n < channel.length; n++) sum += channel[n];
  const mean = sum / channel.length;
  return channel.every((value) => Math.abs(value - mean) < SILENCE);
}

function asStereo(samples) {
  if (samples.length === 2) return samples;
  if (samples.length === 1) return [samples[0], samples[0].slice()];
  const mean = samples[0].map((_, n) => samples.reduce((sum, channel) => sum + channel[n], 0) / samples.length);
  return [mean, mean.slice()];
}

/** SHA-256 of rate, shape and samples, as any lossless copy has it too. */
function hashOf(samples, sampleRate) {
  const length = samples[0].length, head = new TextEncoder().encode(`${sampleRate} ${samples.length} ${length} `);
  const bytes = new Uint8Array(head.length + 4 * length * samples.length);
  bytes.set(head);
  samples.forEach((channel, number) => {
    const part = new Uint8Array(channel.buffer, channel.byteOffset, channel.byteLength);
    bytes.set(part, head.length + 4 * length * number);
  });
  return sha256Of(bytes);
}
