"""Spectral features that the autoencoder sees, and sound made from spectral parameters.

Level is the natural logarithm of the magnitude of both channels together; stereo is parametric, per band: the level
difference and the coherence of left and right (the idea of MPEG-4 parametric stereo). The decoder also says how far
each band scatters about its level; the scatter is drawn again at synthesis, so that noise sounds like noise.
Shapes: M frames of 512 samples, K = 1025 bins, N_B = 48 bands.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from arctone.audio import phase
from arctone.audio.stft import HOP, N_FFT, NUM_BINS, stft

Floats = NDArray[np.float32]

NUM_BANDS = 48
NUM_FEATURES = NUM_BINS + 2 * NUM_BANDS
NUM_PARAMETERS = NUM_BINS + 3 * NUM_BANDS
# Magnitude under which a bin counts as silent: a full-scale sine reaches 512, so this is -105 dB.
FLOOR = 3e-3
LEVEL_CENTRE, LEVEL_SCALE = -2.0, 3.0
DIFFERENCE_SCALE = 2.0


@functools.cache
def band_edges(sample_rate: int = 44_100) -> NDArray[np.int64]:
    """First bin of each band and the end of the last, [N_B + 1]; mel-spaced, at least one bin each."""
    nyquist = sample_rate / 2
    mel = np.linspace(0, 2595 * np.log10(1 + nyquist / 700), NUM_BANDS + 1)
    edges = np.round(700 * (10 ** (mel / 2595) - 1) / nyquist * NUM_BINS).astype(np.int64)
    for index in range(1, NUM_BANDS + 1):
        edges[index] = max(edges[index], edges[index - 1] + 1)
    return edges


@functools.cache
def bin_bands() -> NDArray[np.int64]:
    """The band of each bin, [K]."""
    return np.repeat(np.arange(NUM_BANDS), np.diff(band_edges()))


@functools.cache
def interpolation() -> Floats:
    """Matrix from bands to bins, [N_B, K], linear between band centres."""
    edges = band_edges()
    centres = (edges[:-1] + edges[1:] - 1) / 2
    bins = np.arange(NUM_BINS)
    return np.stack([np.interp(bins, centres, row) for row in np.eye(NUM_BANDS)]).astype(np.float32)


def features(samples: Floats) -> Floats:
    """Features of stereo audio.

    Args: samples: [2, N], N a multiple of 512. Returns: [1121, N / 512]: scaled level, difference, coherence.
    """
    spectrum = stft(samples)
    left, right = spectrum
    power_left, power_right = np.abs(left) ** 2, np.abs(right) ** 2
    level = 0.5 * np.log(0.5 * (power_left + power_right) + FLOOR**2)
    starts = band_edges()[:-1]
    band_left = np.add.reduceat(power_left, starts, axis=1) + FLOOR**2
    band_right = np.add.reduceat(power_right, starts, axis=1) + FLOOR**2
    cross = np.add.reduceat((left * right.conj()).real, starts, axis=1) + FLOOR**2
    difference = 0.5 * np.log(band_left / band_right)
    coherence = cross / np.sqrt(band_left * band_right)
    scaled = (level - LEVEL_CENTRE) / LEVEL_SCALE
    return np.concatenate([scaled, difference / DIFFERENCE_SCALE, coherence], axis=1).T.astype(np.float32)


def synthesise(parameters: Floats, generator: np.random.Generator, iterations: int = 2) -> Floats:
    """Stereo audio from spectral parameters.

    Args: parameters: [1169, M]: scaled level, difference, coherence (-1 to 1), logarithm of the scaled scatter.
        generator: source of the scatter and of the first phases. iterations: Griffin-Lim refinements.
    Returns: [2, 512 M] float32.
    """
    level, difference, coherence, scatter = _split(parameters)
    level = level + _scatter(generator, scatter)
    common = phase.integrate(level, generator.uniform(-np.pi, np.pi, NUM_BINS).astype(np.float32))
    magnitude = _stereo_magnitude(level, difference)
    spread = np.arccos(np.clip(coherence, -1, 1)) * _signs(generator)
    angle = np.stack([common + 0.5 * spread, common - 0.5 * spread])
    spectrum = phase.polar(magnitude, angle)
    return phase.refine(spectrum, magnitude, iterations)


def _split(parameters: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    rows = parameters.T
    ends = np.cumsum([NUM_BINS, NUM_BANDS, NUM_BANDS])
    level, difference, coherence, scatter = np.split(rows, ends, axis=1)
    to_bins = interpolation()
    return (
        (level * LEVEL_SCALE + LEVEL_CENTRE).astype(np.float32),
        ((difference * DIFFERENCE_SCALE) @ to_bins).astype(np.float32),
        (_smoothed(np.clip(coherence, -1, 1)) @ to_bins).astype(np.float32),
        (np.exp(scatter) @ to_bins * LEVEL_SCALE).astype(np.float32),
    )


# The phase between the channels must hold still over frames, and over the few bins of a partial's lobe: where it jumps,
# overlapping frames cancel the difference and the image narrows.
COHERENCE_FRAMES = 15
SIGN_BINS = 16


def _smoothed(rows: Floats) -> Floats:
    """Moving average over time of [M, N_B]."""
    half = COHERENCE_FRAMES // 2
    padded = np.pad(rows, ((half + 1, half), (0, 0)), mode="edge")
    total = np.cumsum(padded, axis=0, dtype=np.float64)
    return ((total[COHERENCE_FRAMES:] - total[:-COHERENCE_FRAMES]) / COHERENCE_FRAMES).astype(np.float32)


# Laplace scale of the logarithm of Rayleigh noise: the level of pure noise scatters this far, and no sound should more.
NOISE_SCATTER = 0.45


def _scatter(generator: np.random.Generator, scale: Floats) -> Floats:
    """Draw of the level's deviation: that of white noise, shrunk where the level is well known."""
    amount = np.minimum(scale * (1 / NOISE_SCATTER), 1) ** 2
    drawn: Floats = amount * noise_deviation(generator, len(scale))
    return drawn


