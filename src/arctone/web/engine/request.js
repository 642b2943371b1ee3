// What is asked for, checked and filled in: the rules and sentences of arctone.inference.request and .resolution. The
// fields with their limits come from the manifest, where `arctone export web` wrote them.

import {
  asRegions, checkCombinations, checkSource, editWarnings, editedSeconds, keepsSource, noiseLevel, parseRegions, spansOf,
} from "./edit.js";
import { UsageError, shown } from "./errors.js";
import { statedKey, keyNumber } from "./keys.js";

const MAX_SEED = (1n << 63n) - 1n;
const MIN_BPM = 20, MAX_BPM = 400, BEATS_PER_BAR = 4, SAME_SECONDS = 1e-6;
const TEMPO = /(?<![\d.])(\d{2,3}(?:\.\d{1,3})?)\s*-?\s*(?:bpm|beats per minute)\b/gi;
const RANGE = /(?<![\d.])(\d{2,3}(?:\.\d{1,3})?)\s*(?:-|\u2013|to|and|or|\/)\s*$/i;
// Function words of German, French, Spanish, Italian, Portuguese and Dutch that are no English words.
const FOREIGN = new Set(
  ("und der ein eine einen auf mit ist von le la les des une et dans avec sur los las una con del y il gli di che nel della " +
    "uma um em een het").split(" "),
);

/**
 * The fields of a request under their own names. `given`: an object with names as in the HTTP API, in camelCase, or the
 * aliases people know. undefined and null count as not given. `empty`: a request with nothing asked for; fields of records
 * that this engine does not have may be given as they are there. Throws: UsageError for an unknown name or one given twice.
 */
export function namedFields(given, fields, empty = {}) {
  const names = new Map(fields.flatMap((field) => [field.name, ...field.aliases].map((alias) => [alias, field.name])));
  const found = {};
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null) continue;
    const asked = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), name = names.get(asked);
    if (!name) {
      if (JSON.stringify(value) === JSON.stringify(empty[asked])) continue;
      const known = fields.map((field) => field.name).join(", ");
      throw new UsageError(`${shown(key)} is not a field of a request in this engine; known are ${known}.`, { field: key });
    }
    if (name in found) throw new UsageError(`${name} is given twice, the second time as ${key}.`, { field: name });
    found[name] = name === "seed" ? wholeNumber(value) : name === "inpaint" ? asRegions(value) : value;
  }
  return found;
}

/** Seeds beyond 2**53 come as text or bigint. */
function wholeNumber(value) {
  if (typeof value === "string" && /^\d{1,30}$/.test(value)) value = BigInt(value);
  return typeof value === "bigint" && value <= Number.MAX_SAFE_INTEGER && value >= 0 ? Number(value) : value;
}

/**
 * A request on one model: every open field filled in, and the network that answers it.
 * `given`: see namedFields. `about`: description of the model, with config, features and an empty request.
 * `sourceSeconds`: length of the sound that is edited, at the model's rate; null = text alone.
 * Returns: { request, network, warnings, hasDrawnSeed }.
 * Throws: UsageError in one sentence.
 */
export function resolve(given, about, sourceSeconds = null) {
  const named = namedFields(given, about.fields, about.request);
  for (const field of about.fields) check(field, named[field.name]);
  if (!named.prompt.trim()) {
    throw new UsageError("prompt must say what the sound should be, but it is empty.", { field: "prompt" });
  }
  if (named.key !== undefined && !keyNumber(named.key)) {
    throw new UsageError(`key must be one such as "C minor" or "F sharp major", got ${shown(named.key)}.`, { field: "key" });
  }
  checkCombinations(named);
  const network = chooseNetwork(named, about, sourceSeconds);
  checkSource(named, sourceSeconds, about.max_duration_seconds);
  const request = filled(named, about, network, sourceSeconds);
  checkLimits(request, about);
  if (request.inpaint.length) spansOf(request.inpaint, request.duration_seconds, about.config.sample_rate);
  const found = warnings(named, request, about, network, sourceSeconds);
  return { request, network, warnings: found, hasDrawnSeed: named.seed === undefined };
}

function check(field, value) {
  if (value === undefined) {
    if (field.required) throw new UsageError(`${field.name} is required but missing.`, { field: field.name });
    return;
  }
  const refuse = (found = value) => {
    throw new UsageError("", { field: field.name, value: found, allowed: field.allowed });
  };
  if (field.kind === "regions") {
    if (!Array.isArray(value) || !value.every((text) => typeof text === "string")) refuse();
    return parseRegions(value);
  }
  if (field.kind === "boolean") return typeof value === "boolean" || refuse();
  if (field.kind === "text" || field.kind === "choice") {
    if (typeof value !== "string") refuse();
    const length = Array.from(value).length;
    if (field.max_length !== null && length > field.max_length) refuse(length);
    if (/\p{Cs}/u.test(value)) {
      throw new UsageError(`${field.name} must be valid Unicode, but it holds broken characters: ${shown(value)}.`, field);
    }
    return !field.choices.length || field.choices.includes(value) || refuse();
  }
  const isNumber = typeof value === "bigint" || (typeof value === "number" && Number.isFinite(value));
  if (!isNumber || (field.kind === "integer" && typeof value === "number" && !Number.isInteger(value))) refuse();
  if (field.exclusive_minimum !== null && value <= field.exclusive_minimum) refuse();
  if (field.minimum !== null && value < field.minimum) refuse();
  if (field.name === "seed" ? BigInt(value) > MAX_SEED : field.maximum !== null && value > field.maximum) refuse();
}

