"""The engine in a page with the bundled model, in a real browser: how soon, how fast, how large.

    python -m benchmarks.web_page
    python -m benchmarks.web_page --nice -12     # at a raised priority, on a machine that has other work
    python -m benchmarks.web_page --edits        # only how near its edits are to the native engine's; stores nothing

An exported folder lies behind a plain file server. A first visit fetches the model; in a second one, with the model in
the browser's storage, it is opened, makes a first short sound, and then long sounds at the default number of steps, on
one thread. Times are minima of several runs, because other programs only ever make a run slower. The native engine
generates the same sounds in between, so that the two can be compared whatever the machine does besides.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import numpy as np

import arctone
from arctone.audio.spectral.features import LEVEL_CENTRE, LEVEL_SCALE
from arctone.audio.spectral.stft import NUM_BINS
from arctone.audio.waveform import Waveform
from arctone.export.web import export_web
from arctone.inference.backends.base import Floats
from benchmarks import results
from benchmarks.results import JSON
from tests.browser import start_browser
from tests.web.static_page import DECODED, EnginePage, StaticFiles, packed

NAME = "web_page"
PROMPT = "rain on a tin roof"
LONG_SECONDS, SHORT_SECONDS = 11.89, 4.0
SEED = 7

# A timer beats every 5 ms on the page's thread; what it is late by is how long something blocked it.
OPEN = """
window.longest = 0;
let last = performance.now();
window.beat = setInterval(() => {
  const now = performance.now();
  window.longest = Math.max(window.longest, now - last - 5);
  last = now;
}, 5);
const began = performance.now();
window.opened = await load("model/");
const isOpen = performance.now();
await window.opened.generate(given[0], { seconds: given[1], seed: given[2] });
return { opening: isOpen - began, first: performance.now() - isOpen };
"""
MAKE = """
const model = window.opened;
const { timings } = await model.generate(given[0], { seconds: given[1], seed: given[2] });
return { timings, longest: window.longest };
"""


def measure(options: argparse.Namespace) -> JSON:
    """Measure a model in a page.

    Args:
        options: of the command line.

    Returns:
        The result's values.
    """
    with _opened(options.model) as (page, sizes):
        return {"sizes": sizes, **_visits(page, options)}


@contextlib.contextmanager
def _opened(model: str) -> Iterator[tuple[EnginePage, dict[str, float]]]:
    """Export a model, and open a browser next to the folder; gives the page and the folder's sizes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "page"
        sizes = export_web(model, folder, studio=False)
        files = StaticFiles(folder)
        (Path(scratch) / "browser").mkdir()
        browser = start_browser(Path(scratch) / "browser")
        browser.set_script_timeout(600)
        try:
            yield EnginePage(browser, files), sizes
        finally:
            browser.quit()
            files.close()


def _visits(page: EnginePage, options: argparse.Namespace) -> JSON:
    page.open()
    _raise_priority(page, options.nice)
    fetched = page.run(OPEN, PROMPT, SHORT_SECONDS, SEED)
    names = {path.split("?")[0] for path in page.files.paths}
    megabytes = sum(path.stat().st_size for name in names if (path := page.files.folder / name[1:]).is_file()) / 1e6
    openings = []
    for _ in range(options.visits):
        page.open()
        _raise_priority(page, options.nice)
        openings.append(page.run(OPEN, PROMPT, SHORT_SECONDS, SEED))
    with _peak_memory(page) as peak:
        native, runs = _in_turn(page, options)
    fastest = min(runs, key=lambda run: run["timings"]["total"])
    return {
        "download_mb": round(megabytes, 2),
        "first_visit_ms": round(fetched["opening"] + fetched["first"], 1),
        "opening_ms": round(min(visit["opening"] for visit in openings), 1),
        "first_sound_ms": round(min(visit["first"] for visit in openings), 1),
        "stages_ms": {name: round(value, 1) for name, value in fastest["timings"].items()},
        "native_ms": {name: round(value, 1) for name, value in native["timings"].items()},
        "memory_mb": {name: round(value / 1e6) for name, value in peak.items()},
        "longest_block_ms": round(min(run["longest"] for run in runs), 1),
        "agreement_db": _agreement(page, options),
        "load_average": os.getloadavg()[0],
    }


