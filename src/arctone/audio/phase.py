"""Phase from magnitudes: spectral peaks are followed as sinusoids, everything else is as random as it is said to be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from arctone.audio.stft import HOP, N_FFT, NUM_BINS, OverlapAdd, framed, spectrum

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
    """Phase of each bin, one pass over time, from what `follow` gave; it takes the place of `advance`.

    Args: start: phase before the first frame, [1025], radians.
    Returns: phase at the frame centres, [M, 1025], radians, not wrapped.
    """
    current = start.astype(np.float32)
    for index in range(len(advance)):
        current = current.take(peaks[index])
        current += advance[index]
        advance[index] = current
    return advance


def polar(magnitude: Floats, angle: Floats) -> NDArray[np.complex64]:
    """Spectrum for frames that start at their first sample, from magnitudes and phases at the frame centres."""
    values = np.empty(magnitude.shape, dtype=np.complex64)
    signed = magnitude * _CENTRE
    np.multiply(signed, np.cos(angle), out=values.real)
    np.multiply(signed, np.sin(angle), out=values.imag)
    return values


def refine(
    magnitude: Floats, angle: Callable[[slice], Floats], iterations: int, chunk_frames: int, momentum: float = 0.9
) -> Floats:
    """Waveform of one channel whose spectrogram comes near to the wanted magnitudes.

    Source: fast Griffin-Lim, Perraudin, Balazs and Soendergaard, 2013.
    Args: magnitude: wanted, [M, 1025]. angle: first estimate of the phase for some frames, [m, 1025], radians at their
    centres. iterations: 0 = inverse transform only. chunk_frames: that are worked on together; the result does not
    depend on it. Returns: [512 M].
    """
    num_frames = len(magnitude)
    parts = [slice(first, min(first + chunk_frames, num_frames)) for first in range(0, num_frames, chunk_frames)]
    overlap = OverlapAdd(num_frames)
    for part in parts:
        overlap.add(polar(magnitude[part], angle(part)))
    samples = overlap.waveform()
    previous = np.empty(magnitude.shape if iterations > 1 else 0, np.complex64)
    for index in range(iterations):
        frames, overlap = framed(samples[None])[0], OverlapAdd(num_frames)
        for part in parts:
            projected = spectrum(frames[part])
            ahead = projected + momentum * (projected - previous[part]) if index else projected
            if index + 1 < iterations:
                previous[part] = projected
            overlap.add(_scaled(ahead, magnitude[part]))
        samples = overlap.waveform()
    return samples


def _scaled(values: NDArray[np.complex64], magnitude: Floats) -> NDArray[np.complex64]:
    """The same phases with the wanted magnitudes."""
    size: Floats = np.abs(values)
    gain = np.divide(magnitude, np.maximum(size, 1e-9), dtype=np.float32)
    return np.multiply(values, gain, dtype=np.complex64)
