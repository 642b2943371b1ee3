"""Run a request: encode the prompt and source once, then sample, decode and normalise each variation."""

from __future__ import annotations

import functools
import time
from collections.abc import Generator, Iterator, Sequence

import numpy as np

from arctone.audio.loops import rotated
from arctone.audio.loudness import is_silent, level, over_warning
from arctone.audio.regions import fade_edges
from arctone.audio.waveform import Samples, Waveform
from arctone.errors import ModelError
from arctone.flow.inpainting import bridged, holding, noisy_start, resampled
from arctone.flow.samplers import SAMPLERS, Step
from arctone.inference.backends.base import Floats, FusedInputs, Mask
from arctone.inference.context import GenerationContext, GuidedVelocity, ItemProgress, PromptTokens, tokenize
from arctone.inference.diversity import order_by_diversity
from arctone.inference.edit_plan import EditPlan, Window, plan_seam, seam_position, splice_window
from arctone.inference.request import CANDIDATES_PER_SOUND, Progress, Stage
from arctone.inference.source import CONTEXT_FRAMES, encode_samples, mirrored
from arctone.model_folder.tokenizer import Tokenizer

# Where the model is not conditioned on what is known (RePaint): how often each step is taken, and the noise level at
# which a gap starts, from the mean of its neighbours. Measured on spark: without either, gaps come out 9 dB too soft on
# average.
REPAINT_ROUNDS = 3
REPAINT_START = 0.9
# The step's number tells the noise of the windows and passes of one item apart; neither has as many steps.
_STEPS_PER_WINDOW, _STEPS_PER_PASS = 10_000, 10**12


def encode_known(context: GenerationContext, plan: EditPlan) -> Floats:
    """Encode the part of the source that a plan keeps.

    Args:
        context: The generation, with its backend.
        plan: Which samples are kept.

    Returns:
        Latents [C, T]; they are zero where nothing is kept.
    """
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
        if self._plan.windows and self._gives_parts():
            sound = self._kept_sound()
            yield self._progress.advance("sampling")
            yield from self._run_in_parts(sound)
            return sound
        drafts = yield from self.sample()
        return (yield from self.decode(drafts))

    def sample(self) -> Generator[Progress, None, list[Floats]]:
        """Sample the windows; returns their latents."""
        drafts: list[Floats] = []
        if self._plan.windows:
            yield self._progress.advance("sampling")
        for window in self._plan.windows:
            drafts.append((yield from self._sample(window)))
        return drafts

    def decode(
        self, drafts: Sequence[Floats], progress: ItemProgress | None = None
    ) -> Generator[Progress, None, Samples]:
        """Decode and splice what `sample` returned; returns samples [channels, num_samples]."""
        self._progress = progress or self._progress
        sound = self._kept_sound()
        if drafts:
            yield self._progress.advance("decoding")
        for number, latents in enumerate(drafts):
            yield self._decode(sound, number, latents)
        return sound

    def generated_latents(self) -> Floats:
        """Return the latents that `sample` generated and that sound depends on, [C, T]."""
        frames = self._plan.unknown_frames()
        frames[self._plan.num_sound_frames :] = False
        return self._latents[:, frames]

    def _gives_parts(self) -> bool:
        """Whether samples are given away before the last window is made: no pass comes after this one."""
        return self._context.on_part is not None and self._plan.sound is None and not self._context.request.loop

    def _run_in_parts(self, sound: Samples) -> Generator[Progress, None, None]:
        """Decode each window before the next is sampled: what the next one does not change is a part of the sound."""
        plan, on_part = self._plan, self._context.on_part
        assert on_part is not None
        first = 0
        for number, window in enumerate(plan.windows):
            latents = yield from self._sample(window)
            yield self._decode(sound, number, latents)
            is_last = number == len(plan.windows) - 1
            end = plan.num_samples if is_last else window.kept_stop * plan.config.hop_length
            on_part(self._progress.item, sound[:, first:end].copy())
            first = end

    def _decode(self, sound: Samples, number: int, latents: Floats) -> Progress:
        """Decode a window and put it into the sound."""
        context, plan = self._context, self._plan
        window = plan.windows[number]
        context.stop_if_cancelled()
        with context.timed("decoding"):
            decoded = context.backend.decode(self._audible(latents, window), self._decoder_seed(window))
            splice_window(sound, decoded, window, plan.windows[number - 1] if number else None, plan)
        return self._progress.advance("decoding", 1)

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
        curves = self._context.curves_of(part, self._plan)
        velocity = holding(lambda x, t: self._velocity(x, t, seconds, inpaint, curves), base, known)
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
        return self._context.noise(self._seed, number, shape)

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
        seed = self._context.decoder_seed(self._seed)
        if window.start == self._plan.number == 0:
            return seed
        mixed = np.random.SeedSequence([seed, window.start, self._plan.number]).generate_state(1, np.uint64)
        return int(mixed[0] >> np.uint64(1))


# Seeds that are drawn, one after another, in place of one that gave silence.
MAX_REDRAWS = 4