def _in_turn(page: EnginePage, options: argparse.Namespace) -> tuple[JSON, list[JSON]]:
    """Generate the long sound natively and in the page, in turn; returns the fastest native run and all of the page."""
    model = arctone.load(options.model, engine="native", threads=1)
    runs, native = [], []
    for _ in range(options.repeats):
        made = model.generate(PROMPT, duration_seconds=LONG_SECONDS, seed=SEED)
        native.append({"timings": made.timings_ms})
        page.run("window.longest = 0;")
        runs.append(page.run(MAKE, PROMPT, LONG_SECONDS, SEED))
    return min(native, key=lambda run: run["timings"]["total"]), runs


# --- agreement ---


# The modules whose backends make sound from spectral parameters.
_SYNTHESIS = {"native": "arctone.inference.backends.litert", "torch": "arctone.inference.backends.torch_codecs"}


class Decoded(NamedTuple):
    """Latents [C, T] and spectral parameters [rows, M] of the window of a sound."""

    latents: Floats
    parameters: Floats

    def distance_db(self, other: Decoded) -> JSON:
        """Compare latents and magnitudes with those of another engine: signal over error."""

        def magnitudes(decoded: Decoded) -> Floats:
            return np.asarray(np.exp(LEVEL_SCALE * decoded.parameters[:NUM_BINS] + LEVEL_CENTRE))

        pairs = {"latents": (self.latents, other.latents), "magnitudes": (magnitudes(self), magnitudes(other))}
        return {name: round(_signal_over_error_db(*pair), 1) for name, pair in pairs.items()}


def _agreement(page: EnginePage, options: argparse.Namespace) -> JSON:
    """Compare the page, the native engine and the torch engine, which computes the same weights in float32."""
    fields = {"prompt": PROMPT, "duration_seconds": LONG_SECONDS, "seed": SEED}
    native, exact = _decoded_by("native", options.model, fields), _decoded_by("torch", options.model, fields)
    page.open()
    found = _decoded_in_page(page, fields, native)
    return {
        "page, native": found.distance_db(native),
        "page, float32": found.distance_db(exact),
        "native, float32": native.distance_db(exact),
    }


EDITS: dict[str, JSON] = {
    "restyled": {"prompt": "church organ", "init_noise_level": 0.7},
    "a part remade": {"prompt": "helicopter flying over", "inpaint": ["1:2.5"]},
    "continued": {"prompt": PROMPT, "extend": True, "duration_seconds": 8.0},
}


def edits(page: EnginePage, name: str) -> JSON:
    """Compare edits of a sound, in the page, with those of the native and of the torch engine.

    Args:
        page: that is open on the exported model.
        name: of the model.

    Returns:
        For each edit, by pair of engines: signal over error of latents and magnitudes.
    """
    model = arctone.load(name, engine="native", threads=1)
    source = model.generate(PROMPT, duration_seconds=SHORT_SECONDS, seed=SEED).waveforms[0]
    found = {}
    for edit, settings in EDITS.items():
        fields = {**settings, "seed": SEED}
        native, exact = (_decoded_by(engine, name, fields, source) for engine in ("native", "torch"))
        in_page = _decoded_in_page(page, fields, native, source)
        pairs = {
            "page, native": (in_page, native),
            "page, float32": (in_page, exact),
            "native, float32": (native, exact),
        }
        found[edit] = {pair: one.distance_db(other) for pair, (one, other) in pairs.items()}
    return found


def _decoded_in_page(page: EnginePage, fields: JSON, native: Decoded, source: Waveform | None = None) -> Decoded:
    channels = None if source is None else [packed(channel) for channel in source.samples]
    ((latents, parameters),) = page.run(DECODED, fields, channels)
    rows = len(native.latents), len(native.parameters)
    widths = native.latents.shape[1], native.parameters.shape[1]
    return Decoded(latents.reshape(rows[0], -1)[:, : widths[0]], parameters.reshape(rows[1], -1)[:, : widths[1]])


def _decoded_by(engine: Literal["native", "torch"], name: str, fields: JSON, source: Waveform | None = None) -> Decoded:
    model = arctone.load(name, engine=engine, threads=1)
    module = importlib.import_module(_SYNTHESIS[engine])
    with _recorded(model.engine.backend, "decode") as latents, _recorded(module, "synthesise") as parameters:
        model.generate(**fields, source=source)
    return Decoded(latents[0], parameters[0])


@contextlib.contextmanager
def _recorded(owner: object, name: str) -> Iterator[list[Floats]]:
    """Collect the first argument of each call of a function while the block runs."""
    seen: list[Floats] = []
    function = getattr(owner, name)

    def recording(first: Floats, *more: object) -> object:
        seen.append(np.array(first))
        return function(first, *more)

    with mock.patch.object(owner, name, recording):
        yield seen