def noise_deviation(generator: np.random.Generator, num_frames: int) -> Floats:
    """How the level of stationary noise deviates from its median, [num_frames, K], in nepers.

    Taken from a transform of white noise, so that neighbouring frames and bins, which share samples, deviate together.
    """
    noise = generator.standard_normal((1, num_frames * HOP), dtype=np.float32)
    power = np.abs(stft(noise)[0]) ** 2
    # Power is exponentially distributed, so its median is ln 2 times its mean, the sum of the squared window.
    deviation: Floats = 0.5 * np.log(power / np.float32(np.log(2.0) * 0.375 * N_FFT) + 1e-4)
    return deviation


def _signs(generator: np.random.Generator) -> Floats:
    signs = 2 * generator.integers(0, 2, NUM_BINS // SIGN_BINS + 1) - 1
    return np.repeat(signs, SIGN_BINS)[:NUM_BINS].astype(np.float32)


def _stereo_magnitude(level: Floats, difference: Floats) -> Floats:
    """Magnitudes of left and right, [2, M, K], whose mean power is the level's."""
    ratio = np.exp(np.clip(difference, -8, 8))
    magnitude = np.maximum(np.exp(np.clip(level, -20, 9)) - FLOOR, 0)
    norm = np.sqrt(0.5 * (ratio + 1 / ratio))
    return np.stack([magnitude * np.sqrt(ratio) / norm, magnitude / np.sqrt(ratio) / norm]).astype(np.float32)


__all__ = [
    "HOP",
    "NUM_BANDS",
    "NUM_FEATURES",
    "NUM_PARAMETERS",
    "N_FFT",
    "features",
    "noise_deviation",
    "synthesise",
]
