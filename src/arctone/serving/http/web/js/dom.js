// Building elements: text is always text, never markup.

/** An element with properties, listeners (onclick: ...), ARIA and data attributes, and children (null is left out). */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.className = value;
  else if (name in element && !name.includes("-") && name !== "list") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the page's own icons, hidden from screen readers: the button it stands in has the words. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const ICONS = {
  play: "M6 3.5v13l11-6.5z",
  pause: "M5 3.5h3.6v13H5zM11.4 3.5H15v13h-3.6z",
  stop: "M4.5 4.5h11v11h-11z",
  again: "M10 3a7 7 0 1 0 6.9 8.2h-2A5 5 0 1 1 10 5c1.3 0 2.5.5 3.4 1.3L11 8.7h6.2V2.5l-2.3 2.3A7 7 0 0 0 10 3z",
  loop: "M13.5 2 17.5 5.5 13.5 9V6.6H6A1.9 1.9 0 0 0 4.1 8.5v1H2v-1a4 4 0 0 1 4-4h7.5zM6.5 18l-4-3.5 4-3.5v2.4H14a1.9 1.9 0 0 0 1.9-1.9v-1H18v1a4 4 0 0 1-4 4H6.5z",
  star: "M10 1.8l2.5 5.2 5.7.8-4.1 4 1 5.7L10 14.8l-5.1 2.7 1-5.7-4.1-4 5.7-.8z",
  save: "M9 2.5h2v7.2l2.6-2.6 1.4 1.4-5 5-5-5 1.4-1.4L9 9.7zM3 15.5h14v2H3z",
  bin: "M7.5 2.5h5l.8 1.5H17v2H3V4h3.7zM4.5 7h11l-.8 10.5H5.3z",
  mic: "M10 1.8a2.7 2.7 0 0 1 2.7 2.7v5a2.7 2.7 0 0 1-5.4 0v-5A2.7 2.7 0 0 1 10 1.8zM4.5 9h1.8a3.7 3.7 0 0 0 7.4 0h1.8a5.5 5.5 0 0 1-4.6 5.4v2.1h2.6v1.7H6.5v-1.7h2.6v-2.1A5.5 5.5 0 0 1 4.5 9z",
  close: "M5.4 4 10 8.6 14.6 4 16 5.4 11.4 10l4.6 4.6-1.4 1.4-4.6-4.6L5.4 16 4 14.6 8.6 10 4 5.4z",
  dice: "M4 2.5h12A1.5 1.5 0 0 1 17.5 4v12a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 16V4A1.5 1.5 0 0 1 4 2.5zM6.7 5.2a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zm6.6 6.6a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zM10 8.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3z",
  reuse: "M3 4.5h9v2H3zM3 9h9v2H3zM3 13.5h6v2H3zM14 8.5l4 3.7-4 3.8v-2.7h-3v-2h3z",
  brush: "M16.6 2 18 3.4 9.6 12.6 7.2 10.4zM6.2 11.5l2.6 2.4c-.2 2.6-2.4 4-6.3 3.6 1.7-1 1.3-2.5 1.6-3.9.2-1 .9-1.8 2.1-2.1z",
  range: "M2 4h2v12H2zM16 4h2v12h-2zM5.5 9h9v2h-9z",
  onward: "M2 5h7v10H2zM11 9h3V6l4.5 4-4.5 4v-3h-3z",
  less: "M3 9h14v2H3z",
  pen: "M13.6 2.6 17.4 6.4 7 16.8 2.4 17.6 3.2 13zM4.9 13.8l-.4 1.7 1.7-.4z",
  lens: "M8.5 2a6.5 6.5 0 0 1 5.2 10.4l4.3 4.3-1.4 1.4-4.3-4.3A6.5 6.5 0 1 1 8.5 2zm0 2a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9z",
  more: "M9 3h2v6h6v2h-6v6H9v-6H3V9h6z",
};

/** A button with an icon, words for everyone (or only for screen readers and as a tip), and its key. */
export function button(words, onclick, { glyph, kind = "", key = "", quiet = false, ...rest } = {}) {
  const tip = key ? `${words} (${key})` : words;
  return el(
    "button",
    { type: "button", class: `button ${kind}`, onclick, title: tip, "aria-label": quiet ? words : null, ...rest },
    glyph ? icon(glyph) : null,
    quiet ? null : el("span", {}, words),
  );
}

/** Seconds as people read them: 4.2 s, 1:05. */
export function clock(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** Bytes as people read them. */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/** One colour of the theme, from the page's variables. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
