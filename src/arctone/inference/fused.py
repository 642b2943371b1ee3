"""Sounds of one window from text alone, made in one go by engines that can."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arctone.audio.waveform import Samples
from arctone.errors import ModelError
from arctone.flow.noise import item_noise
from arctone.inference.backends.base import Floats, Order
from arctone.inference.conditioning import Words, scale_of
from arctone.inference.edit_plan import Job
from arctone.inference.sampling import Work
from arctone.inference.splice import join
from arctone.inference.stopwatch import Stopwatch
from arctone.inference.windows import Window


def fits(work: Work, job: Job, plan: list[Window]) -> bool:
    """Whether this is what the engine makes in one go: one window, from text alone, which does not become a loop."""
    return bool(work.parts.at_once) and len(plan) == 1 and job.sound is None and not work.request.loop


def whole_sounds(work: Work, words: Words, job: Job, window: Window, seeds: tuple[int, ...]) -> Iterator[Samples]:
    """The sounds of all seeds, [channels, num_samples] each, as many at once as the engine makes; between these the
    caller's wish to stop is heard.
    """
    most = work.parts.at_once
    for first in range(0, len(seeds), most):
        work.stop_if_cancelled()
        with Stopwatch(work.timings, "whole"):
            made = work.parts.make(_order(work, words, job, seeds[first : first + most]))
        if not np.isfinite(made).all():
            raise ModelError(f"the model {work.config.name} gave values that are not finite; the sound was not made.")
        for decoded in made:
            sound = np.zeros((work.config.channels, job.num_samples), np.float32)
            join(sound, decoded, window, None, job, work.config)
            yield sound


def _order(work: Work, words: Words, job: Job, seeds: tuple[int, ...]) -> Order:
    config, request = work.config, work.request
    num_frames, times = job.num_frames(config), work.times
    away = words.away or words.prompt._replace(mask=np.zeros_like(words.prompt.mask))
    return Order(
        ids=words.prompt.ids,
        mask=words.prompt.mask,
        away_ids=away.ids,
        away_mask=away.mask,
        cfg_scale=scale_of(request),
        is_projected=config.sampling.guidance == "projected",
        sampler=str(request.sampler),
        times=times,
        noise=_noise(seeds, len(times) - 1, (config.dit.latent_channels, num_frames)),
        seconds=job.num_samples / config.sample_rate,
        bpm=float(request.bpm or 0.0),
        num_heard=min(job.sound_frames(config) + config.sounding.reach_frames, num_frames),
        seeds=seeds,
    )


def _noise(seeds: tuple[int, ...], num_steps: int, shape: tuple[int, int]) -> Floats:
    """[S, B, C, T]: at the start, and after each step but the last."""
    return np.stack([[item_noise(seed, step, shape) for seed in seeds] for step in range(num_steps)])
