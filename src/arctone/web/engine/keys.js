// Keys and notes as words and as numbers, as arctone.audio.keys has them: a key is 1 to 12 (C to B major) or 13 to 24
// (minor), a note its MIDI number; 0 is none.

const TONICS = ["C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B"];
const KEYS = ["major", "minor"].flatMap((mode) => TONICS.map((tonic) => `${tonic} ${mode}`));
const STEPS = { C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 };
const ACCIDENTALS = { "": 0, "#": 1, "\u266f": 1, sharp: 1, b: -1, "\u266d": -1, flat: -1 };
const ACCIDENTAL = "(?:\\s?[#\\u266f\\u266d]|b|[\\s-]?(?:sharp|flat))";
const KEY = `(?<![\\p{L}\\p{N}_#\\u266f-])([A-Ga-g])(${ACCIDENTAL})?[\\s-]*([Mm]ajor|[Mm]inor|[Mm]aj|[Mm]in)(?![\\p{L}\\p{N}_])`;
const NOTE = /(?<![\p{L}\p{N}_#\u266f])([A-G])([#b\u266f\u266d])?(-1|[0-8])(?![\p{L}\p{N}_#-])/gu;

/** The number of a key such as "C sharp minor", "Db major" or "F# min"; 0 for anything else. */
export function keyNumber(name) {
  const found = name.trim().match(new RegExp(`^${KEY}$`, "u"));
  return found ? numberOf(found) : 0;
}

/** The key that a prompt states; null where it states none, or several that differ. */
export function statedKey(prompt) {
  const matches = [...prompt.matchAll(new RegExp(KEY, "gu"))].filter((match) => !isArticle(match, prompt));
  const found = [...new Set(matches.map(numberOf))];
  return found.length === 1 ? KEYS[found[0] - 1] : null;
}

/** The MIDI number of the one note that a prompt states with its octave; 0 where there is none, or several. */
export function statedNote(prompt) {
  const matches = [...prompt.matchAll(NOTE)].filter((match) => !/^\s+(?:paper|sheet)/.test(after(match, prompt)));
  const found = [...new Set(matches.map((match) => 12 * (Number(match[3]) + 1) + STEPS[match[1]] + ACCIDENTALS[match[2] ?? ""]))];
  return found.length === 1 ? found[0] : 0;
}

const after = (match, prompt) => prompt.slice(match.index + match[0].length);

function numberOf([, letter, accidental = "", mode]) {
  const shift = ACCIDENTALS[accidental.replace(/[ -]/g, "").toLowerCase()];
  return 1 + ((STEPS[letter.toUpperCase()] + shift + 12) % 12) + (mode.toLowerCase().startsWith("min") ? 12 : 0);
}

/** Whether the letter is the article "a": a small one, or a great one at the beginning of a sentence. */
function isArticle(match, prompt) {
  if (!"aA".includes(match[1]) || match[2]) return false;
  const before = prompt.slice(0, match.index).trimEnd();
  const begins = !before || ".!?".includes(before.at(-1));
  return (match[1] === "a" || begins) && !/^\s*(?:$|[,.;:!?)\]|/])/.test(after(match, prompt));
}
