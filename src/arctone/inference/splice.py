"""Put the sound of a window into the whole: its level matched to what it adjoins, cross-faded inside the spans."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arctone.audio.crossfade import WINDOW_FADE_SECONDS, level_difference_db, put
from arctone.audio.waveform import Samples
from arctone.inference.edit_plan import EditPlan, Span, Window
from arctone.model_folder.config import ModelConfig

# How much sound on each side of a seam its level is taken from.
LEVEL_SECONDS = 2.0
# A model gives back what it was shown at a level of its own, and goes on at one of its own: this much is corrected.
MAX_RETURN_DB, MAX_GOING_ON_DB = 24.0, 12.0


class Place(NamedTuple):
    """Where a part goes, in samples of the whole sound: [first, end), its fades, and whether the level must go on
    steadily from what is kept before it (left) and to what is kept after it (right).
    """

    first: int
    end: int
    fade_in: int
    fade_out: int
    steady_left: bool
    steady_right: bool


def splice_window(sound: Samples, decoded: Samples, window: Window, before: Window | None, plan: EditPlan) -> None:
    """Put the decoded sound of a window into the whole sound.

    What a window holds beyond its kept_stop is put in too: the next window takes over from it in a long fade.

    Args:
        sound: [channels, N] so far, changed in place.
        decoded: [channels, M], all of the window, known frames too.
        window: that was decoded.
        before: the window before it; None for the first.
        plan: of the pass.
    """
    hop = plan.config.hop_length
    begin = window.start * hop
    low = begin if before is None else before.kept_stop * hop
    drafted = 0 if before is None else (before.stop - before.kept_stop) * hop
    is_last = window.stop >= plan.num_frames
    high = min(plan.num_samples if is_last else window.stop * hop, begin + decoded.shape[1])
    for span in plan.spans:
        if max(span[0], low) < min(span[1], high):
            place = _place(span, low, high, drafted, plan)
            gains = _gains(sound, decoded, begin, place, plan.config)
            part = decoded[:, place.first - begin : place.end - begin] * gains
            put(sound, part, place.first, place.fade_in, place.fade_out)


def _place(span: Span, low: int, high: int, drafted: int, plan: EditPlan) -> Place:
    """The part of a span that a window fills, which may reach from low to high."""
    first, end = max(span[0], low), min(span[1], high)
    goes_on = first > span[0]
    at_edge = plan.fade if first > 0 else 0
    fade_in = min(drafted, round(WINDOW_FADE_SECONDS * plan.config.sample_rate)) if goes_on else at_edge
    has_right = end == span[1] and end < plan.num_samples
    fade_out = plan.fade if has_right else 0
    return Place(first, end, fade_in, fade_out, goes_on or plan.is_steady, has_right and plan.is_steady)


def _gains(sound: Samples, decoded: Samples, begin: int, place: Place, config: ModelConfig) -> Samples:
    """Gain of each sample of the part, [end - first]: from that of its left edge straight to that of its right edge, in
    decibels; where only one edge adjoins something kept, that one's.
    """
    first, end = place.first, place.end
    reach = round(LEVEL_SECONDS * config.sample_rate)
    last = min(begin + decoded.shape[1], sound.shape[1])
    before, after = (max(begin, first - reach), first), (end, min(last, end + reach) if place.fade_out else end)
    inner = (min(first + place.fade_in, end), max(end - place.fade_out, first))
    made_left = (inner[0], min(inner[1], inner[0] + reach))
    made_right = (max(inner[0], inner[1] - reach), inner[1])
    left = _edge_gain_db(sound, decoded, begin, before, made_left if place.steady_left else None)
    right = _edge_gain_db(sound, decoded, begin, after, made_right if place.steady_right else None)
    sides = [side for side in (left, right) if side is not None]
    if not sides:
        return np.ones(end - first, np.float32)
    gain_db = np.linspace(sides[0], sides[-1], end - first)
    return (10 ** (gain_db / 20)).astype(np.float32)


def _edge_gain_db(sound: Samples, decoded: Samples, begin: int, kept: Span, made: Span | None) -> float | None:
    """Gain at an edge; None where nothing is kept beside it, or only silence.

    It gives the kept sound its own level back, or, where `made` is given, makes that as loud as the kept sound.
    """
    beside = sound[:, kept[0] : kept[1]]
    back = level_difference_db(decoded[:, kept[0] - begin : kept[1] - begin], beside)
    if back is None:
        return None
    back = _limited(back, MAX_RETURN_DB)
    going_on = None if made is None else level_difference_db(decoded[:, made[0] - begin : made[1] - begin], beside)
    return back if going_on is None else back + _limited(going_on - back, MAX_GOING_ON_DB)


def _limited(gain_db: float, most_db: float) -> float:
    return min(most_db, max(-most_db, gain_db))
