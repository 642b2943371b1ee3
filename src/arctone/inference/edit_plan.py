"""What one pass over a sound shall do: which samples it makes, from what, next to what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arctone.audio.crossfade import EXTEND_FADE_SECONDS, FADE_SECONDS
from arctone.audio.loops import rotation
from arctone.audio.regions import check_within, parse_regions
from arctone.audio.waveform import Samples
from arctone.inference.request import GenerationRequest
from arctone.inference.source import Source, with_length
from arctone.inference.windows import Mask
from arctone.model_folder.config import ModelConfig

Span = tuple[int, int]

# A loop is made this much longer and then cut, so that it does not die away towards its seam.
LOOP_TAIL_SECONDS = 1.0
# What is made anew on each side of a loop's seam; less in short loops.
SEAM_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Job:
    """One pass.

    num_samples: length of the sound. spans: what is made, [first, end) in samples, in order, apart from each other.
    sound: [channels, num_samples], what stays outside the spans and what they start from below noise level 1; None for
    text alone. heard: samples of `sound` that are real; after them comes what is to be continued. noise_level: at
    which the spans start. fade: samples of the cross-fades inside the spans, at their edges. is_steady: what is made
    goes on at the level of what is kept beside it. number: of the pass, which keeps its noise apart.
    """

    num_samples: int
    spans: tuple[Span, ...]
    sound: Samples | None = None
    heard: int = 0
    noise_level: float = 1.0
    fade: int = 0
    is_steady: bool = False
    number: int = 0

    def num_frames(self, config: ModelConfig) -> int:
        """Latent frames the model is given; its longest duration may pass its last frame by a few samples."""
        frames = self.sound_frames(config)
        fits = self.num_samples <= round(config.dit.max_seconds * config.sample_rate)
        if not fits:
            return frames
        return config.dit.max_frames if config.dit.full_window else self._fitting(config)

    def _fitting(self, config: ModelConfig) -> int:
        """Frames for the sound and the model's headroom after it."""
        dit = config.dit
        frames = -(-(self.num_samples + int(dit.headroom_seconds * config.sample_rate)) // config.hop_length)
        return min(-(-frames // dit.frames_multiple) * dit.frames_multiple, dit.max_frames)

    def sound_frames(self, config: ModelConfig) -> int:
        """Latent frames that hold something of the sound."""
        return -(-self.num_samples // config.hop_length)

    def unknown(self, config: ModelConfig) -> Mask:
        """The frames that hold samples to be made, or that lie behind the sound, [T]."""
        frames = np.zeros(self.num_frames(config), bool)
        frames[self.sound_frames(config) :] = True
        for first, end in self.spans:
            frames[first // config.hop_length : -(-end // config.hop_length)] = True
        return frames


def first_job(request: GenerationRequest, config: ModelConfig, source: Source | None) -> Job:
    """The pass that makes the sound of a resolved request. Raises: UsageError if a region lies outside the sound."""
    num_samples = max(1, round(float(request.duration_seconds or 0.0) * config.sample_rate))
    if source is None:
        longer = _tail(num_samples, config) if request.loop else 0
        return Job(num_samples + longer, ((0, num_samples + longer),))
    samples = source.waveform.samples
    sound = with_length(samples, num_samples)
    if request.extend:
        heard = samples.shape[1]
        fade = min(round(EXTEND_FADE_SECONDS * config.sample_rate), heard)
        return Job(num_samples, ((heard - fade, num_samples),), sound, heard, fade=fade, is_steady=True)
    level = float(1.0 if request.init_noise_level is None else request.init_noise_level)
    spans = _regions(request, config, num_samples) if request.inpaint else ((0, num_samples),)
    return Job(num_samples, spans, sound, num_samples, level, round(FADE_SECONDS * config.sample_rate))


def seam_job(num_samples: int, seam: int, config: ModelConfig, turned: Samples | None = None) -> Job:
    """The pass that makes a loop's seam anew.

    Args: num_samples: of the loop. seam: the sample it lies before, once the loop is turned so that it lies inside.
    turned: [channels, num_samples], the loop turned so; not needed to plan the pass.
    """
    fade = round(FADE_SECONDS * config.sample_rate)
    reach = min(round(SEAM_SECONDS * config.sample_rate), num_samples // 4, seam, num_samples - seam)
    return Job(num_samples, ((seam - reach, seam + reach),), turned, num_samples, fade=fade, is_steady=True, number=1)


def seam_of(num_samples: int, config: ModelConfig, bpm: float | None) -> int:
    """Where the seam of a loop lies once it is turned; `num_samples` minus this is the turn."""
    return num_samples - rotation(num_samples, config.sample_rate, bpm)


def _tail(num_samples: int, config: ModelConfig) -> int:
    """As much longer as the model's own length allows without another window."""
    room = round(config.dit.max_seconds * config.sample_rate) - num_samples
    tail = round(LOOP_TAIL_SECONDS * config.sample_rate)
    return tail if room < 0 else min(room, tail)


def _regions(request: GenerationRequest, config: ModelConfig, num_samples: int) -> tuple[Span, ...]:
    regions = parse_regions(request.inpaint)
    check_within(regions, num_samples / config.sample_rate, config.sample_rate)
    spans: list[Span] = []
    for first, end in (region.samples(config.sample_rate) for region in regions):
        if spans and spans[-1][1] == first:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((first, end))
    return tuple(spans)
