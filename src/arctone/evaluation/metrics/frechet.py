"""Frechet distance between the Gaussians of two sets of embeddings: how alike two collections of sounds are as a whole.

What is evaluated
    Quality and variety together: a set that is dull, noisy or narrow lies far from the reference. Prompts do not
    matter.

Conventions
    Rows are clips, or windows of clips whose clip `owners` names. Covariances are unbiased (N - 1). The value is the
    squared distance, as everywhere in the field. It grows as sets get smaller, because a covariance of D dimensions
    from few clips is too flat; so it is compared only at equal numbers and next to the distance between two halves of
    the real set (`real_floor`). Intervals: jackknife over the clips of both sets; an end below 0 is put to 0.

    The trace of the root of the product of covariances is the sum of the singular values of A B^T, where A^T A and
    B^T B are the covariances. So no root of an almost singular matrix is taken, and fewer clips than dimensions are no
    special case.

Measures
    * :func:`frechet_distance`: of two sets
    * :func:`distance`: of two Gaussians, such as published statistics
    * :func:`evaluate`: with its interval

References
    D. Dowson and B. Landau, "The Frechet distance between multivariate normal distributions", J. Multivariate Analysis
    12, 1982. M. Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017. K. Kilgour et al.,
    "Frechet audio distance", Interspeech 2019.

Legend: N rows, D size of the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, jackknife_variance, normal
from arctone.evaluation.metrics.manifold import FloatArray, IntArray, as_points, same_size


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution.

    Args:
        mean: [D].
        factor: [R, D], with factor^T factor = covariance.
    """

    mean: FloatArray
    factor: FloatArray


def validate(reference: npt.ArrayLike, generated: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check the arguments and convert them.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].

    Returns:
        Both sets, [N, D] and [M, D].

    Raises:
        ValueError: for bad shapes or values, different D, or fewer than 2 rows.
    """
    first, second = (as_points(*pair, minimum=2) for pair in (("reference", reference), ("generated", generated)))
    same_size(first, second)
    return first, second


def gaussian(points: FloatArray) -> Gaussian:
    """Fit a Gaussian.

    Args:
        points: At least 2, [N, D].

    Returns:
        Mean and unbiased covariance.
    """
    mean = points.mean(axis=0)
    factor = (points - mean) / np.sqrt(len(points) - 1)
    if len(factor) > factor.shape[1]:
        factor = np.linalg.qr(factor, mode="r")
    return Gaussian(mean, factor)


def from_statistics(mean: npt.ArrayLike, covariance: npt.ArrayLike) -> Gaussian:
    """Build a Gaussian from a stored mean and covariance.

    Args:
        mean: Two means, [D] each.
        covariance: Two covariances, [D, D] each.

    Returns:
        The Gaussian.

    Raises:
        ValueError: if they do not fit each other.
    """
    centre, matrix = (np.asarray(values, dtype=np.float64) for values in (mean, covariance))
    if centre.ndim != 1 or matrix.shape != (len(centre), len(centre)):
        raise ValueError(
            f"mean and covariance have the shapes {centre.shape} and {matrix.shape}, but need [D], [D, D]."
        )
    variances, axes = np.linalg.eigh((matrix + matrix.T) / 2)
    return Gaussian(centre, np.sqrt(np.maximum(variances, 0.0))[:, None] * axes.T)


def distance(first: Gaussian, second: Gaussian) -> float:
    """Compute the squared Frechet distance |mean difference|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Args:
        first: A Gaussian of D dimensions.
        second: Another of D dimensions.

    Returns:
        0 and upwards.
    """
    means = np.square(first.mean - second.mean).sum()
    traces = np.square(first.factor).sum() + np.square(second.factor).sum()
    common = np.linalg.svd(first.factor @ second.factor.T, compute_uv=False).sum()
    return float(max(means + traces - 2 * common, 0.0))


def frechet_distance(reference: npt.ArrayLike, generated: npt.ArrayLike) -> float:
    """Compute the squared Frechet distance of two sets.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].

    Returns:
        0 and upwards.

    Raises:
        ValueError: see `validate`.
    """
    first, second = validate(reference, generated)
    return distance(gaussian(first), gaussian(second))


def evaluate(
    reference: npt.ArrayLike,
    generated: npt.ArrayLike,
    reference_owners: IntArray | None = None,
    generated_owners: IntArray | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """Compute `frechet_distance` with its interval.

    Args:
        reference: [N, D]. owners: clip of each row, 0 upwards; None = every row is a clip.
        generated: As `reference`.
        reference_owners: Clip of each real row, [N]; None = a row is a clip.
        generated_owners: Clip of each generated row, [M]; None = a row is a clip.
        seed: Of the jackknife's groups.

    Returns:
        Intervals by name.

    Raises:
        ValueError: see `validate`, or if a set has fewer than 3 clips.
    """
    first, second = validate(reference, generated)
    owners = [_owners(*pair) for pair in ((first, reference_owners), (second, generated_owners))]
    whole = gaussian(first), gaussian(second)
    variance = _variance(first, owners[0], whole[1], seed) + _variance(second, owners[1], whole[0], seed)
    found = normal(distance(*whole), variance, int(owners[1].max()) + 1)
    return {"frechet_distance": replace(found, low=max(found.low, 0.0))}


def _variance(points: FloatArray, owners: IntArray, other: Gaussian, seed: int) -> float:
    num_clips = int(owners.max()) + 1
    if num_clips < 3:
        raise ValueError(f"a set has {num_clips} clip(s), but an interval needs at least 3.")

    def without(kept: npt.NDArray[np.intp]) -> float:
        return distance(gaussian(points[np.isin(owners, kept)]), other)

    return jackknife_variance(without, num_clips, seed=seed)


def _owners(points: FloatArray, owners: IntArray | None) -> IntArray:
    if owners is None:
        return np.arange(len(points))
    if len(owners) != len(points):
        raise ValueError(f"there are {len(owners)} owners, but {len(points)} rows.")
    return owners
