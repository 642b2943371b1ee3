"""Curves of sounds whose loudness, brightness and pitch are known in closed form."""

import numpy as np
import pytest

from arctone.audio.curves import (
    SILENCE_DB,
    a_weighting,
    hertz_to_midi,
    loudness_to_unit,
    measure_curves,
    measure_pitch,
)

RATE = 44_100


def _sine(hertz: float, amplitude: float = 1.0, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.repeat(amplitude * np.sin(2 * np.pi * hertz * time)[None], 2, axis=0).astype(np.float32)


@pytest.mark.parametrize(
    ("hertz", "decibels"), [(31.62, -39.4), (100, -19.1), (1_000, 0.0), (3_981, 1.0), (15_849, -6.6)]
)
def test_a_weighting_is_that_of_the_standard(hertz: float, decibels: float) -> None:
    assert 20 * np.log10(a_weighting(np.array([hertz])))[0] == pytest.approx(decibels, abs=0.1)


@pytest.mark.parametrize(("hertz", "amplitude", "level"), [(1_000, 1.0, 0.0), (1_000, 0.1, -20.0), (100, 0.5, -25.1)])
def test_a_sine_has_its_weighted_level(hertz: float, amplitude: float, level: float) -> None:
    curves = measure_curves(_sine(hertz, amplitude), RATE)
    assert curves.loudness[2:-2] == pytest.approx(level, abs=0.15)


def test_one_channel_of_two_has_half_the_power() -> None:
    left = _sine(1_000)
    left[1] = 0
    assert measure_curves(left, RATE).loudness[2:-2] == pytest.approx(-3.01, abs=0.1)


def test_brightness_of_a_sine_is_its_pitch_and_of_two_their_mean() -> None:
    one = measure_curves(_sine(3_000), RATE).brightness[2:-2]
    assert one == pytest.approx(hertz_to_midi(3_000) / 127, abs=0.003)
    two = measure_curves(_sine(1_000, 0.4) + _sine(5_000, 0.4), RATE).brightness[2:-2]
    assert two == pytest.approx(hertz_to_midi(3_000) / 127, abs=0.005)


@pytest.mark.parametrize("midi", [34, 45, 57, 69, 81, 93])
def test_pitch_of_a_tone_with_overtones_is_that_of_its_fundamental(midi: int) -> None:
    hertz = 440 * 2 ** ((midi - 69) / 12)
    tone = sum((_sine(hertz * n, 0.4 / n) for n in range(1, 6)), np.zeros((2, RATE), np.float32))
    assert measure_curves(tone, RATE).pitch[2:-2] == pytest.approx(midi, abs=0.05)


def test_a_glide_is_followed() -> None:
    time = np.arange(2 * RATE) / RATE
    midi = 48 + 12 * time
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((midi - 69) / 12)) / RATE
    tone = (0.5 * np.sin(phase) + 0.2 * np.sin(2 * phase)).astype(np.float32)
    pitch, confidence = measure_pitch(tone, RATE)
    centres = 48 + 12 * (np.arange(len(pitch)) + 0.5) * 2048 / RATE
    assert pitch[2:-2] == pytest.approx(centres[2:-2], abs=0.3)
    assert confidence[2:-2].min() > 0.9


def test_noise_chords_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32)
    assert (measure_curves(noise, RATE).pitch == 0).mean() > 0.9
    silence = measure_curves(np.zeros((2, RATE), np.float32), RATE)
    assert set(silence.loudness) == {np.float32(SILENCE_DB)}
    assert set(silence.brightness) == set(silence.pitch) == {0.0}


@pytest.mark.parametrize("num_samples", [1, 2047, 2048, 2049, 10_000])
def test_there_is_a_value_for_every_latent_frame(num_samples: int) -> None:
    curves = measure_curves(_sine(440)[:, :num_samples], RATE)
    assert {len(curve) for curve in curves} == {-(-num_samples // 2048)}
    assert all(np.isfinite(curve).all() for curve in curves)


def test_a_step_in_level_lies_in_its_frame() -> None:
    sound = _sine(1_000)
    sound[:, : 10 * 2048] *= 0.001
    loudness = measure_curves(sound, RATE).loudness
    assert loudness[8] == pytest.approx(-60, abs=0.5)
    assert loudness[11] == pytest.approx(0, abs=0.2)


def test_networks_receive_loudness_from_0_to_1() -> None:
    assert loudness_to_unit(np.array([-200.0, SILENCE_DB, SILENCE_DB / 2, 0.0, 3.0])) == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )
