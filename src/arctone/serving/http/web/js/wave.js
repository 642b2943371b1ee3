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

/**
 * Draw a sound so that it can be zoomed. onSeek: gets seconds of a click. onPart: gets start and end of what was dragged
 * over. Returns: {ready, zoom(factor, seconds), playhead(seconds), clearPart, destroy}.
 */
export function drawClosely(container, blob, { onSeek, onPart, height = 110, spectrogram = 170 }) {
  const wave = el("div", { class: "wave" });
  const head = el("div", { class: "playhead", hidden: true });
  container.replaceChildren(wave, head);
  const regions = RegionsPlugin.create();
  const surfer = WaveSurfer.create({
    container: wave, height, waveColor: colour("wave"), progressColor: colour("wave"), cursorWidth: 0, barHeight: 0.95,
    sampleRate: 44100, interact: true, plugins: [regions, spectrogramPlugin(null, spectrogram, 1024)],
  });
  surfer.on("interaction", onSeek);
  regions.on("region-created", (region) => {
    for (const other of regions.getRegions()) if (other !== region) other.remove();
    onPart(region.start, region.end);
  });
  regions.on("region-updated", ({ start, end }) => onPart(start, end));
  const ready = surfer.loadBlob(blob).then(() => regions.enableDragSelection({ color: PART }));
  const width = () => surfer.getWrapper().clientWidth;
  const place = (seconds) => (seconds / surfer.getDuration()) * width();
  return {
    ready,
    clearPart: () => regions.clearRegions(),
    zoom: (factor, seconds) => {
      const middle = seconds === null ? surfer.getScroll() / width() + container.clientWidth / width() / 2 : seconds / surfer.getDuration();
      surfer.zoom(factor === 1 ? 0 : (factor * container.clientWidth) / surfer.getDuration());
      surfer.setScroll(Math.max(0, middle * width() - container.clientWidth / 2));
    },
    playhead: (seconds) => {
      head.hidden = seconds === null;
      if (seconds === null) return;
      const at = place(seconds) - surfer.getScroll();
      if (at < 0 || at > container.clientWidth) surfer.setScroll(Math.max(0, place(seconds) - 20));
      head.style.left = `${place(seconds) - surfer.getScroll()}px`;
    },
    destroy: () => {
      surfer.destroy();
      container.replaceChildren();
    },
  };
}

const PART = "rgba(255, 150, 40, 0.32)";

/** container: null for one that scrolls with the waveform. */
function spectrogramPlugin(container, height, fftSamples = 512) {
  return SpectrogramPlugin.create({
    ...(container ? { container } : {}),
    height,
    labels: false,
    fftSamples,
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
