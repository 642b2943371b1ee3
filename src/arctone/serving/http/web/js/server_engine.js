// The engine `arctone serve`: every request carries the token if there is one, every failure has the server's words.

import { fromJson, Problem, toJson } from "./problem.js";

export const kind = "server";

export const words = {
  lostJob: "The server no longer knows this job: it was restarted, or the sound was kept too long.",
  lostTake: (format) => `The server no longer keeps this take, so it can be saved as WAV only; redo it to get ${format}.`,
  noModel: (name) => `The model ${name} is not on this server.`,
};

const TOKEN = "arctone-token";
let askForToken = async () => null;

/** Set what asks people for the token: an async function that returns it, or null. */
export function onUnauthorized(ask) {
  askForToken = ask;
}

/** Send a request, and again with a token if the server wants one. Returns: a good response. Throws: Problem. */
export async function send(path, options = {}) {
  const response = await attempt(path, options);
  if (response.status !== 401) return response.ok ? response : refuse(response);
  const token = await askForToken(sessionStorage.getItem(TOKEN) !== null);
  if (!token) return refuse(response);
  sessionStorage.setItem(TOKEN, token);
  return send(path, options);
}

async function attempt(path, options) {
  const headers = new Headers(options.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(path.replace(/^\//, ""), { ...options, headers });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Problem("The server does not answer. Is `arctone serve` still running?");
  }
}

async function refuse(response) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // not our server's kind of answer: the status has to do
  }
  const wait = response.headers.get("Retry-After");
  const words = error?.message ?? `The server answered ${response.status} ${response.statusText}.`;
  throw new Problem(wait ? `${words} Try again in ${wait} s.` : words, { ...error, status: response.status });
}

const json = async (response) => fromJson(await response.text());

/** How long a request will take: {steps, seconds (null: not known yet), duration_seconds}. */
export async function estimate(request, sourceSeconds, signal) {
  const headers = { "Content-Type": "application/json" };
  const body = toJson({ request, source_seconds: sourceSeconds ?? null });
  return json(await send("v1/estimates", { method: "POST", headers, body, signal }));
}

export const models = async () => (await (await send("v1/models")).json()).models;
export const limits = async () => (await send("v1/limits")).json();
export const job = async (id) => json(await send(`v1/jobs/${id}`));
export const cancel = (id) => send(`v1/jobs/${id}`, { method: "DELETE" });

/** Order sound. `audio`: a Blob to start from, or null. Returns: the job. */
export async function order(request, audio = null, signal = undefined) {
  const body = toJson(request);
  if (!audio) {
    const headers = { "Content-Type": "application/json" };
    return json(await send("v1/jobs", { method: "POST", headers, body, signal }));
  }
  const form = new FormData();
  form.append("request", body);
  form.append("audio", audio, audio.name ?? "audio.wav");
  return json(await send("v1/jobs", { method: "POST", body: form, signal }));
}

/** The sound of one take. `format`: wav, flac, mp3, ogg or opus. */
export async function audio(id, index, format = "wav", signal = undefined) {
  return (await send(`v1/jobs/${id}/takes/${index}?format=${format}`, { signal })).blob();
}

/** The record inside an audio file. Throws: Problem with status 422 if it has none. */
export async function record(file) {
  const headers = { "Content-Type": file.type || "application/octet-stream" };
  return (await json(await send("v1/records", { method: "POST", headers, body: file }))).record;
}

const FINAL = ["done", "failed", "cancelled"];

/** Follow a job to its end: `onChange` gets each state of it. Returns: the final job. Throws: Problem, AbortError. */
export async function follow(id, onChange, signal = undefined) {
  let last = null;
  const report = (next) => {
    last = next;
    onChange(next);
  };
  try {
    await events(id, report, signal);
  } catch (failure) {
    if (failure.name === "AbortError" || failure.status === 404) throw failure;
  }
  while (!last || !FINAL.includes(last.state)) {
    report(await job(id));
    if (!FINAL.includes(last.state)) await new Promise((wake) => setTimeout(wake, 500));
    signal?.throwIfAborted();
  }
  return last;
}

async function events(id, report, signal) {
  const response = await send(`v1/jobs/${id}/events`, { headers: { Accept: "text/event-stream" }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text = (text + value).replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) report(fromJson(data.join("\n")));
    }
  }
}
