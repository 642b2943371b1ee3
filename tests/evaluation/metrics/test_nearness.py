"""Distances of sounds to a set, on points whose answers are known."""

import numpy as np
import pytest

from arctone.evaluation.metrics import nearness


def test_a_set_of_equal_directions_is_at_no_distance_whatever_the_lengths() -> None:
    assert nearness.set_distances([[2.0, 0.0]], [[1.0, 0.0], [5.0, 0.0]]).tolist() == [0.0]
    assert nearness.measure_own_distances([[1.0, 1.0], [3.0, 3.0]]) == pytest.approx([0.0, 0.0])


def test_a_sound_is_left_out_of_its_own_set() -> None:
    points = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    assert nearness.measure_own_distances(points) == pytest.approx([1.5, 1.0, 1.5])


def test_random_directions_are_at_one_in_many_dimensions() -> None:
    rng = np.random.default_rng(0)
    found = nearness.set_distances(rng.standard_normal((200, 400)), rng.standard_normal((200, 400)))
    assert found.mean() == pytest.approx(1.0, abs=0.01)


def test_the_change_is_paired() -> None:
    """Points that each move half the way: the change is clear although before and after overlap."""
    rng = np.random.default_rng(1)
    goal = np.tile([1.0, 0.0], (5, 1))
    angles = rng.uniform(0.2, 1.5, 30)
    before = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    after = np.stack([np.cos(angles - 0.1), np.sin(angles - 0.1)], axis=1)
    found = nearness.evaluate(before, after, goal)
    assert found["change"].value == pytest.approx(found["after"].value - found["before"].value)
    assert found["change"].high < 0
    assert found["before"].low < found["after"].high
    none = nearness.evaluate(before, before, goal)["change"]
    assert (none.low, none.value, none.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("before", "after", "reference", "sentence"),
    [
        ([[1.0, 0.0]], [[1.0, 0.0]], [[1.0]], "size 2 and 1"),
        ([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]], "1 sounds before, but 2 after"),
        ([[1.0, float("nan")]], [[1.0, 0.0]], [[1.0, 0.0]], "finite"),
    ],
)
def test_sets_that_do_not_fit_are_refused(before: object, after: object, reference: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nearness.evaluate(before, after, reference)  # type: ignore[arg-type]


def test_one_sound_has_no_distance_to_itself() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        nearness.measure_own_distances([[1.0, 0.0]])
