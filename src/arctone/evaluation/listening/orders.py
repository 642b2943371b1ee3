"""In which order a listener hears the trials: balanced over listeners, so that no system gains by its place.

Reference: E. J. Williams, "Experimental designs balanced for the estimation of residual effects of treatments",
Australian Journal of Scientific Research A 2, 1949.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Cell = tuple[int, int]


def williams_square(num_conditions: int) -> list[list[int]]:
    """Orders of the conditions 0 to num_conditions - 1: each stands at each place equally often, and follows each
    other one equally often. As many rows as conditions if their number is even, else twice as many.

    >>> williams_square(4)
    [[0, 3, 1, 2], [1, 0, 2, 3], [2, 1, 3, 0], [3, 2, 0, 1]]
    """
    zigzag = [place // 2 if place % 2 == 0 else num_conditions - (place + 1) // 2 for place in range(num_conditions)]
    rows = [[(condition + shift) % num_conditions for condition in zigzag] for shift in range(num_conditions)]
    return rows if num_conditions % 2 == 0 else rows + [row[::-1] for row in rows]


def balanced_orders(num_conditions: int, num_prompts: int, num_orders: int, seed: int) -> list[list[Cell]]:
    """Orders of all (condition, prompt) cells, in rounds that hold each condition once, on different prompts where
    there are enough of them.

    Args: num_orders: at least so many are made, up to the next whole number of squares. seed: of the prompts' order.
    """
    square = williams_square(num_conditions)
    count = -(-num_orders // len(square)) * len(square)
    return [_order(square, number, num_prompts, seed) for number in range(count)]


def with_repeats(order: Sequence[str], repeats: Mapping[str, str]) -> list[str]:
    """The order with each repeat (repeat: original) about half the trials away from its original: originals of the
    first half come again later, those of the second half have been heard before under the repeat's name."""
    places: list[tuple[float, str]] = [(float(place), trial) for place, trial in enumerate(order)]
    half = len(order) / 2
    for number, (repeat, original) in enumerate(sorted(repeats.items())):
        place = order.index(original)
        target = place + half if place < half else place - half
        places.append((target - 0.5 + 1e-3 * number, repeat))
    return [trial for _, trial in sorted(places)]


def _order(square: list[list[int]], number: int, num_prompts: int, seed: int) -> list[Cell]:
    prompts = np.random.default_rng([seed, number]).permutation(num_prompts)
    return [
        (condition, int(prompts[(turn + condition) % num_prompts]))
        for turn in range(num_prompts)
        for condition in square[(number + turn) % len(square)]
    ]
