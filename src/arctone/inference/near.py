"""Sounds near others: noise between that of some seeds and that of a fresh one.

The noise of a sound is a point on a sphere of as many dimensions as it has numbers. A mixture whose weights have
squares that sum to 1 stays on it (its variance is kept), so that the model receives noise as it was trained on.
`amount` is the angle on the way from the parents to the fresh seed: 0 = the parents themselves, 1 = a right angle, the
fresh seed alone.

Text form: SEED[*WEIGHT][+SEED[*WEIGHT]...]:AMOUNT, such as "7:0.3", "7+12:0.3" (both alike) or "7*0.8+12*0.6:0.3".
Weights count relative to each other.

Source of the interpolation: K. Shoemake, "Animating rotation with quaternion curves", 1985 (slerp).
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from arctone.errors import UsageError
from arctone.flow.noise import MAX_SEED

MAX_PARENTS, MAX_NEAR_LENGTH = 32, 1_500
_PARENT = re.compile(r"(\d{1,19})(?:\*(\d{1,6}(?:\.\d{1,6})?))?")
_NEAR = re.compile(r"(?P<parents>[^:]+):(?P<amount>[01](?:\.\d{1,12})?)")
_ONE = r"(\d{1,18}|[1-8]\d{18})(\*(?!0+(\.0+)?[+:])\d{1,6}(\.\d{1,6})?)?"
PATTERN = rf"^{_ONE}(\+{_ONE}){{0,{MAX_PARENTS - 1}}}:(0(\.\d{{1,12}})?|1(\.0{{1,12}})?)$"
"""The text form as JSON schemas say it."""
_ALLOWED = (
    'SEED:AMOUNT such as "7:0.3", or seeds joined by + with weights if wanted, "7+12:0.3" or "7*0.8+12*0.6:0.3", with '
    f"amounts from 0 to 1, weights above 0, seeds below 2**63 and at most {MAX_PARENTS} of them"
)


class Near(NamedTuple):
    """Where noise is drawn near.

    Args:
        parents: seeds with their weights, whose squares sum to 1.
        amount: how far from them, 0 to 1.
    """

    parents: tuple[tuple[int, float], ...]
    amount: float

    def weights(self, seed: int) -> dict[int, float]:
        """Return the weights of a sound's noise by seed; their squares sum to 1.

        Args:
            seed: Of the sound, the fresh one.

        Returns:
            Weights, without those that are 0.
        """
        angle = self.amount * math.pi / 2
        found = {parent: weight * math.cos(angle) for parent, weight in self.parents}
        found[seed] = found.get(seed, 0.0) + math.sin(angle)
        return unit_weights({one: weight for one, weight in found.items() if weight > 1e-9})


def unit_weights(weights: Mapping[int, float]) -> dict[int, float]:
    """Scale weights so that their squares sum to 1.

    Args:
        weights: By seed, above 0.

    Returns:
        Weights by seed.
    """
    norm = math.sqrt(sum(weight**2 for weight in weights.values()))
    return {seed: weight / norm for seed, weight in weights.items()}


@functools.lru_cache(maxsize=64)
def parse_near(text: str) -> Near:
    """Read the text form.

    >>> parse_near("7+12:0.5").amount
    0.5

    Args:
        text: SEED:AMOUNT and so on, see above.

    Returns:
        The seeds, each once, and the amount.

    Raises:
        UsageError: In one sentence for anything else.
    """
    found = _NEAR.fullmatch(text.replace(" ", ""))
    parents = [_PARENT.fullmatch(part) for part in found["parents"].split("+")] if found else []
    if not found or len(parents) > MAX_PARENTS or not all(parents) or float(found["amount"]) > 1:
        raise UsageError(field="near", value=text, allowed=_ALLOWED)
    weights: dict[int, float] = {}
    for parent in parents:
        assert parent is not None
        seed, weight = int(parent[1]), float(parent[2] or 1)
        if seed > MAX_SEED or weight == 0:
            raise UsageError(field="near", value=text, allowed=_ALLOWED)
        weights[seed] = weights.get(seed, 0.0) + weight
    return Near(tuple(unit_weights(weights).items()), float(found["amount"]))


def write_near(weights: Mapping[int, float], amount: float) -> str:
    """Write the text form; parents beyond `MAX_PARENTS`, those of the smallest weights, are left out.

    >>> write_near({7: 0.8, 12: 0.6}, 0.3)
    '7*0.8+12*0.6:0.3'

    Args:
        weights: Of the parents, by seed, above 0.
        amount: How far from them, 0 to 1.

    Returns:
        The text.
    """
    largest = sorted(weights.items(), key=lambda one: -one[1])[:MAX_PARENTS]
    if len(largest) == 1:
        return f"{largest[0][0]}:{_short(amount)}"
    parents = "+".join(f"{seed}*{_short(weight)}" for seed, weight in largest if _short(weight) != "0")
    return f"{parents}:{_short(amount)}"


def _short(number: float) -> str:
    return f"{number:.4f}".rstrip("0").rstrip(".")