def generate(
    context: GenerationContext, plan: EditPlan, tokenizer: Tokenizer
) -> Generator[Progress, None, tuple[Waveform, ...]]:
    """Generate the sounds of a resolved request; `plan` is its first pass.

    Yields progress at each stage and step, and returns one waveform for each variation.
    """
    started = time.perf_counter()
    context.backend.set_threads(int(context.request.threads or 1))
    yield Progress("text", 0, 0, 1)
    tokens = tokenize(context, tokenizer)
    is_fused = context.backend.fused_batch_size and len(plan.windows) == 1 and plan.sound is None
    # The fused path knows no controls, and gives no latents to choose by.
    is_controlled = context.key or context.note or context.stated_steps or context.curves
    is_fused = is_fused and not (is_controlled or context.request.diverse)
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
    if context.request.diverse:
        return (yield from _generate_diverse(context, velocity, plan, latents))
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
        waveforms.append(_finish(context, item, sound))
    return waveforms


def _generate_diverse(
    context: GenerationContext, velocity: GuidedVelocity, plan: EditPlan, latents: Floats
) -> Generator[Progress, None, list[Waveform]]:
    """Sample all candidates, and decode those that differ most; silent ones give way to others.

    The candidates count as steps of the variations, and everything after the choice as steps of the last one, so that
    progress only grows.
    """
    count = context.request.variations
    candidates = []
    for item in range(count):
        num_decoded = count if item == count - 1 else 0
        progress = ItemProgress(item, _step_totals(context, plan, CANDIDATES_PER_SOUND, num_decoded))
        for number in range(item * CANDIDATES_PER_SOUND, (item + 1) * CANDIDATES_PER_SOUND):
            seed = context.first_seed + number
            sampler = WindowSampler(context, velocity, plan, latents, seed, progress)
            candidates.append((sampler, (yield from sampler.sample())))
    order = order_by_diversity([sampler.generated_latents() for sampler, _ in candidates], count)
    kept: list[tuple[int, Samples]] = []
    while len(kept) < count:
        number = order.pop(0)
        sampler, drafts = candidates[number]
        sound = yield from sampler.decode(drafts, progress)
        if len(order) >= count - len(kept) and _is_silent(context, sound):
            progress.done["decoding"] -= len(drafts)
        else:
            kept.append((number, sound))
    kept.sort(key=lambda one: one[0])
    context.chosen.update({item: context.first_seed + number for item, (number, _) in enumerate(kept)})
    waveforms = []
    for item, (_, sound) in enumerate(kept):
        if context.request.loop:
            sound = yield from _close_loop(context, velocity, sound, context.seeds[item], progress)
        waveforms.append(_finish(context, item, sound))
    return waveforms


def _redraws(context: GenerationContext, plan: EditPlan) -> int:
    """Count the seeds that may be drawn in place of a silent one: none where the seed or a source was given, or where
    parts of the sound have been given away.
    """
    return MAX_REDRAWS if context.has_drawn_seed and plan.sound is None and context.on_part is None else 0


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


def _step_totals(
    context: GenerationContext, plan: EditPlan, num_sampled: int = 1, num_decoded: int = 1
) -> dict[Stage, int]:
    """Count the steps of each stage of one variation, a loop's seam included.

    Those of a diverse request sample several candidates each, and the last decodes all that are kept.
    """
    num_windows, num_seams = len(plan.windows), 0
    if context.request.loop:
        config, bpm, num_samples = context.config, context.request.bpm, context.num_samples
        num_seams = len(plan_seam(num_samples, seam_position(num_samples, config, bpm), config, bpm).windows)
    sampling = (num_sampled * num_windows + num_decoded * num_seams) * (len(context.times()) - 1)
    return {"encoding": num_decoded, "sampling": sampling, "decoding": num_decoded * (num_windows + num_seams)}


def _finish(context: GenerationContext, item: int, sound: Samples) -> Waveform:
    """Set edges and level of a sound, and hand it over."""
    waveform = _normalise(context, sound)
    if context.on_sound is not None:
        context.on_sound(item, waveform)
    return waveform


def _normalise(context: GenerationContext, sound: Samples) -> Waveform:
    """Finish a sound in place, because each copy of a long one is as large as its source: edges, then level."""
    request, rate = context.request, context.config.sample_rate
    if request.extend or not (request.loop or request.keeps_source):
        fade_edges(sound, rate, at_start=not request.extend)
    levelled = level(Waveform(sound, rate), request.normalize or "peak", in_place=True)
    if levelled.warning:
        context.warn(levelled.warning)
    over = over_warning(levelled.waveform, "The sound")
    if over:
        context.warn(f"{over}, which files of whole numbers clip; normalize peak or 32-bit files keep it.")
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
        waveforms.append(_finish(context, item, sound))
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
    noise = np.stack([[context.noise(seed, step, shape) for seed in seeds] for step in range(len(times) - 1)])
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
        seeds=tuple(context.decoder_seed(seed) for seed in seeds),
    )
