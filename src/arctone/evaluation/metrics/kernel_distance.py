"""Kernel distance between two sets of embeddings: the companion of the Frechet distance for few clips.

What is evaluated
    The same as `frechet`, without assuming Gaussians.

Conventions
    Squared maximum mean discrepancy with the polynomial kernel (x y / D + 1)^3, over pairs of different clips only, so
    that its expected value does not depend on the number of clips and is 0 for two sets from one source. It can fall
    slightly below 0. Rows are clips. Intervals: jackknife, each clip of either set left out once, in closed form.

Measures
    * :func:`kernel_distance`: of two sets
    * :func:`evaluate`: with its interval

References
    A. Gretton et al., "A kernel two-sample test", JMLR 13, 2012, equation 3. M. Binkowski et al., "Demystifying MMD
    GANs", ICLR 2018 (this kernel, "KID").

Legend: N, M clips, D size of the embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, normal
from arctone.evaluation.metrics.manifold import FloatArray, as_points, same_size


def validate(reference: npt.ArrayLike, generated: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check the arguments and convert them.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].

    Returns:
        Both sets, [N, D] and [M, D].

    Raises:
        ValueError: for bad shapes or values, different D, or fewer than 2 clips.
    """
    first, second = (as_points(*pair, minimum=2) for pair in (("reference", reference), ("generated", generated)))
    same_size(first, second)
    return first, second


def kernel_distance(reference: npt.ArrayLike, generated: npt.ArrayLike) -> float:
    """Compute the unbiased squared MMD of two sets.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].

    Returns:
        The distance; may be slightly negative.

    Raises:
        ValueError: see `validate`.
    """
    first, second = validate(reference, generated)
    within = [_sums(points).sum() / (len(points) * (len(points) - 1)) for points in (first, second)]
    return float(sum(within) - 2 * _kernel(first, second).mean())


def evaluate(reference: npt.ArrayLike, generated: npt.ArrayLike) -> dict[str, Interval]:
    """Compute `kernel_distance` with its interval.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].

    Returns:
        Intervals by name.

    Raises:
        ValueError: see `validate`, or for fewer than 3 clips.
    """
    first, second = validate(reference, generated)
    if min(len(first), len(second)) < 3:
        raise ValueError(f"the sets have {len(first)} and {len(second)} clips, but an interval needs at least 3.")
    cross = _kernel(first, second)
    variance = _variance(_sums(first), cross.sum(axis=1), len(second))
    variance += _variance(_sums(second), cross.sum(axis=0), len(first))
    return {"kernel_distance": normal(kernel_distance(first, second), variance, len(second))}


def _kernel(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray((first @ second.T / first.shape[1] + 1.0) ** 3)


def _sums(points: FloatArray) -> FloatArray:
    """Kernel of each clip with all others of its set, summed, [N]."""
    kernel = _kernel(points, points)
    return np.asarray(kernel.sum(axis=1) - np.diag(kernel))


def _variance(within: FloatArray, cross: FloatArray, num_others: int) -> float:
    """Jackknife variance over the clips of one set, from the sums of their kernels; terms of the other set cancel."""
    count = len(within)
    inside = (within.sum() - 2 * within) / ((count - 1) * (count - 2))
    between = (cross.sum() - cross) / ((count - 1) * num_others)
    return float((count - 1) * np.var(inside - 2 * between))
