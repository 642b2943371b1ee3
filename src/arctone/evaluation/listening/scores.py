"""Mean opinion scores of systems: the analysis of answers, differences, their tests and intervals."""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from arctone.errors import InputFileError, UsageError
from arctone.evaluation.listening.choice import Dimension
from arctone.evaluation.listening.design import ANCHOR_HZ, Key
from arctone.evaluation.listening.results import ListenerCheck, Rating, read_results, screen
from arctone.evaluation.metrics.intervals import Interval

_NUM_POINTS = 2001


def t_quantile(probability: float, degrees: float) -> float:
    """Compute the value that a t variable with `degrees` of freedom stays below with `probability`.

    >>> round(t_quantile(0.975, 13), 4)
    2.1604

    Args:
        probability: 0.5 to 1, both excluded.
        degrees: Above 0, not necessarily whole. With t = sqrt(degrees) tan(angle) the probability is an integral of a
            power of a cosine, done here by Simpson's rule.

    Returns:
        The quantile.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _probability(angle, degrees) < probability else (low, angle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _probability(angle: float, degrees: float) -> float:
    heights = np.cos(np.linspace(0.0, angle, _NUM_POINTS)) ** (degrees - 1)
    weights = np.where(np.arange(_NUM_POINTS) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    area = float(weights @ heights) * angle / (3 * (_NUM_POINTS - 1))
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi)
    return 0.5 + math.exp(scale) * area


Table = npt.NDArray[np.float64]

NUM_RESAMPLES = 2000
_EXACT_CLUSTERS = 14
_RANDOM_FLIPS = 20_000


def validate(table: Table) -> None:
    """Refuse arguments that cannot be measured.

    Args:
        table: Ratings, [listeners, prompts, conditions]; NaN = not rated.

    Raises:
        ValueError: if the table is not [listeners, prompts] with at least one rating.
    """
    if table.ndim != 2 or not np.isfinite(table).any():
        raise ValueError(f"a table must be [listeners, prompts] with at least one rating, not of shape {table.shape}.")


def mean_interval(
    table: Table, confidence: float = 0.95, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of all ratings and its interval for other listeners and other prompts.

    Args:
        table: Ratings, [listeners, prompts]; NaN = not rated.
        confidence: Share of intervals that hold the true value, between 0 and 1.
        num_resamples: Bootstrap samples, at least 1.
        seed: Of the random draws.

    Returns:
        Low and high are NaN with fewer than two listeners or two prompts, because nothing is known then about others.

    Raises:
        ValueError: as `validate` says.
    """
    validate(table)
    value, count = float(np.nanmean(table)), int(np.isfinite(table).sum())
    table = table[np.isfinite(table).any(axis=1)][:, np.isfinite(table).any(axis=0)]
    if min(table.shape) < 2:
        return Interval(value, math.nan, math.nan, confidence, count)
    means = _resampled_means(table, num_resamples, seed)
    tail = _widened_tail((1 - confidence) / 2, _degrees(table))
    low, high = np.nanquantile(means, [tail, 1 - tail])
    return Interval(value, float(low), float(high), confidence, count)


