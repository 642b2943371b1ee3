"""Mean opinion scores of systems, and the differences between them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from arctone.evaluation.listening.crossed import Table, holm, mean_interval, sign_flip
from arctone.evaluation.listening.key import ANCHOR_HZ, Key
from arctone.evaluation.listening.results import Rating
from arctone.evaluation.listening.scales import Dimension
from arctone.evaluation.metrics.intervals import Interval


@dataclass(frozen=True)
class SystemScore:
    """Mean opinion score of a condition. mean: with its interval over listeners and prompts."""

    dimension: Dimension
    system: str
    mean: Interval
    num_listeners: int
    num_prompts: int


@dataclass(frozen=True)
class Difference:
    """first minus second, rated by the same listeners on the same prompts.

    p_listeners: would other listeners, on these prompts, see a difference? p_prompts: would these listeners on other
    prompts? p: the larger of the two. p_holm: p corrected for all pairs of the dimension.
    """

    dimension: Dimension
    first: str
    second: str
    mean: Interval
    p_listeners: float
    p_prompts: float
    p: float
    p_holm: float


def score_tables(ratings: Iterable[Rating], key: Key) -> dict[tuple[Dimension, str], Table]:
    """By (dimension, condition) a table [listeners, prompts]; first occasions only, because repeats serve the
    screening."""
    counted = [r for r in ratings if r.question.occasion == 1 and not r.question.is_practice]
    rows = {listener: row for row, listener in enumerate(sorted({rating.listener for rating in counted}))}
    tables: dict[tuple[Dimension, str], Table] = {}
    for question in key.questions:
        if not question.is_practice:
            empty = np.full((len(rows), len(key.prompts)), np.nan)
            tables.setdefault((question.dimension, question.system), empty)
    for rating in counted:
        place = (rating.question.dimension, rating.question.system)
        tables[place][rows[rating.listener], rating.question.prompt] = rating.score
    return {place: table for place, table in tables.items() if np.isfinite(table).any()}


def mean_scores(
    tables: dict[tuple[Dimension, str], Table], confidence: float = 0.95, seed: int = 0
) -> list[SystemScore]:
    """The score of each condition, in the order of the tables."""
    return [
        SystemScore(
            dimension,
            system,
            mean_interval(table, confidence, seed=seed),
            int(np.isfinite(table).any(axis=1).sum()),
            int(np.isfinite(table).any(axis=0).sum()),
        )
        for (dimension, system), table in tables.items()
    ]


def differences(
    tables: dict[tuple[Dimension, str], Table], confidence: float = 0.95, seed: int = 0
) -> list[Difference]:
    """All pairs of systems and of systems with the reference; anchors are no contestants."""
    found: list[Difference] = []
    for dimension in dict.fromkeys(dimension for dimension, _ in tables):
        names = [name for of, name in tables if of == dimension and name not in ANCHOR_HZ]
        pairs = [
            (first, second, tables[dimension, first] - tables[dimension, second])
            for first, second in combinations(names, 2)
        ]
        found += _compared(dimension, [pair for pair in pairs if np.isfinite(pair[2]).any()], confidence, seed)
    return found


def _compared(
    dimension: Dimension, pairs: Sequence[tuple[str, str, Table]], confidence: float, seed: int
) -> list[Difference]:
    p_values = [[sign_flip(_cluster_means(table, axis), seed) for axis in (1, 0)] for _, _, table in pairs]
    corrected = holm([max(both) for both in p_values])
    return [
        Difference(
            dimension,
            first,
            second,
            mean_interval(table, confidence, seed=seed),
            p_listeners,
            p_prompts,
            max(p_listeners, p_prompts),
            p_holm,
        )
        for (first, second, table), (p_listeners, p_prompts), p_holm in zip(pairs, p_values, corrected, strict=True)
    ]


def _cluster_means(table: Table, axis: int) -> Table:
    """Means along an axis; NaN where nothing was rated."""
    counts = np.isfinite(table).sum(axis=axis)
    sums = np.nansum(table, axis=axis)
    return np.asarray(np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0))
