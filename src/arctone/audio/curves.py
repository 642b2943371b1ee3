"""Loudness, brightness and pitch of a sound over time, one value for each latent frame.

What is measured: A-weighted level, spectral centroid, fundamental frequency with its confidence.
Conventions: frame k is centred on the sample (k + 0.5) hop; both channels count alike; a full-scale sine at 1 kHz has
0 dB. Pitch is a MIDI number, 69 = 440 Hz, 0 = none.
Sources: A-weighting, IEC 61672-1; YIN, de Cheveigne and Kawahara 2002.
N samples, T frames, K bins.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

HOP = 2_048
SILENCE_DB = -80.0
# YIN: the part of a frame that is compared with itself, the lowest and highest fundamental, the dip that counts, and
# the confidence from which a frame has a pitch.
_COMPARED, _LOWEST_HZ, _HIGHEST_HZ, _DIP, VOICED = 2_048, 50.0, 2_100.0, 0.15, 0.85
_FRAMES_AT_ONCE = 256


class Curves(NamedTuple):
    """Curves of a sound, [T] each.

    Attributes:
        loudness: A-weighted level in dB, SILENCE_DB at least.
        brightness: Spectral centroid as a MIDI number divided by 127, 0 to 1; 0 where there is no sound.
        pitch: MIDI number of the fundamental; 0 where there is no single clear one.
    """

    loudness: Floats
    brightness: Floats
    pitch: Floats


def measure_curves(samples: Floats, sample_rate: int, hop: int = HOP) -> Curves:
    """Measure the three curves of a sound.

    Args:
        samples: [channels, N], N at least 1.
        sample_rate: In Hz.
        hop: Samples of a latent frame.

    Returns:
        Curves of T = ceil(N / hop) frames.
    """
    spectra = _powers(samples, hop)  # [T, K]
    hertz = np.asarray(np.fft.rfftfreq(2 * hop, 1 / sample_rate), np.float64)
    loudness = _level_db(np.asarray(spectra * a_weighting(hertz) ** 2, np.float64))
    audible = loudness > SILENCE_DB
    brightness = np.where(audible, _centroid(spectra, hertz), 0.0)
    pitch, confidence = measure_pitch(samples.mean(axis=0), sample_rate, hop)
    pitch = np.where((confidence >= VOICED) & audible, pitch, 0.0)
    return Curves(loudness.astype(np.float32), brightness.astype(np.float32), pitch.astype(np.float32))


def a_weighting(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute the A-weighting's gain for amplitudes; 1 at 1 kHz.

    Args:
        hertz: Frequencies in Hz, at least 0.

    Returns:
        Factors, same shape.
    """
    squares = hertz**2
    poles = np.sqrt((squares + 107.7**2) * (squares + 737.9**2))
    gain = 12_194.0**2 * squares**2 / ((squares + 20.6**2) * poles * (squares + 12_194.0**2))
    return np.asarray(gain * 10 ** (2.0 / 20), np.float64)


def loudness_to_unit(decibels: Floats) -> Floats:
    """Bring a loudness curve to 0 (SILENCE_DB and below) to 1 (0 dB and above), what networks receive.

    Args:
        decibels: A-weighted level in dB.

    Returns:
        The curve, 0 to 1.
    """
    return np.asarray(np.clip(1 - np.asarray(decibels, np.float32) / SILENCE_DB, 0, 1), np.float32)


