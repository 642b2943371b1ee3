// The takes: batches, newest first, each a row of cards with pictures that are drawn when they come into view.

import { button, clock, el, icon } from "./dom.js";
import { fileName, playable, standing } from "./history.js";
import { say } from "./say.js";
import * as store from "./store.js";
import { draw } from "./wave.js";

const list = document.getElementById("batches");
const empty = document.getElementById("empty");

/** The grid. actions: what the buttons do (play, reroll, reuse, cancel, remove, select, slot, star). */
export class Grid {
  constructor(player, actions) {
    this.player = player;
    this.actions = actions;
    this.sections = new Map(); // batch id -> {batch, section}
    this.cards = new Map(); // take id -> {batch, take, card, picture, blob}
    this.selected = null; // take id
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.#comeAndGo(entry)), { rootMargin: "300px" });
    this.drawing = Promise.resolve();
    player.addEventListener("change", () => this.#mark());
    player.addEventListener("time", ({ detail }) => this.#follow(detail));
  }

  /** Put a batch on top (or, with `last`, below all others). */
  show(batch, { last = false } = {}) {
    const section = el("section", { class: "batch", "data-state": batch.state });
    this.sections.set(batch.id, { batch, section });
    if (last) list.append(section);
    else list.prepend(section);
    this.#fill(batch, section);
  }

  progress(batch, job) {
    const entry = this.sections.get(batch.id);
    if (!entry) return;
    const { words, part } = standing(job);
    const bar = entry.section.querySelector("progress");
    if (!bar) return;
    if (part === null) bar.removeAttribute("value");
    else bar.value = part;
    entry.section.querySelector(".standing").textContent = words;
    if (job.state === "queued") say(words);
  }

  /** Show a take of a batch that is still being made: it takes the place of the first that is missing. */
  add(batch, take) {
    const ghost = this.sections.get(batch.id)?.section.querySelector(".ghost");
    if (!ghost || this.cards.has(take.id)) return;
    ghost.replaceWith(el("li", {}, this.#card(batch, take)));
    this.#mark();
  }

  /** Show the end of a batch: its takes, or why there are none. */
  settle(batch) {
    const entry = this.sections.get(batch.id);
    if (!entry) return;
    this.#fill(batch, entry.section);
    const busy = list.contains(document.activeElement); // somebody is at another take: leave it chosen
    if (batch.takes.length && !(busy && this.selected)) this.select(batch.takes[0].id, { focus: false });
  }

  remove(batch) {
    for (const take of batch.takes) this.#forgetCard(take.id);
    this.sections.get(batch.id)?.section.remove();
    this.sections.delete(batch.id);
    this.#showEmpty();
  }

  removeTake(batch, take) {
    this.#forgetCard(take.id);
    this.#fill(batch, this.sections.get(batch.id).section);
  }

  #forgetCard(id) {
    const entry = this.cards.get(id);
    if (!entry) return;
    this.seen.unobserve(entry.card);
    entry.picture?.destroy();
    this.cards.delete(id);
    if (this.selected === id) this.select(null);
  }

  #showEmpty() {
    empty.hidden = this.sections.size > 0;
    document.getElementById("filter").hidden = this.sections.size === 0;
  }

  #fill(batch, section) {
    for (const take of batch.takes) this.#forgetCardQuietly(take.id);
    section.dataset.state = batch.state;
    const title = el("h3", { id: `batch-${batch.id}` }, batch.request.prompt);
    section.setAttribute("aria-labelledby", title.id);
    section.replaceChildren(
      el("header", {}, el("div", { class: "about" }, title, el("p", { class: "facts" }, facts(batch))), this.#tools(batch)),
      this.#body(batch),
      ...(batch.result?.warnings ?? []).map((words) => el("p", { class: "warning" }, words)),
    );
    this.#showEmpty();
    this.#mark();
  }

  #forgetCardQuietly(id) {
    const entry = this.cards.get(id);
    if (entry) {
      this.seen.unobserve(entry.card);
      entry.picture?.destroy();
      this.cards.delete(id);
    }
  }

  #tools(batch) {
    const { actions } = this;
    const tools = el("div", { class: "tools" });
    if (batch.state === "waiting") {
      tools.append(button("Cancel", () => actions.cancel(batch), { glyph: "close", key: "Esc" }));
    } else {
      tools.append(...[
        button("Re-roll", () => actions.reroll(batch), { glyph: "dice", key: "R" }),
        button("Reuse settings", () => actions.reuse(batch), { glyph: "reuse", quiet: true }),
        batch.takes.length > 1 && button("Download all as a ZIP file", () => actions.zip(batch), { glyph: "save", quiet: true }),
        button("Delete batch", () => actions.remove(batch), { glyph: "bin", quiet: true }),
      ].filter(Boolean));
    }
    return tools;
  }

