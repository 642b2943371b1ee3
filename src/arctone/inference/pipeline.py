"""Runs one generation: encode the prompts and the source once, then sample, decode and normalise each variation."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

import numpy as np

from arctone.audio.crossfade import faded_edges
from arctone.audio.loops import rotated
from arctone.audio.loudness import is_silent, level
from arctone.audio.waveform import Samples, Waveform
from arctone.errors import ModelError
from arctone.flow.noise import item_noise
from arctone.inference.backends.base import Floats, FusedInputs
from arctone.inference.conditioning import GuidedVelocity, PromptTokens, tokenize
from arctone.inference.context import GenerationContext, ItemProgress
from arctone.inference.edit_plan import EditPlan, plan_seam, seam_position
from arctone.inference.request import Progress, Stage
from arctone.inference.sampling import WindowSampler, encode_known
from arctone.inference.splice import splice_window
from arctone.model_folder.tokenizer import Tokenizer

# Seeds that are drawn, one after another, in place of one that gave silence.
MAX_REDRAWS = 4


def generate(
    context: GenerationContext, plan: EditPlan, tokenizer: Tokenizer
) -> Generator[Progress, None, tuple[Waveform, ...]]:
    """Generate the sounds of a request.

    Args:
        context: of the generation.
        plan: of its first pass.
        tokenizer: of the model.

    Yields:
        Progress at each stage and step.

    Returns:
        One waveform per variation.
    """
    started = time.perf_counter()
    context.backend.set_threads(int(context.request.threads or 1))
    yield Progress("text", 0, 0, 1)
    tokens = tokenize(context, tokenizer)
    is_fused = context.backend.fused_batch_size and len(plan.windows) == 1 and plan.sound is None
    # The fused path knows no controls.
    is_fused = is_fused and not (context.key or context.note)
    if is_fused and not context.request.loop:
        waveforms = yield from _generate_fused(context, plan, tokens)
    else:
        waveforms = yield from _generate_in_steps(context, plan, tokens)
    context.timings_ms["total"] = 1000 * (time.perf_counter() - started)
    return tuple(waveforms)


def _generate_in_steps(
    context: GenerationContext, plan: EditPlan, tokens: PromptTokens
) -> Generator[Progress, None, list[Waveform]]:
    with context.timed("text"):
        velocity = GuidedVelocity(context, tokens)
    yield Progress("text", 0, 1, 1)
    if plan.needs_encoding:
        latents = yield from _encode(context, plan, ItemProgress(0, {"encoding": 1}))
    else:
        latents = np.zeros((context.config.dit.latent_channels, plan.num_frames), np.float32)
    totals, waveforms = _step_totals(context, plan), []
    for item, seed in enumerate(context.seeds):
        progress = ItemProgress(item, totals)
        sound = yield from WindowSampler(context, velocity, plan, latents, seed, progress).run()
        for _ in range(_redraws(context, plan)):
            if not _is_silent(context, sound):
                break
            seed, progress = context.redraw_seed(item), ItemProgress(item, totals)
            sound = yield from WindowSampler(context, velocity, plan, latents, seed, progress).run()
        if context.request.loop:
            sound = yield from _close_loop(context, velocity, sound, seed, progress)
        waveforms.append(_normalise(context, sound))
    return waveforms


def _redraws(context: GenerationContext, plan: EditPlan) -> int:
    """Count the seeds that may be drawn in place of a silent one: none where the seed or a source was given."""
    return MAX_REDRAWS if context.has_drawn_seed and plan.sound is None else 0


def _is_silent(context: GenerationContext, sound: Samples) -> bool:
    return is_silent(Waveform(sound, context.config.sample_rate))


def _close_loop(
    context: GenerationContext, velocity: GuidedVelocity, sound: Samples, seed: int, progress: ItemProgress
) -> Generator[Progress, None, Samples]:
    """Cut a sound to the length of the loop and generate its seam again while that lies in the middle."""
    config, bpm, num_samples = context.config, context.request.bpm, context.num_samples
    seam = seam_position(num_samples, config, bpm)
    turned = rotated(sound[:, :num_samples], num_samples - seam)
    plan = plan_seam(num_samples, seam, config, bpm, turned)
    latents = yield from _encode(context, plan, progress)
    closed = yield from WindowSampler(context, velocity, plan, latents, seed, progress).run()
    return rotated(closed, seam - num_samples)


def _encode(context: GenerationContext, plan: EditPlan, progress: ItemProgress) -> Generator[Progress, None, Floats]:
    yield progress.advance("encoding")
    with context.timed("encoding"):
        latents = encode_known(context, plan)
    yield progress.advance("encoding", 1)
    return latents


def _step_totals(context: GenerationContext, plan: EditPlan) -> dict[Stage, int]:
    """Count the steps of each stage of one variation, a loop's seam included."""
    num_windows = len(plan.windows)
    if context.request.loop:
        config, bpm, num_samples = context.config, context.request.bpm, context.num_samples
        num_windows += len(plan_seam(num_samples, seam_position(num_samples, config, bpm), config, bpm).windows)
    return {"encoding": 1, "sampling": num_windows * (len(context.times()) - 1), "decoding": num_windows}


