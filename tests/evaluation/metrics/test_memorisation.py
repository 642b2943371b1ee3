"""Copies are found, likenesses are not mistaken for copies."""

import numpy as np
import pytest

from arctone.audio.waveform import Waveform, resample
from arctone.evaluation.metrics import memorisation
from tests.evaluation.metrics.metric_sounds import RATE, clicks, drums, noise, notes, silence, tone


def test_the_nearest_is_found_with_its_cosine() -> None:
    training = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = memorisation.nearest([[2.0, 1.9], [0.0, 3.0]], training)
    assert found.clip.tolist() == [2, 1]
    assert found.similarity == pytest.approx([3.9 / np.hypot(2, 1.9) / np.sqrt(2), 1.0])
    assert memorisation.nearest_inside(training).clip.tolist() == [2, 2, 0]


def test_a_model_that_copies_is_caught_and_an_innocent_one_is_not() -> None:
    rng = np.random.default_rng(0)
    training, held_out, innocent = (rng.standard_normal((300, 16)) for _ in range(3))
    thief = np.where(np.arange(300)[:, None] % 2 == 0, training + 0.05 * rng.standard_normal((300, 16)), innocent)
    shares = {}
    for name, made in (("innocent", innocent), ("thief", thief)):
        found = memorisation.evaluate(made, training, held_out)
        shares[name] = found["memorised_share"]
        assert found["duplicate_share"].value < 0.05
    assert shares["innocent"].value == pytest.approx(0.01, abs=0.015)
    assert shares["thief"].value == pytest.approx(0.5, abs=0.02)
    assert shares["thief"].low > shares["innocent"].high


def test_the_threshold_is_what_one_in_a_hundred_real_clips_reaches() -> None:
    rng = np.random.default_rng(1)
    training, held_out = rng.standard_normal((2, 400, 8))
    threshold = memorisation.calibrate_threshold(held_out, training)
    assert (memorisation.nearest(held_out, training).similarity > threshold).mean() == pytest.approx(0.01, abs=0.003)


def test_repeated_takes_are_duplicates() -> None:
    rng = np.random.default_rng(2)
    training, held_out = rng.standard_normal((2, 100, 8))
    made = rng.standard_normal((20, 8))
    assert memorisation.evaluate(np.repeat(made, 2, axis=0), training, held_out)["duplicate_share"].value == 1.0


def test_a_copy_is_aligned_at_any_delay_level_rate_and_number_of_channels() -> None:
    original = notes([[60], [64], [67], [72]])
    part = original.with_samples(0.2 * original.samples[:, 20_000:60_000])
    assert memorisation.waveform_alignment(original, original) == pytest.approx(1, abs=1e-6)
    assert memorisation.waveform_alignment(original, part) > 0.98
    assert memorisation.waveform_alignment(part, original) > 0.98
    other_rate = resample(Waveform(original.samples[:1], RATE), 48_000)
    assert memorisation.waveform_alignment(original, other_rate) > 0.99
    assert memorisation.waveform_alignment(original, original.with_samples(-original.samples)) > 0.99


def test_different_sounds_do_not_align() -> None:
    assert memorisation.waveform_alignment(noise(2, seed=0), noise(2, seed=1)) < 0.05
    assert memorisation.spectral_alignment(drums(120), notes([[60], [64], [67], [72]])) < 0.5


def bursts(phase_seed: int) -> Waveform:
    """The same thirty short tones each time, each with a phase of its own."""
    hertz = np.random.default_rng(0).uniform(300, 4000, 30)
    phases = np.random.default_rng(phase_seed).uniform(0, 2 * np.pi, 30)
    t = np.arange(4410) / RATE
    parts = [np.sin(2 * np.pi * h * t + p) * np.hanning(4410) for h, p in zip(hertz, phases, strict=True)]
    return Waveform(np.concatenate(parts)[None].astype(np.float32), RATE)


def test_a_copy_with_another_phase_is_found_by_its_spectrum_only() -> None:
    original, copy = bursts(1), bursts(2)
    assert memorisation.spectral_alignment(original, copy) > 0.95
    assert memorisation.waveform_alignment(original, copy) < 0.5


def test_silence_aligns_with_nothing() -> None:
    for align in (memorisation.waveform_alignment, memorisation.spectral_alignment):
        assert align(silence(), tone()) == 0.0
        assert align(silence(), silence()) == 0.0


def test_a_short_overlap_does_not_count() -> None:
    """Two click tracks that would match perfectly if only one click each overlapped."""
    assert memorisation.waveform_alignment(clicks(60, 4), clicks(97, 4)) < 0.75


@pytest.mark.parametrize(
    ("made", "training", "reason"),
    [
        (np.zeros((0, 3)), np.eye(3), "clips has 0"),
        (np.eye(3), np.zeros((0, 3)), "others has 0"),
        (np.eye(3), np.eye(4), "size 3 and 4"),
        (np.full((2, 3), np.nan), np.eye(3), "finite"),
    ],
)
def test_bad_sets_are_refused(made: np.ndarray, training: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        memorisation.nearest(made, training)
    with pytest.raises(ValueError, match="quantile"):
        memorisation.calibrate_threshold(np.eye(3), np.eye(3), 1.0)
