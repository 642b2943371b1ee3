"""One pass over a sound: sample its windows one after another, then decode and splice them."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator

import numpy as np

from arctone.audio.waveform import Samples
from arctone.errors import ModelError
from arctone.flow.inpainting import bridged, holding, noisy_start, resampled
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS, Step
from arctone.inference.backends.base import Floats, Mask
from arctone.inference.conditioning import GuidedVelocity
from arctone.inference.context import GenerationContext, ItemProgress
from arctone.inference.edit_plan import EditPlan, Window
from arctone.inference.request import Progress
from arctone.inference.source import CONTEXT_FRAMES, encode_samples, mirrored
from arctone.inference.splice import splice_window

# Where the model is not conditioned on what is known (RePaint): how often each step is taken, and the noise level at
# which a gap starts, from the mean of its neighbours. Measured on spark: without either, gaps come out 9 dB too soft on
# average.
REPAINT_ROUNDS = 3
REPAINT_START = 0.9
# The step's number tells the noise of the windows and passes of one item apart; neither has so many steps.
_STEPS_PER_WINDOW, _STEPS_PER_PASS = 10_000, 10**12


def encode_known(context: GenerationContext, plan: EditPlan) -> Floats:
    """Encode what a plan keeps of its sound to latents [C, T]; they are zero where there is none."""
    config = context.config
    latents = np.zeros((config.dit.latent_channels, plan.num_frames), np.float32)
    if plan.sound is None:
        return latents
    num_encoded = min(plan.num_samples, plan.num_real + CONTEXT_FRAMES * config.hop_length)
    sound = plan.sound if plan.noise_level < 1 else mirrored(plan.sound, plan.spans)
    found = encode_samples(context.backend, sound[:, :num_encoded], config.hop_length, config.dit.max_frames)
    found = found[:, : plan.num_frames]
    latents[:, : found.shape[1]] = found
    return latents


class WindowSampler:
    """One pass of one variation.

    Args:
        context: of the generation.
        velocity: guided velocity of the request.
        plan: of the pass.
        latents: [C, T], what is known of the sound.
        seed: of the variation.
        progress: of the variation.
    """

    def __init__(
        self,
        context: GenerationContext,
        velocity: GuidedVelocity,
        plan: EditPlan,
        latents: Floats,
        seed: int,
        progress: ItemProgress,
    ) -> None:
        self._context, self._velocity, self._plan, self._seed, self._progress = context, velocity, plan, seed, progress
        self._latents = latents.copy()
        self._unknown = plan.unknown_frames()

    def run(self) -> Generator[Progress, None, Samples]:
        """Sample, decode and splice; returns samples [channels, num_samples]."""
        plan, context = self._plan, self._context
        sound = self._kept_sound()
        if not plan.windows:
            return sound
        drafts = []
        yield self._progress.advance("sampling")
        for window in plan.windows:
            drafts.append((yield from self._sample(window)))
        yield self._progress.advance("decoding")
        before = None
        for window, latents in zip(plan.windows, drafts, strict=True):
            context.stop_if_cancelled()
            with context.timed("decoding"):
                decoded = context.backend.decode(self._audible(latents, window), self._decoder_seed(window))
                splice_window(sound, decoded, window, before, plan)
            before = window
            yield self._progress.advance("decoding", 1)
        return sound

    def _kept_sound(self) -> Samples:
        plan = self._plan
        if plan.sound is not None:
            return plan.sound.copy()
        return np.zeros((plan.config.channels, plan.num_samples), np.float32)

    def _audible(self, latents: Floats, window: Window) -> Floats:
        """Cut latents that no sound depends on: behind its end, a model that fills its window has many."""
        plan = self._plan
        return latents[:, : plan.num_sound_frames - window.start + plan.config.sounding.reach_frames]

    def _sample(self, window: Window) -> Generator[Progress, None, Floats]:
        """Sample the latents of a window; those that are kept become known to the windows after it."""
        context = self._context
        part = slice(window.start, window.stop)
        base, known = self._latents[:, part], ~self._unknown[part]
        latents = base
        steps = self._steps(base, known, part)
        while True:
            context.stop_if_cancelled()
            with context.timed("sampling"):
                step = next(steps, None)
            if step is None:
                break
            latents = step.x
            yield self._progress.advance("sampling", 1)
        if not np.isfinite(latents).all():
            raise ModelError(
                f"the model {context.config.name} gave values that are not finite; the sound was not made."
            )
        latents = np.where(known, base, latents).astype(np.float32)
        kept = window.kept_stop - window.start
        self._latents[:, window.start : window.kept_stop] = latents[:, :kept]
        self._unknown[window.start : window.kept_stop] = False
        return latents

    def _steps(self, base: Floats, known: Mask, part: slice) -> Iterator[Step]:
        seconds, inpaint = self._conditioned_seconds(part), self._inpaint_channels(base, known)
        velocity = holding(lambda x, t: self._velocity(x, t, seconds, inpaint), base, known)
        name = str(self._context.request.sampler)
        times, rounds = self._context.times(self._plan.noise_level), 1
        if inpaint is None and known.any():
            rounds = 1 if name == "ping_pong" else REPAINT_ROUNDS  # ping_pong puts all noise back as it is
            if self._plan.noise_level == 1:
                base, times = bridged(base, known), self._context.times(REPAINT_START)
        start = noisy_start(base, self._noise(0, part), times[0])
        noise = functools.partial(self._noise, part=part)
        if rounds == 1:
            return SAMPLERS[name](velocity, start, times, noise)
        return resampled(SAMPLERS[name], velocity, start, times, noise, rounds)

    def _conditioned_seconds(self, part: slice) -> float:
        """Return the length the model is conditioned on: that of the sound if it is one window, else the window's."""
        config = self._context.config
        if part.stop - part.start == len(self._unknown):
            return self._plan.num_samples / config.sample_rate
        seconds = float((part.stop - part.start) * config.hop_length / config.sample_rate)
        return min(seconds, config.dit.max_seconds)

    def _noise(self, step: int, part: slice) -> Floats:
        """Draw the noise of a window at a step; the first window of the first pass has that of a one-window sound."""
        shape = (self._latents.shape[0], part.stop - part.start)
        number = step + _STEPS_PER_WINDOW * part.start + _STEPS_PER_PASS * self._plan.number
        return item_noise(self._seed, number, shape)

    def _inpaint_channels(self, base: Floats, known: Mask) -> Floats | None:
        """Build mask and known latents, [1 + C, T], for a model that is conditioned on them."""
        channels, wanted = self._context.config.dit.inpaint_channels, len(base) + 1
        if not channels:
            return None
        if channels != wanted:
            raise ModelError(
                f"dit.inpaint_channels is {channels}, but it must be 0 or {wanted}: a mask and the latents."
            )
        return np.concatenate([known[None].astype(np.float32), base * known])

    def _decoder_seed(self, window: Window) -> int:
        """Each window draws its own random part, lest a texture repeat; the very first has the item's seed itself."""
        if window.start == self._plan.number == 0:
            return self._seed
        mixed = np.random.SeedSequence([self._seed, window.start, self._plan.number]).generate_state(1, np.uint64)
        return int(mixed[0] >> np.uint64(1))
