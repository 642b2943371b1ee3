// Which samples one pass generates, next to what, and the windows of latent frames it goes through: see
// arctone.inference.edit_plan. Positions are samples of the sound or, where said, latent frames.

const FADE_SECONDS = 0.06, EXTEND_FADE_SECONDS = 0.25;
const LOOP_TAIL_SECONDS = 1, SEAM_SECONDS = 0.5, BEATS_PER_BAR = 4;

/** Round half to even, as Python does. */
export function rounded(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}

/** One pass over a sound. */
export class Plan {
  /**
   * `config`: of the model. `spans`: what is generated, [first, end) each, in order. `bpm`: null = unknown.
   * `sound`: Float32Array of each channel, what stays outside the spans and what they start from below noise level 1; null
   * for text alone. `numReal`: samples of it that are real; what is to be continued follows them. `pass`: its number.
   */
  constructor({ config, numSamples, spans, bpm, sound = null, numReal = numSamples, level = 1, fade = 0, isSteady = false, pass = 0 }) {
    Object.assign(this, { config, numSamples, spans, bpm, sound, numReal, level, fade, isSteady, pass });
    const hop = config.hop_length, dit = config.dit;
    this.soundFrames = Math.ceil(numSamples / hop);
    const isLong = numSamples > rounded(dit.max_seconds * config.sample_rate);
    this.numFrames = isLong ? this.soundFrames : Math.min(this.soundFrames, dit.max_frames);
    this.unknown = Array.from({ length: this.numFrames }, (_, frame) =>
      spans.some(([first, end]) => frame >= Math.floor(first / hop) && frame < Math.ceil(end / hop)));
    const barFrames = bpm ? (BEATS_PER_BAR * 60) / bpm / (hop / config.sample_rate) : null;
    this.windows = level === 0 ? [] : windows(this.unknown, dit.max_frames, barFrames);
  }

  /** Whether the sound must be encoded: not for text alone, nor where nothing of it is kept or started from. */
  get needsEncoding() {
    const isAllNew = this.level === 1 && this.spans.length === 1 && this.spans[0][0] === 0 && this.spans[0][1] === this.numSamples;
    return this.sound !== null && this.windows.length > 0 && !isAllNew;
  }
}

/**
 * The pass that generates the sound of a resolved request. From text, a loop is generated longer and then cut.
 * `source`: the sound that is edited, two channels at the model's rate; null for text alone. `spans`: what of it is
 * generated again, [first, end) each; null for all.
 */
export function planRequest(request, config, source = null, spans = null) {
  const numSamples = Math.max(1, rounded(request.duration_seconds * config.sample_rate));
  if (source) return planEdit(request, config, source, numSamples, spans ?? [[0, numSamples]]);
  const longer = numSamples + (request.loop ? loopTail(numSamples, config) : 0);
  return new Plan({ config, numSamples: longer, spans: [[0, longer]], bpm: request.bpm });
}

function planEdit(request, config, source, numSamples, spans) {
  const sound = source.map((channel) => withLength(channel, numSamples)), shared = { config, numSamples, bpm: request.bpm, sound };
  if (request.extend) {
    const numReal = source[0].length, fade = Math.min(rounded(EXTEND_FADE_SECONDS * config.sample_rate), numReal);
    return new Plan({ ...shared, spans: [[numReal - fade, numSamples]], numReal, fade, isSteady: true });
  }
  return new Plan({ ...shared, spans, level: request.init_noise_level, fade: rounded(FADE_SECONDS * config.sample_rate) });
}

/** A channel cut, or filled up with silence, to a number of samples. */
function withLength(channel, numSamples) {
  const out = new Float32Array(numSamples);
  out.set(channel.subarray(0, numSamples));
  return out;
}

function loopTail(numSamples, config) {
  const room = rounded(config.dit.max_seconds * config.sample_rate) - numSamples;
  const tail = rounded(LOOP_TAIL_SECONDS * config.sample_rate);
  return room < 0 ? tail : Math.min(room, tail);
}

/** Where the seam of a loop lies once it is rotated so that it comes to lie near the middle: on a bar or a beat. */
export function seamPosition(numSamples, config, bpm) {
  const half = Math.floor(numSamples / 2);
  if (!bpm) return numSamples - half;
  const beat = (60 / bpm) * config.sample_rate;
  const unit = numSamples >= 2 * BEATS_PER_BAR * beat - 1 ? BEATS_PER_BAR * beat : beat;
  const turned = rounded(rounded(half / unit) * unit);
  return numSamples - (turned > 0 && turned < numSamples ? turned : half);
}

/** The pass that generates a loop's seam again. `rotated`: the loop, its seam before the sample `seam`; null to count windows. */
export function planSeam(numSamples, seam, config, bpm, rotated = null) {
  const reach = Math.min(
    rounded(SEAM_SECONDS * config.sample_rate), Math.floor(numSamples / 4), seam, numSamples - seam);
  const fade = rounded(FADE_SECONDS * config.sample_rate);
  const spans = [[seam - reach, seam + reach]];
  return new Plan({ config, numSamples, spans, bpm, sound: rotated, fade, isSteady: true, pass: 1 });
}

/**
 * Windows { start, stop, keptStop } in latent frames over every unknown frame, in the order of time. Each begins a quarter
 * of its length before the first frame that is still unknown; what it generates in its last eighth is only a draft.
 */
export function windows(unknown, maxFrames, barFrames) {
  const frames = unknown.length, found = [];
  let open = unknown.indexOf(true);
  if (open < 0) return [];
  if (frames <= maxFrames) return [{ start: 0, stop: frames, keptStop: frames }];
  while (open >= 0) {
    const quarter = Math.floor(maxFrames / 4), margin = Math.floor(maxFrames / 8);
    let start = nearestBarLine(Math.max(0, open - quarter), quarter, barFrames);
    if (!barFrames) start = Math.min(start, frames - maxFrames);
    const stop = Math.min(start + maxFrames, frames);
    const keptStop = stop === frames ? stop : stop - margin;
    found.push({ start, stop, keptStop });
    open = unknown.indexOf(true, keptStop);
  }
  return found;
}

function nearestBarLine(start, mostEarlier, barFrames) {
  if (!barFrames) return start;
  let best = start, least = Infinity;
  for (let frame = start; frame >= Math.max(0, start - mostEarlier); frame--) {
    const distance = Number(Math.abs(frame - rounded(frame / barFrames) * barFrames).toFixed(6));
    if (distance < least) [best, least] = [frame, distance];
  }
  return best;
}
