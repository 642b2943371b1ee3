// What a request asks of the sound that it starts from: the rules and sentences of arctone.audio.regions and of
// arctone.inference.request.

import { UsageError, shown } from "./errors.js";
import { rounded } from "./plan.js";

const MAX_REGIONS = 100, INIT_NOISE_LEVEL = 0.7;

/** A number with at most six digits, as sentences show it. */
export const plain = (number) => String(Number(number.toPrecision(6)));

/** Whether parts of the source come back as they are. */
export const keepsSource = ({ inpaint, extend, init_noise_level: level }) =>
  Boolean(inpaint?.length) || Boolean(extend) || level === 0;

// --- regions -----------------------------------------------------------------------------------------------------

/** Regions as pages give them: a list of texts, or one text with commas. */
export function asRegions(value) {
  if (typeof value !== "string") return value;
  return value.split(",").map((text) => text.trim()).filter(Boolean);
}

/** [start, end) of each region in seconds, in the order of time. `texts`: "A:B" each. Throws: UsageError. */
export function parseRegions(texts) {
  const regions = texts.map(parsed).sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  if (regions.length > MAX_REGIONS) refuse(`inpaint must name at most ${MAX_REGIONS} regions, got ${regions.length}.`);
  regions.slice(1).forEach((later, number) => {
    const earlier = regions[number];
    if (later[0] < earlier[1]) {
      refuse(`inpaint must name regions that do not overlap, got ${written(earlier)} and ${written(later)}.`);
    }
  });
  return regions;
}

function parsed(text) {
  const [first, ...rest] = text.split(":"), numbers = [first, rest.join(":")].map((part) => (part.trim() ? Number(part) : NaN));
  if (!numbers.every(Number.isFinite)) refuse(`inpaint must name regions A:B in seconds, such as 2.5:4, got ${shown(text)}.`);
  if (numbers[0] < 0 || numbers[0] >= numbers[1]) refuse(`inpaint region A:B must have 0 <= A < B, got ${shown(text)}.`);
  return numbers;
}

const written = (region) => region.map(plain).join(":");

/** What is generated again, [first, end) each in samples; regions that touch are one. Throws: UsageError. */
export function spansOf(texts, seconds, sampleRate) {
  const most = rounded(seconds * sampleRate), spans = [];
  for (const region of parseRegions(texts)) {
    const [first, end] = region.map((time) => rounded(time * sampleRate));
    if (end > most) refuse(`inpaint region ${written(region)} ends after the sound, which is ${plain(most / sampleRate)} seconds long.`);
    if (end <= first) refuse(`inpaint region ${written(region)} is shorter than one sample.`);
    const last = spans.at(-1);
    if (last?.[1] === first) last[1] = end;
    else spans.push([first, end]);
  }
  return spans;
}

function refuse(message, field = "inpaint") {
  throw new UsageError(message, { field });
}

// --- requests ----------------------------------------------------------------------------------------------------

/** Refuse settings that exclude each other. `named`: the fields that are given. */
export function checkCombinations(named) {
  const isInpainted = Boolean(named.inpaint?.length), level = named.init_noise_level;
  if (isInpainted && named.extend) refuse("inpaint and extend cannot be combined: extend the result of the one by the other.");
  if (named.loop && (isInpainted || named.extend)) {
    const asked = isInpainted ? "inpaint" : "extend";
    refuse(`loop cannot be combined with ${asked}, because a loop changes the sound around its seam.`, "loop");
  }
  if (named.extend && ![undefined, 1].includes(level)) {
    refuse(`init_noise_level must be 1 or not given with extend, got ${plain(level)}.`, "init_noise_level");
  }
}

/** Refuse edits without a source, and sources that are too long. `seconds`: of the source; null = none. */
export function checkSource(named, seconds, longest) {
  if (seconds === null) {
    const asked = [["inpaint", named.inpaint?.length], ["extend", named.extend], ["init_noise_level", named.init_noise_level !== undefined]];
    const name = asked.find(([, is]) => is)?.[0];
    if (name) refuse(`${name} needs a source, the sound that is to be edited, but none is given.`, name);
  } else if (seconds > longest) {
    refuse(`the source is ${seconds.toFixed(1)} seconds long, but at most ${plain(longest)} are edited.`, "audio");
  }
}

/** Length of an edit: that of the source, or for a continuation the model's own beyond it. */
export function editedSeconds(named, sourceSeconds, ownSeconds, longest) {
  if (!named.extend) return named.duration_seconds ?? sourceSeconds;
  const seconds = named.duration_seconds ?? Math.min(sourceSeconds + ownSeconds, longest);
  if (seconds > sourceSeconds) return seconds;
  const words = `duration_seconds must be more than the source's ${plain(sourceSeconds)} seconds with extend, got ${plain(seconds)}.`;
  return refuse(words, "duration_seconds");
}

/** The noise level that an edit starts at; null without a source. */
export function noiseLevel(named, sourceSeconds) {
  if (sourceSeconds === null) return null;
  return named.init_noise_level ?? (named.inpaint?.length || named.extend ? 1 : INIT_NOISE_LEVEL);
}

/** What somebody should know who edits. `request`: resolved. */
export function editWarnings(request, sourceSeconds, sampleRate) {
  const missing = request.duration_seconds - sourceSeconds, found = [];
  if (missing < -1 / sampleRate) found.push(`The last ${(-missing).toFixed(2)} seconds of the source are cut off.`);
  else if (missing > 1 / sampleRate && !request.extend) {
    found.push(`The source is filled up with ${missing.toFixed(2)} seconds of silence.`);
  }
  if (keepsSource(request) && request.normalize !== "off") {
    found.push(`normalize ${request.normalize} also changes the level of the parts that are kept.`);
  }
  return found;
}
