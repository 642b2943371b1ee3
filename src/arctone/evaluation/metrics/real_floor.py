"""How far apart two halves of one real set are: the floor of every distance between sets.

What is evaluated
    Nothing but the measure itself and the number of clips: a distance that is no larger than this floor cannot be
    distinguished from that of real sounds with so few clips.

Conventions
    The real set is cut into two random halves, several times; the floor is the mean distance between the halves. For
    comparison the generated set, cut to the same number of clips, is set against a half in the same way, because many
    distances grow as sets shrink. Both numbers have the same size of sets; the distance of the whole sets has not.

Measures
    * :func:`evaluate`: floor, and the generated set at the floor's size

Legend: N clips, D size of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from arctone.evaluation.metrics.manifold import IntArray

# Distances of two sets by name, given the indices of the clips of each that take part.
Distances = Callable[[IntArray, IntArray], Mapping[str, float]]


@dataclass(frozen=True)
class Floor:
    """Distances at equal numbers of sounds.

    Args:
        real: Mean distance between two halves of the real set.
        generated: Mean distance between such a half and as many generated clips.
        size: Clips of each of the two sets.
        num_splits: Over how many cuts.
    """

    real: float
    generated: float
    size: int
    num_splits: int


def validate(num_real: int, num_generated: int, num_splits: int) -> int:
    """Check the arguments and convert them.

    Args:
        num_real: Real sounds.
        num_generated: Generated sounds.
        num_splits: Random halves.

    Returns:
        Clips of a half.

    Raises:
        ValueError: for fewer than 4 real or 2 generated clips, or no split.
    """
    if num_real < 4 or num_generated < 2:
        raise ValueError(f"there are {num_real} real and {num_generated} generated clips, but 4 and 2 are needed.")
    if num_splits < 1:
        raise ValueError(f"num_splits is {num_splits}, but must be at least 1.")
    return min(num_real // 2, num_generated)


def evaluate(
    real_real: Distances,
    real_generated: Distances,
    num_real: int,
    num_generated: int,
    num_splits: int = 5,
    seed: int = 0,
) -> dict[str, Floor]:
    """Measure the floor of each distance.

    Args:
        real_real: Distances of two parts of the real set, by their indices.
        real_generated: Of a part of the real set and a part of the generated one.
        num_real: Real sounds.
        num_generated: Generated sounds.
        num_splits: Random halves.
        seed: Of the random draws.

    Returns:
        Floor by name.

    Raises:
        ValueError: see `validate`.
    """
    size = validate(num_real, num_generated, num_splits)
    rng = np.random.default_rng(seed)
    among, against = [], []
    for _ in range(num_splits):
        order, made = rng.permutation(num_real), rng.permutation(num_generated)[:size]
        among.append(real_real(order[:size], order[size : 2 * size]))
        against.append(real_generated(order[:size], made))
    return {name: Floor(_mean(among, name), _mean(against, name), size, num_splits) for name in among[0]}


def _mean(found: list[Mapping[str, float]], name: str) -> float:
    return float(np.mean([one[name] for one in found]))
