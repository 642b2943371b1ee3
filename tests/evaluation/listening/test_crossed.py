"""Intervals and tests over listeners and prompts: against closed forms, public implementations and simulation."""

import math

import numpy as np
import pytest

from arctone.evaluation.listening.scores import holm, mean_interval, sign_flip, t_quantile


@pytest.mark.parametrize("degrees", [1.5, 3, 13, 100])
@pytest.mark.parametrize("probability", [0.75, 0.975, 0.995])
def test_t_quantiles_are_those_of_scipy(probability, degrees):
    from scipy import stats

    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), abs=1e-8)


@pytest.mark.parametrize(
    ("listeners", "prompts", "taste", "difficulty", "noise"),
    [(14, 8, 0.5, 0.4, 0.7), (6, 4, 0.5, 0.5, 0.5), (30, 10, 0.3, 0.6, 0.8)],
)
def test_intervals_cover_as_often_as_they_say(listeners, prompts, taste, difficulty, noise):
    """Both sources of variance are in play; an interval over ratings alone would cover far too seldom."""
    rng = np.random.default_rng(0)
    num_runs, covered, naive = 250, 0, 0
    for run in range(num_runs):
        table = 3 + taste * rng.standard_normal((listeners, 1)) + difficulty * rng.standard_normal((1, prompts))
        table = table + noise * rng.standard_normal((listeners, prompts))
        found = mean_interval(table, 0.9, num_resamples=600, seed=run)
        half = 1.645 * table.std() / math.sqrt(table.size)
        covered += found.low <= 3 <= found.high
        naive += abs(table.mean() - 3) <= half
    assert 0.87 <= covered / num_runs <= 0.995
    assert naive / num_runs < 0.75


def test_missing_ratings_are_left_out_of_mean_and_count():
    table = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    found = mean_interval(table)
    assert found.value == 2.0
    assert found.count == 3
    assert 1.0 <= found.low <= 2.0 <= found.high <= 3.0


@pytest.mark.parametrize("shape", [(1, 6), (6, 1)])
def test_one_listener_or_one_prompt_gives_no_interval(shape):
    found = mean_interval(np.arange(6.0).reshape(shape))
    assert found.value == 2.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_no_rating_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one rating"):
        mean_interval(np.full((3, 3), np.nan))


def test_sign_flips_are_exact_for_few_clusters():
    assert sign_flip(np.ones(6)) == 2 / 2**6
    assert sign_flip(np.array([1.0, -1.0])) == 1.0
    # |sum| of +-1 +-2 +-3 is at least 4 for 6 and 4 of either sign, that is for 4 of 8.
    assert sign_flip(np.array([-1.0, 2.0, 3.0])) == 0.5
    assert sign_flip(np.array([np.nan, 1.0])) == 1.0


def test_sign_flips_agree_with_scipy_for_many_clusters():
    from scipy import stats

    values = np.random.default_rng(2).normal(0.25, 1.0, 40)
    ours = sign_flip(values)
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=20_000, random_state=1
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.01)


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.5, 0.02]) == pytest.approx([0.08, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
