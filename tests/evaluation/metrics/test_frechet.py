"""Frechet distance against scipy.linalg.sqrtm (stored answers) and closed forms of Gaussians."""

import json

import numpy as np
import pytest
import scipy.linalg

from arctone.evaluation.metrics import frechet
from tests.evaluation.metrics.public_answers import PATH, sets

PUBLIC = json.loads(PATH.read_text())


def rotation(size: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(3).standard_normal((size, size)))[0]


@pytest.mark.parametrize("name", ["many", "apart"])
def test_agrees_with_the_root_of_scipy(name: str) -> None:
    assert frechet.frechet_distance(*sets(name)) == pytest.approx(PUBLIC[name]["frechet_distance"], rel=1e-6)


def test_perfect_copies_are_at_no_distance() -> None:
    for name in ("same", "few"):
        real, _ = sets(name)
        assert frechet.frechet_distance(real, real[::-1]) == pytest.approx(0, abs=1e-9)


def test_commuting_gaussians_have_a_closed_form() -> None:
    """For covariances with the same axes: |difference of means|^2 + sum (sigma1 - sigma2)^2."""
    axes, first, second = rotation(6), np.arange(1.0, 7.0), np.arange(6.0, 0.0, -1.0)
    gaussians = [
        frechet.from_statistics(mean, axes * np.square(deviations) @ axes.T)
        for mean, deviations in ((np.zeros(6), first), (np.full(6, 2.0), second))
    ]
    assert frechet.distance(*gaussians) == pytest.approx(24 + np.square(first - second).sum(), rel=1e-9)


def test_fewer_clips_than_dimensions_equals_the_root_in_exact_coordinates() -> None:
    """Points that fill 10 of 200 dimensions have the same distance as in those 10, where scipy's root is sound."""
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((40, 10)), rng.standard_normal((30, 10)) * 2
    covariances = [np.cov(points, rowvar=False) for points in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    means = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    known = means + np.trace(covariances[0] + covariances[1] - 2 * root)
    inside = rotation(200)[:10]
    assert frechet.frechet_distance(first @ inside, second @ inside) == pytest.approx(known, rel=1e-6)


def test_disjoint_directions_share_nothing() -> None:
    """Clips along different axes: the traces add up."""
    first, second = np.zeros((2, 4)), np.zeros((2, 4))
    first[:, 0], second[:, 1] = (-1, 1), (-3, 3)
    assert frechet.frechet_distance(first, second) == pytest.approx(2 + 18)


def test_duplicates_change_only_the_unbiased_factor() -> None:
    real, made = sets("many")
    doubled = frechet.gaussian(np.repeat(real, 2, axis=0))
    factor = np.sqrt((2 * len(real)) / (2 * len(real) - 1) * (len(real) - 1) / len(real))
    rescaled = frechet.Gaussian(doubled.mean, doubled.factor / factor)
    assert frechet.distance(rescaled, frechet.gaussian(made)) == pytest.approx(frechet.frechet_distance(real, made))


def test_stored_statistics_give_the_distance_of_their_points() -> None:
    real, made = sets("many")
    stored = frechet.from_statistics(real.mean(axis=0), np.cov(real, rowvar=False))
    known = frechet.frechet_distance(real, made)
    assert frechet.distance(stored, frechet.gaussian(made)) == pytest.approx(known, rel=1e-9)


def test_the_interval_covers_the_truth_and_its_width_follows_the_clips() -> None:
    """True distance of N(0, 1) and N(1, 1) in two dimensions: 2."""
    hits, widths = 0, {40: 0.0, 160: 0.0}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for count in widths:
            found = frechet.evaluate(rng.standard_normal((count, 2)), rng.standard_normal((count, 2)) + 1)
            interval = found["frechet_distance"]
            widths[count] += interval.high - interval.low
            hits += interval.low <= 2 <= interval.high
    assert hits >= 70  # of 80, at a nominal 95 %
    assert widths[40] / widths[160] == pytest.approx(2, rel=0.2)


def test_windows_of_a_clip_leave_together() -> None:
    """Windows that repeat their clip add no certainty: the interval is that of the clips, not of the windows."""
    rng = np.random.default_rng(1)
    real, made = rng.standard_normal((30, 3)), rng.standard_normal((30, 3)) + 1
    owners = np.repeat(np.arange(30), 10)
    widths = []
    for parts in ((real, made), (real[owners], made[owners], owners, owners), (real[owners], made[owners])):
        interval = frechet.evaluate(*parts)["frechet_distance"]
        widths.append(interval.high - interval.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.5 * widths[0]


@pytest.mark.parametrize(
    ("reference", "generated", "reason"),
    [
        (np.zeros((0, 4)), np.zeros((3, 4)), r"reference has 0 clip"),
        (np.zeros((3, 4)), np.zeros((1, 4)), r"generated has 1 clip"),
        (np.zeros((3, 4)), np.zeros((3, 5)), r"size 4 and 5"),
        (np.full((3, 4), np.nan), np.zeros((3, 4)), "finite"),
        (np.zeros(4), np.zeros((3, 4)), "shape"),
    ],
)
def test_bad_sets_are_refused(reference: np.ndarray, generated: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        frechet.frechet_distance(reference, generated)


def test_two_clips_have_a_distance_but_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        frechet.evaluate(np.eye(2), np.eye(2))
