"""Another rate keeps tones below the new limit, loses those above it, and is exactly as long as it should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arctone.audio.waveform import Waveform, conform, resample, to_mono, to_stereo
from arctone.errors import UsageError


def tone(frequency_hz: float, rate: int, seconds: float = 0.5) -> Waveform:
    time = np.arange(round(seconds * rate)) / rate
    window = np.sin(np.pi * time / seconds) ** 2
    return Waveform((window * np.sin(2 * np.pi * frequency_hz * time))[None], rate)


@pytest.mark.parametrize("old, new", [(48_000, 44_100), (22_050, 44_100), (44_100, 16_000), (44_100, 48_000)])
def test_a_tone_stays_the_same_tone(old: int, new: int) -> None:
    result, expected = resample(tone(1000, old), new), tone(1000, new)
    assert result.sample_rate == new
    assert result.num_samples == expected.num_samples
    np.testing.assert_allclose(result.samples, expected.samples, atol=1e-4)


def test_tones_above_the_new_limit_vanish() -> None:
    kept, lost = resample(tone(6000, 44_100), 16_000), resample(tone(9500, 44_100), 16_000)
    assert np.abs(kept.samples).max() > 0.99
    assert 20 * np.log10(np.abs(lost.samples).max()) < -90


def test_a_constant_stays_constant() -> None:
    result = resample(Waveform(np.full((1, 8000), 0.25), 8000), 44_100)
    np.testing.assert_allclose(result.samples[0, 2000:-2000], 0.25, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000), st.sampled_from([8000, 11_025, 44_100, 48_000]), st.sampled_from([16_000, 44_100, 96_000]))
def test_length_is_the_rounded_duration(num_samples: int, old: int, new: int) -> None:
    sound = Waveform(np.random.default_rng(0).uniform(-1, 1, (2, num_samples)), old)
    assert abs(resample(sound, new).num_samples - num_samples * new / old) <= 0.5


def test_same_rate_and_empty_sounds() -> None:
    sound = tone(100, 44_100)
    assert resample(sound, 44_100) is sound
    assert resample(Waveform(np.zeros((2, 0)), 8000), 44_100).samples.shape == (2, 0)
    with pytest.raises(UsageError, match="sample_rate must be"):
        resample(sound, 0)


def test_channels() -> None:
    stereo = Waveform(np.array([[1.0, 0.0], [0.0, 0.5]]), 8000)
    mono = to_mono(stereo)
    np.testing.assert_array_equal(mono.samples, [[0.5, 0.25]])
    np.testing.assert_array_equal(to_stereo(mono).samples, [[0.5, 0.25], [0.5, 0.25]])
    assert to_stereo(stereo) is stereo
    assert to_mono(mono) is mono


def test_surround_is_folded_to_mono_but_not_guessed_into_stereo() -> None:
    surround = Waveform(np.ones((6, 4)), 48_000)
    assert to_mono(surround).samples.shape == (1, 4)
    with pytest.raises(UsageError, match="has 6 channels, but only mono and stereo"):
        to_stereo(surround)


def test_conform() -> None:
    result = conform(tone(1000, 48_000), 44_100, 2)
    assert (result.sample_rate, result.samples.shape) == (44_100, (2, 22_050))
    sound = Waveform(np.zeros((2, 10)), 44_100)
    assert conform(sound, 44_100, 2) is sound
    with pytest.raises(UsageError, match="num_channels must be 1 or 2, got 3"):
        conform(sound, 44_100, 3)
