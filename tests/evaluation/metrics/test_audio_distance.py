import math

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics import audio_distance as distance
from tests.evaluation.metrics.metric_sounds import RATE, noise, silence, stereo, tone

DISTANCES = ("multi_resolution_stft_distance", "mel_distance_db", "stereo_error_db", "coherence_error")


def test_a_perfect_copy_has_no_distance() -> None:
    measures = distance.evaluate(noise(), noise())
    assert {name: measures[name] for name in DISTANCES} == dict.fromkeys(DISTANCES, 0.0)
    assert measures["si_sdr_db"] == math.inf
    assert measures["log_spectral_correlation"] == pytest.approx(1.0)


def test_empty_is_refused() -> None:
    empty = Waveform(np.zeros((2, 0), np.float32), RATE)
    with pytest.raises(ValueError, match="empty"):
        distance.evaluate(empty, empty)


@pytest.mark.parametrize(
    ("reference", "estimate", "reason"),
    [
        (noise(), noise(1.0), "shape"),
        (noise(), Waveform(noise().samples, 48_000), "48000 Hz"),
        (noise(), Waveform(noise().samples[:1], RATE), "shape"),
        (silence(), noise(1.0), "silent"),
    ],
)
def test_what_cannot_be_compared_is_refused(reference: Waveform, estimate: Waveform, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        distance.evaluate(reference, estimate)


def test_stereo_measures_refuse_mono() -> None:
    mono = Waveform(noise().samples[:1], RATE)
    with pytest.raises(ValueError, match="stereo"):
        distance.stereo_error(mono, mono)
    assert "stereo_error_db" not in distance.evaluate(mono, mono)


@pytest.mark.parametrize("ratio_db", [0.0, 10.0, 20.0, 40.0])
def test_si_sdr_is_the_ratio_of_signal_to_added_noise(ratio_db: float) -> None:
    signal, disturbance = tone(), noise()
    gain = np.linalg.norm(signal.samples) / np.linalg.norm(disturbance.samples) * 10 ** (-ratio_db / 20)
    mixed = signal.with_samples(signal.samples + gain * disturbance.samples)
    assert distance.si_sdr(signal, mixed) == pytest.approx(ratio_db, abs=0.2)


def test_si_sdr_ignores_level_and_rejects_silence() -> None:
    assert distance.si_sdr(tone(), tone().with_samples(0.25 * tone().samples)) > 120
    assert distance.si_sdr(tone(), silence(2.0)) == -math.inf


def test_si_sdr_sees_the_phase_and_spectral_distances_do_not() -> None:
    faded = tone().with_samples(tone().samples * np.hanning(tone().num_samples))
    shifted = faded.with_samples(np.roll(faded.samples, 25, axis=1))
    assert distance.si_sdr(faded, shifted) < 0
    assert distance.log_spectral_correlation(faded, shifted) > 0.99


def test_halving_the_level_of_noise_moves_every_mel_band_by_six_decibels() -> None:
    half = noise().with_samples(0.5 * noise().samples)
    assert distance.mel_distance(noise(), half) == pytest.approx(6.02, abs=0.05)


def test_stft_distance_of_half_the_level_is_a_half_plus_the_logarithm_of_two() -> None:
    half = noise().with_samples(0.5 * noise().samples)
    assert distance.multi_resolution_stft_distance(noise(), half) == pytest.approx(0.5 + math.log(2), abs=0.01)


def test_stereo_error_is_the_change_of_the_level_difference() -> None:
    left, right = noise().samples
    assert distance.stereo_error(stereo(left, right), stereo(left, right / 2)) == pytest.approx(6.02, abs=0.05)
    assert distance.stereo_error(stereo(left, right), stereo(left / 2, right / 2)) == pytest.approx(0.0, abs=0.05)


def test_coherence_error_sees_width_and_stereo_error_does_not_see_level() -> None:
    left, right = noise(4.0).samples
    assert distance.coherence_error(stereo(left, right), stereo(left, left)) > 0.5
    assert distance.coherence_error(stereo(left, left), stereo(left, 0.3 * left)) < 1e-3


def test_distances_grow_with_the_damage() -> None:
    damaged = [tone().with_samples(tone().samples + level * noise().samples) for level in (0.01, 0.1, 1.0)]
    for name in ("multi_resolution_stft_distance", "mel_distance_db"):
        values = [distance.evaluate(tone(), estimate)[name] for estimate in damaged]
        assert values == sorted(values)
        assert values[0] < values[-1]
