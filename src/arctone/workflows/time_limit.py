"""Limits of time that hold for a whole command, and the amounts of work that fit into what is left.

A command that trains, generates and measures cannot know beforehand how fast a machine is. It measures a small part of
each kind of work, and chooses how much of it to do so that the rest of the time suffices.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# A stage of training takes at least one step; without any time left it takes no second.
_LEAST_MINUTES = 0.001


class Deadline:
    """The moment at which a command must be done.

    Args:
        minutes: From now on; None for no limit.
        clock: Returns seconds that only increase.
    """

    def __init__(self, minutes: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = math.inf if minutes is None else clock() + 60 * minutes

    @property
    def is_set(self) -> bool:
        """Whether there is a limit at all."""
        return self._end < math.inf

    def take(self, seconds: float) -> None:
        """Brings it forward by time that was spent before it was made."""
        self._end -= seconds

    def seconds_left(self, reserve: float = 0.0) -> float:
        """Compute the time until then.

        Args:
            reserve: Seconds that are needed for something else.

        Returns:
            Seconds, at least 0; infinity without a limit.
        """
        return max(0.0, self._end - self._clock() - reserve)

    def minutes_of_training(self, reserve: float = 0.0) -> float | None:
        """Compute the limit of a training that may take all that is left.

        Args:
            reserve: Seconds that are needed afterwards.

        Returns:
            Minutes; None without a limit.
        """
        return max(_LEAST_MINUTES, self.seconds_left(reserve) / 60) if self.is_set else None


@dataclass(frozen=True)
class RowCost:
    """What a row of a comparison takes.

    Attributes:
        opening: Seconds before the first sound.
        sound: Seconds of each sound, with its measures.
    """

    opening: float
    sound: float


@dataclass(frozen=True)
class Sample:
    """Sounds of every row of a comparison.

    Attributes:
        rows: Rows that there is time for, the first ones.
        prompts: Each with one sound.
        repeated: Prompts of which several sounds are made.
        takes: How many that are.
    """

    rows: int
    prompts: int
    repeated: int
    takes: int

    @property
    def sounds(self) -> int:
        """Sounds of one row."""
        return self.prompts + self.repeated * self.takes


def largest_sample(
    costs: Sequence[RowCost],
    seconds: float,
    *,
    least: int,
    most: int,
    least_rows: int,
    sample_of: Callable[[int, int], Sample],
) -> Sample:
    """Choose the largest sample that fits into some seconds; of the smallest one, as many rows as fit.

    Args:
        costs: Of all rows, the most important first.
        seconds: That there are.
        least: Smallest number of prompts.
        most: Largest number of prompts.
        least_rows: Rows that are never left out.
        sample_of: Makes the sample of a number of rows and of prompts.

    Returns:
        The sample.
    """

    def fits(sample: Sample) -> bool:
        return sum(cost.opening + cost.sound * sample.sounds for cost in costs[: sample.rows]) <= seconds

    for prompts in range(most, least, -1):
        if fits(sample := sample_of(len(costs), prompts)):
            return sample
    for rows in range(len(costs), least_rows, -1):
        if fits(sample := sample_of(rows, least)):
            return sample
    return sample_of(min(least_rows, len(costs)), least)
