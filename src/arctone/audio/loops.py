"""Sounds that repeat: how long whole bars are, and a sound turned about so that its seam lies in the middle."""

from __future__ import annotations

import numpy as np

from arctone.audio.waveform import Samples

MAX_BARS = 64
BEATS_PER_BAR = 4


def bars_seconds(bars: int, bpm: float) -> float:
    """Length of so many bars of four beats, in seconds.

    >>> bars_seconds(4, 120)
    8.0
    """
    return BEATS_PER_BAR * bars * 60.0 / bpm


def num_beats(duration_seconds: float, bpm: float) -> int:
    """Whole beats in a length, to the nearest.

    >>> num_beats(8.0, 120)
    16
    """
    return round(duration_seconds * bpm / 60.0)


def rotation(num_samples: int, sample_rate: int, bpm: float | None) -> int:
    """By how many samples a loop is turned so that its seam comes to lie near the middle.

    With a tempo the turn is a whole number of bars, or of beats in a loop of fewer than two bars, so that what a model
    is told of the beat stays true.
    """
    half = num_samples // 2
    if not bpm:
        return half
    beat = 60.0 / bpm * sample_rate
    unit = BEATS_PER_BAR * beat if num_samples >= 2 * BEATS_PER_BAR * beat - 1 else beat
    turned = round(round(half / unit) * unit)
    return turned if 0 < turned < num_samples else half


def rotated(samples: Samples, num_samples: int) -> Samples:
    """[channels, N] begun that many samples later; what came before follows at the end. -n undoes n."""
    return np.roll(samples, -num_samples, axis=1)
