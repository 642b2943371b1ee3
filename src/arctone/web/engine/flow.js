// From noise to data: grids of times, samplers, guidance and known frames, as arctone.flow has them.
// t = 0 is data, t = 1 is noise; x_t = (1 - t) x_0 + t noise; v = noise - x_0. Latents are Float32Array [channels, frames].

const ROUND = Math.fround;

// --- times -------------------------------------------------------------------------------------------------------

const LOG_SNR = { start: -6, end: 2, per_doubling: 0, frames: 2000 };
const MIN_SPAN = 2, NEAR = 1e-3, SIGMA_MAX = 500, SIGMA_MIN = 0.3;

/**
 * The times of a pass: steps + 1 numbers that fall from the start level to 0.
 * `sampling`: of the model's config. `frames`: latent frames of the sound, at most those of a window.
 */
export function samplerTimes(sampler, steps, sampling, frames, startLevel = 1) {
  const { shift = 1, schedule = "auto" } = sampling, ramp = { ...LOG_SNR, ...sampling.log_snr };
  if (schedule === "log_snr" || (schedule === "auto" && sampler === "ping_pong")) {
    const start = ramp.start - ramp.per_doubling * Math.log2(Math.max(1, frames) / ramp.frames);
    return logSnrTimes(steps, start, ramp.end, startLevel, schedule === "log_snr");
  }
  if (schedule === "cosine") return cosineTimes(steps, startLevel);
  if (schedule === "exponential") return exponentialTimes(steps, startLevel);
  const unshifted = startLevel / (shift - (shift - 1) * startLevel);
  const grid = linearTimes(steps, unshifted).map((t) => (shift * t) / (1 - t + shift * t));
  return [startLevel, ...grid.slice(1)];
}

const linearTimes = (steps, level) => Array.from({ length: steps + 1 }, (_, index) => level * ((steps - index) / steps));

function logSnrTimes(steps, start, end, level, asPublished) {
  const published = Math.log((1 - level) / level + 1e-6);
  let first = start, last = end;
  if (level !== 1 && asPublished && published < end - NEAR) first = published;
  else if (level !== 1) {
    first = Math.max(start, Math.log1p(-level) - Math.log(level));
    last = Math.max(end, first + Math.min(MIN_SPAN, end - start));
  }
  const times = [level];
  for (let index = 1; index < steps; index++) times.push(sigmoid(-(first + ((last - first) * index) / steps)));
  return [...times, 0];
}

const sigmoid = (value) => (value > -700 ? 1 / (1 + Math.exp(-value)) : Math.exp(value));

function cosineTimes(steps, level) {
  const start = Math.atan2(level, 1 - level), times = [level];
  for (let index = 1; index < steps; index++) {
    const angle = start * ((steps - index) / steps);
    times.push(Math.sin(angle) / (Math.sin(angle) + Math.cos(angle)));
  }
  return [...times, 0];
}

function exponentialTimes(steps, level) {
  const first = level === 1 ? SIGMA_MAX : Math.min(SIGMA_MAX, level / (1 - level));
  const last = first > SIGMA_MIN * (1 + 1e-3) ? SIGMA_MIN : first / 4;
  const times = Array.from({ length: steps }, (_, index) => {
    const sigma = first * (last / first) ** (index / Math.max(1, steps - 1));
    return sigma / (1 + sigma);
  });
  return [...times, 0];
}

// --- latents -----------------------------------------------------------------------------------------------------

/** a * x + b * y, number by number, with the factors rounded to float32 as numpy does. */
function mixed(a, x, b, y) {
  const out = new Float32Array(x.length), fa = ROUND(a), fb = ROUND(b);
  for (let n = 0; n < out.length; n++) out[n] = ROUND(fa * x[n]) + ROUND(fb * y[n]);
  return out;
}

/** The estimate of x_0 from a point and its velocity. */
const denoised = (x, v, t) => mixed(1, x, -t, v);

/** A point on the way from data to noise. */
export const addNoise = (x0, noise, t) => mixed(1 - t, x0, t, noise);

// --- samplers ----------------------------------------------------------------------------------------------------

// Each is an async generator of the latents after each step. `velocity(x, t)` is async; `noise(index)` gives fresh noise.

async function* euler(velocity, x, times) {
  for (const [t, next] of intervals(times)) {
    x = mixed(1, x, next - t, await velocity(x, t));
    yield x;
  }
}

/** Source: Karras et al. 2022, algorithm 1; the last step is an Euler step. */
async function* heun(velocity, x, times) {
  for (const [t, next] of intervals(times)) {
    const v = await velocity(x, t);
    const slope = next === 0 ? v : mixed(0.5, v, 0.5, await velocity(mixed(1, x, next - t, v), next));
    x = mixed(1, x, next - t, slope);
    yield x;
  }
}

const logOdds = (t) => Math.log((1 - t) / t);

/** Source: Lu et al. 2022, "DPM-Solver++", algorithm 2, for rectified flow. */
async function* dpmpp2m(velocity, x, times) {
  let last = null;
  for (const [t, next] of intervals(times)) {
    const x0 = denoised(x, await velocity(x, t), t);
    let estimate = x0;
    if (last && next !== 0 && last.t !== 1) {
      const weight = (logOdds(next) - logOdds(t)) / (2 * (logOdds(t) - logOdds(last.t)));
      estimate = mixed(1 + weight, x0, -weight, last.x0);
    }
    const keep = next / t;
    x = mixed(keep, x, 1 - next - keep * (1 - t), estimate);
    last = { t, x0 };
    yield x;
  }
}

