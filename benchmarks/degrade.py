"""Ordinary damage to a sound that leaves its instrument the same: what a listener should not be distracted by.

The probe is trained on real sounds and on damaged copies of them, so that it classifies the instrument and not the
noise floor, the bandwidth or the fine texture of a reproduction. Nothing here comes from a model of ours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform

Samples = npt.NDArray[np.float32]

SNR_DB = (10.0, 40.0)
LOW_PASS_HZ = (4_000.0, 18_000.0)
TILT_DB_PER_OCTAVE = (-1.5, 1.5)
JITTER_DB = (0.5, 5.0)
_N_FFT, _HOP = 2048, 512


def degraded(waveform: Waveform, seed: int) -> Waveform:
    """The sound with two of four kinds of damage, of random strength: noise, less bandwidth, another tilt, rough
    texture.

    The same seed gives the same damage.
    """
    rng = np.random.default_rng(seed)
    samples = waveform.samples
    for kind in rng.choice(4, size=2, replace=False):
        samples = (_noise, _low_pass, _tilt, _texture)[kind](samples, waveform.sample_rate, rng)
    return waveform.with_samples(samples)


def _noise(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """White noise that rises and falls with the sound, 10 to 40 dB below it."""
    envelope = np.sqrt(np.convolve(np.square(samples).mean(axis=0), np.ones(1024) / 1024, mode="same"))
    gain = 10 ** (-rng.uniform(*SNR_DB) / 20)
    return (samples + gain * envelope * rng.standard_normal(samples.shape)).astype(np.float32)


def _low_pass(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """A soft upper limit between 4 and 18 kHz."""
    cutoff = np.exp(rng.uniform(*np.log(LOW_PASS_HZ)))
    return _filtered(samples, lambda hertz: 1 / np.sqrt(1 + (hertz / cutoff) ** 8), sample_rate)


def _tilt(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Brighter or darker by up to 1.5 dB an octave around 1 kHz."""
    slope = rng.uniform(*TILT_DB_PER_OCTAVE)
    return _filtered(samples, lambda hertz: 10 ** (slope * np.log2(np.maximum(hertz, 20) / 1000) / 20), sample_rate)


def _texture(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Each spot of the spectrogram louder or softer by some decibels and turned in phase by some degrees."""
    window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    length = samples.shape[1]
    padded = np.pad(samples, ((0, 0), (_N_FFT, 2 * _N_FFT - length % _HOP)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT, axis=1)[:, ::_HOP]
    spectra = np.fft.rfft(frames * window)
    strength = rng.uniform(*JITTER_DB)
    jitter = strength / 8.7 * (rng.standard_normal(spectra.shape) + 1j * rng.standard_normal(spectra.shape))
    pieces = np.fft.irfft(spectra * np.exp(jitter)) * window
    out = np.zeros_like(padded)
    for index in range(pieces.shape[1]):
        out[:, index * _HOP : index * _HOP + _N_FFT] += pieces[:, index] / 1.5
    return out[:, _N_FFT : _N_FFT + length]


def _filtered(
    samples: Samples, response: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], sample_rate: int
) -> Samples:
    size = samples.shape[1] + 4096
    spectrum = np.fft.rfft(samples, size) * response(np.asarray(np.fft.rfftfreq(size, 1 / sample_rate), np.float64))
    return np.fft.irfft(spectrum, size)[:, : samples.shape[1]].astype(np.float32)