/**
 * The network that answers. A post-trained model generates from text in one window with its guidance built in; the flow
 * model that it was made from answers what asks for guidance, edits, loops and several windows, unless cfg_scale is 1.
 */
function chooseNetwork(named, about, sourceSeconds) {
  const { config, has_flow: hasFlow } = about;
  if (!hasFlow) return "dit";
  const isNegative = Boolean((named.negative_prompt ?? "").trim());
  if (config.dit.inpaint_channels) {
    return (named.cfg_scale === undefined ? isNegative : named.cfg_scale !== 1) ? "flow" : "dit";
  }
  if (named.cfg_scale !== undefined) return named.cfg_scale !== 1 ? "flow" : "dit";
  if (isNegative || named.loop || sourceSeconds !== null) return "flow";
  return duration(named, tempo(named), config.sampling, null, about) > config.dit.max_seconds ? "flow" : "dit";
}

/** How a network is sampled. */
export function samplingOf(config, network) {
  if (network !== "flow" || !config.sampling.post_trained) return config.sampling;
  return config.flow_sampling ?? { ...config.usual_sampling, duration_seconds: config.sampling.duration_seconds };
}

const tempo = (named) => named.bpm ?? statedBpm(named.prompt);

function filled(named, about, network, sourceSeconds) {
  const sampling = samplingOf(about.config, network), bpm = tempo(named);
  const hasKeys = (about.config.dit.controls ?? []).includes("key");
  return {
    ...about.request,
    ...named,
    duration_seconds: duration(named, bpm, sampling, sourceSeconds, about),
    steps: named.steps ?? sampling.steps,
    cfg_scale: named.cfg_scale ?? sampling.cfg_scale,
    sampler: named.sampler ?? sampling.sampler,
    seed: named.seed ?? drawSeed(),
    threads: null,
    bpm: bpm ?? null,
    key: named.key ?? (hasKeys ? statedKey(named.prompt) : null),
    init_noise_level: noiseLevel(named, sourceSeconds),
    normalize: named.normalize ?? (keepsSource(named) ? "off" : "peak"),
  };
}

/** A fresh seed, 0 to 2**32 - 1: short enough to be read out and typed. */
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

function duration(named, bpm, sampling, sourceSeconds, { max_duration_seconds: longest }) {
  if (named.bars === undefined) {
    if (sourceSeconds !== null) return editedSeconds(named, sourceSeconds, sampling.duration_seconds, longest);
    return named.duration_seconds ?? sampling.duration_seconds;
  }
  if (bpm === undefined) {
    throw new UsageError('bars needs a tempo: give bpm, or state it in the prompt ("120 BPM").', { field: "bars" });
  }
  const seconds = (BEATS_PER_BAR * named.bars * 60) / bpm, given = named.duration_seconds;
  if (given !== undefined && Math.abs(given - seconds) > SAME_SECONDS) {
    const words = `${named.bars} bars at ${bpm} BPM last ${Number(seconds.toPrecision(6))} seconds; give only one.`;
    throw new UsageError(`duration_seconds is ${given}, but ${words}`, { field: "duration_seconds" });
  }
  return seconds;
}

/** The tempo that a prompt states; undefined where it states none, or several that differ. */
export function statedBpm(prompt) {
  const matches = [...prompt.matchAll(TEMPO)], within = (bpm) => bpm >= MIN_BPM && bpm <= MAX_BPM;
  const endsRange = (before) => {
    const lower = before.match(RANGE);
    return lower !== null && Number(lower[1]) >= MIN_BPM && Number(lower[1]) <= MAX_BPM;
  };
  if (matches.some((match) => endsRange(prompt.slice(0, match.index)))) return undefined;
  const found = [...new Set(matches.map((match) => Number(match[1])))];
  return found.length === 1 && within(found[0]) ? found[0] : undefined;
}

function checkLimits(request, { max_duration_seconds: longest }) {
  if (request.variations !== 1) {
    throw new UsageError("variations must be 1, because each call generates one sound: variation i has seed + i.", {
      field: "variations", value: request.variations, allowed: "1" });
  }
  if (request.duration_seconds <= longest) return;
  const words = `duration_seconds is ${request.duration_seconds}, but this model makes at most ${longest} seconds.`;
  throw new UsageError(words, { field: "duration_seconds", value: request.duration_seconds });
}

function warnings(named, request, about, network, sourceSeconds) {
  const { config } = about, dit = config.dit, found = [];
  if (samplingOf(config, network).post_trained && request.cfg_scale !== 1) {
    const scale = `cfg_scale is ${request.cfg_scale}`;
    found.push(`${scale}, but ${config.name} is post-trained and has its guidance built in: 1 suits it.`);
  }
  if (request.negative_prompt.trim() && request.cfg_scale === 1) found.push("negative_prompt has no effect at cfg_scale 1.");
  if (sourceSeconds !== null) found.push(...editWarnings(request, sourceSeconds, config.sample_rate));
  if (named.key !== undefined && !(dit.controls ?? []).includes("key")) {
    found.push(`key ${named.key} has no effect: ${config.name} knows keys from the prompt alone.`);
  }
  if (!seemsEnglish(request.prompt)) {
    found.push(`The prompt does not seem to be English, which is what ${config.name} reads.`);
  }
  return found;
}

/** Whether a prompt may be English: most letters are Latin, and it has at most one foreign function word. */
export function seemsEnglish(prompt) {
  const letters = prompt.match(/\p{L}/gu) ?? [], latin = letters.filter((letter) => /\p{Script=Latin}/u.test(letter));
  if (2 * latin.length < letters.length) return false;
  const words = new Set(prompt.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []);
  return [...words].filter((word) => FOREIGN.has(word)).length < 2;
}
