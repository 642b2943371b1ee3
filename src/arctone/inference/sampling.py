"""One pass over a sound: window by window sampled, then decoded and joined."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from arctone.audio.loops import BEATS_PER_BAR
from arctone.audio.waveform import Samples
from arctone.errors import Cancelled, ModelError
from arctone.flow.inpainting import bridged, holding, noisy_start, resampled
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS, Step
from arctone.flow.schedules import sampler_times
from arctone.inference.backends.base import Floats
from arctone.inference.conditioning import Guide
from arctone.inference.edit_plan import Job
from arctone.inference.encoding import CONTEXT_FRAMES, encoded, mirrored
from arctone.inference.request import GenerationRequest, Progress, Stage
from arctone.inference.shared import SharedParts
from arctone.inference.splice import join
from arctone.inference.stopwatch import Stopwatch
from arctone.inference.windows import Mask, Window, windows
from arctone.model_folder.config import ModelConfig

Cancel = Callable[[], bool]

# Where the model is not told what is known (RePaint): how often each step is taken, and the noise level at which a gap
# starts, from the mean of its neighbours. Measured on spark: without either, gaps come out 9 dB too soft on average.
REPAINT_ROUNDS = 3
REPAINT_START = 0.9
# Noise of the windows and passes of one item is told apart by the step's number; neither has so many steps.
_STEPS_PER_WINDOW, _STEPS_PER_PASS = 10_000, 10**12


@dataclass
class Work:
    """What all passes of a request share."""

    parts: SharedParts
    config: ModelConfig
    request: GenerationRequest
    timings: dict[str, float]
    cancel: Cancel

    def stop_if_cancelled(self) -> None:
        """Raise Cancelled if the caller no longer wants the sound."""
        if self.cancel():
            raise Cancelled("the generation was cancelled; nothing was kept.")

    @property
    def times(self) -> tuple[float, ...]:
        """Times of a pass that begins at full noise."""
        return self.times_from(1.0)

    def times_from(self, level: float) -> tuple[float, ...]:
        """Times of a pass that begins at a noise level."""
        sampling = self.config.sampling
        name, steps = str(self.request.sampler), int(self.request.steps or 1)
        samples = round(float(self.request.duration_seconds or 0.0) * self.config.sample_rate)
        frames = min(-(-samples // self.config.hop_length), self.config.dit.max_frames)
        ends = sampling.log_snr.start_for(frames), sampling.log_snr.end
        return sampler_times(name, steps, sampling.shift, sampling.schedule, start_level=level, log_snr_ends=ends)


@dataclass
class Counter:
    """How far one item is, over all its passes."""

    item: int
    totals: dict[Stage, int]
    done: dict[Stage, int] = field(default_factory=dict)

    def at(self, stage: Stage, more: int = 0) -> Progress:
        """The progress after so many more steps of a stage."""
        self.done[stage] = self.done.get(stage, 0) + more
        return Progress(stage, self.item, self.done[stage], self.totals[stage])


def planned(job: Job, config: ModelConfig, bpm: float | None) -> list[Window]:
    """The windows of a job; none if its spans start at noise level 0, where nothing changes."""
    if job.noise_level == 0:
        return []
    seconds_per_frame = config.hop_length / config.sample_rate
    bar_frames = BEATS_PER_BAR * 60 / bpm / seconds_per_frame if bpm and config.dit.hears_tempo else None
    return windows(job.unknown(config), config.dit.max_frames, bar_frames)


def encoded_for(job: Job, parts: SharedParts, config: ModelConfig) -> Floats:
    """Latents of what a job has of its sound, [C, T]; zeros where there is none."""
    num_frames = job.num_frames(config)
    latents = np.zeros((config.dit.latent_channels, num_frames), np.float32)
    if job.sound is None:
        return latents
    heard = min(job.num_samples, job.heard + CONTEXT_FRAMES * config.hop_length)
    sound = job.sound if job.noise_level < 1 else mirrored(job.sound, job.spans)
    found = encoded(parts, sound[:, :heard], config.hop_length, config.dit.max_frames)[:, :num_frames]
    latents[:, : found.shape[1]] = found
    return latents


def needs_latents(job: Job, plan: list[Window]) -> bool:
    """Whether a job's sound must be encoded: not for text alone, nor where nothing of it is heard."""
    everything = job.spans == ((0, job.num_samples),)
    return job.sound is not None and bool(plan) and not (everything and job.noise_level == 1)