  #body(batch) {
    if (batch.state === "waiting") {
      const missing = Math.min(16, batch.request.variations ?? 1) - batch.takes.length;
      return el(
        "div",
        {},
        el("div", { class: "working" },
          el("progress", { max: 1, "aria-label": "Progress" }), el("span", { class: "standing" }, "Sending")),
        el("ul", { class: "takes" },
          batch.takes.map((take) => el("li", {}, this.#card(batch, take))),
          Array.from({ length: Math.max(0, missing) }, () => el("li", { class: "ghost", "aria-hidden": "true" }))),
      );
    }
    if (batch.state !== "done") {
      return el("p", { class: "ended" }, batch.error ?? (batch.state === "cancelled" ? "Cancelled; nothing was kept." : "It failed."));
    }
    return el("ul", { class: "takes" }, batch.takes.map((take) => el("li", {}, this.#card(batch, take))));
  }

  #card(batch, take) {
    const { actions } = this;
    const name = `Take ${take.index + 1}`;
    const play = button(`Play ${name.toLowerCase()}`, () => actions.play(take.id), { glyph: "play", quiet: true, kind: "play" });
    const slot = (letter) =>
      button(`Compare as ${letter}: ${name.toLowerCase()}`, () => actions.slot(letter, take.id), { quiet: true, kind: "slot", "data-slot": letter, "aria-pressed": "false" });
    const card = el(
      "article",
      {
        class: "take", tabIndex: 0, draggable: true, "data-id": take.id,
        "aria-label": `${name}, seed ${take.seed}, ${clock(take.seconds)}`,
        onfocusin: () => this.select(take.id, { focus: false }),
        onclick: () => this.select(take.id, { focus: false }),
        ondragstart: (event) => this.#dragOut(event, take.id),
      },
      el("div", { class: "picture", "aria-hidden": "true", title: "Click to play from there; double-click for a close-up", ondblclick: () => actions.closeUp(batch, take) }),
      el("div", { class: "bar" }, play,
        el("span", { class: "name", title: "Double-click or press N to give it a name", ondblclick: () => actions.rename(take.id) }, take.name ?? `${take.index + 1}`),
        el("span", { class: "seed", title: `Seed ${take.seed}` }, take.name ? "" : String(take.seed)),
        slot("A"), slot("B"),
        button(`Star ${name.toLowerCase()}`, () => actions.star(take.id), { glyph: "star", quiet: true, kind: "star", "aria-pressed": String(take.starred) })),
    );
    for (const one of card.querySelectorAll(".slot")) one.append(one.dataset.slot);
    this.cards.set(take.id, { batch, take, card, picture: null, blob: null });
    this.seen.observe(card);
    return card;
  }

  #comeAndGo({ isIntersecting, target }) {
    const entry = this.cards.get(target.dataset.id);
    if (!entry || entry.card !== target) return;
    if (isIntersecting && !entry.picture) this.drawing = this.drawing.then(() => this.#draw(entry)).catch(() => {});
    if (!isIntersecting && entry.picture) {
      entry.picture.destroy();
      entry.picture = null;
    }
  }

  async #draw(entry) {
    if (entry.picture || !entry.card.isConnected) return;
    entry.blob = await store.sound(entry.take.id);
    const container = entry.card.querySelector(".picture");
    if (!entry.blob) {
      container.textContent = "The browser no longer has this sound.";
      return;
    }
    entry.picture = draw(container, entry.blob, { onSeek: (seconds) => this.actions.play(entry.take.id, seconds) });
    await entry.picture.ready;
    entry.card.dataset.drawn = "";
  }

  /** Show only takes whose prompt, name or seed has the words, and if wanted only those with a star. Returns: how many. */
  filter(words, onlyStarred) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { batch, section } of this.sections.values()) {
      let isSeen = false;
      for (const take of batch.takes) {
        const text = `${batch.request.prompt} ${take.name ?? ""} ${take.seed}`.toLowerCase();
        const fits = wanted.every((word) => text.includes(word)) && (!onlyStarred || take.starred);
        const card = this.cards.get(take.id)?.card;
        if (card) card.parentElement.hidden = !fits;
        isSeen ||= fits;
        count += fits;
      }
      section.hidden = batch.takes.length ? !isSeen : Boolean(wanted.length || onlyStarred);
    }
    return count;
  }

