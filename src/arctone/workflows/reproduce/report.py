"""The report of a reproduction, with the paper's own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from arctone.audio.files import read_audio
from arctone.evaluation.scoring.measurement import BETTER, Measurement, table
from arctone.files.atomic import write_atomically
from arctone.files.strict_json import read_config
from arctone.training.loop import progress_rows
from arctone.version import __version__
from arctone.workflows.reproduce.budget import TRAINED, Budget
from arctone.workflows.reproduce.run import STATE, RowResult, State

ABOUT_PAPER = (
    "The measures of the paper's own table (OpenL3, PaSST and CLAP on AudioCaps) and its models (341 million "
    "parameters, trained on thousands of hours of recordings) are others: its numbers show the shape of the result, "
    "and cannot be compared one by one with those above. (s) stands in notes of third parties on the paper, (r) is "
    "recalled and unconfirmed; empty cells are not known."
)
HEAD = ("model, steps", "FD OpenL3", "KL PaSST", "CLAP", "CCDS", "diversity, MOS", "times real time")
TABLE = (
    ("Stable Audio Open, 100", "", "", "", "", "4.0 (s)", "3.56 (s)"),
    ("flow + Presto, 8", "", "", "", "clearly below ARC (s)", "2.7 (r)", ""),
    ("flow + ARC, 8", "84.43 (r)", "2.24 (r)", "0.27 (r)", "0.41 (r)", "4.4 (s)", "156 (s)"),
    ("flow + ARC, fewest steps", "", "", "", "", "", "440.30 (s)"),
)


matplotlib.use("agg")
_SPEED = "processor seconds per sound"
# Sentences about differences; more of them nobody reads.
_MAX_SENTENCES = 6


def write_report(folder: Path) -> Path:
    """Write both pages and their pictures into a reproduction's folder; returns the path of report.html.

    Args:
        folder: Folder of the reproduction.

    Returns:
        Path of report.html.

    Raises:
        ModelError: if results in the folder are damaged.
    """
    results = [read_config(path, RowResult) for path in sorted((folder / "rows").glob("*.json"))]
    state = read_config(folder / STATE, State)
    head, body = comparison(results)
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    curves = {name: str(path.relative_to(folder)) for name, path in _curves(folder / "models", pictures).items()}
    sounds = {result.title: _with_pictures(result, folder, pictures) for result in results}
    known = {
        "version": __version__,
        "state": state,
        "tables": {"Results": (head, body), "The paper's own, as far as known": (HEAD, TABLE)},
        "curves": curves,
        "sounds": sounds,
        "warning": ABOUT_PAPER,
        "conclusion": conclusion(results),
        "left_out": [title for title in _titles(state) if title not in {result.title for result in results}],
    }
    loader = jinja2.PackageLoader("arctone.workflows.reproduce", "templates")
    escape = jinja2.select_autoescape(["html.jinja"])
    environment = jinja2.Environment(loader=loader, autoescape=escape, trim_blocks=True)
    environment.filters["markdown_table"] = lambda pair: table(*pair)
    for name in ("report.md", "report.html"):
        page = environment.get_template(f"{name}.jinja").render(known)
        write_atomically(folder / name, page.encode(), force=True)
    return folder / "report.html"


def comparison(results: Sequence[RowResult]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of the table: a column for each measure and embedder, value with its 95 % interval."""
    columns = list(dict.fromkeys((m.metric, m.embedder) for result in results for m in result.report.measurements))
    names = tuple(f"{metric}, {embedder} ({BETTER[metric]} is better)" for metric, embedder in columns)
    body = []
    for result in results:
        found = {(m.metric, m.embedder): m for m in result.report.measurements}
        cells = []
        for column in columns:
            m = found.get(column)
            cells.append(f"{m.value:.3g} ({m.low:.3g} to {m.high:.3g})" if m else "")
        seconds = result.report.settings.get("processor_seconds_per_sound")
        body.append((result.title, *cells, f"{seconds:.2f}" if isinstance(seconds, float) else ""))
    return ("row", *names, _SPEED), body


def conclusion(results: Sequence[RowResult]) -> list[str]:
    """Say which rows differ by more than their intervals, and that nothing was shown where none does."""
    found = []
    for metric, embedder in dict.fromkeys((m.metric, m.embedder) for r in results for m in r.report.measurements):
        named = {
            r.title: m for r in results for m in r.report.measurements if (m.metric, m.embedder) == (metric, embedder)
        }
        best, worst = _ends(named, lower=BETTER[metric] == "lower")
        if named[best].high < named[worst].low or named[worst].high < named[best].low:
            found.append(f"{metric}, {embedder}: {best} is better than {worst} by more than their intervals.")
    if not found:
        count = max((result.report.counts.get("generated", 0) for result in results), default=0)
        return [
            "This run shows no difference: no row differs from another by more than their intervals, over "
            f"{count} prompts. A longer budget trains longer and measures more sounds."
        ]
    more = len(found) - _MAX_SENTENCES
    return [*found[:_MAX_SENTENCES], *([f"And {more} more measures differ so."] if more > 0 else [])]


def _ends(named: Mapping[str, Measurement], *, lower: bool) -> tuple[str, str]:
    """Return the titles of the best and the worst row of a measure."""
    order = sorted(named, key=lambda title: named[title].value, reverse=not lower)
    return order[0], order[-1]


def _titles(state: State) -> list[str]:
    return [row.title for row in Budget(state.minutes).rows]


def _curves(root: Path, pictures: Path) -> dict[str, Path]:
    """A picture of the logged losses of each trained model that has any."""
    found = {}
    for stage in TRAINED:
        rows = [row for log in sorted((root / stage).glob("training-*/log.jsonl")) for row in progress_rows(log)]
        if not rows:
            continue
        figure = Figure(figsize=(6, 2.5), layout="constrained")
        axes = figure.subplots()
        for name in dict.fromkeys(key for row in rows for key in row if key.endswith("total")):
            points = [(row["step"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), label=name.replace("total", "loss"))
        axes.set_xlabel("step")
        axes.legend()
        found[stage] = pictures / f"loss-{stage}.png"
        figure.savefig(found[stage], dpi=90)
    return found


def _with_pictures(result: RowResult, folder: Path, pictures: Path) -> list[tuple[str, str, str]]:
    """Prompt, sound and spectrogram of a row's sounds, paths seen from the folder."""
    rows = []
    for sound in result.sounds:
        picture = pictures / f"{Path(sound.path).parent.name}-{Path(sound.path).stem}.png"
        _spectrogram(folder / sound.path, picture)
        rows.append((sound.prompt, sound.path, str(picture.relative_to(folder))))
    return rows


def _spectrogram(sound: Path, picture: Path) -> None:
    waveform = read_audio(sound)
    mono = waveform.samples.mean(0)
    # A window of 1024 samples is always full, and silence has a level.
    samples = np.pad(mono, (0, max(0, 1024 - len(mono)))) + 1e-6
    figure = Figure(figsize=(4, 1.6), layout="constrained")
    axes = figure.subplots()
    axes.specgram(samples, NFFT=1024, noverlap=768, Fs=waveform.sample_rate / 1000, vmin=-140, vmax=-20)
    axes.set_xlabel("time (ms)")
    axes.set_ylabel("kHz")
    figure.savefig(picture, dpi=80)
