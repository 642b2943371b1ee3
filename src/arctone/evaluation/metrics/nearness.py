"""How near sounds are to a set of others: for tuned models, whose sounds shall move to one's own.

What is evaluated
    Whether sounds of a model, before and after a change, are like the sounds of a set, however few those are.

Conventions
    The distance of a sound to a set is 1 less its mean cosine to the set's embeddings: 0 to 2, and no neighbour is
    chosen, so it has no bias that depends on the number of sounds. Before and after are paired (same prompt, same
    seed); the interval of the change is a bootstrap over pairs. Sounds of the set are not at 0 from it:
    `measure_own_distances` leaves each of them out in turn, which is where a perfect model would be.

Measures
    * :func:`set_distances`, :func:`measure_own_distances`: one number a sound
    * :func:`evaluate`: means before and after, and the change

Legend: N sounds, M sounds of the set, D size of the embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, bootstrap
from arctone.evaluation.metrics.manifold import FloatArray, as_points, same_size, unit_rows


def set_distances(points: npt.ArrayLike, reference: npt.ArrayLike) -> FloatArray:
    """Compute the distance of each of N points to M others.

    >>> set_distances([[1, 0], [0, 2], [-1, 0]], [[3, 0]]).tolist()
    [0.0, 1.0, 2.0]

    Args:
        points: [N, D].
        reference: [M, D].

    Returns:
        [N].

    Raises:
        ValueError: for bad shapes or values, or different D.
    """
    first, second = as_points("points", points), as_points("reference", reference)
    same_size(first, second)
    return np.asarray(1 - unit_rows(first) @ unit_rows(second).mean(axis=0))


def measure_own_distances(reference: npt.ArrayLike) -> FloatArray:
    """Compute the distance of each of M points to the others.

    Args:
        reference: [M, D], M at least 2.

    Returns:
        [M].

    Raises:
        ValueError: for fewer than 2 points.
    """
    units = unit_rows(as_points("reference", reference, minimum=2))
    others = units.sum(axis=0) - units
    return np.asarray(1 - (units * others).sum(axis=1) / (len(units) - 1))


def evaluate(
    before: npt.ArrayLike, after: npt.ArrayLike, reference: npt.ArrayLike, seed: int = 0
) -> dict[str, Interval]:
    """Compute mean distances `before` and `after`, and `change`, their paired difference; below 0 is nearer.

    Args:
        before: [N, D], row i of both of one prompt and seed.
        after: [N, D], row i of both of one prompt and seed.
        reference: [M, D].
        seed: Of the bootstrap.

    Returns:
        Intervals by name.

    Raises:
        ValueError: , see `set_distances`, or if the numbers of pairs differ.
    """
    rows = [set_distances(points, reference) for points in (before, after)]
    if len(rows[0]) != len(rows[1]):
        raise ValueError(f"there are {len(rows[0])} sounds before, but {len(rows[1])} after.")
    named = {"before": rows[0], "after": rows[1], "change": rows[1] - rows[0]}
    return {name: bootstrap(values, seed=seed) for name, values in named.items()}
