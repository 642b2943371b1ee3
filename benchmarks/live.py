"""Minutes of the studio's live mode in a real browser: is there ever a gap, and how soon does steering become audible?

    python -m benchmarks.live

A real `arctone serve` and a headless Chromium share this machine. In the audio thread of the browser a worklet looks at
every block of 128 frames that leaves the page. Where all samples are exactly zero, the parts that should sound then are
looked at: if they are silent there themselves, as a pad may be before its attack, it is silence; if not, or if no part
was due, it is a gap. The clock of the audio is compared with that of the page, so that sound that is late (an underrun)
is seen as well. Now and then the prompt, the strength, the tempo or the theme is changed, as a person would.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.results import JSON
from benchmarks.serve_load import server
from tests.browser import start_browser

LIVE = "(await import('/static/js/main.js')).live"
# What is steered, in turn: the field, and its new value. Continuous sounds, because between the strokes of a drum there
# is silence that nobody would call a gap.
STEPS = [
    ("live-prompt", "storm at sea, heavy rain"),
    ("live-strength", "0.5"),
    ("live-prompt", "warm analog pad, slow attack"),
    ("live-tempo", "100"),
    ("new theme", ""),
    ("live-strength", "0.95"),
    ("live-tempo", ""),
    ("live-prompt", "a river in a forest"),
]
FIRST_PROMPT = "endless sea, waves on a beach"
WATCH = """
const source = `registerProcessor("watch", class extends AudioWorkletProcessor {
  constructor() { super(); this.blocks = 0; this.from = null; this.audible = false;
    this.port.onmessage = () => this.port.postMessage({blocks: this.blocks}); }
  process([input]) {
    this.blocks += 1;
    const isSilent = !input.length || input.every((channel) => channel.every((value) => value === 0));
    // Before the first sound the page's output may not be connected yet: a gap lies between two sounds.
    if (isSilent && this.audible) this.from ??= currentTime;
    else if (this.from !== null) { this.port.postMessage({silent: [this.from, currentTime]}); this.from = null; }
    this.audible ||= !isSilent;
    return true;
  } })`;
const { live, player } = await import('/static/js/main.js');
const { context } = player;
await context.audioWorklet.addModule(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
const known = new Set();
const remember = () => {
  for (const part of live.parts) known.add(part);
  for (const part of known) if (part.end < context.currentTime - 5) known.delete(part);
};
remember();
live.addEventListener("change", remember);
const isSounding = (part, from, to) => {
  const { sampleRate } = part.buffer;
  const first = Math.max(0, Math.ceil((from - part.start) * sampleRate) + 8);
  const last = Math.floor((Math.min(to, part.end) - part.start) * sampleRate) - 8;
  return [0, part.buffer.numberOfChannels - 1].some((channel) =>
    part.buffer.getChannelData(channel).subarray(first, Math.max(first, last)).some((value) => value !== 0));
};
const node = new AudioWorkletNode(context, "watch", {numberOfOutputs: 1});
const watch = { node, worst: 0, stall: 0, last: performance.now(), gaps: [], silences: 0 };
node.port.onmessage = ({ data }) => {
  if (data.blocks) return watch.resolve(data.blocks);
  const [from, to] = data.silent;
  const due = [...known].filter((part) => part.start < to && from < part.end);
  if (due.length && !due.some((part) => isSounding(part, from, to))) watch.silences += 1;
  else watch.gaps.push(to - from);
};
player.output.connect(node);
node.connect(context.destination);
const first = [context.currentTime, performance.now() / 1000];
// The page's timers are late when it is busy; that is no underrun, because both clocks are read together.
watch.timer = setInterval(() => {
  const now = performance.now();
  watch.stall = Math.max(watch.stall, now - watch.last);
  watch.last = now;
  watch.worst = Math.max(watch.worst, now / 1000 - first[1] - (context.currentTime - first[0]));
}, 20);
window.watch = watch;
"""
COUNTS = """new Promise((resolve) => {
  const { watch } = window;
  watch.resolve = (blocks) => resolve({
    blocks, gaps: watch.gaps, silences: watch.silences, worst: watch.worst, stall: watch.stall });
  watch.node.port.postMessage(null);
})"""
STATE = f"""(async () => {{ const live = {LIVE}; return {{...live.stats, buffered: live.buffered, problem: live.problem,
  words: live.current?.settings.words ?? '', rate: live.player.context.sampleRate}} }})()"""


class Play:
    """The live mode of one page."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})  # for the worklet of this measurement only
        driver.get(address)
        self.wait("document.body.dataset.ready !== undefined")

    def script(self, text: str) -> Any:
        """The value of an expression."""
        return self.driver.execute_script(f"return (async () => ({text}))()")

    def wait(self, condition: str, seconds: float = 60) -> float:
        """Seconds until an expression is true."""
        began = time.monotonic()
        while not self.script(condition):
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"never true: {condition}")
            time.sleep(0.05)
        return time.monotonic() - began

    def begin(self) -> float:
        """Start; returns the seconds until the first sound."""
        self.driver.find_element("id", "mode-live").click()
        self.set("live-prompt", FIRST_PROMPT)
        self.driver.find_element("id", "live-toggle").click()
        seconds = self.wait(f"{LIVE}.current !== null")
        self.driver.execute_script(f"return (async () => {{{WATCH}}})()")
        return seconds

    def set(self, field: str, value: str) -> None:
        """Steer."""
        if field == "new theme":
            self.script(
                "[...document.querySelectorAll('#live button')].find((e) => e.textContent.includes('theme')).click()"
            )
            return
        self.driver.execute_script(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input'))",
            field,
            value,
        )


