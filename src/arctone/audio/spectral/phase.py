"""Phase from magnitudes: spectral peaks are followed as sinusoids, everything else is as random as it is said to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arctone.audio.spectral.stft import HOP, N_FFT, NUM_BINS, OverlapAdd, Scratch, framed, spectrum

Floats = NDArray[np.float32]
Complexes = NDArray[np.complex64]
# A frame that starts at its first sample turns the phase of bin k by -pi k against one that is centred.
_CENTRE = np.where(np.arange(NUM_BINS) % 2, -1.0, 1.0).astype(np.float32)

# Of Griffin-Lim refinements.
MOMENTUM = 0.9


class Peaks(NamedTuple):
    """The spectral peaks of M frames, P in all, one frame after the other.

    bins: of the peaks, [P]. advance: how far the phase turns in a hop, -pi to pi, [P]. widths: how many bins are
    nearest to the peak, [P]. firsts: the first peak of each frame, and P, [M + 1].
    """

    bins: NDArray[np.intp]
    advance: Floats
    widths: NDArray[np.intp]
    firsts: NDArray[np.intp]


def follow(log_magnitude: Floats) -> Peaks:
    """Find the spectral peaks of some frames and how far the phase of each advances.

    A peak advances with its interpolated frequency and lends its phase to the bins around it, which keeps the lobe of a
    partial coherent.

    Source: Beauregard, Harish and Wyse, "Single Pass Spectrogram Inversion", 2015.

    Args:
        log_magnitude: [M, 1025], natural logarithm, contiguous.

    Returns:
        The peaks of the M frames.
    """
    places, firsts = _places(log_magnitude)
    values = log_magnitude.reshape(-1)
    first = places - 1
    before, here, after = (values[shift:].take(first) for shift in range(3))
    slope = before - after
    # Twice the curvature, so that half the slope over it is the top of the parabola.
    before += after
    before -= here
    before -= here
    before *= 2
    slope /= np.minimum(before, -1e-6, out=before)
    rows = np.arange(len(log_magnitude)).repeat(np.diff(firsts))
    bins = places - rows * NUM_BINS
    return Peaks(bins, _advance(bins, np.clip(slope, -0.5, 0.5, out=slope)), _widths(places, firsts), firsts)


def _places(log_magnitude: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the peaks, counted through all rows, and the first peak of each row, with the number of all at the end.

    In a row without any, the middle bin stands for one.
    """
    rising = log_magnitude[:, 1:] > log_magnitude[:, :-1]
    is_peak = np.zeros(log_magnitude.shape, bool)
    np.greater(rising[:, :-1], rising[:, 1:], out=is_peak[:, 1:-1])
    is_peak[~is_peak.any(axis=1), NUM_BINS // 2] = True
    places = np.flatnonzero(is_peak)
    return places, np.searchsorted(places, np.arange(len(log_magnitude) + 1) * NUM_BINS)


def _widths(places: NDArray[np.intp], firsts: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many bins are nearest to each peak; a bin in the middle belongs to the lower."""
    ends = np.empty_like(places)
    np.add(places[1:], places[:-1], out=ends[:-1])
    ends >>= 1
    ends += 1
    ends[firsts[1:] - 1] = np.arange(1, len(firsts)) * NUM_BINS
    return np.diff(ends, prepend=0)


def _advance(bins: NDArray[np.intp], offset: Floats) -> Floats:
    """How far peaks between bins turn in a hop, in radians."""
    # In turns, whole ones taken out: the sum over many frames must stay small, or float32 loses the phase.
    turns: Floats = (bins & (N_FFT // HOP - 1)).astype(np.float32)
    turns += offset
    turns *= np.float32(HOP / N_FFT)
    turns -= np.round(turns)
    turns *= np.float32(2 * np.pi)
    return turns


def integrate(peaks: Iterable[Peaks], start: Floats, out: Floats) -> None:
    """Compute the phase of each bin, in one pass over time.

    Args:
        peaks: From `follow`, for M frames in one or more pieces.
        start: Phase before the first frame, [1025], radians.
        out: Receives the phase at the frame centres, [M, 1025], radians, not wrapped.
    """
    current, rows = start, iter(out)
    for bins, advance, widths, firsts in peaks:
        for first, last in pairwise(firsts.tolist()):
            tops = current.take(bins[first:last])
            tops += advance[first:last]
            current = tops.repeat(widths[first:last])
            next(rows)[:] = current


def polar(magnitude: Floats, angle: Floats, scratch: Scratch) -> Complexes:
    """Compute the spectrum of frames that start at their first sample, from magnitudes and phases at the frame centres.

    Args:
        magnitude: [M, 1025].
        angle: [M, 1025], radians.
        scratch: Memory that is used again.

    Returns:
        [M, 1025], in the scratch's "spectrum".
    """
    values = scratch.array("spectrum", magnitude.shape, np.complex64)
    signed = np.multiply(magnitude, _CENTRE, out=scratch.array("signed", magnitude.shape))
    turn = scratch.array("turn", magnitude.shape)
    np.multiply(signed, np.cos(angle, out=turn), out=values.real)
    np.multiply(signed, np.sin(angle, out=turn), out=values.imag)
    return values


def refine(
    magnitude: Floats,
    angle: Callable[[slice], Floats],
    iterations: int,
    chunk_frames: int,
    scratch: Scratch,
    momentum: float = MOMENTUM,
) -> Floats:
    """Compute the waveform of one channel whose spectrogram comes near to the wanted magnitudes.

    Source: fast Griffin-Lim, Perraudin, Balazs and Soendergaard, 2013.

    Args:
        magnitude: Wanted, [M, 1025].
        angle: First estimate of the phase for some frames, [m, 1025], radians at their centres.
        iterations: 0 = inverse transform only.
        chunk_frames: That are worked on together; the result does not depend on it.
        scratch: Memory that is used again.
        momentum: Of fast Griffin-Lim; 0 = the plain algorithm.

    Returns:
        [512 M + 1536], with 768 zeros at each end.
    """
    num_frames = len(magnitude)
    parts = [slice(first, min(first + chunk_frames, num_frames)) for first in range(0, num_frames, chunk_frames)]
    overlap = OverlapAdd(num_frames)
    for part in parts:
        overlap.add(polar(magnitude[part], angle(part), scratch), scratch)
    samples = overlap.padded()
    previous = np.empty(magnitude.shape if iterations > 1 else 0, np.complex64)
    for index in range(iterations):
        frames, overlap = framed(samples), OverlapAdd(num_frames)
        for part in parts:
            projected = spectrum(frames[part], scratch)
            ahead = projected + np.float32(momentum) * (projected - previous[part]) if index else projected
            if index + 1 < iterations:
                previous[part] = projected
            overlap.add(_scaled(ahead, magnitude[part], scratch), scratch)
        samples = overlap.padded()
    return samples


def _scaled(values: Complexes, magnitude: Floats, scratch: Scratch) -> Complexes:
    """The same phases with the wanted magnitudes, in the place of `values`."""
    gain = np.abs(values, out=scratch.array("signed", magnitude.shape))
    np.maximum(gain, 1e-9, out=gain)
    np.divide(magnitude, gain, out=gain)
    values.real *= gain
    values.imag *= gain
    return values
