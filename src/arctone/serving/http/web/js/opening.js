// What comes into the page from outside: files, recordings, links, and what an earlier visit left in the form.

import { readAddress } from "./address.js";
import { engine } from "./engine.js";
import * as folder from "./folder.js";
import { plain } from "./history.js";
import { SOURCE_FIELDS, actions, at, form, source, state } from "./page.js";
import * as recording from "./record.js";
import { complain, say } from "./say.js";
import { readable } from "./wav.js";

const DRAFT = "arctone-draft";

export async function restore(file) {
  const { model: made, ...record } = await engine.record(file);
  if (made && made !== state.model.name && state.models.some(({ name }) => name === made)) actions.pick(made);
  const settings = plain(record.request ?? record);
  form.write(settings);
  say(`The settings of ${file.name} are in the form.`);
  const missing = SOURCE_FIELDS.filter((name) => settings[name] !== undefined);
  if (missing.length && !source.sound) complain("This take was made from another sound, which is not in the file: choose it as the start sound.");
  at("field-prompt").focus();
}

/** A file that was dropped somewhere: a take of arctone gives its settings back, any other sound becomes the start sound. */
export async function restoreOrStart(file) {
  try {
    await restore(file);
  } catch (failure) {
    if (failure.status !== 422) throw failure;
    await startWith(file);
  }
}

export async function startWith(file) {
  const blob = await readable(file);
  await source.set({ name: blob.name ?? file.name, blob });
}

export async function chooseFolder() {
  const name = await folder.choose();
  at("folder").textContent = name ? `Into ${name}` : "Output folder";
  say(name ? `Every new take is written into ${name}.` : "Takes are written into no folder.");
}

export async function record() {
  if (recording.isRecording()) {
    at("record").textContent = "Record";
    at("record").classList.remove("hot");
    await source.set(await recording.end());
  } else {
    await recording.begin();
    at("record").textContent = "Stop recording";
    at("record").classList.add("hot");
    say("Recording.");
  }
}

// --- links and the draft ---

/** Fill the form with the settings in the address, as "make it here" links of the gallery have them. */
export function showAddressed() {
  const asked = readAddress(location.hash, state.model.fields);
  if (!asked) return;
  history.replaceState(null, "", location.pathname + location.search);
  const { settings, source: start } = asked;
  form.write(settings);
  source.clear();
  if (start && source.can.size) source.expect(start.settings.prompt, () => actions.makeStart(start.settings, settings));
  at("field-prompt").focus();
  say("The settings of the link are in the form.");
  if (asked.unknown.length) complain(`The link also sets ${asked.unknown.join(", ")}, which ${state.model.name} does not take here, so the sound will differ.`);
}

export function saveDraft() {
  if (state.model) localStorage.setItem(DRAFT, JSON.stringify({ model: state.model.name, request: form.readValid() }));
}

export function draft() {
  try {
    return JSON.parse(localStorage.getItem(DRAFT)) ?? {};
  } catch {
    return {};
  }
}
