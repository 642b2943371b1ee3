"""Short-time Fourier transform whose frames are aligned to the hop.

N samples (a multiple of the hop) give exactly N / hop frames; frame j is centred at sample hop * j + hop / 2. Each end
is padded with (n_fft - hop) / 2 zeros, so that concatenated latents and concatenated audio have the same time axis.
Shapes: C channels, N samples, M frames, K = n_fft / 2 + 1 bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_FFT = 2048
HOP = 512
NUM_BINS = N_FFT // 2 + 1
NUM_OVERLAPS = N_FFT // HOP
PADDING = (N_FFT - HOP) // 2

Floats = NDArray[np.float32]
Complexes = NDArray[np.complex64]


def hann(size: int = N_FFT) -> Floats:
    """Periodic Hann window, [size]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


_WINDOW = hann()
# Times the size of the transform, a power of two and so exact: see `spectrum`.
_SCALED_WINDOW = N_FFT * _WINDOW


def stft(samples: Floats) -> Complexes:
    """Spectrum of a waveform.

    Args: samples: [C, N], N a multiple of 512. Returns: [C, N / 512, 1025] complex.
    Raises: ValueError if N is not a multiple of the hop.
    """
    return spectrum(framed(samples))


def framed(samples: Floats) -> Floats:
    """Overlapping frames of a waveform [C, N], a view of [C, N / 512, 2048].

    Raises: ValueError if N is not a multiple of the hop.
    """
    length = samples.shape[1]
    if length % HOP:
        raise ValueError(f"samples: {length} is not a multiple of the hop {HOP}")
    padded = np.pad(samples, ((0, 0), (PADDING, PADDING)))
    frames: Floats = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP]
    return frames


def spectrum(frames: Floats) -> Complexes:
    """Windowed spectrum of frames [..., 2048]: [..., 1025] complex."""
    # Where the factor of a transform is the integer 1, as by default, numpy computes in 64 bit and three times as long;
    # so the transform is made to divide, and the window multiplies.
    return np.fft.rfft(frames * _SCALED_WINDOW, axis=-1, norm="forward").astype(np.complex64, copy=False)


def istft(spectrum: Complexes) -> Floats:
    """Waveform whose frames are nearest to a spectrum (least squares, Griffin and Lim 1984).

    The first and the last 768 samples are covered by fewer frames and are scaled accordingly.
    Args: spectrum: [C, M, 1025]. Returns: [C, 512 M] float32.
    """
    channels = []
    for channel in spectrum:
        overlap = OverlapAdd(len(channel))
        overlap.add(channel)
        channels.append(overlap.waveform())
    return np.stack(channels)


class OverlapAdd:
    """`istft` of one channel whose spectrum comes in pieces, in order: no more than a piece is held in frames.

    The result does not depend on how it is cut: each sample adds its frames in the same order.
    """

    def __init__(self, num_frames: int) -> None:
        self._num_frames = num_frames
        self._hops = np.empty((num_frames + NUM_OVERLAPS - 1, HOP), dtype=np.float32)
        self._done = 0
        self._last = np.zeros((NUM_OVERLAPS - 1, NUM_OVERLAPS, HOP), dtype=np.float32)

    def add(self, spectrum: Complexes) -> None:
        """The next frames, [m, 1025]."""
        frames = np.fft.irfft(spectrum, n=N_FFT, axis=-1).astype(np.float32, copy=False)
        frames *= _WINDOW
        self._add(frames.reshape(-1, NUM_OVERLAPS, HOP))

    def waveform(self) -> Floats:
        """[512 M], when all M frames are added."""
        self._add(np.zeros_like(self._last))
        self._hops /= _coverage(self._num_frames)
        return self._hops.reshape(-1)[PADDING : PADDING + self._num_frames * HOP]

    def _add(self, parts: Floats) -> None:
        num = len(parts)
        parts = np.concatenate([self._last, parts])
        hops = self._hops[self._done : self._done + num]
        hops[:] = parts[NUM_OVERLAPS - 1 :, 0]
        for part in range(1, NUM_OVERLAPS):
            hops += parts[NUM_OVERLAPS - 1 - part : NUM_OVERLAPS - 1 - part + num, part]
        self._last = parts[num:]
        self._done += num


def _coverage(num_frames: int) -> Floats:
    """Sum of squared windows over each sample, [num_frames + 3, 512]."""
    squared = (_WINDOW**2).reshape(NUM_OVERLAPS, HOP)
    total = np.zeros((num_frames + NUM_OVERLAPS - 1, HOP), dtype=np.float32)
    for part in range(NUM_OVERLAPS):
        total[part : part + num_frames] += squared[part]
    return np.maximum(total, 1e-3)
