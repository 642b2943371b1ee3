"""Precision, recall, density and coverage: are generated sounds like real ones, and is every kind of real one made?

What is evaluated
    Precision and density: fidelity (do generated clips lie where real ones lie?). Recall and coverage: variety (is
    there a generated clip near each real one?).

Conventions
    A set's manifold is the union of balls around its clips, each reaching to the clip's k-th nearest neighbour in the
    same set (k = 5). A point lies in a ball if it is nearer than the reach, or is the centre itself. Density can pass
    1. Rows are clips. All four depend on the numbers of clips, which belong to them. Intervals: bootstrap over the
    clips that are asked (generated ones for precision and density, real ones for recall and coverage) with the balls
    held fixed, because balls around clips drawn twice would shrink to nothing.

Measures
    * :func:`precision_recall_density_coverage`: for each clip, the number that its measure averages
    * :func:`evaluate`: means with their intervals

References
    T. Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019.
    M. F. Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020.

Legend: N real, M generated clips, D size of the embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, bootstrap

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_ROWS_AT_ONCE = 16


def as_points(name: str, values: npt.ArrayLike, minimum: int = 1) -> FloatArray:
    """Convert embeddings to float64.

    Args:
        name: Name in sentences.
        values: Rows to check.
        minimum: Fewest rows.

    Returns:
        [N, D].

    Raises:
        ValueError: that names them if the shape, the number or a value is wrong.
    """
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"{name} must be embeddings of shape [clips, size], not {list(points.shape)}.")
    if len(points) < minimum:
        raise ValueError(f"{name} has {len(points)} clip(s), but this measure needs at least {minimum}.")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} must be finite, but holds values that are infinite or not a number.")
    return points


def same_size(first: FloatArray, second: FloatArray) -> None:
    """Refuse two sets of different embeddings.

    Args:
        first: [N, D].
        second: [M, D].

    Raises:
        ValueError: if two sets come from different embeddings.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"the sets have embeddings of size {first.shape[1]} and {second.shape[1]}, but need the same.")


def unit_rows(points: FloatArray) -> FloatArray:
    """Scale points to length 1.

    Args:
        points: [N, D].

    Returns:
        [N, D + 1]. A zero vector, which has no direction, gets one of its own in the last column: it is like other zero
        vectors and unlike everything else.
    """
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    nowhere = (lengths == 0).astype(np.float64)
    return np.hstack([points / (lengths + nowhere), nowhere])


def distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Compute Euclidean distances, exactly 0 for equal points (which the usual shortcut over products is not).

    Args:
        first: [N, D].
        second: [M, D].

    Returns:
        [N, M].
    """
    blocks = [
        np.sqrt(np.square(first[start : start + _ROWS_AT_ONCE, None] - second).sum(axis=2))
        for start in range(0, len(first), _ROWS_AT_ONCE)
    ]
    return np.concatenate(blocks)


NUM_NEIGHBOURS = 5


def validate(
    reference: npt.ArrayLike, generated: npt.ArrayLike, num_neighbours: int = NUM_NEIGHBOURS
) -> tuple[FloatArray, FloatArray]:
    """Check the arguments and convert them.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].
        num_neighbours: Neighbours that make a radius, at least 1.

    Returns:
        Both sets, [N, D] and [M, D].

    Raises:
        ValueError: for bad shapes or values, or not more clips than neighbours.
    """
    if num_neighbours < 1:
        raise ValueError(f"num_neighbours is {num_neighbours}, but must be at least 1.")
    pairs = (("reference", reference), ("generated", generated))
    first, second = (as_points(*pair, minimum=num_neighbours + 1) for pair in pairs)
    same_size(first, second)
    return first, second


def precision_recall_density_coverage(
    reference: npt.ArrayLike, generated: npt.ArrayLike, num_neighbours: int = NUM_NEIGHBOURS
) -> dict[str, FloatArray]:
    """Compute what each clip contributes to the four measures.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].
        num_neighbours: Neighbours that make a radius, at least 1.

    Returns:
        `precision` and `density` [M], `recall` and `coverage` [N].

    Raises:
        ValueError: see `validate`.
    """
    real, made = validate(reference, generated, num_neighbours)
    between = distances(real, made)
    in_real = _inside(between, _reaches(real, num_neighbours)[:, None])
    in_made = _inside(between, _reaches(made, num_neighbours)[None, :])
    return {
        "precision": in_real.any(axis=0).astype(np.float64),
        "recall": in_made.any(axis=1).astype(np.float64),
        "density": in_real.sum(axis=0) / num_neighbours,
        "coverage": in_real.any(axis=1).astype(np.float64),
    }


def evaluate(
    reference: npt.ArrayLike, generated: npt.ArrayLike, num_neighbours: int = NUM_NEIGHBOURS, seed: int = 0
) -> dict[str, Interval]:
    """Compute the four measures with their intervals.

    Args:
        reference: Real sounds, [N, D].
        generated: Generated sounds, [M, D].
        num_neighbours: Neighbours that make a radius, at least 1.
        seed: Of the random draws.

    Returns:
        Intervals by name.

    Raises:
        ValueError: see `validate`.
    """
    found = precision_recall_density_coverage(reference, generated, num_neighbours)
    return {name: bootstrap(values, seed=seed) for name, values in found.items()}


def _reaches(points: FloatArray, num_neighbours: int) -> FloatArray:
    """Distance of each point to its k-th nearest other point, [N]."""
    among = distances(points, points)
    np.fill_diagonal(among, np.inf)
    return np.asarray(np.partition(among, num_neighbours - 1, axis=1)[:, num_neighbours - 1])


def _inside(between: FloatArray, reaches: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray((between < reaches) | (between == 0))
