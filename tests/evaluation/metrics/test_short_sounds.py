"""Kinds, attacks and silence: perfect input, bad input, answers known in advance."""

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics import attack, silence
from arctone.evaluation.metrics.probe import KINDS, kind_of

RATE = 44_100


def _ramp(seconds: float, hertz: float = 1_000, length: float = 1.0) -> Waveform:
    """A tone that rises in a straight line for so long, after 0.1 s of nothing."""
    time = np.arange(round(length * RATE)) / RATE
    tone = np.sin(2 * np.pi * hertz * time) * np.clip((time - 0.1) / max(seconds, 1e-6), 0, 1)
    return Waveform(np.repeat(tone[None], 2, axis=0).astype(np.float32), RATE)


@pytest.mark.parametrize(("words", "kind"), [
    ("an angry growling dog", "dog"), ("a dog barking twice", "dog"), ("an arcade sci-fi gun", "laser"),
    ("a wood slam", "wood"), ("a sliding wooden door", "door"), ("rain", "rain"), ("training", None),
    ("a dog barking in the rain", None), ("sea waves", "sea"), ("a fire spell", None), ("a cello melody", None),
    ("a footstep on wood", "footstep"), ("a spaceship engine", "engine"), ("concatenated", None),
])  # fmt: skip
def test_words_name_their_kind(words: str, kind: str | None) -> None:
    assert kind_of(words) == kind


def test_there_are_25_kinds() -> None:
    assert len(set(KINDS)) == len(KINDS) == 25


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.4])
def test_a_straight_rise_takes_four_fifths_of_its_length_from_10_to_90_percent(seconds: float) -> None:
    assert attack.rise_seconds(_ramp(seconds)) == pytest.approx(0.8 * seconds, abs=0.003)


def test_a_click_rises_at_once_and_silence_has_the_shortest_rise() -> None:
    click = np.zeros((2, RATE), np.float32)
    click[:, 20_000:20_100] = 0.8
    assert attack.rise_seconds(Waveform(click, RATE)) <= 0.003
    assert attack.rise_seconds(Waveform(np.zeros((2, RATE), np.float32), RATE)) == 0.001


def test_treble_is_the_energy_above_2_khz() -> None:
    time = np.arange(RATE) / RATE
    both = 0.6 * np.sin(2 * np.pi * 500 * time) + 0.2 * np.sin(2 * np.pi * 5_000 * time)
    assert attack.treble_share(Waveform(both[None].astype(np.float32), RATE)) == pytest.approx(0.1, abs=0.002)
    assert attack.treble_share(Waveform(np.zeros((1, 100), np.float32), RATE)) == 0


def test_distances_are_octaves_from_the_median_of_the_kind() -> None:
    found = attack.distances([0.4, 0.1, 1.0], ["a", "a", "c"], [0.1, 0.2, 0.4, 9.0], ["a", "a", "a", "b"])
    assert found[:2] == pytest.approx([1, 1])
    assert np.isnan(found[2])
    own = [1.0, 2.0, 4.0]
    assert attack.distances(own, ["a"] * 3, own, ["a"] * 3) == pytest.approx([1.5, 0.0, 1.5])
    with pytest.raises(ValueError, match="every value needs a kind"):
        attack.distances([1.0], [], [1.0], ["a"])


def test_equal_sounds_have_no_distance_and_slower_ones_have_theirs() -> None:
    real = [_ramp(0.05), _ramp(0.05)]
    same = attack.evaluate([_ramp(0.05)], ["a"], real, ["a", "a"])
    assert {name: one.value for name, one in same.items()} == {"rise_octaves": 0.0, "treble_db": 0.0}
    slow = attack.evaluate([_ramp(0.2)], ["a"], real, ["a", "a"])
    assert slow["rise_octaves"].value == pytest.approx(2, abs=0.1)
    with pytest.raises(ValueError, match="no sound has a real one"):
        attack.evaluate([_ramp(0.2)], ["b"], real, ["a", "a"])


def test_silence_is_what_nobody_hears() -> None:
    tone = _ramp(0.01)
    assert not silence.sounds_silent(tone)
    assert silence.sounds_silent(tone.with_samples(tone.samples * np.float32(3e-4)))
    click = np.zeros((2, RATE), np.float32)
    click[:, 100] = 0.02
    assert silence.sounds_silent(Waveform(click, RATE))
    assert silence.evaluate([tone, Waveform(np.zeros((2, RATE), np.float32), RATE)])[0] == 0.5
    with pytest.raises(ValueError, match="at least 1 sound"):
        silence.evaluate([])


def test_the_interval_of_none_in_a_thousand_reaches_to_4_in_1000() -> None:
    assert silence.wilson(0, 1000) == pytest.approx((0, 0, 0.00383), abs=2e-5)
    assert silence.wilson(5, 10) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)
