"""Plan of an edit: which samples are kept, which are generated, and how the parts are joined."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from arctone.audio.loops import BEATS_PER_BAR, rotation
from arctone.audio.regions import (
    EXTEND_FADE_SECONDS,
    FADE_SECONDS,
    WINDOW_FADE_SECONDS,
    check_within,
    level_difference_db,
    parse_regions,
    put,
)
from arctone.audio.waveform import Samples
from arctone.inference.backends.base import Mask
from arctone.inference.request import GenerationRequest
from arctone.inference.source import Source, with_length
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
    """Gain at an edge; None where nothing next to it is kept, or only silence.

    It gives the kept sound its own level back, or, where `made` is given, makes that as loud as the kept sound.
    """
    neighbour = sound[:, kept[0] : kept[1]]
    back = level_difference_db(decoded[:, kept[0] - begin : kept[1] - begin], neighbour)
    if back is None:
        return None
    back = _limited(back, MAX_RETURN_DB)
    going_on = None if made is None else level_difference_db(decoded[:, made[0] - begin : made[1] - begin], neighbour)
    return back if going_on is None else back + _limited(going_on - back, MAX_GOING_ON_DB)


def _limited(gain_db: float, most_db: float) -> float:
    return min(most_db, max(-most_db, gain_db))


Span = tuple[int, int]

# A loop is generated this much longer and then cut, so that it does not die away towards its seam.
LOOP_TAIL_SECONDS = 1.0
# What is generated again on each side of a loop's seam; less in short loops.
SEAM_SECONDS = 0.5


class Window(NamedTuple):
    """Latent frames [start, stop) go through the model; of the generated ones, those before kept_stop are kept."""

    start: int
    stop: int
    kept_stop: int


@dataclass(frozen=True, eq=False)
class EditPlan:
    """One pass over a sound.

    Args:
        config: of the model.
        num_samples: length of the sound.
        spans: what is generated, [first, end) in samples, in order, apart from each other.
        bpm: tempo of the request; None = unknown.
        sound: [channels, num_samples], what stays outside the spans and what they start from below noise level 1; None
            for text alone.
        num_real: samples of `sound` that are real; what is to be continued follows them.
        noise_level: at which the spans start, 0 to 1.
        fade: samples of the cross-fades inside the spans, at their edges.
        is_steady: whether generated sound goes on at the level of the kept sound next to it.
        number: of the pass, which keeps its noise apart from that of other passes.
        turn: latent frames by which the sound was rotated, so that it begins that much later.
    """

    config: ModelConfig
    num_samples: int
    spans: tuple[Span, ...]
    bpm: float | None = None
    sound: Samples | None = None
    num_real: int = 0
    noise_level: float = 1.0
    fade: int = 0
    is_steady: bool = False
    number: int = 0
    turn: int = 0

    @functools.cached_property
    def num_frames(self) -> int:
        """Latent frames the model computes; its longest duration may pass its last frame by a few samples."""
        config = self.config
        if self.num_samples > round(config.dit.max_seconds * config.sample_rate):
            return self.num_sound_frames
        return config.dit.max_frames if config.dit.full_window else self._num_frames_with_headroom()

    @property
    def num_sound_frames(self) -> int:
        """Latent frames that hold something of the sound."""
        return -(-self.num_samples // self.config.hop_length)

    def unknown_frames(self) -> Mask:
        """Return the mask [T] of the frames that hold samples to be generated, or that lie behind the sound."""
        hop_length = self.config.hop_length
        frames = np.zeros(self.num_frames, bool)
        frames[self.num_sound_frames :] = True
        for first, end in self.spans:
            frames[first // hop_length : -(-end // hop_length)] = True
        return frames

    @functools.cached_property
    def windows(self) -> tuple[Window, ...]:
        """The windows in order; none if the spans start at noise level 0, where nothing changes."""
        if self.noise_level == 0:
            return ()
        dit, bar_frames = self.config.dit, None
        if self.bpm and dit.hears_tempo:
            seconds_per_frame = self.config.hop_length / self.config.sample_rate
            bar_frames = BEATS_PER_BAR * 60 / self.bpm / seconds_per_frame
        return tuple(windows(self.unknown_frames(), dit.max_frames, bar_frames))

    @property
    def needs_encoding(self) -> bool:
        """Whether the sound must be encoded: not for text alone, nor where nothing of it is kept or started from."""
        everything = self.spans == ((0, self.num_samples),)
        return self.sound is not None and bool(self.windows) and not (everything and self.noise_level == 1)

    def _num_frames_with_headroom(self) -> int:
        dit = self.config.dit
        frames = -(-(self.num_samples + int(dit.headroom_seconds * self.config.sample_rate)) // self.config.hop_length)
        return min(-(-frames // dit.frames_multiple) * dit.frames_multiple, dit.max_frames)


def plan_request(request: GenerationRequest, config: ModelConfig, source: Source | None) -> EditPlan:
    """Plan the pass that generates the sound of a resolved request.

    Args:
        request: The resolved request.
        config: Of the model.
        source: The sound that is edited, if any.

    Returns:
        The plan.

    Raises:
        UsageError: If a region lies outside the sound.
    """
    num_samples = max(1, round(float(request.duration_seconds or 0.0) * config.sample_rate))
    bpm = request.bpm
    if source is None:
        longer = _loop_tail(num_samples, config) if request.loop else 0
        return EditPlan(config, num_samples + longer, ((0, num_samples + longer),), bpm)
    samples = source.waveform.samples
    sound = with_length(samples, num_samples)
    if request.extend:
        num_real = samples.shape[1]
        fade = min(round(EXTEND_FADE_SECONDS * config.sample_rate), num_real)
        spans: tuple[Span, ...] = ((num_real - fade, num_samples),)
        return EditPlan(config, num_samples, spans, bpm, sound, num_real, fade=fade, is_steady=True)
    level = float(1.0 if request.init_noise_level is None else request.init_noise_level)
    spans = _spans_of_regions(request, config, num_samples) if request.inpaint else ((0, num_samples),)
    fade = round(FADE_SECONDS * config.sample_rate)
    return EditPlan(config, num_samples, spans, bpm, sound, num_samples, level, fade)


def plan_seam(
    num_samples: int, seam: int, config: ModelConfig, bpm: float | None, rotated: Samples | None = None
) -> EditPlan:
    """Plan the pass that generates a loop's seam again.

    Args:
        num_samples: Length of the loop.
        seam: The sample that the seam lies before, once the loop is rotated so that it lies inside.
        config: Of the model.
        bpm: Tempo of the loop; None = unknown.
        rotated: [channels, num_samples], the loop rotated so; not needed to count the windows.

    Returns:
        The plan.
    """
    fade = round(FADE_SECONDS * config.sample_rate)
    reach = min(round(SEAM_SECONDS * config.sample_rate), num_samples // 4, seam, num_samples - seam)
    spans = ((seam - reach, seam + reach),)
    plan = EditPlan(config, num_samples, spans, bpm, rotated, num_samples, fade=fade, is_steady=True, number=1)
    return dataclasses.replace(plan, turn=round((num_samples - seam) / config.hop_length))


def seam_position(num_samples: int, config: ModelConfig, bpm: float | None) -> int:
    """Return where the seam of a loop lies once it is rotated.

    Args:
        num_samples: Length of the loop.
        config: The model's config.
        bpm: Tempo in beats per minute; None = none.

    Returns:
        Sample of the seam; the loop was rotated by `num_samples` minus it.
    """
    return num_samples - rotation(num_samples, config.sample_rate, bpm)


def windows(unknown: Mask, max_frames: int, bar_frames: float | None = None) -> list[Window]:
    """Lay windows in the order of time over every unknown frame.

    A sound that fits is one window. Of a longer one, each window begins a quarter of its length before the first frame
    that is still unknown, so that it is conditioned on what it continues, and what it generates in its last eighth is
    only a draft: models let sounds die away at the end of what they generate.

    Args:
        unknown: [T], True = to be generated.
        max_frames: The longest the model computes at a time.
        bar_frames: Length of a bar in frames where the tempo is known; windows then begin as near to a bar line as
            frames allow, because the model counts the beat from the window's beginning.

    Returns:
        The windows in the order of time.
    """
    num_frames = len(unknown)
    open_frames = np.flatnonzero(unknown)
    if not open_frames.size:
        return []
    if num_frames <= max_frames:
        return [Window(0, num_frames, num_frames)]
    found: list[Window] = []
    while open_frames.size:
        window = _window_at(int(open_frames[0]), num_frames, max_frames, bar_frames)
        found.append(window)
        open_frames = open_frames[open_frames >= window.kept_stop]
    return found


def _window_at(first: int, num_frames: int, max_frames: int, bar_frames: float | None) -> Window:
    context, margin = max_frames // 4, max_frames // 8
    start = _nearest_bar_line(max(0, first - context), context, bar_frames)
    start = min(start, num_frames - max_frames) if bar_frames is None else start
    stop = min(start + max_frames, num_frames)
    return Window(start, stop, stop if stop == num_frames else stop - margin)


def _nearest_bar_line(start: int, most_earlier: int, bar_frames: float | None) -> int:
    """Return the frame at or before `start`, but not much before, that lies nearest to a bar line."""
    if not bar_frames:
        return start
    candidates = range(start, max(0, start - most_earlier) - 1, -1)
    return min(candidates, key=lambda frame: round(abs(frame - round(frame / bar_frames) * bar_frames), 6))


def _loop_tail(num_samples: int, config: ModelConfig) -> int:
    """As much longer as the model's own length allows without another window."""
    room = round(config.dit.max_seconds * config.sample_rate) - num_samples
    tail = round(LOOP_TAIL_SECONDS * config.sample_rate)
    return tail if room < 0 else min(room, tail)


def _spans_of_regions(request: GenerationRequest, config: ModelConfig, num_samples: int) -> tuple[Span, ...]:
    regions = parse_regions(request.inpaint)
    check_within(regions, num_samples / config.sample_rate, config.sample_rate)
    spans: list[Span] = []
    for first, end in (region.samples(config.sample_rate) for region in regions):
        if spans and spans[-1][1] == first:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((first, end))
    return tuple(spans)
