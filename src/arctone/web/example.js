// A page of a few lines: a model is opened at the first request, each sound can be played and saved.

import { load } from "./arctone.js";

const form = document.querySelector("form"), { prompt, seconds, seed, stop } = form.elements;
const progress = document.querySelector("progress"), output = document.querySelector("output");
const player = document.querySelector("audio"), button = form.querySelector("button");
let model = null, stopping = null;

function show(done, total, words) {
  progress.hidden = false;
  progress.max = total;
  progress.value = done;
  output.textContent = words;
}

const megabytes = (bytes) => Math.round(bytes / 1e6);

function onLoading({ stage, loaded, total }) {
  const fetching = `Fetching the model: ${megabytes(loaded)} of ${megabytes(total)} MB`;
  show(loaded, total, stage === "downloading" ? fetching : "Opening the model");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  stopping = new AbortController();
  const { signal } = stopping;
  [button.disabled, stop.disabled] = [true, false];
  try {
    model ??= await load(undefined, { signal, onProgress: onLoading });
    const fields = { seconds: Number(seconds.value), seed: seed.value ? seed.value : undefined };
    const onProgress = ({ stage, step, num_steps: total }) => show(step, total, stage);
    const sound = await model.generate(prompt.value, { ...fields, signal, onProgress });
    URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(sound.toWav());
    player.hidden = false;
    output.textContent = [`Seed ${sound.seed}, ${Math.round(sound.timings.total)} ms.`, ...sound.warnings].join(" ");
  } catch (failure) {
    output.textContent = failure.name === "AbortError" ? "Stopped." : failure.message;
  } finally {
    progress.hidden = true;
    [button.disabled, stop.disabled] = [false, true];
  }
});

stop.addEventListener("click", () => stopping?.abort());
