"""Short-time spectra and mel bands in numpy: the common ground of the measures in this package.

It is kept apart from the analysis of the autoencoder (`arctone.audio.spectral.stft`), so that a fault there cannot hide
itself in the figure that should show it.

Legend: C channels, N audio samples, T frames, F frequency bins, M mel bands.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
AudioArray = npt.NDArray[np.float32]


def magnitudes(samples: npt.NDArray[np.floating], n_fft: int, hop: int) -> AudioArray:
    """Magnitude spectrogram with a Hann window, scaled so that a full-scale sine peaks at 0.5.

    Args: samples: [C, N], any length from 1 (the ends are padded with zeros by half a window). n_fft, hop: samples.
    Returns: [C, T, F] with T = 1 + ceil(N / hop) and F = n_fft / 2 + 1.
    """
    return np.asarray(np.abs(spectra(samples, n_fft, hop)), dtype=np.float32)


def spectra(samples: npt.NDArray[np.floating], n_fft: int, hop: int) -> npt.NDArray[np.complex64]:
    """Complex short-time spectra, same scaling and shape as `magnitudes`."""
    window = _hann(n_fft)
    transformed = np.fft.rfft(_frames(samples, n_fft, hop) * window, axis=-1) / np.float32(window.sum())
    return np.asarray(transformed, dtype=np.complex64)


def mel_filters(
    sample_rate: int, n_fft: int, num_bands: int, low_hz: float = 0.0, high_hz: float | None = None
) -> AudioArray:
    """Triangular filters of unit area, equally spaced on the HTK mel scale.

    Args: high_hz: upper edge, the Nyquist frequency when None. Returns: [F, M].
    """
    return _mel_filters(sample_rate, n_fft, num_bands, low_hz, high_hz or sample_rate / 2)


def slaney_mel_filters(sample_rate: int, n_fft: int, num_bands: int) -> AudioArray:
    """Triangular filters on Slaney's mel scale (linear below 1 kHz), each of area 2 / width in Hz, as librosa's
    default.

    Returns: [F, M], from 0 Hz to the Nyquist frequency. Source: M. Slaney, "Auditory Toolbox", 1998.
    """
    edges = _slaney_hertz(np.linspace(0.0, _slaney_mel(sample_rate / 2), num_bands + 2))
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    return np.asarray(triangles * 2 / (edges[2:] - edges[:-2]), dtype=np.float32)


def mel_power(samples: npt.NDArray[np.floating], sample_rate: int, n_fft: int, hop: int, num_bands: int) -> AudioArray:
    """Mean power per mel band, [C, T, M]."""
    return np.square(magnitudes(samples, n_fft, hop)) @ mel_filters(sample_rate, n_fft, num_bands)


def decibels(power: npt.NDArray[np.floating], floor: float) -> npt.NDArray[np.floating]:
    """10 log10 of a power, where anything below `floor` (> 0) counts as the floor."""
    decibel: npt.NDArray[np.floating] = 10.0 * np.log10(np.maximum(power, floor))
    return decibel


def _frames(samples: npt.NDArray[np.floating], n_fft: int, hop: int) -> AudioArray:
    num_samples = samples.shape[-1]
    num_frames = 1 + -(-num_samples // hop)
    tail = (num_frames - 1) * hop + n_fft - n_fft // 2 - num_samples
    padded = np.pad(samples.astype(np.float32), ((0, 0), (n_fft // 2, max(tail, 0))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)
    return np.asarray(frames[:, ::hop][:, :num_frames])


@lru_cache(maxsize=16)
def _hann(n_fft: int) -> AudioArray:
    return np.asarray(np.hanning(n_fft + 1)[:-1], dtype=np.float32)


@lru_cache(maxsize=16)
def _mel_filters(sample_rate: int, n_fft: int, num_bands: int, low_hz: float, high_hz: float) -> AudioArray:
    bins = _mel(np.fft.rfftfreq(n_fft, 1 / sample_rate))[:, None]
    edges = np.linspace(_mel(low_hz), _mel(high_hz), num_bands + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    area = triangles.sum(axis=0)
    # A band narrower than one bin has no bin inside: it takes the nearest one, so that no band is constantly empty.
    empty = np.flatnonzero(area == 0)
    triangles[np.abs(bins - edges[1:-1][empty]).argmin(axis=0), empty] = 1.0
    return np.asarray(triangles / triangles.sum(axis=0), dtype=np.float32)


def _mel(hertz: npt.ArrayLike) -> FloatArray:
    mel: FloatArray = 1127.0 * np.log1p(np.asarray(hertz, dtype=np.float64) / 700.0)
    return mel


_SLANEY_HZ_PER_MEL, _SLANEY_BREAK_HZ, _SLANEY_LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def _slaney_mel(hertz: float) -> float:
    if hertz < _SLANEY_BREAK_HZ:
        return hertz / _SLANEY_HZ_PER_MEL
    return float(_SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL + np.log(hertz / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP)


def _slaney_hertz(mel: FloatArray) -> FloatArray:
    start = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mel - start))
    return np.asarray(np.where(mel < start, mel * _SLANEY_HZ_PER_MEL, above))
