"""Levels: known loudness of known tones, silence that stays silence, and off that does nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctone.audio.loudness import (
    fade,
    is_silent,
    level,
    loudness_lufs,
    normalize_peak,
    num_over,
    peak_db,
    response,
    weighted,
    with_gain,
)
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError

RATES = [16_000, 44_100, 48_000, 96_000]


def tone(
    peak: float, frequency_hz: float = 997.0, seconds: float = 3.0, rate: int = 48_000, channels: int = 2
) -> Waveform:
    wave = peak * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)
    return Waveform(np.repeat(wave[None], channels, axis=0), rate)


@pytest.mark.parametrize("rate", RATES)
def test_the_standards_own_tone(rate: int) -> None:
    """BS.1770: a full-scale sine of 997 Hz in one front channel has -3.01 LKFS, in both 0.00."""
    # At 16 kHz the shelf is squeezed against the top of the band, which costs 0.05 dB here.
    tolerance = 0.06 if rate == 16_000 else 0.02
    assert loudness_lufs(tone(1.0, rate=rate, channels=1)) == pytest.approx(-3.01, abs=tolerance)
    assert loudness_lufs(tone(1.0, rate=rate)) == pytest.approx(0.0, abs=tolerance)


@pytest.mark.parametrize("rate", RATES)
def test_ebu_tech_3341_case_1_and_2(rate: int) -> None:
    assert loudness_lufs(tone(10 ** (-23 / 20), 1000, rate=rate)) == pytest.approx(-23, abs=0.1)
    assert loudness_lufs(tone(10 ** (-33 / 20), 1000, rate=rate)) == pytest.approx(-33, abs=0.1)


def test_ebu_tech_3341_case_3_gates_the_soft_parts() -> None:
    parts = [tone(10 ** (db / 20), 1000, seconds).samples for db, seconds in ((-36, 10), (-23, 60), (-36, 10))]
    assert loudness_lufs(Waveform(np.concatenate(parts, axis=1), 48_000)) == pytest.approx(-23, abs=0.1)


def test_weighting_is_the_standards_at_48_khz() -> None:
    """Coefficients printed in ITU-R BS.1770-4, tables 1 and 2."""
    frequency_hz = np.array([20.0, 38, 100, 500, 997, 1682, 5000, 10_000, 20_000])
    delay = np.exp(-2j * np.pi * frequency_hz / 48_000)
    shelf = (1.53512485958697 - 2.69169618940638 * delay + 1.19839281085285 * delay**2) / (
        1 - 1.69065929318241 * delay + 0.73248077421585 * delay**2
    )
    high_pass = (1 - 2 * delay + delay**2) / (1 - 1.99004745483398 * delay + 0.99007225036621 * delay**2)
    np.testing.assert_allclose(response(frequency_hz, 48_000), shelf * high_pass, rtol=1e-9)


def test_filtering_in_pieces_equals_the_recursion() -> None:
    """The standard's own coefficients, sample by sample, over many pieces."""
    samples = np.random.default_rng(0).uniform(-1, 1, 30_000)
    expected = recursion(
        samples, (1.53512485958697, -2.69169618940638, 1.19839281085285), (-1.69065929318241, 0.73248077421585)
    )
    expected = recursion(expected, (1.0, -2.0, 1.0), (-1.99004745483398, 0.99007225036621))
    np.testing.assert_allclose(weighted(samples, 48_000), expected, atol=1e-9)


def recursion(samples: np.ndarray, b: tuple[float, float, float], a: tuple[float, float]) -> np.ndarray:
    out = [0.0, 0.0]
    padded = [0.0, 0.0, *samples.tolist()]
    for n in range(2, len(padded)):
        forward = b[0] * padded[n] + b[1] * padded[n - 1] + b[2] * padded[n - 2]
        out.append(forward - a[0] * out[-1] - a[1] * out[-2])
    return np.array(out[2:])


def test_the_ear_hears_less_bass_and_more_treble() -> None:
    assert loudness_lufs(tone(0.5, 30)) < loudness_lufs(tone(0.5, 1000)) - 5
    assert loudness_lufs(tone(0.5, 8000)) > loudness_lufs(tone(0.5, 1000)) + 3


