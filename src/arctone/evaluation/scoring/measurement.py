"""One number with its interval, count and seed, and the report and tables that hold them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arctone.evaluation.metrics.intervals import Interval

HEAD = ("measure", "better", "embedder", "value", "95 % interval", "real", "at equal number", "chance", "sounds")
LEGEND = (
    "real: the same measure on real sounds; for distances and neighbourhoods between two random halves of the real "
    "set, and 'at equal number' is the generated set cut to as many sounds. chance: what unrelated pairs score."
)


def rows(report: Report) -> list[tuple[str, ...]]:
    """One row of cells for each measurement, in the order of `HEAD`."""
    return [_row(one) for one in report.measurements]


def as_json(report: Report) -> bytes:
    """The whole report, indented; the same report gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def as_markdown(report: Report) -> str:
    """A page with the table, what was left out, suspects of copying, and where the embedders come from."""
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items())
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items() if value is not None)
    parts = [f"# {report.title}", f"Sounds: {counts}. arctone {report.version}; {settings}."]
    parts += [table(HEAD, rows(report)), LEGEND]
    parts += _section("Notes", sorted({f"{m.metric}, {m.embedder}: {m.note}" for m in report.measurements if m.note}))
    parts += _section("Not measured", [f"{one.metric}, {one.embedder}: {one.reason}" for one in report.skipped])
    parts += _section("Suspected copies", [_suspect(one) for one in report.suspects])
    parts += _section("Left out", report.left_out)
    versions = {one.embedder: one.version for one in report.measurements}
    credits = [f"{name} ({versions.get(name, 'not used')}): {credit}" for name, credit in report.credits.items()]
    return "\n\n".join([*parts, *_section("Embedders", credits)]) + "\n"


def table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    """A Markdown table; numbers stand to the right."""
    lines = [head, tuple("---" if n < 3 else "---:" for n in range(len(head))), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []


def _suspect(one: Suspect) -> str:
    likeness = f"cosine {one.similarity:.3f}, waveform {one.waveform:.2f}, spectrum {one.spectrum:.2f}"
    return f"{one.generated} is near {one.training} ({one.embedder}: {likeness})"


def _row(one: Measurement) -> tuple[str, ...]:
    sounds = str(one.count) if one.reference_count is None else f"{one.count} / {one.reference_count}"
    matched = "" if one.matched is None else f"{_number(one.matched)} ({one.matched_count})"
    return (
        one.metric,
        BETTER.get(one.metric, ""),
        one.embedder,
        _number(one.value),
        f"{_number(one.low)} to {_number(one.high)}",
        _number(one.real),
        matched,
        _number(one.chance),
        sounds,
    )


def _number(value: float | None) -> str:
    """As many digits as a reader can use: 0.123, 12.3, 1234."""
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


# Which way is better, for readers of tables.
BETTER = {
    "frechet_distance": "lower",
    "kernel_distance": "lower",
    "class_divergence": "lower",
    "text_audio_score": "higher",
    "recall_at_1": "higher",
    "recall_at_5": "higher",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "conditional_diversity": "higher",
    "vendi_score": "higher",
    "memorised_share": "lower",
    "duplicate_share": "lower",
    "tempo_accuracy": "higher",
    "tempo_accuracy_octave": "higher",
    "key_accuracy": "higher",
    "key_accuracy_relative": "higher",
    "family_accuracy": "higher",
    "kind_accuracy": "higher",
    "silent_share": "lower",
    "rise_octaves": "lower",
    "treble_db": "lower",
}


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A number and how it came about.

    Args:
        metric: Name of the measure.
        embedder: By which embedder it was measured.
        version: Of the embedder.
        value: The number.
        low: Lower end of its interval at `confidence`.
        high: Upper end of its interval.
        confidence: Share of intervals that hold the true value, 0 to 1.
        interval: How the interval was made.
        count: What was averaged, or how many sounds were compared.
        seed: Of resampling and cuts.
        reference_count: Real sounds that took part.
        real: The same measure on real sounds; for a distance, between two halves of the real set.
        matched: The value with `matched_count` sounds on each side, as many as `real` had; None where `value` has
            that many.
        matched_count: Sounds on each side of `matched`.
        chance: What unrelated pairs score.
        note: What else must be known.
    """

    metric: str
    embedder: str
    version: str
    value: float
    low: float
    high: float
    confidence: float
    interval: str
    count: int
    seed: int
    reference_count: int | None = None
    real: float | None = None
    matched: float | None = None
    matched_count: int | None = None
    chance: float | None = None
    note: str = ""


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """What was not measured, and why."""

    metric: str
    embedder: str
    reason: str


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A generated sound that is nearer to a training sound than real held-out ones are.

    Args:
        similarity: Of the embeddings.
        waveform: Largest correlation over all delays, 0 to 1.
        spectrum: Largest correlation over all delays, 0 to 1.
    """

    generated: str
    training: str
    embedder: str
    similarity: float
    waveform: float
    spectrum: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole evaluation.

    Args:
        title: Name of the evaluated sounds.
        counts: Sounds of each.
        left_out: A sentence for each file that could not be used.
        credits: Of the embedders, by name.
    """

    title: str
    version: str
    counts: dict[str, int]
    measurements: list[Measurement]
    skipped: list[Skipped] = []
    suspects: list[Suspect] = []
    left_out: list[str] = []
    credits: dict[str, str] = {}
    settings: dict[str, str | int | float | None] = {}


def measured(
    metric: str, found: Interval, interval: str, embedder: str, version: str, seed: int, more: Mapping[str, Any]
) -> Measurement:
    """A measurement from its interval; `more` holds further fields."""
    fields: dict[str, Any] = {name: getattr(found, name) for name in ("value", "low", "high", "confidence", "count")}
    about: dict[str, Any] = {
        "metric": metric,
        "interval": interval,
        "embedder": embedder,
        "version": version,
        "seed": seed,
    }
    return Measurement(**fields, **about, **more)
