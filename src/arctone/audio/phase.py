"""Phase from magnitudes: spectral peaks are followed as sinusoids, everything else is as random as it is said to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arctone.audio.stft import HOP, N_FFT, NUM_BINS, istft, stft

Floats = NDArray[np.float32]
_BINS = np.arange(NUM_BINS)
# A frame that starts at its first sample turns the phase of bin k by -pi k against one that is centred.
_CENTRE = np.where(_BINS % 2, -1.0, 1.0).astype(np.float32)


def follow(log_magnitude: Floats) -> tuple[NDArray[np.int32], Floats]:
    """The spectral peak that each bin belongs to, [M, 1025], and how far its phase advances in a hop, [M, 1025].

    A peak advances with its interpolated frequency and lends its phase to the bins around it, which keeps the lobe of a
    partial coherent. Source: Beauregard, Harish and Wyse, "Single Pass Spectrogram Inversion", 2015.
    Args: log_magnitude: [M, 1025], natural logarithm. Returns: indices, and radians from -pi to pi.
    """
    inner = log_magnitude[:, 1:-1]
    before, after = log_magnitude[:, :-2], log_magnitude[:, 2:]
    is_peak = np.zeros(log_magnitude.shape, dtype=bool)
    is_peak[:, 1:-1] = (inner > before) & (inner >= after)
    curvature = np.minimum(before - 2 * inner + after, -1e-6)
    offset = np.zeros_like(log_magnitude)
    offset[:, 1:-1] = np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)
    # In turns, whole ones taken out: the sum over many frames must stay small, or float32 loses the phase.
    turns = (_BINS % (N_FFT // HOP) + offset) * np.float32(HOP / N_FFT)
    turns -= np.round(turns)
    nearest = _nearest(is_peak)
    return nearest, np.take_along_axis((2 * np.pi * turns).astype(np.float32), nearest, axis=1)


def integrate(peaks: NDArray[np.int32], advance: Floats, start: Floats) -> Floats:
    """Phase of each bin, one pass over time, from what `follow` gave.

    Args: start: phase before the first frame, [1025], radians.
    Returns: phase at the frame centres, [M, 1025], radians, not wrapped.
    """
    phase = np.empty_like(advance)
    current = start.astype(np.float32)
    for index in range(len(advance)):
        current = current.take(peaks[index])
        current += advance[index]
        phase[index] = current
    return phase


def _nearest(is_peak: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Index of the nearest marked bin in each row, [M, 1025]; bins of a row without marks keep themselves."""
    index = np.where(is_peak, _BINS, -NUM_BINS * 4).astype(np.int32)
    below = np.maximum.accumulate(index, axis=1)
    index = np.where(is_peak, _BINS, NUM_BINS * 4).astype(np.int32)
    above = np.minimum.accumulate(index[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(_BINS - below <= above - _BINS, below, above)
    return np.where((nearest < 0) | (nearest >= NUM_BINS), _BINS.astype(np.int32), nearest).astype(np.int32)


def polar(magnitude: Floats, angle: Floats) -> NDArray[np.complex64]:
    """Spectrum for frames that start at their first sample, from magnitudes and phases at the frame centres."""
    spectrum = np.empty(magnitude.shape, dtype=np.complex64)
    signed = magnitude * _CENTRE
    np.multiply(signed, np.cos(angle), out=spectrum.real)
    np.multiply(signed, np.sin(angle), out=spectrum.imag)
    return spectrum


def refine(spectrum: NDArray[np.complex64], magnitude: Floats, iterations: int, momentum: float = 0.9) -> Floats:
    """Waveform whose spectrogram comes nearer to the wanted magnitudes.

    Source: fast Griffin-Lim, Perraudin, Balazs and Soendergaard, 2013.
    Args: spectrum: first estimate, [C, M, 1025]. magnitude: wanted, same shape. iterations: 0 = inverse transform only.
    Returns: [C, 512 M].
    """
    samples = istft(spectrum)
    previous = spectrum
    for index in range(iterations):
        projected = stft(samples)
        ahead = projected + momentum * (projected - previous) if index else projected
        previous = projected
        # Not np.abs, which guards against overflow at five times the cost.
        size = np.sqrt(np.square(ahead.real) + np.square(ahead.imag))
        ahead *= magnitude / np.maximum(size, 1e-9)
        samples = istft(ahead)
    return samples
