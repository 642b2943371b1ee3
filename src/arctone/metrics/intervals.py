"""How sure a mean is: bootstrap confidence intervals.

Conventions
    A share (accuracy) is the mean of zeros and ones. Clips are drawn with replacement; the interval holds the middle
    `confidence` of the resampled statistics (percentile method). The draws come from a fixed seed, so the same values
    give the same interval. When all values are equal the interval has no width, which says nothing about other clips.

Measures
    * :func:`bootstrap`: interval of a mean or a median.

References
    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Statistic = Literal["mean", "median"]


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
    """Raises: ValueError for no values, values that are not finite numbers, or settings out of range."""
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
    """Statistic of the values and its bootstrap interval.

    Args: values: one number per clip, at least one, finite. statistic: "mean" or "median". confidence: 0 to 1, both
    excluded. num_resamples: at least 1. seed: of the draws. Raises: ValueError as `validate` says.

    >>> bootstrap([True, True, True, False]).value
    0.75
    """
    array = np.asarray(values, dtype=np.float64)
    validate(array, confidence, num_resamples)
    compute = np.mean if statistic == "mean" else np.median
    draws = np.random.default_rng(seed).integers(array.size, size=(num_resamples, array.size))
    low, high = np.quantile(compute(array[draws], axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(compute(array)), float(low), float(high), confidence, int(array.size))
