"""Means over listeners and prompts, both of which are a draw from many: how sure they are, and whether two differ.

Conventions
    A table is [listeners, prompts], NaN where a listener has not rated. Both are crossed: a listener has a taste of his
    own in all prompts, a prompt its difficulty for all listeners, so ratings are not independent. The bootstrap
    therefore draws listeners and, independently, prompts with replacement (the "pigeonhole" bootstrap, which errs a
    little to the wide side). Small groups make percentile intervals too narrow; their level is widened so that the
    interval of a mean of normal values would be Student's, with the degrees of freedom of Satterthwaite for the two
    sources of variance.

Measures
    * :func:`mean_interval`: mean of a table and its interval.
    * :func:`sign_flip`: p value of "the mean difference is 0", by the signs of clusters.
    * :func:`holm`: p values corrected for their number.

References
    A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007.
    T. Hesterberg, "What teachers should know about the bootstrap", 2014, section 3.2 (expanded percentiles).
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
"""

import math
import warnings
from collections.abc import Sequence
from itertools import product
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from arctone.evaluation.listening.student import t_quantile
from arctone.evaluation.metrics.intervals import Interval

Table = npt.NDArray[np.float64]

NUM_RESAMPLES = 2000
_EXACT_CLUSTERS = 14
_RANDOM_FLIPS = 20_000


def validate(table: Table) -> None:
    """Raises: ValueError if the table is not [listeners, prompts] with at least one rating."""
    if table.ndim != 2 or not np.isfinite(table).any():
        raise ValueError(f"a table must be [listeners, prompts] with at least one rating, not of shape {table.shape}.")


def mean_interval(
    table: Table, confidence: float = 0.95, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of all ratings and its interval for other listeners and other prompts.

    Returns: low and high are NaN with fewer than two listeners or two prompts, because nothing is known then about
    others.
    Raises: ValueError as `validate` says.
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

    Args: differences: [clusters]; NaN are left out. All 2^n signs up to 14 clusters, else 20,000 drawn ones.
    Returns: 1 if there is none. n clusters can give no p below 2 / 2^n.
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
