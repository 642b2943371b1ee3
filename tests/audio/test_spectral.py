"""Sound goes through its spectral parameters and comes back as itself, phase apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from arctone.audio.spectral import features as spectral
from arctone.audio.spectral import phase, synthesis
from arctone.audio.spectral.stft import HOP, N_FFT, NUM_BINS, PADDING, Scratch, istft, stft

Floats = NDArray[np.float32]
RATE = 44_100
LENGTH = 160 * HOP


def _parameters(samples: Floats, scatter: float = -8.0) -> Floats:
    features = spectral.features(samples)
    return np.concatenate([features, np.full((spectral.NUM_BANDS, features.shape[1]), scatter, np.float32)])


def _round_trip(samples: Floats, iterations: int = 2) -> Floats:
    return synthesis.synthesise(_parameters(samples), np.random.default_rng(0), iterations)


def _tone(hertz: float, gains: tuple[float, float] = (0.5, 0.5)) -> Floats:
    tone = np.sin(2 * np.pi * hertz * np.arange(LENGTH) / RATE)
    return (np.array(gains)[:, None] * tone).astype(np.float32)


def _level_error_db(first: Floats, second: Floats) -> float:
    """Mean difference of the levels where the first is louder than -60 dB under its peak."""
    levels = [spectral.features(samples)[:NUM_BINS, 8:-8] * spectral.LEVEL_SCALE for samples in (first, second)]
    loud = levels[0] > levels[0].max() - 6.9
    return float(8.686 * np.abs(levels[0] - levels[1])[loud].mean())


@pytest.mark.parametrize("hertz", [82.4, 440.0, 3333.3, 12_000.0])
def test_a_tone_keeps_its_pitch_and_purity(hertz: float) -> None:
    spectrum = np.abs(np.fft.rfft(_round_trip(_tone(hertz))[0, 8192:-8192] * np.hanning(LENGTH - 16384)))
    peak = spectrum.argmax() * RATE / (LENGTH - 16384)
    assert peak == pytest.approx(hertz, abs=2.0)
    near = np.abs(np.arange(len(spectrum)) * RATE / (LENGTH - 16384) - hertz) < 25
    assert (spectrum[near] ** 2).sum() > 0.97 * (spectrum**2).sum()


def test_noise_keeps_its_level() -> None:
    noise = (0.2 * np.random.default_rng(3).standard_normal((2, LENGTH))).astype(np.float32)
    back = _round_trip(noise)
    assert back.std() == pytest.approx(noise.std(), rel=0.1)
    assert _level_error_db(noise, back) < 3.0


def test_refinement_comes_nearer_to_the_magnitudes() -> None:
    generator = np.random.default_rng(5)
    noise = (0.2 * generator.standard_normal((2, LENGTH))).astype(np.float32)
    errors = [_level_error_db(noise, _round_trip(noise, iterations)) for iterations in (0, 2, 8)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("gains", [(0.5, 0.05), (0.05, 0.5), (0.4, 0.2)])
def test_panning_stays_where_it_was(gains: tuple[float, float]) -> None:
    back = _round_trip(_tone(500, gains))
    ratio = 20 * np.log10(back[0].std() / back[1].std())
    assert ratio == pytest.approx(20 * np.log10(gains[0] / gains[1]), abs=1.0)


@pytest.mark.parametrize("wanted", [0.0, 0.6, 1.0])
def test_coherence_of_the_channels_survives(wanted: float) -> None:
    common, left, right = 0.1 * np.random.default_rng(7).standard_normal((3, LENGTH))
    mixed = np.stack([np.sqrt(wanted) * common + np.sqrt(1 - wanted) * own for own in (left, right)])
    back = _round_trip(mixed.astype(np.float32))
    assert np.corrcoef(back)[0, 1] == pytest.approx(wanted, abs=0.15)


def test_silence_stays_silent() -> None:
    assert np.abs(_round_trip(np.zeros((2, LENGTH), np.float32))).max() < 1e-6


def test_scatter_gives_a_flat_level_the_spread_and_the_power_of_noise() -> None:
    noise = np.repeat(0.2 * np.random.default_rng(9).standard_normal((1, LENGTH)), 2, axis=0).astype(np.float32)
    # The decoder is trained with absolute errors, so what it says of noise is the median.
    median_level = np.repeat(np.median(spectral.features(noise), axis=1, keepdims=True), LENGTH // HOP, axis=1)
    natural = float(spectral.features(noise)[20:NUM_BINS, 8:-8].std() * spectral.LEVEL_SCALE)
    powers = []
    for scatter in (synthesis.NOISE_SCATTER / 4, synthesis.NOISE_SCATTER):
        rows = np.full((spectral.NUM_BANDS, LENGTH // HOP), np.log(scatter / spectral.LEVEL_SCALE), np.float32)
        made = synthesis.synthesise(np.concatenate([median_level, rows]), np.random.default_rng(1), 2)
        spread = float(spectral.features(made)[20:NUM_BINS, 8:-8].std() * spectral.LEVEL_SCALE)
        powers.append(float(made.std() / noise.std()))
    assert spread == pytest.approx(natural, rel=0.2)
    assert powers[0] < powers[1] == pytest.approx(1.0, abs=0.12)


def test_same_generator_same_bytes() -> None:
    parameters = _parameters(_tone(300), scatter=-2.0)
    first, second = (synthesis.synthesise(parameters, np.random.default_rng(4)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_threads_do_not_change_the_sound() -> None:
    parameters = np.tile(_parameters(_tone(300), scatter=-2.0), 2)
    one, two = (synthesis.synthesise(parameters, np.random.default_rng(4), threads=threads) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_bands_cover_every_bin_once() -> None:
    edges = spectral.band_edges()
    assert edges[0] == 0
    assert edges[-1] == NUM_BINS
    assert (np.diff(edges) >= 1).all()
    assert np.allclose(spectral.interpolation().sum(0), 1)
    bands = np.random.default_rng(0).standard_normal((5, spectral.NUM_BANDS)).astype(np.float32)
    assert np.allclose(
        spectral.to_bins(bands, np.empty((5, NUM_BINS), np.float32), Scratch()),
        bands @ spectral.interpolation(),
        atol=1e-5,
    )


def test_phase_of_a_tone_advances_with_its_frequency() -> None:
    bin_number = 100.3
    time = np.arange(LENGTH)
    level = np.log(np.abs(stft(np.sin(2 * np.pi * bin_number * time / N_FFT).astype(np.float32)[None])[0]) + 1e-5)
    pieces = [phase.follow(level[rows]) for rows in (slice(8, 50), slice(50, -8))]
    angles = np.empty((len(level) - 16, NUM_BINS), np.float32)
    phase.integrate(pieces, np.zeros(NUM_BINS, np.float32), angles)
    angle = angles[:, 100]
    step = np.diff(np.unwrap(angle)).mean() % (2 * np.pi)
    assert step == pytest.approx((2 * np.pi * bin_number * HOP / N_FFT) % (2 * np.pi), abs=0.05)


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_frames_worked_on_together_do_not_change_the_sound(iterations: int) -> None:
    generator = np.random.default_rng(5)
    magnitude = generator.uniform(0, 1, (50, NUM_BINS)).astype(np.float32)
    angle = generator.uniform(-3, 3, (50, NUM_BINS)).astype(np.float32)
    made = [phase.refine(magnitude, lambda part: angle[part], iterations, chunk, Scratch()) for chunk in (7, 50)]
    assert made[0].tobytes() == made[1].tobytes()


def test_refinement_is_the_fast_griffin_lim_of_its_source() -> None:
    """Written out plainly: c_n = P(t_(n-1)), t_n = c_n + 0.9 (c_n - c_(n-1)), the last c returned."""
    generator = np.random.default_rng(6)
    magnitude = generator.uniform(0.1, 1, (40, NUM_BINS))
    angle = generator.uniform(-3, 3, (40, NUM_BINS))
    centre = np.where(np.arange(NUM_BINS) % 2, -1.0, 1.0)
    samples = istft((magnitude * centre * np.exp(1j * angle))[None])
    before = None
    for _ in range(3):
        found = stft(samples)[0]
        ahead = found if before is None else found + 0.9 * (found - before)
        before, samples = found, istft((magnitude * ahead / np.abs(ahead))[None])
    made = phase.refine(magnitude.astype(np.float32), lambda part: angle[part].astype(np.float32), 3, 16, Scratch())[
        PADDING:-PADDING
    ]
    assert np.allclose(made, samples[0], atol=2e-3 * np.abs(samples).max())
