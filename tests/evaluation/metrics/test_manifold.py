"""Precision, recall, density and coverage against the package prdc (stored answers) and by hand."""

import json

import numpy as np
import pytest

from arctone.evaluation.metrics import manifold
from arctone.evaluation.metrics.manifold import distances
from tests.evaluation.metrics.public_answers import PATH, sets

PUBLIC = json.loads(PATH.read_text())
MEASURES = ("precision", "recall", "density", "coverage")


def values(real: np.ndarray, made: np.ndarray, k: int = 5) -> dict[str, float]:
    return {name: interval.value for name, interval in manifold.evaluate(real, made, k).items()}


@pytest.mark.parametrize("name", ["many", "few", "apart", "same"])
def test_agrees_with_prdc(name: str) -> None:
    found = values(*sets(name))
    assert found == pytest.approx({measure: PUBLIC[name][measure] for measure in MEASURES}, rel=1e-6)


def test_the_stored_answers_are_not_all_zero_or_one() -> None:
    assert all(0 < PUBLIC["few"][measure] < 1 for measure in MEASURES)


def test_perfect_and_disjoint_sets() -> None:
    assert values(*sets("same")) == pytest.approx(dict.fromkeys(MEASURES, 1.0))
    assert values(*sets("apart")) == dict.fromkeys(MEASURES, 0.0)


def test_known_answer_on_a_line() -> None:
    """Real clips at 0, 1, 3 reach 1, 1, 2 (k = 1); generated ones at 0.5 and 9 reach 8.5 each."""
    real, made = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [9.0]])
    # 0.5 lies in the balls of 0 and 1; 9 in none. All real clips lie within 8.5 of 0.5.
    assert values(real, made, 1) == pytest.approx({"precision": 0.5, "recall": 1, "density": 1, "coverage": 2 / 3})


def test_a_set_that_repeats_one_real_clip_is_precise_but_covers_little() -> None:
    real = np.random.default_rng(0).standard_normal((100, 4))
    found = values(real, np.repeat(real[:1], 50, axis=0))
    assert found["precision"] == 1.0
    assert found["recall"] == 0.01
    assert found["coverage"] < 0.2


def test_duplicates_of_everything_are_inside_their_own_balls() -> None:
    ones = np.ones((10, 3))
    assert values(ones, ones)["coverage"] == 1.0


def test_equal_points_are_at_distance_zero_exactly() -> None:
    points = np.random.default_rng(0).standard_normal((50, 512)) * 1e3
    assert (np.diag(distances(points, points.copy())) == 0).all()


@pytest.mark.parametrize(
    ("real", "made", "k", "reason"),
    [
        (np.zeros((0, 2)), np.zeros((9, 2)), 5, "reference has 0"),
        (np.zeros((9, 2)), np.zeros((5, 2)), 5, "generated has 5 .* at least 6"),
        (np.zeros((9, 2)), np.zeros((9, 3)), 5, "size 2 and 3"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), 5, "finite"),
        (np.zeros((9, 2)), np.zeros((9, 2)), 0, "num_neighbours"),
    ],
)
def test_bad_sets_are_refused(real: np.ndarray, made: np.ndarray, k: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        manifold.evaluate(real, made, k)
