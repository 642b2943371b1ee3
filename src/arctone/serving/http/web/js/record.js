// Recording a start sound from the microphone.

import { decode, toWav } from "./wav.js";

let recorder = null;
let parts = [];

export const isRecording = () => recorder !== null;

/** Begin. Throws: Error with words if there is no microphone or it is not allowed. */
export async function begin() {
  if (!navigator.mediaDevices) throw new Error("This browser gives no microphone to pages that are not on this machine or on https.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (failure) {
    const denied = failure.name === "NotAllowedError";
    throw new Error(denied ? "The microphone is not allowed: change that in the browser's address bar." : "There is no microphone.");
  }
  parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.start(250);
}

/** End. Returns: {name, blob} with a WAV file. Throws: Error with words if nothing was recorded. */
export async function end() {
  const ending = recorder;
  recorder = null;
  await new Promise((resolve) => {
    ending.onstop = resolve;
    ending.stop();
  });
  for (const track of ending.stream.getTracks()) track.stop();
  try {
    return { name: "recording.wav", blob: toWav(await decode(new Blob(parts, { type: ending.mimeType }))) };
  } catch {
    throw new Error("Nothing was recorded; hold on a little longer.");
  }
}