  /** Write a take's name on its card. */
  named({ card, take }) {
    card.querySelector(".name").textContent = take.name ?? `${take.index + 1}`;
    card.querySelector(".seed").textContent = take.name ? "" : String(take.seed);
    card.setAttribute("aria-label", `${take.name ?? `Take ${take.index + 1}`}, seed ${take.seed}, ${clock(take.seconds)}`);
  }

  /** Put a deleted batch back in its place. */
  restore(batch) {
    this.show(batch);
    const { section } = this.sections.get(batch.id);
    const older = [...this.sections.values()].find((entry) => entry.batch.made < batch.made && entry.section !== section);
    if (older) list.insertBefore(section, older.section);
  }

  /** Draw a batch again after one of its takes came back. */
  refill(batch) {
    this.#fill(batch, this.sections.get(batch.id).section);
  }

  /** Draw all pictures again, in the colours of a new theme. */
  redraw() {
    for (const entry of this.cards.values()) {
      entry.picture?.destroy();
      entry.picture = null;
      delete entry.card.dataset.drawn;
      this.seen.unobserve(entry.card);
      this.seen.observe(entry.card);
    }
  }

  #dragOut(event, id) {
    const { batch, take, blob } = this.cards.get(id);
    event.dataTransfer.effectAllowed = "copy";
    event.dataTransfer.setData("application/x-arctone-take", id);
    if (!blob) return;
    const url = URL.createObjectURL(blob);
    event.dataTransfer.setData("DownloadURL", `audio/wav:${fileName(batch, take)}:${url}`);
    setTimeout(() => URL.revokeObjectURL(url), 120_000);
  }

  /** Choose a take: its settings are shown. focus: also move the keyboard there. */
  select(id, { focus = true } = {}) {
    const entry = this.cards.get(id);
    if (focus) entry?.card.focus();
    if (this.selected === id) return;
    this.selected = entry ? id : null;
    for (const { card } of this.cards.values()) card.toggleAttribute("aria-current", false);
    entry?.card.setAttribute("aria-current", "true");
    this.actions.select(entry ?? null);
  }

  /** Go to the take `by` places after the chosen one, in reading order. */
  move(by) {
    const cards = [...list.querySelectorAll(".take")].filter((card) => card.checkVisibility());
    const now = cards.findIndex((card) => card.dataset.id === this.selected);
    const next = cards[Math.max(0, Math.min(cards.length - 1, now < 0 ? 0 : now + by))];
    if (next) {
      this.select(next.dataset.id);
      next.scrollIntoView({ block: "nearest" });
    }
  }

  get(id = this.selected) {
    return this.cards.get(id) ?? null;
  }

  playable(id) {
    const entry = this.cards.get(id);
    return entry && playable(entry.batch, entry.take);
  }

  #mark() {
    const { take, playing, slots } = this.player;
    for (const [id, { card, take: own }] of this.cards) {
      const active = playing && take?.id === id;
      card.toggleAttribute("data-playing", active);
      const play = card.querySelector(".play");
      play.firstChild.replaceWith(icon(active ? "pause" : "play"));
      play.setAttribute("aria-label", `${active ? "Pause" : "Play"} take ${own.index + 1}`);
      for (const one of card.querySelectorAll(".slot")) one.setAttribute("aria-pressed", String(slots[one.dataset.slot]?.id === id));
      card.querySelector(".star").setAttribute("aria-pressed", String(own.starred));
    }
  }

  #follow({ take, seconds }) {
    for (const [id, entry] of this.cards) entry.picture?.playhead(take?.id === id ? seconds : null, entry.take.seconds);
  }
}

function facts(batch) {
  const settings = batch.resolved ?? batch.request;
  const made = new Date(batch.made).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const how = batch.source ? (settings.extend ? "continued" : settings.inpaint ? "parts remade" : "restyled") : null;
  return [
    made,
    batch.model,
    settings.duration_seconds ? clock(settings.duration_seconds) : null,
    settings.bpm ? `${settings.bpm} BPM` : null,
    settings.steps ? `${settings.steps} steps` : null,
    settings.loop ? "loop" : null,
    how ? `${how} from ${batch.source.name}` : null,
  ].filter(Boolean).join(" · ");
}
