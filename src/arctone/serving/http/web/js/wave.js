// Pictures of sound: waveform and spectrogram by wavesurfer.js, and a playhead that follows the player.

import RegionsPlugin from "../vendor/regions.esm.js";
import SpectrogramPlugin from "../vendor/spectrogram.esm.js";
import WaveSurfer from "../vendor/wavesurfer.esm.js";
import { colour, el } from "./dom.js";

/** Draw a sound into an element. onSeek: gets seconds when somebody clicks. Returns: {destroy, playhead, regions, ready}. */
export function draw(container, blob, { height = 44, spectrogram = 44, onSeek = null, ranges = false } = {}) {
  const wave = el("div", { class: "wave" });
  const picture = el("div", { class: "spectrogram" });
  const head = el("div", { class: "playhead", hidden: true });
  container.replaceChildren(wave, picture, head);
  const regions = ranges ? RegionsPlugin.create() : null;
  const surfer = WaveSurfer.create({
    container: wave,
    height,
    waveColor: colour("wave"),
    progressColor: colour("wave"),
    cursorWidth: 0,
    barHeight: 0.95,
    sampleRate: 44100,
    interact: Boolean(onSeek) && !ranges,
    plugins: [regions, spectrogram ? spectrogramPlugin(picture, spectrogram) : null].filter(Boolean),
  });
  if (onSeek) {
    surfer.on("interaction", onSeek);
    picture.addEventListener("click", (event) => {
      const { left, width } = picture.getBoundingClientRect();
      onSeek(Math.max(0, Math.min(1, (event.clientX - left) / width)) * surfer.getDuration());
    });
  }
  const ready = surfer.loadBlob(blob);
  return {
    ready,
    regions,
    playhead: (seconds, duration) => movePlayhead(head, seconds, duration),
    destroy: () => {
      surfer.destroy();
      container.replaceChildren();
    },
  };
}

function spectrogramPlugin(container, height) {
  return SpectrogramPlugin.create({
    container,
    height,
    labels: false,
    fftSamples: 512,
    windowFunc: "hann",
    scale: "mel",
    frequencyMax: 20000,
    gainDB: 18,
    rangeDB: 75,
    colorMap: colourMap(),
  });
}

/** From the panel's ground over the accent to bright: 256 steps, so that quiet parts vanish into the card. */
function colourMap() {
  const stops = ["heat-0", "heat-1", "heat-2", "heat-3"].map((name) => rgb(colour(name)));
  return Array.from({ length: 256 }, (_, n) => {
    const place = (n / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(place));
    return [...stops[low].map((value, k) => value + (stops[low + 1][k] - value) * (place - low)), 1];
  });
}

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
}

function movePlayhead(head, seconds, duration) {
  head.hidden = seconds === null;
  if (seconds !== null) head.style.left = `${Math.min(100, (100 * seconds) / duration)}%`;
}
