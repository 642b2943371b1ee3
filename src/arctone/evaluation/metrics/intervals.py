"""How sure a number is: bootstrap and jackknife confidence intervals.

Conventions
    A share (accuracy) is the mean of zeros and ones. Clips are drawn with replacement; the interval holds the middle
    `confidence` of the resampled statistics (percentile method). The draws come from a fixed seed, so the same values
    give the same interval. When all values are equal the interval has no width, which says nothing about other clips.

    Statistics of whole sets (Frechet distance, kernel distance, Vendi score) take the jackknife instead: a set drawn
    with replacement holds duplicates, which such a statistic mistakes for less variety, so that its bootstrap interval
    lies next to the value. Clips are dealt to groups, the statistic is computed with one group left out at a time, and
    the interval is normal: value +- z standard errors. Whether a value is far from what it would be with endless clips
    (its bias) no interval says.

Measures
    * :func:`bootstrap`: interval of a mean or a median.
    * :func:`jackknife_variance`, :func:`normal`: interval of a statistic of a whole set.

References
    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 11 and 13.
    J. Shao and D. Tu, "The Jackknife and Bootstrap", 1995, section 2.3 (groups).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

Statistic = Literal["mean", "median"]
NUM_GROUPS = 20


@dataclass(frozen=True)
class Interval:
    """A statistic with the interval that holds it at the stated confidence.

    Fields: value; low <= value <= high in the units of the values; confidence, 0 to 1; count, number of values.
    """

    value: float
    low: float
    high: float
    confidence: float
    count: int


def validate(values: npt.NDArray[np.float64], confidence: float, num_resamples: int) -> None:
    """Refuse arguments that cannot be measured.

    Args:
        values: Numbers to average, [N].
        confidence: Share of intervals that hold the true value, between 0 and 1.
        num_resamples: Bootstrap samples, at least 1.

    Raises:
        ValueError: for no values, values that are not finite numbers, or settings out of range.
    """
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"values must be a list of at least one number, not an array of shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, but at least one is infinite or not a number.")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, but must lie between 0 and 1.")
    if num_resamples < 1:
        raise ValueError(f"num_resamples is {num_resamples}, but must be at least 1.")


def bootstrap(
    values: Sequence[float] | Sequence[bool] | npt.NDArray[np.floating],
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Compute a statistic of the values and its bootstrap interval.

    >>> bootstrap([True, True, True, False]).value
    0.75

    Args:
        values: One number per clip, at least one, finite.
        statistic: "mean" or "median".
        confidence: 0 to 1, both excluded.
        num_resamples: At least 1.
        seed: Of the draws.

    Returns:
        The interval.

    Raises:
        ValueError: as `validate` says.
    """
    array = np.asarray(values, dtype=np.float64)
    validate(array, confidence, num_resamples)
    compute = np.mean if statistic == "mean" else np.median
    draws = np.random.default_rng(seed).integers(array.size, size=(num_resamples, array.size))
    low, high = np.quantile(compute(array[draws], axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(compute(array)), float(low), float(high), confidence, int(array.size))


def jackknife_variance(
    statistic: Callable[[npt.NDArray[np.intp]], float], count: int, num_groups: int = NUM_GROUPS, seed: int = 0
) -> float:
    """Estimate the variance of a statistic of `count` clips from the statistic without each group of clips.

    >>> values = np.array([1.0, 2.0, 4.0, 9.0])
    >>> round(jackknife_variance(lambda kept: values[kept].mean(), 4), 6), round(float(values.var(ddof=1)) / 4, 6)
    (3.166667, 3.166667)

    Args:
        statistic: From the indices of the clips that are kept.
        count: At least 2.
        num_groups: At most `count`; more are fewer.
        seed: Which clips share a group.

    Returns:
        The variance.

    Raises:
        ValueError: for counts out of range.
    """
    if count < 2 or num_groups < 2:
        raise ValueError(f"count is {count} and num_groups {num_groups}, but both must be at least 2.")
    groups = np.array_split(np.random.default_rng(seed).permutation(count), min(num_groups, count))
    left = [statistic(np.setdiff1d(np.arange(count), group)) for group in groups]
    return float((len(groups) - 1) * np.var(left))


def normal(value: float, variance: float, count: int, confidence: float = 0.95) -> Interval:
    """Compute the interval of a statistic that varies normally around its value.

    Args:
        value: The number.
        variance: Of the number.
        count: Sounds that it is made of.
        confidence: Share of intervals that hold the true value, between 0 and 1.

    Returns:
        The interval.

    Raises:
        ValueError: for a negative variance.
    """
    if not variance >= 0 or not 0.0 < confidence < 1.0:
        raise ValueError(f"variance is {variance} and confidence {confidence}, but must be >= 0 and between 0 and 1.")
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * variance**0.5
    return Interval(value, value - reach, value + reach, confidence, count)
