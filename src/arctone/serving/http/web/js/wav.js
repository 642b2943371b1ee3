// Decoding in the browser, and writing WAV (16 bit), for recordings and for files in formats that the server does not read.

let decoder = null;

/** Decode audio at a sample rate (Hz). Returns: AudioBuffer. Throws: Error if the browser cannot read it. */
export async function decode(blob, sampleRate = 44100) {
  if (decoder?.sampleRate !== sampleRate) decoder = new OfflineAudioContext(2, 1, sampleRate);
  return decoder.decodeAudioData(await blob.arrayBuffer());
}

/** An AudioBuffer as a WAV file, 16 bit. */
export function toWav(buffer) {
  const { numberOfChannels: channels, length, sampleRate } = buffer;
  const bytes = new DataView(new ArrayBuffer(44 + length * channels * 2));
  writeHeader(bytes, channels, length, sampleRate);
  for (let channel = 0; channel < channels; channel += 1) {
    const samples = buffer.getChannelData(channel);
    for (let n = 0; n < length; n += 1) {
      const value = Math.max(-1, Math.min(1, samples[n]));
      bytes.setInt16(44 + 2 * (n * channels + channel), Math.round(value * 32767), true);
    }
  }
  return new Blob([bytes], { type: "audio/wav" });
}

/** A stretch of a sound, in seconds, with a fade at both ends. Returns: AudioBuffer. Throws: Error with words. */
export async function trimmed(blob, from, to, fade) {
  const whole = await decode(blob);
  const rate = whole.sampleRate;
  const [start, end] = [from, to].map((seconds) => Math.max(0, Math.min(whole.length, Math.round(seconds * rate))));
  if (!(end > start)) throw new Error("The end of the trimmed part must come after its start.");
  const part = new AudioBuffer({ numberOfChannels: whole.numberOfChannels, length: end - start, sampleRate: rate });
  const ramp = Math.min(Math.round(Math.max(0, fade) * rate), Math.floor(part.length / 2));
  for (let channel = 0; channel < whole.numberOfChannels; channel += 1) {
    const samples = whole.getChannelData(channel).slice(start, end);
    for (let n = 0; n < ramp; n += 1) {
      samples[n] *= n / ramp;
      samples[samples.length - 1 - n] *= n / ramp;
    }
    part.copyToChannel(samples, channel);
  }
  return part;
}

function writeHeader(bytes, channels, length, sampleRate) {
  const text = (at, word) => [...word].forEach((letter, n) => bytes.setUint8(at + n, letter.charCodeAt(0)));
  const size = length * channels * 2;
  text(0, "RIFF");
  bytes.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, channels, true);
  bytes.setUint32(24, sampleRate, true);
  bytes.setUint32(28, sampleRate * channels * 2, true);
  bytes.setUint16(32, channels * 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, size, true);
}

const SERVER_READS = /\.(wav|flac|ogg|opus|mp3|aif|aiff)$/i;

/** A file as the server can read it: as it is, or as WAV. Throws: Error with words if nothing can read it. */
export async function readable(file) {
  if (SERVER_READS.test(file.name ?? "")) return file;
  try {
    const blob = toWav(await decode(file));
    return new File([blob], `${(file.name ?? "sound").replace(/\.\w+$/, "")}.wav`, { type: "audio/wav" });
  } catch {
    throw new Error(`${file.name ?? "This"} is not a sound that this browser can read.`);
  }
}