def play(driver: Any, address: str, options: argparse.Namespace) -> JSON:
    """Minutes of play. Returns: what was counted."""
    page = Play(driver, address)
    first = page.begin()
    end = time.monotonic() + 60 * options.minutes
    steered: list[float] = []
    buffered: list[float] = []
    num_steers = 0
    for field, value in itertools.cycle(STEPS):
        began, reached = time.monotonic(), field != "live-prompt"
        page.set(field, value)
        num_steers += 1
        while time.monotonic() < min(end, began + options.steer_every):
            state = page.script(STATE)
            buffered.append(state["buffered"])
            if not reached and state["words"] == value:
                reached = True
                steered.append(time.monotonic() - began)
            time.sleep(0.25)
        if time.monotonic() >= end:
            break
    counts, state = page.script(COUNTS), page.script(STATE)
    page.driver.find_element("id", "live-toggle").click()
    return {
        "played_seconds": round(counts["blocks"] * 128 / state["rate"], 1),
        "parts_made": state["made"],
        "steered": num_steers,
        "gaps_ms": [round(1000 * gap, 1) for gap in counts["gaps"]],
        "silences_of_the_sounds": counts["silences"],
        "laid_too_late": state["gaps"],
        "repeats": state["repeats"],
        "worst_lateness_ms": round(1000 * counts["worst"], 1),
        "longest_stall_of_page_ms": round(counts["stall"], 1),
        "least_ready_seconds": round(min(buffered), 1),
        "last_speed": round(state["speed"], 1),
        "first_sound_seconds": round(first, 2),
        "steer_seconds": [round(value, 1) for value in steered],
        "problem": state["problem"],
    }


def block(result: JSON) -> str:
    """The table of the documentation."""
    steer, gaps = result["steer_seconds"], result["gaps_ms"]
    delay = f"{statistics.median(steer):.1f} s (longest {max(steer):.1f} s, {len(steer)} times)" if steer else "-"
    rows = [
        [
            "played",
            f"{result['played_seconds']:.0f} s in {result['parts_made']} parts, steered {result['steered']} times",
        ],
        ["gaps in the sound", f"{len(gaps)}, longest {max(gaps, default=0):.0f} ms"],
        ["parts that came too late, parts repeated", f"{result['laid_too_late']}, {result['repeats']}"],
        ["most that the sound was late", f"{result['worst_lateness_ms']:.0f} ms"],
        ["least that was ready", f"{result['least_ready_seconds']:.1f} s"],
        ["from Start to sound", f"{result['first_sound_seconds']:.1f} s"],
        ["from a new prompt to its sound, median", delay],
    ]
    return "\n\n".join([results.table(["live", "found"], rows), results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steer-every", type=float, default=15.0, help="seconds")
    parser.add_argument("--model", default=None, help="other than the default model of the program")
    parser.add_argument("--queue", type=int, default=32, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)

    busy = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder, server([], options) as (port, _):
        driver = start_browser(Path(folder), "--window-size=1440,900")
        try:
            found = play(driver, f"http://127.0.0.1:{port}/", options)
        finally:
            driver.quit()
    settings = {"minutes": options.minutes, "steer_every": options.steer_every, "load average before": busy}
    print(found)
    print(results.write("live", settings, found, options.results))


if __name__ == "__main__":
    main()