def _normalise(context: GenerationContext, sound: Samples) -> Waveform:
    if not context.request.loop and not context.request.keeps_source:
        sound = faded_edges(sound, context.config.sample_rate)
    levelled = level(Waveform(sound, context.config.sample_rate), context.request.normalize or "peak")
    if levelled.warning:
        context.warn(levelled.warning)
    return levelled.waveform


def _generate_fused(
    context: GenerationContext, plan: EditPlan, tokens: PromptTokens
) -> Generator[Progress, None, list[Waveform]]:
    """Run all stages in one call of the backend; there is no progress between them."""
    yield Progress("text", 0, 1, 1)
    num_steps, waveforms = len(context.times()) - 1, []
    for item, sound in enumerate(_fused_sounds(context, plan, tokens, context.seeds)):
        for _ in range(_redraws(context, plan)):
            if not _is_silent(context, sound):
                break
            (sound,) = _fused_sounds(context, plan, tokens, (context.redraw_seed(item),))
        yield Progress("sampling", item, num_steps, num_steps)
        waveforms.append(_normalise(context, sound))
        yield Progress("decoding", item, 1, 1)
    return waveforms


def _fused_sounds(
    context: GenerationContext, plan: EditPlan, tokens: PromptTokens, seeds: tuple[int, ...]
) -> Iterator[Samples]:
    """Yield the samples [channels, num_samples] of each seed; between batches the generation may be cancelled."""
    batch_size = context.backend.fused_batch_size
    for first in range(0, len(seeds), batch_size):
        context.stop_if_cancelled()
        batch = seeds[first : first + batch_size]
        with context.timed("whole"):
            decoded = context.backend.generate_fused(_fused_inputs(context, plan, tokens, batch), context.network)
        if not np.isfinite(decoded).all():
            raise ModelError(
                f"the model {context.config.name} gave values that are not finite; the sound was not made."
            )
        for one in decoded:
            sound = np.zeros((context.config.channels, plan.num_samples), np.float32)
            splice_window(sound, one, plan.windows[0], None, plan)
            yield sound


def _fused_inputs(
    context: GenerationContext, plan: EditPlan, tokens: PromptTokens, seeds: tuple[int, ...]
) -> FusedInputs:
    config, times = context.config, context.times()
    away = tokens.negative or tokens.prompt._replace(mask=np.zeros_like(tokens.prompt.mask))
    shape = (config.dit.latent_channels, plan.num_frames)
    noise = np.stack([[item_noise(seed, step, shape) for seed in seeds] for step in range(len(times) - 1)])
    return FusedInputs(
        ids=tokens.prompt.ids,
        mask=tokens.prompt.mask,
        away_ids=away.ids,
        away_mask=away.mask,
        cfg_scale=context.cfg_scale,
        is_projected=context.is_projected,
        sampler=str(context.request.sampler),
        times=times,
        noise=noise,
        seconds=plan.num_samples / config.sample_rate,
        bpm=context.bpm,
        num_decoded=min(plan.num_sound_frames + config.sounding.reach_frames, plan.num_frames),
        seeds=seeds,
    )
