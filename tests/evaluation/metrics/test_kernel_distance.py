"""Kernel distance against sums over pairs and closed forms."""

import itertools

import numpy as np
import pytest

from arctone.evaluation.metrics import kernel_distance
from arctone.evaluation.metrics.kernel_distance import kernel_distance as distance
from tests.evaluation.metrics.public_answers import sets


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return float((x @ y / len(x) + 1) ** 3)


def over_pairs(first: np.ndarray, second: np.ndarray) -> float:
    """The definition, pair by pair."""
    within = [np.mean([kernel(x, y) for x, y in itertools.permutations(points, 2)]) for points in (first, second)]
    return float(sum(within) - 2 * np.mean([kernel(x, y) for x in first for y in second]))


@pytest.mark.parametrize("name", ["few", "apart"])
def test_agrees_with_the_definition(name: str) -> None:
    first, second = (points[:15] for points in sets(name))
    assert distance(first, second) == pytest.approx(over_pairs(first, second), rel=1e-9)


def test_known_answer() -> None:
    """In one dimension at 0 and 1: within 1 and 8, between 1."""
    assert distance(np.zeros((2, 1)), np.ones((2, 1))) == pytest.approx(1 + 8 - 2 * 1)


def test_identical_constant_sets_are_at_no_distance_and_duplicates_do_not_matter() -> None:
    ones = np.ones((6, 3))
    assert distance(ones, ones[:2]) == pytest.approx(0, abs=1e-12)


def test_sets_of_one_source_are_at_no_distance_on_average_however_few() -> None:
    rng = np.random.default_rng(0)
    found = [distance(rng.standard_normal((6, 4)), rng.standard_normal((5, 4))) for _ in range(3000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_the_closed_jackknife_equals_leaving_out_one_by_one() -> None:
    first, second = (points[:12] for points in sets("few"))
    variance = 0.0
    for number, points in enumerate((first, second)):
        left = [
            distance(
                *(np.delete(points, i, axis=0) if n == number else other for n, other in enumerate((first, second)))
            )
            for i in range(len(points))
        ]
        variance += (len(left) - 1) * np.var(left)
    interval = kernel_distance.evaluate(first, second)["kernel_distance"]
    assert interval.high - interval.value == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)


def test_the_interval_covers_the_truth() -> None:
    """Mean shift in one dimension; the truth from a million draws in closed form: E k(x, y) = E (x y + 1)^3."""
    # x ~ N(0, 1): E (x y + 1)^3 = 1 + 3 E x^2 E y^2 = 4. x ~ N(1, 1): with E x^2 = 2, E x^3 = 4: 16 + 12 + 3 + 1 = 32.
    # Between: E x = 0, E x^2 = 1, E x^3 = 0 and 1, 2, 4: 0 + 3 * 2 + 0 + 1 = 7.
    truth, hits = 4 + 32 - 2 * 7, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sample = kernel_distance.evaluate(rng.standard_normal((300, 1)), rng.standard_normal((300, 1)) + 1)
        hits += sample["kernel_distance"].low <= truth <= sample["kernel_distance"].high
    assert hits >= 86


@pytest.mark.parametrize(
    ("reference", "generated", "reason"),
    [
        (np.zeros((0, 4)), np.zeros((3, 4)), "reference has 0"),
        (np.zeros((3, 4)), np.zeros((1, 4)), "generated has 1"),
        (np.zeros((3, 4)), np.zeros((3, 5)), "size 4 and 5"),
        (np.zeros((3, 4)), np.full((3, 4), np.inf), "finite"),
    ],
)
def test_bad_sets_are_refused(reference: np.ndarray, generated: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        distance(reference, generated)
    with pytest.raises(ValueError, match="at least 3"):
        kernel_distance.evaluate(np.eye(2), np.eye(2))
