"""Sets of embeddings as the measures between sets see them: checked, with angles and distances that hold for
duplicates.

Legend: N, M points, D size of the embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_ROWS_AT_ONCE = 16


def as_points(name: str, values: npt.ArrayLike, minimum: int = 1) -> FloatArray:
    """Embeddings as float64 [N, D]. Raises: ValueError that names them if the shape, the number or a value is wrong."""
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"{name} must be embeddings of shape [clips, size], not {list(points.shape)}.")
    if len(points) < minimum:
        raise ValueError(f"{name} has {len(points)} clip(s), but this measure needs at least {minimum}.")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} must be finite, but holds values that are infinite or not a number.")
    return points


def same_size(first: FloatArray, second: FloatArray) -> None:
    """Raises: ValueError if two sets come from different embeddings."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"the sets have embeddings of size {first.shape[1]} and {second.shape[1]}, but need the same.")


def unit_rows(points: FloatArray) -> FloatArray:
    """Points at length 1, [N, D + 1]. A zero vector, which has no direction, gets one of its own in the last column:
    it is like other zero vectors and unlike everything else.
    """
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    nowhere = (lengths == 0).astype(np.float64)
    return np.hstack([points / (lengths + nowhere), nowhere])


def distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Euclidean distances, [N, M], exactly 0 for equal points (which the usual shortcut over products is not)."""
    blocks = [
        np.sqrt(np.square(first[start : start + _ROWS_AT_ONCE, None] - second).sum(axis=2))
        for start in range(0, len(first), _ROWS_AT_ONCE)
    ]
    return np.concatenate(blocks)
