// Studio or live.

import * as orders from "./orders.js";
import { at, form, grid, live, livePage, player, state } from "./page.js";
import { say } from "./say.js";

export async function toggleLive() {
  if (live.running) {
    live.stop();
    say("Live stopped.");
    return;
  }
  const settings = livePage.settings();
  if (!settings.words) throw new Error("Say what the live sound should be.");
  player.stop();
  live.start(settings);
  say("Live started.");
}

export function newTheme() {
  live.steer(livePage.settings(), { newTheme: true });
}

export async function keepPart(part) {
  await orders.keep(part.settings.request, state.model.name, part.made, grid);
  say("The part is among the takes.");
}

export function showMode(mode) {
  const isLive = mode === "live";
  document.body.dataset.mode = mode;
  at("live").hidden = !isLive;
  for (const id of ["form", "takes", "inspector"]) at(id).hidden = isLive;
  at("mode-studio").setAttribute("aria-pressed", String(!isLive));
  at("mode-live").setAttribute("aria-pressed", String(isLive));
  if (isLive && !livePage.prompt.value) livePage.prompt.value = form.value("prompt") ?? "";
}
