"""Parts of a sound by time: "2.5:4" is what lies between 2.5 and 4 seconds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

from arctone.errors import UsageError

MAX_REGIONS = 100


class Region(NamedTuple):
    """From start (included) to end (excluded), in seconds; 0 <= start < end."""

    start_seconds: float
    end_seconds: float

    def samples(self, sample_rate: int) -> tuple[int, int]:
        """First sample and the one after the last, rounded to the nearest."""
        return round(self.start_seconds * sample_rate), round(self.end_seconds * sample_rate)

    def __str__(self) -> str:
        return f"{self.start_seconds:g}:{self.end_seconds:g}"


def parse_regions(texts: Iterable[str], name: str = "inpaint") -> tuple[Region, ...]:
    """Regions in the order of time; those that touch stay apart, those that overlap are refused.

    Args: texts: each "A:B" in seconds with A < B. name: of the parameter, for the errors.
    Raises: UsageError in one sentence.

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
    """Refuse a region that ends after the sound, or that is shorter than one sample. Raises: UsageError."""
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
        raise UsageError(_wrong(name, text)) from None
    if not (colon and math.isfinite(start) and math.isfinite(end)):
        raise UsageError(_wrong(name, text))
    if start < 0 or start >= end:
        raise UsageError(f"{name} region A:B must have 0 <= A < B, got {_short(text)}.", field=name)
    return Region(start, end)


def _wrong(name: str, text: object) -> str:
    return f"{name} must name regions A:B in seconds, such as 2.5:4, got {_short(text)}."


def _short(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."
