"""Attacks and high end of single sounds, against real ones of the same kind.

What is measured: how long a sound takes from 10 % to 90 % of its peak level, and what share of its energy lies above
2 kHz; both as distances to the median of real sounds of the kind.
Conventions: levels are root mean squares of 2 ms, every 0.5 ms, of the louder channel; the rise begins where the level
last left 10 % of the peak before it first reached 90 %. Distances are absolute: octaves of the rise, decibels of the
share.
Measures:
    * :func:`rise_seconds`, :func:`treble_share`
    * :func:`distances`: how far each sound is from its kind
    * :func:`measure`, :func:`compare`: values of sounds, and their mean distances with intervals
    * :func:`evaluate`: both

N sounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics.intervals import Interval, bootstrap

Values = npt.NDArray[np.float64]

TREBLE_HZ = 2_000.0
_WINDOW_SECONDS, _HOP_SECONDS = 0.002, 0.0005
# Below these, differences are not resolved: a rise within one window, and a share that dither would make.
_SHORTEST_RISE, _SMALLEST_SHARE = 0.001, 1e-4
_OCTAVE_DB = 10 * math.log10(2)


def rise_seconds(waveform: Waveform) -> float:
    """Return the seconds from 10 % to 90 % of the peak level, 1 ms at least.

    Args:
        waveform: One sound.

    Returns:
        Seconds.
    """
    level = _levels(waveform)
    peak = float(level.max(initial=0.0))
    if peak <= 0:
        return _SHORTEST_RISE
    top = int(np.argmax(level >= 0.9 * peak))
    below = np.flatnonzero(level[:top] < 0.1 * peak)
    start = int(below[-1]) + 1 if len(below) else 0
    return max(_SHORTEST_RISE, (top - start) * _HOP_SECONDS)


def treble_share(waveform: Waveform) -> float:
    """Return the share of a sound's energy above 2 kHz, 0 to 1.

    Args:
        waveform: One sound.

    Returns:
        0 to 1.
    """
    power = np.sum(np.abs(np.fft.rfft(waveform.samples)) ** 2, axis=0)
    power[1:-1] *= 2
    hertz = np.fft.rfftfreq(waveform.num_samples, 1 / waveform.sample_rate)
    total = float(power.sum())
    return float(power[hertz > TREBLE_HZ].sum()) / total if total > 0 else 0.0


def distances(
    values: Sequence[float], kinds: Sequence[str], real: Sequence[float], real_kinds: Sequence[str]
) -> Values:
    """Return |log2| of each value against the median of the real ones of its kind, [N]; NaN for a kind without any.

    A value that is itself among the real ones (the same list is given twice) is compared with the others of its kind.

    Args:
        values: Positive values, N.
        kinds: Their kinds, N.
        real: Positive values of real sounds.
        real_kinds: Their kinds.

    Returns:
        [N].

    Raises:
        ValueError: If values and kinds differ in length.
    """
    if len(values) != len(kinds) or len(real) != len(real_kinds):
        raise ValueError("every value needs a kind, but the lists differ in length.")
    logs, is_same = np.log2(np.asarray(real, np.float64)), values is real
    found = np.full(len(values), np.nan)
    for index, (value, kind) in enumerate(zip(values, kinds, strict=True)):
        others = [n for n, other in enumerate(real_kinds) if other == kind and not (is_same and n == index)]
        if others:
            found[index] = abs(np.log2(value) - np.median(logs[others]))
    return found


class Attacks(NamedTuple):
    """Values of some sounds, one for each.

    Attributes:
        rise: Seconds from 10 % to 90 % of the peak level.
        treble: Share of the energy above 2 kHz, no less than what dither would make.
    """

    rise: list[float]
    treble: list[float]


def measure(sounds: Iterable[Waveform]) -> Attacks:
    """Measure rise and treble of sounds, one after another.

    Args:
        sounds: Sounds.

    Returns:
        Their values.
    """
    rows = [(rise_seconds(sound), max(_SMALLEST_SHARE, treble_share(sound))) for sound in sounds]
    return Attacks([rise for rise, _ in rows], [treble for _, treble in rows])


def compare(
    attacks: Attacks, kinds: Sequence[str], real: Attacks, real_kinds: Sequence[str], seed: int = 0
) -> dict[str, Interval]:
    """Return mean distances: `rise_octaves` of the rise, `treble_db` of the share above 2 kHz.

    Args:
        attacks: What is evaluated.
        kinds: Their kinds.
        real: Values of real sounds; the same value as `attacks` gives the distances among the real ones.
        real_kinds: Their kinds.
        seed: Of the bootstrap.

    Returns:
        Intervals by name.

    Raises:
        ValueError: If no sound has a real one of its kind.
    """
    result: dict[str, Interval] = {}
    pairs = (("rise_octaves", attacks.rise, real.rise, 1.0), ("treble_db", attacks.treble, real.treble, _OCTAVE_DB))
    for name, ours, theirs, unit in pairs:
        found = distances(ours, kinds, theirs, real_kinds) * unit
        known = found[np.isfinite(found)]
        if not len(known):
            raise ValueError("no sound has a real one of its kind.")
        result[name] = bootstrap(known.tolist(), "mean", seed=seed)
    return result


def evaluate(
    sounds: Sequence[Waveform], kinds: Sequence[str], real: Sequence[Waveform], real_kinds: Sequence[str]
) -> dict[str, Interval]:
    """Measure and compare sounds: see `compare`.

    Args:
        sounds: What is evaluated.
        kinds: Their kinds.
        real: Real sounds; the same list as `sounds` gives the distances among the real ones.
        real_kinds: Their kinds.

    Returns:
        Intervals by name.

    Raises:
        ValueError: If no sound has a real one of its kind.
    """
    theirs = measure(real)
    return compare(theirs if sounds is real else measure(sounds), kinds, theirs, real_kinds)


def _levels(waveform: Waveform) -> Values:
    window = max(1, round(_WINDOW_SECONDS * waveform.sample_rate))
    hop = max(1, round(_HOP_SECONDS * waveform.sample_rate))
    padded = np.pad(waveform.samples.astype(np.float64), ((0, 0), (window, window)))
    total = np.cumsum(padded**2, axis=1)
    means = (total[:, window:] - total[:, :-window]) / window
    return np.asarray(np.sqrt(np.maximum(means, 0.0)).max(axis=0)[::hop], np.float64)