def _signal_over_error_db(found: Floats, wanted: Floats) -> float:
    error = np.sum(np.square(found.astype(np.float64) - wanted))
    return float(10 * np.log10(np.sum(np.square(wanted.astype(np.float64))) / error))


# --- processes of the browser ---


def _processes(page: EnginePage) -> dict[int, str]:
    """Find the browser's processes: their command lines by their number."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                lines[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
    wanted, found = [page.browser.service.process.pid], {}
    while wanted:
        parent = wanted.pop()
        for child in (pid for pid, above in parents.items() if above == parent):
            wanted.append(child)
            found[child] = lines[child]
    return found


def _renderers(page: EnginePage) -> list[int]:
    return [pid for pid, line in _processes(page).items() if "--type=renderer" in line]


def _raise_priority(page: EnginePage, nice: int) -> None:
    """Set the priority of this program's session and of the browser's; on Linux sessions share the processors, not
    processes.
    """
    for pid in [os.getpid(), *_processes(page)] if nice else []:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def _pss(pid: int) -> int:
    """Proportional memory of a process in bytes; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@contextlib.contextmanager
def _peak_memory(page: EnginePage) -> Iterator[dict[str, int]]:
    """Watch the largest renderer and all processes of the browser while the block runs."""
    peak = {"renderer": 0, "browser": 0}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.25):
            sizes = {pid: _pss(pid) for pid in _processes(page)}
            renderers = [sizes.get(pid, 0) for pid in _renderers(page)]
            peak["renderer"] = max(peak["renderer"], max(renderers, default=0))
            peak["browser"] = max(peak["browser"], sum(sizes.values()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


# --- tables ---


def block(result: JSON) -> str:
    """Build the table of the documentation."""
    stages, native, memory = result["stages_ms"], result["native_ms"], result["memory_mb"]
    decoder = stages["decoding"] - stages["synthesis"]
    parts = {
        "text": stages["text"],
        "8 steps": stages["sampling"],
        "decoder": decoder,
        "synthesis": stages["synthesis"],
    }
    parts = {name.replace("8", str(result["settings"]["steps"])): value for name, value in parts.items()}
    shares = ", ".join(f"{name} {value:.0f} ms" for name, value in parts.items())
    rows = [
        ["download of the first visit", f"{result['download_mb']:.1f} MB"],
        ["model opened, from the browser's storage", f"{result['opening_ms'] / 1000:.2f} s"],
        [f"first sound after that ({SHORT_SECONDS:g} s long)", f"{result['first_sound_ms'] / 1000:.2f} s"],
        [f"{LONG_SECONDS} s of sound, one thread", f"{stages['total'] / 1000:.2f} s"],
        ["of this", shares],
        ["the native engine next to it, one thread", f"{native['total'] / 1000:.2f} s"],
        ["longest block of the page's thread", f"{result['longest_block_ms']:.0f} ms"],
        ["memory of the page's process", f"{memory['renderer']} MB"],
    ]
    compared = [
        [pair, f"{found['latents']:.1f} dB", f"{found['magnitudes']:.1f} dB"]
        for pair, found in result["agreement_db"].items()
    ]
    tables = [
        results.table(["in a page", "found"], rows),
        results.table(["signal over error", "latents", "magnitudes"], compared),
    ]
    return "\n\n".join([*tables, results.footer(result)])


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--repeats", type=int, default=7, help="long sounds, of which the fastest counts")
    parser.add_argument("--visits", type=int, default=3, help="visits with the model in storage")
    parser.add_argument("--nice", type=int, default=0, help="priority of the page and of the native engine")
    parser.add_argument("--edits", action="store_true", help="compare edits with the native engine's; store nothing")
    options = parser.parse_args()
    if options.edits:
        with _opened(options.model) as (page, _):
            page.open()
            for edit, pairs in edits(page, options.model).items():
                print(edit, pairs)
        return
    began = time.monotonic()
    load_before = os.getloadavg()[0]
    values: dict[str, Any] = measure(options)
    steps = arctone.load(options.model).config.sampling.steps
    settings = {
        "model": options.model,
        "steps": steps,
        "repeats": options.repeats,
        "visits": options.visits,
        "nice": options.nice,
        "load average before": round(load_before, 1),
    }
    print(results.write(NAME, settings, values), f"{time.monotonic() - began:.0f} s")
    print(block(results.read(NAME) or {}))


if __name__ == "__main__":
    main()
