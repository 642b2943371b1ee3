"""Vendi score: the effective number of different sounds in a set.

What is evaluated
    Variety, without a reference: 1 if all clips are alike, N if no two have anything in common.

Conventions
    Similarity is the cosine of the embeddings. Negative cosines count as they are. The score grows with the number of
    clips and with what the embedding calls different; it is compared at equal numbers within one embedding. Intervals:
    jackknife over clips.

Measures
    * :func:`vendi_score`: of a set
    * :func:`evaluate`: with its interval

References
    D. Friedman and A. B. Dieng, "The Vendi score: a diversity evaluation metric for machine learning", TMLR 2023.

Legend: N clips, D size of the embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, jackknife_variance, normal
from arctone.evaluation.metrics.manifold import FloatArray, as_points, unit_rows


def validate(points: npt.ArrayLike) -> FloatArray:
    """Check the arguments and convert them.

    Args:
        points: [N, D].

    Returns:
        [N, D].

    Raises:
        ValueError: for bad shapes or values, or no clip.
    """
    return as_points("points", points)


def vendi_score(points: npt.ArrayLike) -> float:
    """Compute the effective number of different points.

    It is exp of the entropy of the eigenvalues of the similarity matrix over N.

    Args:
        points: [N, D].

    Returns:
        1 to N.
    """
    return _score(unit_rows(validate(points)))


def evaluate(points: npt.ArrayLike, seed: int = 0) -> dict[str, Interval]:
    """Compute `vendi_score` with its interval.

    Args:
        points: [N, D].
        seed: Of the random draws.

    Returns:
        Intervals by name.

    Raises:
        ValueError: see `validate`, or for fewer than 2 clips.
    """
    units = unit_rows(validate(points))
    variance = jackknife_variance(lambda kept: _score(units[kept]), len(units), seed=seed)
    return {"vendi_score": normal(_score(units), variance, len(units))}


def _score(units: FloatArray) -> float:
    count, size = units.shape
    # Both products have the same eigenvalues other than 0.
    small = units @ units.T if count <= size else units.T @ units
    shares = np.linalg.eigvalsh(small / count)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
