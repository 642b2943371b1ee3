"""Limits of time, on a clock that the tests move."""

from __future__ import annotations

import math

import pytest

from arctone.workflows.reproduce.budget import sample_of
from arctone.workflows.time_limit import Deadline, RowCost, largest_sample


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_counts_from_its_making_and_keeps_a_reserve() -> None:
    clock = Clock()
    deadline = Deadline(2.0, clock)
    clock.now += 30
    assert deadline.seconds_left() == 90
    assert deadline.seconds_left(reserve=60) == 30
    assert deadline.minutes_of_training(reserve=60) == 0.5
    deadline.take(10)
    assert deadline.seconds_left() == 80
    clock.now += 500
    assert deadline.seconds_left() == 0
    assert 0 < (deadline.minutes_of_training() or 0) < 0.01


def test_without_a_limit_there_is_always_time() -> None:
    deadline = Deadline(None)
    assert not deadline.is_set
    assert deadline.seconds_left(reserve=1e9) == math.inf
    assert deadline.minutes_of_training() is None


@pytest.mark.parametrize("seconds", [10.0, 40.0, 100.0, 1000.0, 1e6])
def test_a_sample_fits_and_no_larger_one_does(seconds: float) -> None:
    costs = [RowCost(1.0, 0.5), RowCost(1.0, 0.5), RowCost(2.0, 1.0)]

    def spent(rows: int, prompts: int) -> float:
        return sum(cost.opening + cost.sound * sample_of(rows, prompts).sounds for cost in costs[:rows])

    found = largest_sample(costs, seconds, least=4, most=50, least_rows=2, sample_of=sample_of)
    if spent(2, 4) > seconds:
        assert (found.rows, found.prompts) == (2, 4)
        return
    assert spent(found.rows, found.prompts) <= seconds
    if found.rows < len(costs):
        assert found.prompts == 4
        assert spent(found.rows + 1, 4) > seconds
    elif found.prompts < 50:
        assert spent(found.rows, found.prompts + 1) > seconds


def test_a_slow_row_at_the_end_is_left_out_first() -> None:
    costs = [RowCost(1.0, 0.1), RowCost(1.0, 0.1), RowCost(100.0, 10.0)]
    found = largest_sample(costs, 60.0, least=4, most=50, least_rows=1, sample_of=sample_of)
    assert (found.rows, found.prompts) == (2, 4)
