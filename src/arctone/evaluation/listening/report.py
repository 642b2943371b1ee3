"""Write an analysis as files: report.md for people, report.json and tables for programs, scores.svg as a figure."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import msgspec

from arctone.evaluation.listening.choice import SCALES, Dimension
from arctone.evaluation.listening.design import ANCHOR_HZ
from arctone.evaluation.listening.results import ListenerCheck
from arctone.evaluation.listening.scores import Analysis, Difference, SystemScore
from arctone.evaluation.metrics.intervals import Interval
from arctone.files.atomic import folder_atomically

_WIDTH, _LABELS, _MARGIN, _ROW, _HEAD, _FOOT = 720, 170, 30, 28, 40, 34
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1d1d1f}.head{font-weight:600}.axis{stroke:#c8c8cc}.range{stroke:#1f5fbf;"
    "stroke-width:2.5}.dot{fill:#1f5fbf}.back{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ececee}.axis{stroke:#4a4a50}"
    ".range{stroke:#8bb4f7}.dot{fill:#8bb4f7}.back{fill:#17181a}}"
)


def plot(analysis: Analysis) -> str:
    """The picture as SVG text."""
    panels = {dimension: [s for s in analysis.scores if s.dimension == dimension] for dimension in analysis.key.limits}
    shapes: list[str] = []
    top = 0
    for dimension, scores in panels.items():
        if scores:
            shapes += _panel(dimension, scores, analysis.key.limits[dimension], top)
            top += _HEAD + _ROW * len(scores) + _FOOT
    words = f"Mean opinion scores with {analysis.confidence:.0%} intervals"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img" aria-label="{words}">'
        f"<title>{words}</title><style>{_STYLE}</style>"
        f'<rect class="back" width="{_WIDTH}" height="{top}"/>{"".join(shapes)}</svg>\n'
    )


def _panel(dimension: Dimension, scores: Sequence[SystemScore], limits: tuple[int, int], top: int) -> Iterator[str]:
    bottom = top + _HEAD + _ROW * len(scores)
    yield f'<text class="head" x="12" y="{top + 26}">{escape(SCALES[dimension].name)}</text>'
    low, high = limits
    for step in range(low, high + 1, 1 if high <= 10 else 20):
        x = _place(step, limits)
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top + _HEAD - 4}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{step}</text>'
    for row, score in enumerate(scores):
        yield from _row(score, limits, top + _HEAD + _ROW * row + _ROW / 2)


def _row(score: SystemScore, limits: tuple[int, int], y: float) -> Iterator[str]:
    mean = score.mean
    yield f'<text x="{_LABELS - 14}" y="{y + 4.5}" text-anchor="end">{escape(_short(score.system))}</text>'
    if not math.isnan(mean.low):
        first, last = _place(mean.low, limits), _place(mean.high, limits)
        yield f'<line class="range" x1="{first:.1f}" x2="{last:.1f}" y1="{y}" y2="{y}"/>'
    yield f'<circle class="dot" cx="{_place(mean.value, limits):.1f}" cy="{y}" r="5"/>'


def _place(value: float, limits: tuple[int, int]) -> float:
    low, high = limits
    return _LABELS + (value - low) / (high - low) * (_WIDTH - _LABELS - _MARGIN)


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"


KIND, DATA = "listening report", "report.json"
Row = list[str]


def write_report(analysis: Analysis, out: str | Path, *, force: bool = False) -> None:
    """Write the report's folder, whole or not at all.

    Args:
        analysis: Scores of the test.
        out: New page.
        force: Whether files that exist are replaced.

    Raises:
        UsageError: if it is there already and force is off.
    """
    with folder_atomically(out, KIND, force=force) as folder:
        (folder / DATA).write_bytes(msgspec.json.format(msgspec.json.encode(_as_data(analysis)), indent=1) + b"\n")
        (folder / "report.md").write_text(markdown(analysis), encoding="utf-8")
        (folder / "scores.svg").write_text(plot(analysis), encoding="utf-8")
        for name, rows in (
            ("scores", score_rows(analysis)),
            ("differences", difference_rows(analysis)),
            ("listeners", listener_rows(analysis)),
        ):
            (folder / f"{name}.csv").write_text(_as_csv(rows), encoding="utf-8")


def score_rows(analysis: Analysis) -> list[Row]:
    """Mean opinion scores as a table with a head."""
    head = ["dimension", "system", "mean", "low", "high", "listeners", "prompts"]
    return [head, *(_score_row(score) for score in analysis.scores)]


def difference_rows(analysis: Analysis) -> list[Row]:
    """Differences as a table with a head."""
    head = ["dimension", "first", "second", "difference", "low", "high", "p_listeners", "p_prompts", "p_holm"]
    return [head, *(_difference_row(found) for found in analysis.differences)]


def listener_rows(analysis: Analysis) -> list[Row]:
    """Listeners and what the screening found as a table with a head."""
    head = ["listener", "answers", "of", "repeat_difference", "anchors_above", "same_answers", "left_out_because"]
    return [head, *(_listener_row(check) for check in analysis.listeners)]


def markdown(analysis: Analysis) -> str:
    """The report for people."""
    key = analysis.key
    sections = [
        f"# {key.title}",
        f"Test {key.test}: {len(key.systems)} systems, {len(key.prompts)} prompts, {_counted(analysis)}.",
        *(f"**{note}**" for note in analysis.notes),
        "## Mean opinion scores",
        _score_notes(analysis),
        "![Scores](scores.svg)",
        _as_markdown(score_rows(analysis)),
        "## Differences",
        _difference_notes(analysis),
        _as_markdown(difference_rows(analysis)),
        "## Listeners",
        _listener_notes(analysis),
        _as_markdown(listener_rows(analysis)),
    ]
    return "\n\n".join(sections) + "\n"


def _counted(analysis: Analysis) -> str:
    failed = sum(bool(check.reasons) for check in analysis.listeners)
    total = len(analysis.listeners)
    if not analysis.is_screened:
        return f"{total} listeners, all counted ({failed} of them fail the screening)"
    return f"{total} listeners, {total - failed} counted and {failed} left out by the screening"


def _score_notes(analysis: Analysis) -> str:
    scales = "; ".join(
        f"{SCALES[name].name.lower()} ({name}) from {low} to {high}"
        for name, (low, high) in analysis.key.limits.items()
    )
    anchors = ", ".join(f"{name} is the reference below {hz / 1000:g} kHz" for name, hz in ANCHOR_HZ.items())
    return (
        f"Scales: {scales}. Intervals hold {analysis.confidence:.0%}, by a bootstrap over listeners and prompts; "
        f"they speak of other listeners and other prompts. In the tables, {anchors}."
    )


def _difference_notes(analysis: Analysis) -> str:
    return (
        "First minus second, by the same listeners on the same prompts. `p_listeners` asks whether other listeners "
        "would agree on these prompts, `p_prompts` whether these listeners would on other prompts (sign-flip tests). "
        "`p_holm` is the larger, corrected for all pairs of the dimension (Holm); below 0.05 is the usual mark."
    )


def _listener_notes(analysis: Analysis) -> str:
    return (
        "`repeat_difference`: share of the scale between two answers to the same sound. `anchors_above`: share of the "
        "prompts with the 3.5 kHz anchor above the reference. `same_answers`: share of the most frequent answer. "
        "A dash: not enough answers."
    )


def _score_row(score: SystemScore) -> Row:
    return [score.dimension, score.system, *_interval(score.mean), str(score.num_listeners), str(score.num_prompts)]


def _difference_row(found: Difference) -> Row:
    p_values = (found.p_listeners, found.p_prompts, found.p_holm)
    return [found.dimension, found.first, found.second, *_interval(found.mean), *(f"{p:.4f}" for p in p_values)]


def _listener_row(check: ListenerCheck) -> Row:
    shares = (check.repeat_difference, check.failed_anchors, check.same_share)
    counts = [str(check.num_ratings), str(check.num_questions)]
    return [check.listener, *counts, *("-" if s is None else f"{s:.2f}" for s in shares), "; ".join(check.reasons)]


def _interval(interval: Interval) -> Row:
    values = (interval.value, interval.low, interval.high)
    return ["-" if math.isnan(value) else f"{value:.2f}" for value in values]


def _as_markdown(rows: Sequence[Row]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [escaped[0], ["---"] * len(rows[0]), *escaped[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _as_csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _as_data(analysis: Analysis) -> dict[str, object]:
    """Everything but the key; numbers that are not known are null."""
    key = analysis.key
    return {
        "test": key.test,
        "title": key.title,
        "arctone": key.arctone,
        "systems": key.systems,
        "prompts": key.prompts,
        "limits": key.limits,
        "confidence": analysis.confidence,
        "is_screened": analysis.is_screened,
        "notes": analysis.notes,
        "scores": analysis.scores,
        "differences": analysis.differences,
        "listeners": analysis.listeners,
    }
