"""Spectral features that the autoencoder sees; what is made of them again is in `synthesis`.

Level is the natural logarithm of the magnitude of both channels together; stereo is parametric, per band: the level
difference and the coherence of left and right (the idea of MPEG-4 parametric stereo). The decoder also says how far
each band scatters about its level.
Shapes: M frames of 512 samples, K = 1025 bins, N_B = 48 bands.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from arctone.audio.spectral.stft import N_FFT, NUM_BINS, Scratch, stft

Floats = NDArray[np.float32]

NUM_BANDS = 48
NUM_MEL = 128
NUM_FEATURES = NUM_BINS + 2 * NUM_BANDS
NUM_PARAMETERS = NUM_BINS + 3 * NUM_BANDS
# Magnitude under which a bin counts as silent: a full-scale sine reaches 512, so this is -105 dB.
FLOOR = 3e-3
LEVEL_CENTRE, LEVEL_SCALE = -2.0, 3.0
DIFFERENCE_SCALE = 2.0


@functools.cache
def band_edges(sample_rate: int = 44_100) -> NDArray[np.int64]:
    """Divide the bins into mel-spaced bands of at least one bin each.

    Args:
        sample_rate: In Hz.

    Returns:
        First bin of each band, and the end of the last, [N_B + 1].
    """
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


@functools.cache
def _neighbours() -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """For each bin the band centres below and above it, and how far it lies on the way, [K] each."""
    place = np.arange(NUM_BANDS, dtype=np.float32) @ interpolation()
    below = np.minimum(place.astype(np.int64), NUM_BANDS - 2)
    return below, below + 1, (place - below).astype(np.float32)


def to_bins(bands: Floats, out: Floats, scratch: Scratch) -> Floats:
    """Interpolate values between the centres of bands: a product with `interpolation`, but without BLAS, whose threads
    compete with those of the caller.

    Args:
        bands: Values at the centres, [M, N_B].
        out: Receives the values of bins, [M, K].
        scratch: Memory that is reused; its "first" is overwritten.

    Returns:
        `out`.
    """
    below, above, way = _neighbours()
    # With "clip", which changes nothing here, numpy writes to its place at once.
    first = bands.take(below, axis=1, mode="clip", out=scratch.array("first", out.shape))
    bands.take(above, axis=1, mode="clip", out=out)
    out -= first
    out *= way
    out += first
    return out


@functools.cache
def mel_means(sample_rate: int = 44_100) -> Floats:
    """Return the matrix from bins to means over triangular mel bands.

    Args:
        sample_rate: In Hz.

    Returns:
        [K, N_M]; of `NUM_MEL` bands those too narrow to hold a bin are left out.
    """
    frequency = np.arange(NUM_BINS) * sample_rate / N_FFT
    edges = _mel_edges(sample_rate)
    rising = (frequency[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequency[:, None]) / np.diff(edges)[1:]
    triangles = np.maximum(np.minimum(rising, falling), 0)
    kept = triangles[:, _holds_a_bin(triangles)]
    means: Floats = (kept / kept.sum(axis=0)).astype(np.float32)
    return means


@functools.cache
def mel_interpolation(sample_rate: int = 44_100) -> Floats:
    """Return the matrix from the bands of `mel_means` to bins, linear between the bands' centres of mass.

    Args:
        sample_rate: In Hz.

    Returns:
        [N_M, K].
    """
    means = mel_means(sample_rate)
    bins = np.arange(NUM_BINS)
    centres = bins @ means
    return np.stack([np.interp(bins, centres, row) for row in np.eye(len(centres))]).astype(np.float32)


def _mel_edges(sample_rate: int) -> NDArray[np.float64]:
    """Edges of `NUM_MEL` overlapping triangles in Hz, evenly spaced in mel."""
    top = 2595 * np.log10(1 + sample_rate / 1400)
    edges: NDArray[np.float64] = 700 * (10 ** (np.linspace(0, top, NUM_MEL + 2) / 2595) - 1)
    return edges


def _holds_a_bin(triangles: NDArray[np.float64]) -> NDArray[np.bool_]:
    kept: NDArray[np.bool_] = triangles.sum(axis=0) > 0.3
    return kept


def features(samples: Floats) -> Floats:
    """Compute the features of stereo audio.

    Args:
        samples: [2, N], N a multiple of 512.

    Returns:
        [1121, N / 512]: scaled level, difference, coherence.
    """
    left, right = stft(samples)
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