def sign_flip(differences: Table, seed: int = 0) -> float:
    """p value, two-sided, of clusters' mean differences being symmetric about 0.

    Args:
        differences: [clusters]; NaN are left out. All 2^n signs up to 14 clusters, else 20,000 drawn ones.
        seed: Of the flips.

    Returns:
        1 if there is none. n clusters can give no p below 2 / 2^n.
    """
    values = differences[np.isfinite(differences)]
    if values.size == 0:
        return 1.0
    if values.size <= _EXACT_CLUSTERS:
        signs = np.array(list(product((1.0, -1.0), repeat=values.size)))
    else:
        drawn = np.random.default_rng(seed).choice((1.0, -1.0), (_RANDOM_FLIPS, values.size))
        signs = np.vstack([np.ones(values.size), drawn])
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= sums[0] - 1e-9))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values, each corrected for all being looked at together.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def _resampled_means(table: Table, num_resamples: int, seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    listeners, prompts = (rng.multinomial(n, [1 / n] * n, num_resamples).astype(np.float64) for n in table.shape)
    sums = ((listeners @ np.nan_to_num(table)) * prompts).sum(axis=1)
    counts = ((listeners @ np.isfinite(table)) * prompts).sum(axis=1)
    return np.asarray(np.divide(sums, counts, out=np.full(num_resamples, np.nan), where=counts > 0))


def _degrees(table: Table) -> float:
    """Satterthwaite's degrees of freedom of the variance of the mean, from listeners' and prompts' means."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        parts = [np.nanvar(np.nanmean(table, axis=1 - axis), ddof=1) / table.shape[axis] for axis in (0, 1)]
    total = sum(parts)
    if total == 0:
        return float(min(table.shape) - 1)
    return float(total**2 / sum(part**2 / (size - 1) for part, size in zip(parts, table.shape, strict=True)))


def _widened_tail(tail: float, degrees: float) -> float:
    return NormalDist().cdf(-t_quantile(1 - tail, degrees) * math.sqrt((degrees + 1) / degrees))


@dataclass(frozen=True)
class SystemScore:
    """Mean opinion score of a condition.

    Args:
        mean: With its interval over listeners and prompts.
    """

    dimension: Dimension
    system: str
    mean: Interval
    num_listeners: int
    num_prompts: int


@dataclass(frozen=True)
class Difference:
    """first minus second, rated by the same listeners on the same prompts.

    Args:
        p_listeners: Whether other listeners, on these prompts, would see a difference.
        p_prompts: Whether these listeners would on other prompts.
        p: The larger of the two.
        p_holm: `p` corrected for all pairs of the dimension.
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


TOO_FEW_LISTENERS = 8
ENOUGH_LISTENERS = 20


@dataclass(frozen=True)
class Analysis:
    """Everything that a report says.

    Args:
        is_screened: Whether listeners with reasons against them were left out.
    """

    key: Key
    confidence: float
    is_screened: bool
    listeners: tuple[ListenerCheck, ...]
    scores: tuple[SystemScore, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def analyse(
    paths: Iterable[str | Path], key: Key, *, keep_all: bool = False, confidence: float = 0.95, seed: int = 0
) -> Analysis:
    """Analyse the answers of a test.

    Args:
        paths: Files or folders of answers.
        key: Key of the listening test.
        keep_all: Count listeners who fail the screening, too.
        confidence: Of the intervals, 0.5 to 0.999.
        seed: Of the bootstrap.

    Returns:
        Scores, intervals and tests.

    Raises:
        InputFileError: for files that cannot be used or hold no answers.
        UsageError: if nobody is left to be counted.
    """
    if not 0.5 <= confidence <= 0.999:
        raise UsageError(f"confidence must be from 0.5 to 0.999, got {confidence:g}.", field="confidence")
    results = read_results(paths, key)
    checks = screen(results.ratings, key)
    if not checks:
        raise InputFileError("the files hold no answers except for practice.")
    kept = {check.listener for check in checks if keep_all or not check.reasons}
    if not kept:
        reason = f"{checks[0].listener}: {'; '.join(checks[0].reasons)}"
        raise UsageError(
            f"none of the {len(checks)} listeners passes the screening (the first, {reason}); "
            "keep_all counts them all the same."
        )
    tables = score_tables([rating for rating in results.ratings if rating.listener in kept], key)
    return Analysis(
        key,
        confidence,
        not keep_all,
        tuple(checks),
        tuple(mean_scores(tables, confidence, seed)),
        tuple(differences(tables, confidence, seed)),
        (*results.warnings, *_notes(key, checks, len(kept))),
    )


def _notes(key: Key, checks: Sequence[ListenerCheck], num_kept: int) -> list[str]:
    notes = [_about_group(num_kept)] if num_kept < ENOUGH_LISTENERS else []
    if len(key.prompts) <= 5:
        lowest = 2 / 2 ** len(key.prompts)
        notes.append(f"Only {len(key.prompts)} prompts: no p value below {lowest:.2g} is possible for other prompts.")
    incomplete = [check.listener for check in checks if check.num_ratings < check.num_questions]
    if incomplete:
        notes.append(f"Not finished, counted as far as they came: {', '.join(incomplete)}.")
    if not key.has_reference:
        notes.append(
            "The test has no references and so no anchors: careless listeners show only in repeats and sameness."
        )
    if all(check.repeat_difference is None for check in checks):
        notes.append("There are too few repeats to tell whether listeners are consistent.")
    return notes


def _about_group(num_kept: int) -> str:
    if num_kept < 2:
        return "Too few listeners: one person's answers say nothing about others, so there are no intervals."
    if num_kept < TOO_FEW_LISTENERS:
        return f"Too few listeners: {num_kept} make a pilot, not a result; ask at least {ENOUGH_LISTENERS}."
    return f"A small group: {num_kept} listeners; ITU-R BS.1534-3 finds {ENOUGH_LISTENERS} often sufficient."
