"""Phase from magnitudes: spectral peaks are followed as sinusoids, everything else is as random as it is said to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arctone.audio.stft import HOP, N_FFT, NUM_BINS, istft, stft

Floats = NDArray[np.float32]
_BINS = np.arange(NUM_BINS)
# A frame that starts at its first sample turns the phase of bin k by -pi k against one that is centred.
_CENTRE = np.where(_BINS % 2, -1.0, 1.0).astype(np.float32)


def integrate(log_magnitude: Floats, start: Floats) -> Floats:
    """Phase of each bin of a magnitude spectrogram, one pass over time.

    Each spectral peak advances with its interpolated frequency and lends its phase to the bins around it, which keeps
    the lobe of a partial coherent. Source: Beauregard, Harish and Wyse, "Single Pass Spectrogram Inversion", 2015.
    Args: log_magnitude: [M, 1025], natural logarithm. start: phase before the first frame, [1025], radians.
    Returns: phase at the frame centres, [M, 1025], radians.
    """
    peaks, frequency = _peaks(log_magnitude)
    advance = (2 * np.pi * HOP / N_FFT) * frequency
    phase = np.empty_like(log_magnitude)
    current = start.astype(np.float32)
    for index in range(len(log_magnitude)):
        current = current[peaks[index]] + advance[index]
        phase[index] = current
    return phase


def _peaks(log_magnitude: Floats) -> tuple[NDArray[np.int32], Floats]:
    """For every bin the nearest spectral peak, [M, 1025], and that peak's frequency in bins, [M, 1025]."""
    inner = log_magnitude[:, 1:-1]
    before, after = log_magnitude[:, :-2], log_magnitude[:, 2:]
    is_peak = np.zeros(log_magnitude.shape, dtype=bool)
    is_peak[:, 1:-1] = (inner > before) & (inner >= after)
    curvature = np.minimum(before - 2 * inner + after, -1e-6)
    offset = np.zeros_like(log_magnitude)
    offset[:, 1:-1] = np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)
    nearest = _nearest(is_peak)
    frequency = (_BINS + offset).astype(np.float32)
    return nearest, np.take_along_axis(frequency, nearest, axis=1)


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
    Args: spectrum: first estimate, [2, M, 1025]. magnitude: wanted, same shape. iterations: 0 = inverse transform only.
    Returns: [2, 512 M].
    """
    samples = istft(spectrum)
    previous = spectrum
    for index in range(iterations):
        projected = stft(samples)
        ahead = projected + momentum * (projected - previous) if index else projected
        previous = projected
        size = np.abs(ahead)
        ahead *= magnitude / np.maximum(size, 1e-9)
        samples = istft(ahead)
    return samples
