// Tempo without pitch for loops: waveform-similarity overlap-add (WSOLA, Verhelst and Roelands, ICASSP 1993), on a circle,
// so that the stretched loop closes as seamlessly as the loop it was made from.

const GRAIN_SECONDS = 0.05;
const SEARCH_SECONDS = 0.012;
const STRIDE = 4; // the search compares every fourth sample: similar to within a fraction of a millisecond

/** A loop at another tempo. rate: 2 plays twice as fast. Returns: Float32Array for each channel, length / rate samples. */
export function stretchLoop(channels, sampleRate, rate) {
  const length = channels[0].length;
  const wanted = Math.round(length / rate);
  const hop = Math.round((GRAIN_SECONDS * sampleRate) / 2);
  const grains = Math.max(2, Math.round(wanted / hop));
  const starts = grainStarts(mix(channels), grains, wanted, rate, hop, Math.round(SEARCH_SECONDS * sampleRate));
  return channels.map((samples) => overlapAdd(samples, starts, wanted));
}

function mix(channels) {
  return channels.length === 1 ? channels[0] : channels[0].map((value, n) => value + channels[1][n]);
}

/** Where each grain is read: near its due place, where it best continues the grain before it. */
function grainStarts(samples, grains, wanted, rate, hop, reach) {
  const starts = [0];
  for (let grain = 1; grain < grains; grain += 1) {
    const due = Math.round(((grain * wanted) / grains) * rate);
    // Next to the seam the first grain must follow the last one, so the search narrows to nothing there.
    const room = Math.min(reach, ((grains - grain) * reach) / 4);
    starts.push(due + bestShift(samples, starts[grain - 1] + Math.round(wanted / grains), due, hop, Math.floor(room)));
  }
  return starts;
}

function bestShift(samples, natural, due, hop, reach) {
  const { length } = samples;
  const at = (n) => samples[((n % length) + length) % length];
  let best = 0;
  let most = -Infinity;
  for (let shift = -reach; shift <= reach; shift += STRIDE) {
    let likeness = 0;
    for (let n = 1; n <= hop; n += STRIDE) likeness += at(natural - n) * at(due + shift - n);
    if (likeness > most) [most, best] = [likeness, shift];
  }
  return best;
}

/** Grains under triangular windows that add up to one, on a circle of `wanted` samples. */
function overlapAdd(samples, starts, wanted) {
  const { length } = samples;
  const out = new Float32Array(wanted);
  const edges = starts.map((_, grain) => Math.round((grain * wanted) / starts.length)).concat(wanted);
  starts.forEach((start, grain) => {
    const next = starts[(grain + 1) % starts.length];
    const span = edges[grain + 1] - edges[grain];
    const before = next - span;
    for (let n = 0; n < span; n += 1) {
      const share = n / span;
      const here = samples[(((start + n) % length) + length) % length];
      const coming = samples[(((before + n) % length) + length) % length];
      out[edges[grain] + n] = here * (1 - share) + coming * share;
    }
  });
  return out;
}