def test_loudness_of_very_short_and_silent_sounds() -> None:
    assert loudness_lufs(tone(0.5, seconds=0.1)) == pytest.approx(loudness_lufs(tone(0.5)), abs=0.2)
    assert loudness_lufs(Waveform(np.zeros((2, 48_000)), 48_000)) == -math.inf
    assert loudness_lufs(Waveform(np.zeros((2, 0)), 48_000)) == -math.inf
    assert math.isfinite(loudness_lufs(Waveform(np.array([[0.5]]), 48_000)))


def test_gain_in_decibels_is_gain_in_lufs() -> None:
    sound = Waveform(np.random.default_rng(0).uniform(-0.3, 0.3, (2, 96_000)), 48_000)
    assert loudness_lufs(with_gain(sound, -6)) == pytest.approx(loudness_lufs(sound) - 6, abs=1e-3)


def test_peak() -> None:
    assert peak_db(Waveform(np.array([[0.5, -1.0]]), 8000)) == 0
    assert peak_db(Waveform(np.array([[0.1, -0.05]]), 8000)) == pytest.approx(-20)
    assert peak_db(Waveform(np.zeros((1, 5)), 8000)) == -math.inf
    assert peak_db(Waveform(np.zeros((1, 0)), 8000)) == -math.inf
    assert num_over(Waveform(np.array([[1.0, -1.0, 1.01, -3]]), 8000)) == 2


@given(st.floats(min_value=1e-3, max_value=1e3), st.floats(min_value=-30, max_value=0))
def test_peak_policy_hits_its_target(peak: float, target_db: float) -> None:
    sound = Waveform(peak * np.array([[0.0, 0.5, -1.0, 0.2]]), 8000)
    assert peak_db(normalize_peak(sound, target_db)) == pytest.approx(target_db, abs=1e-4)


def test_peak_policy_keeps_balance_and_constant_offset() -> None:
    sound = Waveform(np.array([[0.2, 0.1, 0.2], [0.05, 0.4, 0.05]]), 8000)
    result = level(sound, "peak")
    np.testing.assert_allclose(result.waveform.samples, sound.samples * (10 ** (-1 / 20) / 0.4), rtol=1e-6)
    assert result.gain_db == pytest.approx(-1 - 20 * math.log10(0.4))
    assert result.warning == ""


def test_loudness_policy_hits_its_target() -> None:
    result = level(tone(0.01), "loudness")
    assert loudness_lufs(result.waveform) == pytest.approx(-14, abs=0.01)
    assert result.warning == ""


def test_loudness_policy_stops_at_the_peak_and_says_so() -> None:
    clicks = np.zeros((2, 96_000))
    clicks[:, ::24_000] = 0.5
    result = level(Waveform(clicks, 48_000), "loudness")
    assert peak_db(result.waveform) == pytest.approx(-1, abs=1e-4)
    assert "instead of -14 LUFS" in result.warning


@pytest.mark.parametrize("policy", ["peak", "loudness"])
def test_silence_stays_silence(policy: str) -> None:
    for peak in (0.0, 1e-6, 3e-4):
        sound = Waveform(peak * np.random.default_rng(0).uniform(-1, 1, (2, 48_000)), 48_000)
        assert is_silent(sound)
        result = level(sound, policy)  # type: ignore[arg-type]
        assert result.waveform is sound
        assert "silent" in result.warning
    assert not is_silent(tone(4e-4))


def test_off_does_nothing_at_all() -> None:
    sound = tone(3.0)
    assert level(sound, "off").waveform is sound
    assert with_gain(sound, 0) is sound


def test_unknown_policy() -> None:
    with pytest.raises(UsageError, match="normalize must be peak, loudness or off, got 'max'"):
        level(tone(1.0), "max")  # type: ignore[arg-type]


def test_fades() -> None:
    sound = Waveform(np.ones((2, 1000)), 1000)
    faded = fade(sound, 0.1, 0.2).samples
    assert (faded[:, 0] == 0).all()
    assert (faded[:, -1] == 0).all()
    np.testing.assert_array_equal(faded[:, 100:800], 1)
    np.testing.assert_allclose(faded[:, 50], 0.5)
    assert (np.diff(faded[0, :101]) >= 0).all()
    assert (np.diff(faded[0, 800:]) <= 0).all()
    np.testing.assert_array_equal(fade(sound).samples, sound.samples)
    np.testing.assert_array_equal(sound.samples, 1)


@pytest.mark.parametrize("seconds", [-0.1, 1.1, math.nan, math.inf])
def test_impossible_fades(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"out_seconds must be from 0 to the sound's 1 seconds"):
        fade(Waveform(np.ones((2, 1000)), 1000), out_seconds=seconds)
