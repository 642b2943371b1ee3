import numpy as np
import pytest

from arctone.evaluation.metrics.intervals import bootstrap


def test_equal_values_have_no_width() -> None:
    interval = bootstrap([2.0] * 10)
    assert (interval.low, interval.value, interval.high, interval.count) == (2.0, 2.0, 2.0, 10)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])


@pytest.mark.parametrize(
    ("values", "options", "reason"),
    [
        ([1.0, float("inf")], {}, "finite"),
        ([1.0], {"confidence": 1.0}, "confidence is 1.0"),
        ([1.0], {"num_resamples": 0}, "num_resamples is 0"),
    ],
)
def test_bad_values_are_refused(values: list[float], options: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        bootstrap(values, **options)  # type: ignore[arg-type]


def test_interval_of_a_share_is_the_binomial_one() -> None:
    interval = bootstrap([1.0] * 70 + [0.0] * 30)
    deviation = 1.96 * np.sqrt(0.7 * 0.3 / 100)
    assert interval.value == pytest.approx(0.7)
    assert interval.low == pytest.approx(0.7 - deviation, abs=0.015)
    assert interval.high == pytest.approx(0.7 + deviation, abs=0.015)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((200, 50)) + 3.0
    intervals = [bootstrap(sample, num_resamples=400) for sample in samples]
    covered = np.mean([interval.low <= 3.0 <= interval.high for interval in intervals])
    assert 0.88 <= covered <= 0.98


def test_the_median_is_not_moved_by_one_huge_value() -> None:
    assert bootstrap([1.0, 2.0, 1000.0], "median").value == 2.0


def test_same_values_same_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert bootstrap(values) == bootstrap(values)