def hertz_to_midi(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return MIDI numbers; 69 = 440 Hz.

    Args:
        hertz: Frequencies above 0.

    Returns:
        Numbers, same shape.
    """
    return np.asarray(69 + 12 * np.log2(np.asarray(hertz, np.float64) / 440.0))


def measure_pitch(mono: Floats, sample_rate: int, hop: int = HOP) -> tuple[Floats, Floats]:
    """Estimate the fundamental of each frame (YIN).

    Args:
        mono: [N].
        sample_rate: In Hz.
        hop: Samples of a frame.

    Returns:
        MIDI numbers [T], and confidence [T]: 1 = perfectly periodic, 0 = not at all.
    """
    longest, shortest = round(sample_rate / _LOWEST_HZ), int(sample_rate / _HIGHEST_HZ)
    frames = _frames(np.asarray(mono, np.float32)[None], hop, _COMPARED + longest)[0]
    parts = [
        _yin(frames[first : first + _FRAMES_AT_ONCE].astype(np.float64), shortest, longest)
        for first in range(0, len(frames), _FRAMES_AT_ONCE)
    ]
    lags, confidence = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    midi = hertz_to_midi(sample_rate / np.maximum(lags, 1.0))
    return midi.astype(np.float32), confidence.astype(np.float32)


def _yin(frames: npt.NDArray[np.float64], shortest: int, longest: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Return lag [F] and confidence [F] of frames [F, _COMPARED + longest]."""
    # What wraps around lies beyond the longest lag, so the transform need not be longer than a frame.
    size = next(size for size in itertools.count(frames.shape[1]) if _is_fast(size))
    head = np.fft.rfft(frames[:, :_COMPARED], size)
    product = np.fft.irfft(np.fft.rfft(frames, size) * head.conj(), size)[:, : longest + 1]
    total = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = total[:, _COMPARED : _COMPARED + longest + 1] - total[:, : longest + 1]
    difference = np.maximum(energy[:, :1] + energy - 2 * product, 0.0)
    running = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, longest + 1)
    normal = np.ones_like(difference)
    # What rounding leaves of silence and of constants is no dip.
    normal[:, 1:] = np.where(running > 1e-9 * (energy[:, :1] + 1e-12), difference[:, 1:] / (running + 1e-30), 1.0)
    return _dips(normal, shortest)


def _is_fast(size: int) -> bool:
    """Whether a transform of this size has factors of 2, 3 and 5 alone."""
    for factor in (2, 3, 5):
        while size % factor == 0:
            size //= factor
    return size == 1


def _dips(normal: npt.NDArray[np.float64], shortest: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Return the first local minimum below _DIP, else the lowest place, refined by a parabola; and its confidence."""
    inner = normal[:, shortest:-1]
    is_minimum = (inner <= normal[:, shortest - 1 : -2]) & (inner < normal[:, shortest + 1 :])
    found = is_minimum & (inner < _DIP)
    first = np.where(found.any(axis=1), found.argmax(axis=1), inner.argmin(axis=1)) + shortest
    rows = np.arange(len(normal))
    left, centre, right = (normal[rows, first + step] for step in (-1, 0, 1))
    bend = left - 2 * centre + right
    shift = np.where(np.abs(bend) > 1e-12, 0.5 * (left - right) / np.where(bend == 0, 1.0, bend), 0.0)
    return first + np.clip(shift, -1, 1), np.clip(1 - centre, 0, 1)


def _frames(samples: Floats, hop: int, size: int) -> Floats:
    """Cut [channels, T, size] around the centres of the frames, with zeros beyond both ends."""
    num_frames = -(-samples.shape[1] // hop)
    before = (size - hop) // 2
    after = num_frames * hop + size - samples.shape[1]
    padded = np.pad(samples, ((0, 0), (before, after)))
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, : num_frames * hop : hop]


def _powers(samples: Floats, hop: int) -> npt.NDArray[np.float64]:
    """Power spectra [T, K], mean over channels; their sum is the mean square of the frame.

    The window is two hops long, so that nothing falls between two frames.
    """
    size = 2 * hop
    window = np.hanning(size + 1)[:-1]
    spectrum = np.fft.rfft(_frames(np.asarray(samples, np.float32), hop, size) * window)
    power = 2 * np.mean(np.abs(spectrum) ** 2, axis=0) / (size * np.sum(window**2))
    power[:, [0, -1]] /= 2
    return np.asarray(power, np.float64)


def _level_db(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Level [T] of power spectra [T, K]; a full-scale sine has a mean square of 0.5."""
    return np.asarray(np.maximum(10 * np.log10(2 * power.sum(axis=1) + 1e-12), SILENCE_DB), np.float64)


def _centroid(power: npt.NDArray[np.float64], hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centroid of magnitudes as a MIDI number / 127, [T]."""
    magnitude = np.sqrt(power)
    centre = (magnitude * hertz).sum(axis=1) / (magnitude.sum(axis=1) + 1e-12)
    return np.asarray(np.clip(hertz_to_midi(np.maximum(centre, 8.2)) / 127, 0, 1), np.float64)
