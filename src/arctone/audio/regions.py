"""Regions of a sound in seconds and samples, and the crossfades at their borders."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from arctone.audio.waveform import Samples
from arctone.errors import UsageError

MAX_REGIONS = 100


class Region(NamedTuple):
    """From start (included) to end (excluded), in seconds; 0 <= start < end."""

    start_seconds: float
    end_seconds: float

    def samples(self, sample_rate: int) -> tuple[int, int]:
        """Convert the region to samples, rounded to the nearest.

        Args:
            sample_rate: In Hz.

        Returns:
            The first sample, and the one after the last.
        """
        return round(self.start_seconds * sample_rate), round(self.end_seconds * sample_rate)

    def __str__(self) -> str:
        return f"{self.start_seconds:g}:{self.end_seconds:g}"


def parse_regions(texts: Iterable[str], name: str = "inpaint") -> tuple[Region, ...]:
    """Parse regions and sort them by time; those that touch stay apart, those that overlap are refused.

    Args:
        texts: Each "A:B" in seconds with A < B.
        name: Of the parameter, for errors.

    Returns:
        The regions in the order of time.

    Raises:
        UsageError: In one sentence.

    >>> [str(region) for region in parse_regions(["6:7.5", "2:4"])]
    ['2:4', '6:7.5']
    """
    regions = sorted(_parsed(text, name) for text in texts)
    if len(regions) > MAX_REGIONS:
        raise UsageError(f"{name} must name at most {MAX_REGIONS} regions, got {len(regions)}.", field=name)
    for earlier, later in itertools.pairwise(regions):
        if later.start_seconds < earlier.end_seconds:
            raise UsageError(f"{name} must name regions that do not overlap, got {earlier} and {later}.", field=name)
    return tuple(regions)


def check_within(regions: Iterable[Region], duration_seconds: float, sample_rate: int, name: str = "inpaint") -> None:
    """Refuse a region that ends after the sound, or that is shorter than one sample.

    Args:
        regions: The regions.
        duration_seconds: Length of the sound.
        sample_rate: In Hz.
        name: Of the parameter, for errors.

    Raises:
        UsageError: If a region does not fit the sound.
    """
    num_samples = round(duration_seconds * sample_rate)
    for region in regions:
        first, end = region.samples(sample_rate)
        if end > num_samples:
            raise UsageError(
                f"{name} region {region} ends after the sound, which is {duration_seconds:g} seconds long.", field=name
            )
        if end <= first:
            raise UsageError(f"{name} region {region} is shorter than one sample.", field=name)


def _parsed(text: str, name: str) -> Region:
    start_text, colon, end_text = str(text).partition(":")
    try:
        start, end = float(start_text), float(end_text)
    except ValueError:
        raise UsageError(_wrong(name, text), field=name) from None
    if not (colon and math.isfinite(start) and math.isfinite(end)):
        raise UsageError(_wrong(name, text), field=name)
    if start < 0 or start >= end:
        raise UsageError(f"{name} region A:B must have 0 <= A < B, got {_short(text)}.", field=name)
    return Region(start, end)


def _wrong(name: str, text: object) -> str:
    return f"{name} must name regions A:B in seconds, such as 2.5:4, got {_short(text)}."


def _short(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


# Lengths of fades: at the edges of a generated part; at the end of a sound that is continued; between windows.
FADE_SECONDS = 0.06
EXTEND_FADE_SECONDS = 0.25
WINDOW_FADE_SECONDS = 0.5
# Edges of a finished sound: short enough for the attack of a drum, long enough for no click.
EDGE_IN_SECONDS, EDGE_OUT_SECONDS = 0.001, 0.008
_QUIET = 10 ** (-60 / 20)


def fade_gains(num_samples: int, correlation: float = 0.0) -> tuple[Samples, Samples]:
    """Compute the gains of the sound that ends and of the one that begins.

    Uncorrelated sounds get cosine and sine, whose squares add up to 1. Sounds alike would grow louder in the middle by
    that, so both gains shrink by what the correlation adds: the power of the sum stays constant.

    Source: Fink, Holters and Zoelzer 2016, "Signal-matched power-complementary cross-fading and dry-wet mixing".

    Args:
        num_samples: Length of the fade.
        correlation: Of the two sounds within the fade, 0 (unrelated) to 1 (the same).

    Returns:
        The falling and the rising gain, [num_samples] each.
    """
    angle = np.pi / 2 * np.arange(1, num_samples + 1) / (num_samples + 1)
    shrink = np.sqrt(1 + correlation * np.sin(2 * angle))
    return (np.cos(angle) / shrink).astype(np.float32), (np.sin(angle) / shrink).astype(np.float32)


def correlation(first: Samples, second: Samples) -> float:
    """Compute the correlation coefficient of two sounds, without regard to DC.

    Args:
        first: [channels, N].
        second: [channels, N].

    Returns:
        0 to 1; a negative correlation counts as 0, and so does silence.
    """
    power = float(np.sum(np.square(first, dtype=np.float64)) * np.sum(np.square(second, dtype=np.float64)))
    if power <= 0:
        return 0.0
    return min(1.0, max(0.0, float(np.sum(first * second, dtype=np.float64)) / math.sqrt(power)))


def crossfaded(going: Samples, coming: Samples) -> Samples:
    """Cross-fade two sounds over their whole length, at constant power for their correlation.

    Args:
        going: The sound that fades out, [channels, N].
        coming: The sound that fades in, [channels, N].

    Returns:
        Their cross-fade, [channels, N].
    """
    down, up = fade_gains(going.shape[1], correlation(going, coming))
    return going * down + coming * up


def put(sound: Samples, new: Samples, start: int, fade_in: int = 0, fade_out: int = 0) -> None:
    """Replace the part of a sound from `start` on, in place; the fades lie inside that part.

    Everything before `start` and after `start + len(new)` stays bit-equal.

    Args:
        sound: [channels, N].
        new: [channels, M], M <= N - start.
        start: First sample of the part.
        fade_in: Samples of the fade at its beginning; where the fades would overlap, each takes half.
        fade_out: Samples of the fade at its end.
    """
    length = new.shape[1]
    if fade_in + fade_out > length:
        fade_in, fade_out = min(fade_in, length // 2), min(fade_out, length - length // 2)
    old = sound[:, start : start + length]
    head, tail = slice(0, fade_in), slice(length - fade_out, length)
    faded_in, faded_out = crossfaded(old[:, head], new[:, head]), crossfaded(new[:, tail], old[:, tail])
    old[:] = new
    old[:, head], old[:, tail] = faded_in, faded_out


def level_difference_db(sound: Samples, reference: Samples) -> float | None:
    """Compare the RMS levels of two sounds.

    Args:
        sound: [channels, N].
        reference: [channels, M].

    Returns:
        By how many dB the reference is louder; None where one of them is almost silent or empty.
    """
    levels = [_rms(part) for part in (sound, reference)]
    return 20 * math.log10(levels[1] / levels[0]) if min(levels) > _QUIET else None


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


def faded_edges(samples: Samples, sample_rate: int) -> Samples:
    """Return a sound that begins and ends at zero, [channels, N]: a sound cut in full swing ends in a click.

    Args:
        samples: [channels, N].
        sample_rate: In Hz.

    Returns:
        The sound with both edges faded.
    """
    out = samples.copy()
    fade_edges(out, sample_rate)
    return out


def fade_edges(samples: Samples, sample_rate: int, *, at_start: bool = True, at_end: bool = True) -> None:
    """Let a sound begin and end at zero, in place.

    Args:
        samples: [channels, N].
        sample_rate: In Hz.
        at_start: Whether its beginning is faded.
        at_end: Whether its end is faded.
    """
    edges = (
        (EDGE_IN_SECONDS if at_start else 0.0, samples),
        (EDGE_OUT_SECONDS if at_end else 0.0, samples[:, ::-1]),
    )
    for seconds, part in edges:
        size = min(samples.shape[1] // 2, round(seconds * sample_rate))
        part[:, :size] *= (np.sin(np.linspace(0, np.pi / 2, size, endpoint=False)) ** 2).astype(np.float32)