/** Estimate x_0, add fresh noise at the next level, and again. Source: Novack et al. 2025, arXiv 2505.08175. */
async function* pingPong(velocity, x, times, noise) {
  let index = 0;
  for (const [t, next] of intervals(times)) {
    index += 1;
    const x0 = denoised(x, await velocity(x, t), t);
    x = next === 0 ? x0 : addNoise(x0, noise(index), next);
    yield x;
  }
}

/** DPM-Solver++(3M) SDE, worked out in y = x / (1 - t). Source: k-diffusion (Crowson). */
async function* dpmpp3mSde(velocity, x, times, noise) {
  let past = [], index = 0;
  for (const [t, next] of intervals(times)) {
    index += 1;
    const x0 = denoised(x, await velocity(x, t), t);
    if (next === 0) x = x0;
    else if (t === 1) x = addNoise(x0, noise(index), next);
    else {
      const h = logOdds(next) - logOdds(t), decay = Math.exp(-2 * h), sigma = next / (1 - next);
      let y = mixed(decay / (1 - t), x, 1 - decay, x0);
      y = withCurvature(y, x0, h, past);
      y = mixed(1, y, sigma * Math.sqrt(1 - decay), noise(index));
      x = mixed(1 - next, y, 0, y);
      past = [{ h, x0 }, ...past.slice(0, 1)];
    }
    yield x;
  }
}

function withCurvature(y, x0, h, past) {
  if (!past.length) return y;
  const { h: h1, x0: last } = past[0], phi2 = 1 + Math.expm1(-2 * h) / (2 * h);
  const slope = mixed(h / h1, x0, -h / h1, last);
  if (past.length === 1) return mixed(1, y, phi2, slope);
  const { h: h2, x0: before } = past[1], span = h1 / h + h2 / h;
  const bend = mixed(1 / span, slope, -1 / span, mixed(h / h2, last, -h / h2, before));
  const rise = mixed(1, slope, h1 / h, bend), phi3 = phi2 / (2 * h) - 0.5;
  return mixed(1, y, 1, mixed(phi2, rise, -phi3, bend));
}

function intervals(times) {
  return times.slice(1).map((next, index) => [times[index], next]);
}

export const SAMPLERS = { euler, heun, dpmpp_2m: dpmpp2m, ping_pong: pingPong, dpmpp_3m_sde: dpmpp3mSde };

// --- guidance ----------------------------------------------------------------------------------------------------

/** v = away + scale (towards - away). Source: Ho and Salimans 2022. */
export const guided = (towards, away, scale) => mixed(1, away, scale, mixed(1, towards, -1, away));

/** Guidance without its part along the estimate of the clean latents. Source: Sadat et al. 2024, arXiv 2410.02416. */
export function projected(towards, away, x, t, scale) {
  const estimate = denoised(x, towards, t), pull = mixed(1, towards, -1, away);
  let power = 0, along = 0;
  for (let n = 0; n < pull.length; n++) {
    power += estimate[n] * estimate[n];
    along += pull[n] * estimate[n];
  }
  return mixed(1, towards, scale - 1, mixed(1, pull, -along / (power || 1), estimate));
}

// --- known frames ------------------------------------------------------------------------------------------------

// Frames on each side whose mean a gap is bridged with.
const BRIDGE_FRAMES = 21;

/** A velocity under which known frames reach the known latents. `base`: [C, T]; `known`: of each frame. Source: RePaint. */
export function holding(velocity, base, known) {
  if (!known.some(Boolean)) return velocity;
  return async (x, t) => {
    const v = Float32Array.from(await velocity(x, t)), frames = known.length, time = ROUND(t);
    for (let n = 0; n < v.length; n++) if (known[n % frames]) v[n] = ROUND(x[n] - base[n]) / time;
    return v;
  };
}

/** Each step of a sampler taken several times, its noise put back in between. Source: RePaint, section 4.2. */
export async function* resampled(sampler, velocity, x, times, noise, rounds) {
  const steps = times.length - 1;
  for (let index = 0; index < steps; index++) {
    const t = times[index], next = times[index + 1];
    for (let turn = 0; turn < (next > 0 ? rounds : 1); turn++) {
      const number = index + steps * turn + 1;
      if (turn) x = noisedAgain(x, next, t, noise(steps * rounds + number));
      x = (await sampler(velocity, x, times.slice(index), () => noise(number)).next()).value;
    }
    yield x;
  }
}

function noisedAgain(x, t, higher, noise) {
  const keep = (1 - higher) / (1 - t);
  return mixed(keep, x, Math.sqrt(Math.max(higher ** 2 - (keep * t) ** 2, 0)), noise);
}

/** Gaps bridged from the mean of the known latents before them to that of those after them. */
export function bridged(latents, known) {
  const out = latents.slice(), frames = known.length, channels = latents.length / frames;
  for (let first = 0; first < frames; first++) {
    if (known[first]) continue;
    let end = first;
    while (end < frames && !known[end]) end++;
    for (let channel = 0; channel < channels; channel++) bridge(latents, out, known, channel * frames, first, end);
    first = end;
  }
  return out;
}

function bridge(latents, out, known, row, first, end) {
  const mean = (from, to) => {
    const places = [];
    for (let n = Math.max(0, from); n < Math.min(known.length, to); n++) if (known[n]) places.push(latents[row + n]);
    return places.length ? places.reduce((sum, value) => sum + value, 0) / places.length : null;
  };
  const before = mean(first - BRIDGE_FRAMES, first), after = mean(end, end + BRIDGE_FRAMES);
  if (before === null && after === null) return;
  for (let n = first; n < end; n++) {
    const way = (n - first + 0.5) / (end - first);
    out[row + n] = (before ?? after) * (1 - way) + (after ?? before) * way;
  }
}
