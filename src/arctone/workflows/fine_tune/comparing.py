"""What tuning changed: how near the sounds came to one's own, and what became of everything else.

Each prompt is made before and after with the same seed. The rest is measured on prompts that have nothing to do with
the user's sounds: how far each sound moved, next to how far apart two seeds of the untuned model are, and (for
embedders of text) whether it is still what the prompt says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from arctone.evaluation.embedders.protocol import Embedder, EmbeddingCache, TextEmbedder
from arctone.evaluation.metrics import nearness
from arctone.evaluation.metrics.intervals import Interval, bootstrap
from arctone.evaluation.metrics.manifold import FloatArray, unit_rows
from arctone.evaluation.scoring.embedded_sets import EmbeddedSet, embed_takes
from arctone.evaluation.scoring.takes import EvaluatedModel, Progress, Take, Wanted, make_takes

# Seeds of second takes lie far from those of other prompts.
_OTHER_SEED = 1_000_000


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mean with its 95 % interval over `count` sounds."""

    value: float
    low: float
    high: float
    count: int


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One embedder's view; all distances are cosine distances.

    Args:
        own_before: Distance of sounds made for the user's captions to the user's sounds.
        own_after: As `own_before`.
        own_change: As `own_before`.
        own_floor: Of the user's sounds to each other.
        rest_moved: General prompts, before to after, same seed.
        rest_other_seed: The untuned model's own distance between two seeds. rest_score_*: cosine of general prompts and
            their sounds, None if the embedder does not embed text.
    """

    embedder: str
    version: str
    own_before: Number
    own_after: Number
    own_change: Number
    own_floor: Number | None
    rest_moved: Number
    rest_other_seed: Number
    rest_score_before: Number | None = None
    rest_score_after: Number | None = None
    rest_score_change: Number | None = None


@dataclass(frozen=True)
class Made:
    """Sounds of both models. own: for the user's captions; rest: for general prompts; again: rest, other seeds."""

    own_before: list[Take]
    own_after: list[Take]
    rest_before: list[Take]
    rest_after: list[Take]
    rest_again: list[Take]


def make(
    before: EvaluatedModel,
    after: EvaluatedModel,
    own: Sequence[Wanted],
    rest: Sequence[Wanted],
    root: Path,
    progress: Progress,
) -> Made:
    """All sounds of a comparison, those that are missing generated into the folder."""
    asked = ((before, own), (after, own), (before, rest), (after, rest), (before, _again(rest)))
    return Made(*(make_takes(model, wanted, root, {}, progress) for model, wanted in asked))


def generate_before(before: EvaluatedModel, own: Sequence[Wanted], rest: Sequence[Wanted], root: Path) -> None:
    """Generate the sounds of a comparison that the untuned model makes, where they are missing."""
    for wanted in (own, rest, _again(rest)):
        make_takes(before, wanted, root, {})


def _again(rest: Sequence[Wanted]) -> list[Wanted]:
    return [Wanted(f"{one.name}-again", one.prompt, one.duration_seconds, one.seed + _OTHER_SEED) for one in rest]


def wanted(names: Sequence[str], prompts: Sequence[str], seconds: Sequence[float]) -> list[Wanted]:
    """Sounds to make, with the seeds 0, 1, 2 ..."""
    together = zip(names, prompts, seconds, strict=True)
    return [Wanted(name, prompt, length, seed) for seed, (name, prompt, length) in enumerate(together)]


def compare(
    made: Made, real: Sequence[Take], embedders: Sequence[Embedder], cache: Path | None, progress: Progress
) -> list[Comparison]:
    """Compare both models under every embedder.

    Args:
        made: Sounds of both models.
        real: The user's sounds that were kept apart.
        embedders: Each gives one comparison.
        cache: Folder for embeddings; None = none are kept.
        progress: Called with (done, total, stage).

    Returns:
        One comparison for each embedder.

    Raises:
        InputFileError: if a file cannot be read.
    """
    return [_compared(made, real, embedder, EmbeddingCache(cache), progress) for embedder in embedders]


def _compared(
    made: Made, real: Sequence[Take], embedder: Embedder, cache: EmbeddingCache, progress: Progress
) -> Comparison:
    def embed(takes: Sequence[Take], about: str) -> EmbeddedSet:
        return embed_takes(takes, embedder, cache, progress, about)[0]

    own, rest = (
        [embed(takes, "own sounds") for takes in (real, made.own_before, made.own_after)],
        [embed(takes, "other sounds") for takes in (made.rest_before, made.rest_after, made.rest_again)],
    )
    near = nearness.evaluate(own[1].pooled, own[2].pooled, own[0].pooled)
    floor = bootstrap(nearness.measure_own_distances(own[0].pooled)) if len(own[0]) > 1 else None
    scored = _scores(embedder, rest) if isinstance(embedder, TextEmbedder) else {}
    return Comparison(
        embedder=embedder.name,
        version=embedder.version,
        own_before=_number(near["before"]),
        own_after=_number(near["after"]),
        own_change=_number(near["change"]),
        own_floor=None if floor is None else _number(floor),
        rest_moved=_number(bootstrap(_apart(rest[0].pooled, rest[1].pooled))),
        rest_other_seed=_number(bootstrap(_apart(rest[0].pooled, rest[2].pooled))),
        **scored,
    )


def _scores(embedder: TextEmbedder, rest: Sequence[EmbeddedSet]) -> dict[str, Number]:
    words = embedder.embed_text(rest[0].prompts).astype(np.float64)
    before, after = (1 - _apart(words, part.pooled) for part in rest[:2])
    named = {"before": before, "after": after, "change": after - before}
    return {f"rest_score_{name}": _number(bootstrap(values)) for name, values in named.items()}


def _apart(first: FloatArray, second: FloatArray) -> FloatArray:
    """Cosine distance of rows that belong together, [N]."""
    return np.asarray(1 - (unit_rows(first) * unit_rows(second)).sum(axis=1))


def _number(found: Interval) -> Number:
    return Number(round(found.value, 6), round(found.low, 6), round(found.high, 6), found.count)
