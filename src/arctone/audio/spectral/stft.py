"""Short-time Fourier transform whose frames are aligned to the hop.

N samples (a multiple of the hop) give exactly N / hop frames; frame j is centred at sample hop * j + hop / 2. Each end
is padded with (n_fft - hop) / 2 zeros, so that concatenated latents and concatenated audio have the same time axis.
Shapes: C channels, N samples, M frames, K = n_fft / 2 + 1 bins.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Room for the intermediate results of one thread. What lies in it is whatever was left there."""

    def __init__(self) -> None:
        self._room: dict[str, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return an array that is reused under a name; its content is undefined.

        Args:
            name: Of the memory; the array that used it before is overwritten.
            shape: Of the array.
            dtype: Of the array.

        Returns:
            The array.
        """
        size = math.prod(shape)
        room = self._room.get(name)
        if room is None or room.size < size or room.dtype != dtype:
            room = self._room[name] = np.empty(size, dtype)
        return room[:size].reshape(shape)


N_FFT = 2048
HOP = 512
NUM_BINS = N_FFT // 2 + 1
NUM_OVERLAPS = N_FFT // HOP
PADDING = (N_FFT - HOP) // 2

Floats = NDArray[np.float32]
Complexes = NDArray[np.complex64]


def hann(size: int = N_FFT) -> Floats:
    """Return a periodic Hann window.

    Args:
        size: Number of samples.

    Returns:
        [size].
    """
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


_WINDOW = hann()
# Times the size of the transform, a power of two and so exact: see `spectrum`.
_SCALED_WINDOW = N_FFT * _WINDOW
# The squared windows over a sample add up to this, away from the ends.
_COVERAGE = np.float32(1.5)
_COVERED_WINDOW = _WINDOW / _COVERAGE


def stft(samples: Floats) -> Complexes:
    """Compute the spectrum of a waveform.

    Args:
        samples: [C, N], N a multiple of 512.

    Returns:
        [C, N / 512, 1025] complex.

    Raises:
        ValueError: If N is not a multiple of the hop.
    """
    length = samples.shape[1]
    if length % HOP:
        raise ValueError(f"samples: {length} is not a multiple of the hop {HOP}")
    padded = np.pad(samples, ((0, 0), (PADDING, PADDING)))
    return np.stack([spectrum(framed(channel), Scratch()) for channel in padded])


def framed(padded: Floats) -> Floats:
    """Return the overlapping frames of a padded waveform as a view.

    Args:
        padded: The waveform with its padding, [512 M + 1536].

    Returns:
        [M, 2048].
    """
    frames: Floats = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return frames


def spectrum(frames: Floats, scratch: Scratch) -> Complexes:
    """Compute the windowed spectrum of frames.

    Args:
        frames: [M, 2048].
        scratch: Memory that is reused; the result is its "spectrum".

    Returns:
        [M, 1025], complex.
    """
    windowed = np.multiply(frames, _SCALED_WINDOW, out=scratch.array("frames", frames.shape))
    out = scratch.array("spectrum", (len(frames), NUM_BINS), np.complex64)
    # Where the factor of a transform is the integer 1, as by default, numpy computes in 64 bit and three times as long;
    # so the transform is made to divide, and the window multiplies.
    np.fft.rfft(windowed, axis=-1, norm="forward", out=out)
    return out


def istft(spectrum: Complexes) -> Floats:
    """Compute the waveform whose frames are nearest to a spectrum (least squares, Griffin and Lim 1984).

    The first and the last 768 samples are covered by fewer frames and are scaled accordingly.

    Args:
        spectrum: [C, M, 1025].

    Returns:
        [C, 512 M] float32.
    """
    channels = []
    for channel in spectrum:
        overlap = OverlapAdd(len(channel))
        overlap.add(channel, Scratch())
        channels.append(overlap.padded()[PADDING:-PADDING])
    return np.stack(channels)


class OverlapAdd:
    """`istft` of one channel whose spectrum comes in pieces, in order: no more than a piece is held in frames.

    The result does not depend on how it is cut: each sample adds its frames in the same order.
    """

    def __init__(self, num_frames: int) -> None:
        self._num_frames = num_frames
        self._hops = np.empty((num_frames + NUM_OVERLAPS - 1, HOP), dtype=np.float32)
        self._hops[: NUM_OVERLAPS - 1] = 0
        self._done = 0

    def add(self, spectrum: Complexes, scratch: Scratch) -> None:
        """Add the next frames.

        Args:
            spectrum: Their spectra, [m, 1025].
            scratch: Memory that is reused; its "frames" is overwritten.
        """
        num = len(spectrum)
        frames = np.fft.irfft(spectrum, n=N_FFT, axis=-1, out=scratch.array("frames", (num, N_FFT)))
        frames *= _COVERED_WINDOW
        parts = frames.reshape(num, NUM_OVERLAPS, HOP)
        hops = self._hops[self._done :]
        # The last part of a frame is the first to reach its hop.
        hops[NUM_OVERLAPS - 1 : NUM_OVERLAPS - 1 + num] = parts[:, NUM_OVERLAPS - 1]
        for part in range(NUM_OVERLAPS - 2, -1, -1):
            hops[part : part + num] += parts[:, part]
        self._done += num

    def padded(self) -> Floats:
        """The waveform with its padding of zeros, [512 M + 1536], when all M frames are added."""
        squared = (_WINDOW**2).reshape(NUM_OVERLAPS, HOP)
        last = self._num_frames - 1
        for hop in {*range(NUM_OVERLAPS - 1), *range(last + 1, last + NUM_OVERLAPS)}:
            coverage = squared[max(0, hop - last) : hop + 1].sum(axis=0)
            self._hops[hop] *= _COVERAGE / np.maximum(coverage, 1e-3)
        samples = self._hops.reshape(-1)
        samples[:PADDING] = 0
        samples[-PADDING:] = 0
        return samples
