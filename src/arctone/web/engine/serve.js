// Messages between a page and its worker: open a model, generate, cancel. One sound at a time, in order of arrival.

import { ModelError, packed } from "./errors.js";
import { ModelFiles, forgetOthers } from "./files.js";
import { generate } from "./generate.js";
import { Graph, loadRuntime } from "./graphs.js";
import { openSource } from "./source.js";
import { Synthesis } from "./synthesis.js";
import { Tokenizer } from "./tokenizer.js";

const cancelled = new Set();
let opened = null, last = Promise.resolve();
const opening = new AbortController();

/** Take a message of the page: { kind: "open" | "generate" | "cancel", id, ... }. */
export function receive(message) {
  if (message.kind === "cancel") {
    cancelled.add(message.id);
    if (message.id === 0) opening.abort();
    return;
  }
  const work = message.kind === "open" ? open : sound;
  last = last.then(() => answer(message, work));
}

async function answer(message, work) {
  const { id } = message;
  try {
    if (cancelled.has(id)) throw new Cancelled();
    const { value, transfer = [] } = await work(message);
    self.postMessage({ id, kind: "done", value }, transfer);
  } catch (failure) {
    if (failure instanceof Cancelled || opening.signal.aborted) self.postMessage({ id, kind: "cancelled" });
    else self.postMessage({ id, kind: "failed", error: packed(asModelError(failure)) });
  } finally {
    cancelled.delete(id);
  }
}

function asModelError(failure) {
  const isKnown = ["ModelError", "UsageError"].includes(failure?.name);
  return isKnown ? failure : new ModelError(`The engine failed: ${failure?.message ?? failure}`);
}

class Cancelled extends Error {}

// --- opening -----------------------------------------------------------------------------------------------------

const GENERATING = ["text.tflite", "dit.tflite", "decoder.tflite"];

async function open({ base, runtime, manifest, storage }) {
  const { signal } = opening;
  const report = (stage, file, loaded, total) =>
    self.postMessage({ id: 0, kind: "progress", value: { stage, file, loaded, total } });
  const onBytes = (file, loaded, total) => report("downloading", file, loaded, total);
  const files = new ModelFiles(base, manifest.files, { storage, signal, onBytes });
  files.expect(manifest.files.filter((file) => file.needed).map((file) => file.path));
  const reading = GENERATING.map((path) => files.read(path));
  for (const promise of reading) promise.catch(() => {});
  const [litert, tokenizer] = await Promise.all([loadRuntime(runtime, signal), files.read("tokenizer.json").then(json)]);
  const graphs = new Map(), { config } = manifest;
  const opener = async (path) => {
    if (!graphs.has(path)) graphs.set(path, await Graph.open(litert, path, await files.read(path)));
    return graphs.get(path);
  };
  for (const [number, path] of GENERATING.entries()) {
    const content = await reading[number];
    reading[number] = null;
    report("opening", path, number, GENERATING.length);
    graphs.set(path, await Graph.open(litert, path, content));
    if (signal.aborted) throw new Cancelled();
  }
  report("opening", null, GENERATING.length, GENERATING.length);
  if (storage === "cache") forgetOthers(base, manifest.files).catch(() => {});
  opened = {
    config,
    tokenizer: new Tokenizer(tokenizer, config.text.max_tokens),
    synthesis: new Synthesis((config.decoder ?? config.autoencoder).phase_iterations, config.sample_rate),
    graph: opener,
    isOpen: (path) => graphs.has(path),
  };
  return { value: null };
}

const json = (content) => JSON.parse(new TextDecoder().decode(content));

// --- generating --------------------------------------------------------------------------------------------------

async function sound({ id, resolved, source, wantsParts }) {
  const report = (stage, step, num_steps) =>
    self.postMessage({ id, kind: "progress", value: { stage, item: 0, step, num_steps } });
  const pause = async () => {
    await turn();
    if (cancelled.has(id)) throw new Cancelled();
  };
  const give = (samples, start, isLast) =>
    self.postMessage({ id, kind: "part", value: { samples, start, isLast } }, samples.map((channel) => channel.buffer));
  const edited = source ? await openSource(source) : null;
  if (edited?.warning) resolved.warnings.unshift(edited.warning);
  // What a page rarely needs is fetched and opened when it is first used.
  const graph = async (path) => {
    if (!opened.isOpen(path)) report("model", 0, 1);
    return opened.graph(path);
  };
  const work = { source: edited?.sound ?? null, pause, report, give: wantsParts ? give : null };
  const made = await generate({ ...opened, graph }, resolved, work);
  const value = { ...made, source: edited?.record ?? null };
  return { value, transfer: value.samples.map((channel) => channel.buffer) };
}

const channel = new MessageChannel(), waiting = [];
channel.port1.onmessage = () => waiting.shift()();

/** Let messages in that have arrived. */
function turn() {
  return new Promise((resume) => {
    waiting.push(resume);
    channel.port2.postMessage(null);
  });
}
