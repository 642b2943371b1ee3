"""Vendi score against the package vendi-score (stored answers) and closed forms."""

import json

import numpy as np
import pytest

from arctone.evaluation.metrics import vendi
from tests.evaluation.metrics.public_answers import PATH, sets

PUBLIC = json.loads(PATH.read_text())


@pytest.mark.parametrize("name", ["many", "few", "apart", "same"])
def test_agrees_with_the_published_package(name: str) -> None:
    assert vendi.vendi_score(sets(name)[0]) == pytest.approx(PUBLIC[name]["vendi_score"], rel=1e-6)


def test_equal_clips_count_once_and_orthogonal_ones_each() -> None:
    assert vendi.vendi_score(np.ones((7, 3))) == pytest.approx(1)
    assert vendi.vendi_score(3 * np.eye(7)) == pytest.approx(7)
    assert vendi.vendi_score([[1.0, 2.0]]) == pytest.approx(1)


def test_two_clips_have_a_closed_form() -> None:
    """Eigenvalues (1 + c) / 2 and (1 - c) / 2 for two clips at cosine c."""
    shares = np.array([0.8, 0.2])
    known = np.exp(-(shares * np.log(shares)).sum())
    assert vendi.vendi_score([[1.0, 0.0], [0.6, 0.8]]) == pytest.approx(known, rel=1e-9)


def test_duplicates_do_not_count_and_silence_counts_once() -> None:
    points = np.random.default_rng(0).standard_normal((10, 30))
    assert vendi.vendi_score(np.tile(points, (3, 1))) == pytest.approx(vendi.vendi_score(points))
    assert vendi.vendi_score(np.vstack([np.eye(3), np.zeros((1, 3))])) == pytest.approx(4)
    assert vendi.vendi_score(np.zeros((4, 3))) == pytest.approx(1)


def test_the_interval_holds_the_value_and_narrows() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (50, 800):
        found = vendi.evaluate(rng.standard_normal((count, 4)) + np.array([2, 0, 0, 0]))["vendi_score"]
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.5 * widths[0]


@pytest.mark.parametrize(
    ("points", "reason"), [(np.zeros((0, 3)), "0 clip"), (np.zeros(3), "shape"), (np.full((2, 3), np.inf), "finite")]
)
def test_bad_sets_are_refused(points: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        vendi.vendi_score(points)
