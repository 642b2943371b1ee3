import numpy as np
import pytest

from arctone.evaluation.metrics.audio_distance import decibels, magnitudes, mel_filters, mel_power
from tests.evaluation.metrics.metric_sounds import RATE, tone


def test_a_full_scale_sine_on_a_bin_peaks_at_a_half() -> None:
    hertz = 64 * RATE / 2048
    sine = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)[None]
    frame = magnitudes(sine, 2048, 512)[0, 40]
    assert int(frame.argmax()) == 64
    assert frame.max() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("num_samples", [0, 1, 511, 512, 513, 5000])
def test_number_of_frames(num_samples: int) -> None:
    assert magnitudes(np.zeros((2, num_samples)), 2048, 512).shape == (2, 1 + -(-num_samples // 512), 1025)


def test_mel_filters_have_unit_area_and_no_empty_band() -> None:
    assert mel_filters(RATE, 512, 80).sum(axis=0) == pytest.approx(np.ones(80), abs=1e-5)


def test_a_tone_sounds_in_the_band_around_its_pitch() -> None:
    power = mel_power(tone(1000.0).samples, RATE, 2048, 512, 40)[0, 50]
    edges = 700 * np.expm1(np.linspace(0, 1127 * np.log1p(22050 / 700), 42) / 1127)
    band = int(power.argmax())
    assert edges[band] < 1000 < edges[band + 2]


def test_decibels_stop_at_the_floor() -> None:
    assert decibels(np.array([1.0, 0.1, 0.0]), 1e-3).tolist() == pytest.approx([0.0, -10.0, -30.0])
