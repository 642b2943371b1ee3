import numpy as np
import pytest

from arctone.evaluation.metrics import audio_distance
from arctone.evaluation.metrics.audio_distance import mel_power
from benchmarks import degrade
from tests.evaluation.metrics.metric_sounds import RATE, noise, notes, silence


def test_same_seed_same_damage_and_other_seeds_differ() -> None:
    sound = notes([[60], [64]])
    first, again, other = (degrade.degraded(sound, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples)


@pytest.mark.parametrize("seed", range(8))
def test_length_stays_and_the_sound_is_still_much_the_same(seed: int) -> None:
    sound = notes([[48, 60], [52, 64], [55, 67]])
    damaged = degrade.degraded(sound, seed)
    assert damaged.samples.shape == sound.samples.shape
    assert audio_distance.log_spectral_correlation(sound, damaged) > 0.4


def test_silence_stays_silent() -> None:
    for seed in range(6):
        assert np.abs(degrade.degraded(silence(), seed).samples).max() == 0


def test_texture_keeps_the_energy_in_its_bands() -> None:
    sound = noise(2.0)
    rough = degrade._texture(sound.samples, RATE, np.random.default_rng(0))
    before, after = (mel_power(samples, RATE, 2048, 512, 20).mean(axis=(0, 1)) for samples in (sound.samples, rough))
    assert np.abs(10 * np.log10(after / before)).max() < 6


def test_low_pass_takes_the_treble_and_leaves_the_bass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degrade, "LOW_PASS_HZ", (4000.0, 4000.0))
    dull = degrade._low_pass(noise(1.0).samples, RATE, np.random.default_rng(0))
    ratio = np.abs(np.fft.rfft(dull)) / np.abs(np.fft.rfft(noise(1.0).samples))
    hertz = np.fft.rfftfreq(RATE, 1 / RATE)
    assert ratio[:, hertz < 1000].mean() == pytest.approx(1.0, abs=0.02)
    assert ratio[:, hertz > 10_000].mean() < 0.05
