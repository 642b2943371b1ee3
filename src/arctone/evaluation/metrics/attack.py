"""Attacks and high end of single sounds, against real ones of the same kind.

What is measured: how long a sound takes from 10 % to 90 % of its peak level, and what share of its energy lies above
2 kHz; both as distances to the median of real sounds of the kind.
Conventions: levels are root mean squares of 2 ms, every 0.5 ms, of the louder channel; the rise begins where the level
last left 10 % of the peak before it first reached 90 %. Distances are absolute: octaves of the rise, decibels of the
share.
Measures:
    * :func:`rise_seconds`, :func:`treble_share`
    * :func:`distances`: how far each sound is from its kind
    * :func:`evaluate`: their means with intervals

N sounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics.intervals import Interval, bootstrap

Values = npt.NDArray[np.float64]

TREBLE_HZ = 2_000.0
_WINDOW_SECONDS, _HOP_SECONDS = 0.002, 0.0005
# Below these, differences are not resolved: a rise within one window, and a share that dither would make.
_SHORTEST_RISE, _SMALLEST_SHARE = 0.001, 1e-4


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


def evaluate(
    sounds: Sequence[Waveform], kinds: Sequence[str], real: Sequence[Waveform], real_kinds: Sequence[str]
) -> dict[str, Interval]:
    """Return mean distances: `rise_octaves` of the rise, `treble_db` of the share above 2 kHz.

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
    is_same = sounds is real
    result: dict[str, Interval] = {}
    measures = (("rise_octaves", rise_seconds, 1.0), ("treble_db", _share, 10 * np.log10(2)))
    for name, measure, unit in measures:
        theirs = [measure(sound) for sound in real]
        ours = theirs if is_same else [measure(sound) for sound in sounds]
        found = distances(ours, kinds, theirs, real_kinds) * unit
        known = found[np.isfinite(found)]
        if not len(known):
            raise ValueError("no sound has a real one of its kind.")
        result[name] = bootstrap(known.tolist(), "mean")
    return result


def _share(waveform: Waveform) -> float:
    return max(_SMALLEST_SHARE, treble_share(waveform))


def _levels(waveform: Waveform) -> Values:
    window = max(1, round(_WINDOW_SECONDS * waveform.sample_rate))
    hop = max(1, round(_HOP_SECONDS * waveform.sample_rate))
    padded = np.pad(waveform.samples.astype(np.float64), ((0, 0), (window, window)))
    total = np.cumsum(padded**2, axis=1)
    means = (total[:, window:] - total[:, :-window]) / window
    return np.asarray(np.sqrt(np.maximum(means, 0.0)).max(axis=0)[::hop], np.float64)
