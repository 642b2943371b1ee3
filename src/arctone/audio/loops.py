"""Sounds that repeat: how long whole bars are, a sound rotated so that its seam lies inside, how audible a seam is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arctone.audio.spectral.features import band_edges
from arctone.audio.waveform import Samples, Waveform

Floats = NDArray[np.float64]

# Length of the stretches before and after a point whose spectra are compared, and of the steps between points.
STRETCH_SECONDS = 0.023
STEP_SECONDS = 0.005
CLICK_SECONDS = 0.001
_FLOOR = 1e-9
# Points whose spectra are computed together: some ten megabytes.
_POINTS_AT_ONCE = 256


class SeamScore(NamedTuple):
    """Measures of a point of a sound, and the share of all other points that have less (0 to 1).

    step_db: mean difference of the band levels before and after. click: steepest bend of the waveform near the point in
    relation to the bends around it.
    """

    step_db: float
    step_rank: float
    click: float
    click_rank: float


def seam_score(waveform: Waveform, seam: int, *, is_loop: bool = False) -> SeamScore:
    """Score the point before sample `seam`.

    Args:
        waveform: The sound.
        seam: 0 to N; with is_loop the sound goes on at its beginning, so that 0 is where a loop repeats.
        is_loop: Whether the sound is repeated.

    Returns:
        The score and its parts.
    """
    mono = waveform.samples.astype(np.float64).mean(axis=0)
    reach = _samples(4 * STRETCH_SECONDS, waveform)
    if is_loop:
        mono, seam = np.roll(mono, len(mono) // 2 - seam), len(mono) // 2
    points = _points(seam, len(mono), reach, _samples(STEP_SECONDS, waveform))
    steps, clicks = _steps_db(mono, points, waveform), _clicks(mono, points, waveform)
    here = int(np.flatnonzero(points == seam)[0])
    return SeamScore(float(steps[here]), _rank(steps, here), float(clicks[here]), _rank(clicks, here))


def _points(seam: int, num_samples: int, reach: int, step: int) -> NDArray[np.int64]:
    """Every place that is looked at, the seam among them."""
    first = seam - (seam - reach) // step * step
    return np.arange(first, num_samples - reach + 1, step)


def _steps_db(mono: Floats, points: NDArray[np.int64], waveform: Waveform) -> Floats:
    """Mean difference of the band levels before and after each point, in dB."""
    length = _samples(STRETCH_SECONDS, waveform)
    stretches = np.lib.stride_tricks.sliding_window_view(mono, length)
    parts = [points[start : start + _POINTS_AT_ONCE] for start in range(0, len(points), _POINTS_AT_ONCE)]
    levels = [[_band_levels_db(stretches[part - back]) for back in (length, 0)] for part in parts]
    steps: Floats = np.concatenate([np.abs(after - before).mean(axis=1) for before, after in levels])
    return steps


def _band_levels_db(stretches: Floats) -> Floats:
    """Levels of 48 mel bands in stretches of sound, [stretches, samples]."""
    num_bins, length = int(band_edges()[-1]), stretches.shape[1]
    power = np.abs(np.fft.rfft(stretches * np.hanning(length), 2 * (num_bins - 1))) ** 2 / length
    levels: Floats = 10 * np.log10(np.add.reduceat(power, band_edges()[:-1], axis=1) + _FLOOR)
    return levels


def _clicks(mono: Floats, points: NDArray[np.int64], waveform: Waveform) -> Floats:
    """Steepest bend near each point, in relation to the root mean square of those around it."""
    near, around = _samples(CLICK_SECONDS, waveform), _samples(STRETCH_SECONDS, waveform)
    bends = np.abs(np.diff(mono, 2))
    middle = np.lib.stride_tricks.sliding_window_view(bends, 2 * near)[points - near].max(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(bends**2)])
    mean = (sums[points + around - 2] - sums[points - around]) / (2 * around - 2)
    clicks: Floats = middle / (np.sqrt(np.maximum(mean, 0.0)) + _FLOOR)
    return clicks


def _rank(values: Floats, here: int) -> float:
    others = np.delete(values, here)
    return float(np.mean(others < values[here]))


def _samples(seconds: float, waveform: Waveform) -> int:
    return round(seconds * waveform.sample_rate)


MAX_BARS = 64
BEATS_PER_BAR = 4


def bars_seconds(bars: int, bpm: float) -> float:
    """Compute the length of a number of bars of four beats.

    Args:
        bars: Number of bars.
        bpm: Beats per minute.

    Returns:
        Seconds.

    >>> bars_seconds(4, 120)
    8.0
    """
    return BEATS_PER_BAR * bars * 60.0 / bpm


def num_beats(duration_seconds: float, bpm: float) -> int:
    """Count the beats of a length, to the nearest whole number.

    Args:
        duration_seconds: The length.
        bpm: Beats per minute.

    Returns:
        Number of beats.

    >>> num_beats(8.0, 120)
    16
    """
    return round(duration_seconds * bpm / 60.0)


def rotation(num_samples: int, sample_rate: int, bpm: float | None) -> int:
    """By how many samples a loop is turned so that its seam comes to lie near the middle.

    With a tempo the turn is a whole number of bars, or of beats in a loop of fewer than two bars, so that the
    phase of the beat that a model receives stays true.
    """
    half = num_samples // 2
    if not bpm:
        return half
    beat = 60.0 / bpm * sample_rate
    unit = BEATS_PER_BAR * beat if num_samples >= 2 * BEATS_PER_BAR * beat - 1 else beat
    turned = round(round(half / unit) * unit)
    return turned if 0 < turned < num_samples else half


def rotated(samples: Samples, num_samples: int) -> Samples:
    """Rotate a sound: what came before the new start follows at the end.

    Args:
        samples: [channels, N].
        num_samples: Sample that becomes the first; the negative number undoes a rotation.

    Returns:
        The rotated sound, [channels, N].
    """
    return np.roll(samples, -num_samples, axis=1)
