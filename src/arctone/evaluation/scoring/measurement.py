"""One number with everything that must be said beside it, and the report that holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arctone.evaluation.metrics.intervals import Interval

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
}


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A number and how it came about.

    metric, embedder, version: what was measured, in whose ears. value; low, high: its interval at `confidence`, made by
    `interval`. count: what was averaged or how many sounds were compared. reference_count: real sounds that took part.
    seed: of resampling and cuts. real: the same measure on real sounds (for a distance: between two halves of the real
    set). matched: the value with `matched_count` sounds on each side, as many as `real` had; None where `value` has
    that many. chance: what unrelated pairs score. note: what else must be known.
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

    similarity: of the embeddings. waveform, spectrum: largest correlation over all delays, 0 to 1.
    """

    generated: str
    training: str
    embedder: str
    similarity: float
    waveform: float
    spectrum: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole evaluation. judged, reference, training: what they are called. counts: sounds of each. left_out: a
    sentence for each file that could not be used. credits: of the embedders, by name.
    """

    judged: str
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
