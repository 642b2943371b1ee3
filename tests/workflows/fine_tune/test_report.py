"""What the page says about numbers, for numbers whose meaning is known."""

import pytest

from arctone.workflows.fine_tune.comparing import Comparison, Number
from arctone.workflows.fine_tune.report import sentence


def _number(value: float, reach: float = 0.05, count: int = 12) -> Number:
    return Number(value, value - reach, value + reach, count)


def _comparison(change: float, moved: float = 0.1, other_seed: float = 0.5, count: int = 12) -> Comparison:
    return Comparison(
        embedder="corpus-clap",
        version="1",
        own_before=_number(0.8),
        own_after=_number(0.8 + change),
        own_change=_number(change, count=count),
        own_floor=None,
        rest_moved=_number(moved),
        rest_other_seed=_number(other_seed),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (-0.3, "came nearer to your sounds: -0.300 (-0.350 to -0.250)"),
        (0.3, "moved away from your sounds"),
        (-0.04, "Sounds for your captions did not measurably move"),
        (0.04, "did not measurably move"),
    ],
)
def test_only_an_interval_without_zero_is_a_change(change: float, words: str) -> None:
    assert words in sentence(_comparison(change))


def test_the_rest_is_measured_by_what_another_seed_does() -> None:
    assert "moved no further than another seed" in sentence(_comparison(-0.3, moved=0.4))
    assert "moved further than another seed" in sentence(_comparison(-0.3, moved=0.6))


def test_few_sounds_tell_nothing() -> None:
    assert sentence(_comparison(-0.3, count=4)).startswith("4 sounds are too few")