class Pass:
    """One job for one item.

    Args: guide: gives the velocity. base: [C, T] latents of what the job has of its sound. seed: of the item.
    """

    def __init__(
        self, work: Work, guide: Guide, job: Job, plan: list[Window], base: Floats, seed: int, counter: Counter
    ) -> None:
        self._work, self._guide = work, guide
        self._job, self._plan, self._seed, self._counter = job, plan, seed, counter
        self._latents = base.copy()
        self._unknown = job.unknown(work.config)
        self._times = work.times_from(job.noise_level) if plan else ()

    def run(self) -> Generator[Progress, None, Samples]:
        """Make the sound; returns [channels, num_samples]."""
        if not self._plan:
            return self._beginning()
        drafts = []
        yield self._counter.at("sampling")
        for window in self._plan:
            drafts.append((yield from self._sampled(window)))
        yield self._counter.at("decoding")
        sound = self._beginning()
        before = None
        for window, latents in zip(self._plan, drafts, strict=True):
            self._work.stop_if_cancelled()
            with Stopwatch(self._work.timings, "decoding"):
                decoded = self._work.parts.decode(self._heard(latents, window), self._decode_seed(window))
                join(sound, decoded, window, before, self._job, self._work.config)
            before = window
            yield self._counter.at("decoding", 1)
        return sound

    def _heard(self, latents: Floats, window: Window) -> Floats:
        """Latents without those that no sound depends on: behind its end, a model that fills its window has many."""
        config = self._work.config
        return latents[:, : self._job.sound_frames(config) - window.start + config.sounding.reach_frames]

    def _sampled(self, window: Window) -> Generator[Progress, None, Floats]:
        """Latents of a window; those that are kept become known to the windows after it."""
        part = slice(window.start, window.stop)
        base, known = self._latents[:, part], ~self._unknown[part]
        latents = base
        steps = self._steps(base, known, part)
        while True:
            self._work.stop_if_cancelled()
            with Stopwatch(self._work.timings, "sampling"):
                step = next(steps, None)
            if step is None:
                break
            latents = step.x
            yield self._counter.at("sampling", 1)
        if not np.isfinite(latents).all():
            name = self._work.config.name
            raise ModelError(f"the model {name} gave values that are not finite; the sound was not made.")
        latents = np.where(known, base, latents).astype(np.float32)
        kept = window.kept_stop - window.start
        self._latents[:, window.start : window.kept_stop] = latents[:, :kept]
        self._unknown[window.start : window.kept_stop] = False
        return latents

    def _steps(self, base: Floats, known: Mask, part: slice) -> Iterator[Step]:
        seconds = self._seconds(part)
        inpaint = self._inpaint_channels(base, known)
        velocity = holding(lambda x, t: self._guide.velocity(x, t, seconds, inpaint), base, known)
        name = str(self._work.request.sampler)
        times, rounds = self._times, 1
        if inpaint is None and known.any():
            rounds = 1 if name == "ping_pong" else REPAINT_ROUNDS  # ping_pong puts all noise back as it is
            if self._job.noise_level == 1:
                base, times = bridged(base, known), self._work.times_from(REPAINT_START)
        start = noisy_start(base, self._noise(0, part), times[0])
        noise = functools.partial(self._noise, part=part)
        if rounds == 1:
            return SAMPLERS[name](velocity, start, times, noise)
        return resampled(SAMPLERS[name], velocity, start, times, noise, rounds)

    def _seconds(self, part: slice) -> float:
        """What the model is told of the length: that of the sound if it is one window, else that of the window."""
        config = self._work.config
        if part.stop - part.start == len(self._unknown):
            return self._job.num_samples / config.sample_rate
        seconds = float((part.stop - part.start) * config.hop_length / config.sample_rate)
        return min(seconds, config.dit.max_seconds)

    def _noise(self, step: int, part: slice) -> Floats:
        """Noise of a window at a step; the first window of the first pass has that of a sound of one window."""
        shape = (self._latents.shape[0], part.stop - part.start)
        number = step + _STEPS_PER_WINDOW * part.start + _STEPS_PER_PASS * self._job.number
        return item_noise(self._seed, number, shape)

    def _inpaint_channels(self, base: Floats, known: Mask) -> Floats | None:
        """Mask and known latents, [1 + C, T], for a model that is told of them."""
        channels, wanted = self._work.config.dit.inpaint_channels, len(base) + 1
        if not channels:
            return None
        if channels != wanted:
            raise ModelError(
                f"dit.inpaint_channels is {channels}, but it must be 0 or {wanted}: a mask and the latents."
            )
        return np.concatenate([known[None].astype(np.float32), base * known])

    def _beginning(self) -> Samples:
        job, config = self._job, self._work.config
        if job.sound is not None:
            return job.sound.copy()
        return np.zeros((config.channels, job.num_samples), np.float32)

    def _decode_seed(self, window: Window) -> int:
        """Each window draws its own random part, lest a texture repeat; the very first has the item's seed itself."""
        if window.start == self._job.number == 0:
            return self._seed
        mixed = np.random.SeedSequence([self._seed, window.start, self._job.number]).generate_state(1, np.uint64)
        return int(mixed[0] >> np.uint64(1))
