"""Phase from magnitudes: spectral peaks are followed as sinusoids, everything else is as random as it is said to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arctone.audio.stft import HOP, N_FFT, NUM_BINS, istft, stft

Floats = NDArray[np.float32]
# A frame that starts at its first sample turns the phase of bin k by -pi k against one that is centred.
_CENTRE = np.where(np.arange(NUM_BINS) % 2, -1.0, 1.0).astype(np.float32)


def follow(log_magnitude: Floats) -> tuple[NDArray[np.int32], Floats]:
    """The spectral peak that each bin belongs to, [M, 1025], and how far its phase advances in a hop, [M, 1025].

    A peak advances with its interpolated frequency and lends its phase to the bins around it, which keeps the lobe of a
    partial coherent. Source: Beauregard, Harish and Wyse, "Single Pass Spectrogram Inversion", 2015.
    Args: log_magnitude: [M, 1025], natural logarithm. Returns: indices, and radians from -pi to pi.
    """
    rows, bins = _peaks(log_magnitude)
    before, here, after = (log_magnitude[rows, bins + shift] for shift in (-1, 0, 1))
    curvature = np.minimum(before - 2 * here + after, -1e-6)
    offset = np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)
    counts = np.diff(_ends(rows, bins), prepend=0)
    shape = (-1, NUM_BINS)
    nearest = np.repeat(bins.astype(np.int32), counts).reshape(shape)
    return nearest, np.repeat(_advance(bins, offset), counts).reshape(shape)


def _peaks(log_magnitude: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and bins of the peaks, in order; in a row without any, the middle bin stands for one."""
    rising = log_magnitude[:, 1:] > log_magnitude[:, :-1]
    is_peak = rising[:, :-1] & ~rising[:, 1:]
    flat = ~is_peak.any(axis=1)
    is_peak[flat, NUM_BINS // 2 - 1] = True
    rows, inner = np.divmod(np.flatnonzero(is_peak), NUM_BINS - 2)
    return rows, inner + 1


def _ends(rows: NDArray[np.intp], bins: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where the bins nearest to each peak end, counted through all rows; a bin in the middle belongs to the lower."""
    places = rows * NUM_BINS + bins
    ends = (rows + 1) * NUM_BINS
    same_row = rows[1:] == rows[:-1]
    ends[:-1][same_row] = ((places[1:] + places[:-1]) // 2 + 1)[same_row]
    return ends


def _advance(bins: NDArray[np.intp], offset: Floats) -> Floats:
    """How far peaks between bins turn in a hop, in radians."""
    # In turns, whole ones taken out: the sum over many frames must stay small, or float32 loses the phase.
    turns = (bins % (N_FFT // HOP) + offset) * np.float32(HOP / N_FFT)
    turns -= np.round(turns)
    return (2 * np.pi * turns).astype(np.float32)


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
        size: Floats = np.abs(ahead)
        gain = np.divide(magnitude, np.maximum(size, 1e-9), dtype=np.float32)
        samples = istft(np.multiply(ahead, gain, dtype=np.complex64))
    return samples
