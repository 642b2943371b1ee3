"""Context of a generation: encoded prompts, masks and conditions that every step receives."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from arctone.audio.keys import key_number, parse_note
from arctone.audio.waveform import Samples, Waveform
from arctone.errors import Cancelled
from arctone.flow.guidance import combined
from arctone.flow.noise import item_noise, mixed_noise
from arctone.flow.schedules import sampler_times
from arctone.inference.backends.base import Backend, Floats, TextEmbedding, VelocityInputs
from arctone.inference.edit_plan import EditPlan
from arctone.inference.near import parse_near
from arctone.inference.request import GenerationRequest, Progress, Selection, Stage
from arctone.inference.request_fields import draw_seed
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.tokenizer import Tokenizer, Tokens


class PromptTokens(NamedTuple):
    """Tokens of a request's prompt and of its negative prompt; None = guidance leads away from no text at all."""

    prompt: Tokens
    negative: Tokens | None


def tokenize(context: GenerationContext, tokenizer: Tokenizer) -> PromptTokens:
    """Tokenize the prompts of a request; a truncated one adds a warning.

    Args:
        context: The generation, whose request holds the prompts.
        tokenizer: Of the model.

    Returns:
        Tokens of the prompt and of the negative prompt.
    """

    def encode(field: str, text: str) -> Tokens:
        tokens = tokenizer.encode(text)
        if tokens.was_cut:
            context.warnings.append(f"{field} was truncated to {len(tokens.ids)} tokens.")
        return tokens

    request = context.request
    negative = request.negative_prompt.strip()
    return PromptTokens(encode("prompt", request.prompt), encode("negative_prompt", negative) if negative else None)


class GuidedVelocity:
    """The velocity of a request: both sides of guidance, with the text embeddings computed once."""

    def __init__(self, context: GenerationContext, tokens: PromptTokens) -> None:
        self._context = context
        self._text = self._embed(tokens.prompt)
        self._negative = None if tokens.negative is None else self._embed(tokens.negative)

    def __call__(
        self,
        x: Floats,
        t: float,
        seconds: float,
        inpaint: Floats | None = None,
        curves: Mapping[str, Floats] | None = None,
    ) -> Floats:
        """Compute the guided velocity; both sides of guidance follow the known latents and the curves.

        Args:
            x: latents, [C, T].
            t: time, 1 = noise.
            seconds: length of the sound that the transformer is conditioned on.
            inpaint: [1 + C, T], see VelocityInputs.
            curves: [2, T] by name, see VelocityInputs.

        Returns:
            Velocity, [C, T].
        """
        context, scale = self._context, self._context.cfg_scale
        mask = np.ones(x.shape[1], bool)
        away = VelocityInputs(x.astype(np.float32, copy=False), t, self._negative, seconds, 0.0, mask, inpaint)
        away = away._replace(steps=float(context.stated_steps)).with_curves(curves or {})
        towards = away._replace(text=self._text, bpm=context.bpm, key=float(context.key), note=float(context.note))
        positive = context.velocity(towards) if scale != 0 else None
        negative = context.velocity(away) if scale != 1 else None
        if positive is None or negative is None:
            only: Floats = positive if negative is None else negative  # type: ignore[assignment]
            return only
        found = combined(positive, negative, x, t, scale, is_projected=context.is_projected)
        return np.asarray(found, np.float32)

    def _embed(self, tokens: Tokens) -> TextEmbedding:
        return self._context.backend.encode_text(tokens.ids, tokens.mask)


Cancel = Callable[[], bool]
# Receives the index of a variation and its next samples, [channels, n], before levels and edges are set.
OnPart = Callable[[int, Samples], None]
OnSound = Callable[[int, Waveform], None]


@dataclass(frozen=True)
class GenerationContext:
    """One generation.

    Args:
        backend: computes text embeddings, velocities and sound.
        network: name of the network that gives the velocities, decided by `resolution.resolve_request`.
        config: of the model, as this network is sampled.
        request: resolved.
        cancel: called between steps; True stops the generation.
        timings_ms: milliseconds by stage, filled as the stages run.
        warnings: for the user, filled as they arise.
        has_drawn_seed: whether nobody gave the seed, so that another is drawn in place of one that gives silence.
        chosen: seeds drawn so, and those of a diverse request's kept candidates, by the index of their variation.
        on_part: receives the samples of a sound of several windows from text, as soon as nothing changes them any more.
        on_sound: receives the index of each variation and its finished sound, while the others are still to be made.
        curves: [2, T] by name of the control, over the latent frames of the sound: values as networks receive them, and
            1 where they are given (see VelocityInputs). Frames beyond the last have none.
    """

    backend: Backend
    network: str
    config: ModelConfig
    request: GenerationRequest
    cancel: Cancel
    timings_ms: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    has_drawn_seed: bool = False
    chosen: dict[int, int] = field(default_factory=dict)
    on_part: OnPart | None = None
    on_sound: OnSound | None = None
    curves: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each variation."""
        return tuple(self.chosen.get(item, self.first_seed + item) for item in range(self.request.variations))

    @property
    def first_seed(self) -> int:
        """The seed of the first variation, or of the first candidate."""
        return int(self.request.seed or 0)

    def noise(self, seed: int, step: int, shape: tuple[int, int]) -> Floats:
        """Draw the noise of a variation at a step, [C, T]; see `flow.noise.item_noise`."""
        if self.request.near is None:
            return item_noise(seed, step, shape)
        return mixed_noise(parse_near(self.request.near).weights(seed), step, shape)

    def decoder_seed(self, seed: int) -> int:
        """The seed of the synthesis' random part: that of the first parent where there is one, so that what is near
        differs in its latents only.
        """
        return seed if self.request.near is None else parse_near(self.request.near).parents[0][0]

    @property
    def selection(self) -> Selection | None:
        """The candidates that a diverse request drew and kept; None for others."""
        request = self.request
        if not request.diverse:
            return None
        return Selection(num_candidates=request.num_candidates, first_seed=self.first_seed, kept=self.seeds)

    def redraw_seed(self, item: int) -> int:
        """Draw another seed for a variation, and report it in a warning.

        Args:
            item: Number of the variation, from 0.

        Returns:
            The new seed.
        """
        self.chosen[item] = draw_seed()
        self.warn("A seed gave silence, so another one was drawn; the result names the one that was used.")
        return self.chosen[item]

    @property
    def num_samples(self) -> int:
        """Length of the result in samples."""
        return max(1, round(float(self.request.duration_seconds or 0.0) * self.config.sample_rate))

    @property
    def bpm(self) -> float:
        """Tempo in beats per minute; 0 = unknown."""
        return float(self.request.bpm or 0.0)

    @property
    def key(self) -> int:
        """Number of the key, see `audio.keys`; 0 = unknown."""
        return key_number(self.request.key or "")

    @property
    def note(self) -> int:
        """MIDI number of the single note that the prompt states; 0 = unknown."""
        return parse_note(self.request.prompt) if "note" in self.config.dit.controls else 0

    @property
    def stated_steps(self) -> int:
        """Number of steps that a few-step model receives; 0 = none. More than its own count as its own."""
        sampling = self.config.sampling
        if "steps" not in self.config.dit.controls or not sampling.post_trained:
            return 0
        return min(int(self.request.steps or 1), sampling.steps)

    @property
    def cfg_scale(self) -> float:
        """Guidance scale; 1 = no guidance."""
        return float(1.0 if self.request.cfg_scale is None else self.request.cfg_scale)

    @property
    def is_projected(self) -> bool:
        """Whether guidance is projected, see `flow.guidance.projected`."""
        return self.config.sampling.guidance == "projected"

    def curves_of(self, part: slice, plan: EditPlan) -> dict[str, Floats]:
        """Cut the frames of a window out of the curves.

        Args:
            part: frames of the window; nothing is given beyond the end of a curve.
            plan: of the pass, which may have rotated the sound.

        Returns:
            [2, frames of the window] by name of the control.
        """
        found = {}
        for name, curve in self.curves.items():
            length = plan.num_sound_frames
            known = curve[:, :length]
            whole = np.zeros((2, max(part.stop, length)), np.float32)
            whole[:, : known.shape[1]] = known
            whole[:, :length] = np.roll(whole[:, :length], -plan.turn, axis=1)
            found[name] = whole[:, part]
        return found

    def velocity(self, inputs: VelocityInputs) -> Floats:
        """Compute a velocity of the network that answers this request."""
        return self.backend.velocity(inputs, self.network)

    def times(self, start_level: float = 1.0) -> tuple[float, ...]:
        """Compute the times of a pass.

        Args:
            start_level: Noise level the pass begins at, 0 to 1.

        Returns:
            Falling times from the start level to 0, num_steps + 1 values.
        """
        sampling = self.config.sampling
        frames = min(-(-self.num_samples // self.config.hop_length), self.config.dit.max_frames)
        return sampler_times(
            str(self.request.sampler),
            int(self.request.steps or 1),
            sampling.shift,
            sampling.schedule,
            start_level=start_level,
            log_snr_ends=(sampling.log_snr.start_for(frames), sampling.log_snr.end),
        )

    def stop_if_cancelled(self) -> None:
        """Raise Cancelled if the caller no longer wants the sound."""
        if self.cancel():
            raise Cancelled("the generation was cancelled; nothing was kept.")

    def warn(self, warning: str) -> None:
        """Add a warning to the result, once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that a block takes to a stage.

        Args:
            stage: Name in `timings_ms`.

        Yields:
            Once, to the block.
        """
        started = time.perf_counter()
        try:
            yield
        finally:
            passed = 1000 * (time.perf_counter() - started)
            self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + passed


@dataclass
class ItemProgress:
    """Progress of one variation over all its passes.

    Args:
        item: index of the variation.
        totals: number of steps of each stage.
        done: number of steps done of each stage.
    """

    item: int
    totals: dict[Stage, int]
    done: dict[Stage, int] = field(default_factory=dict)

    def advance(self, stage: Stage, steps: int = 0) -> Progress:
        """Return the progress after some more steps of a stage.

        Args:
            stage: Name of the stage.
            steps: Number of sampling steps that were finished.

        Returns:
            The progress of the variation in that stage.
        """
        self.done[stage] = self.done.get(stage, 0) + steps
        return Progress(stage, self.item, self.done[stage], self.totals[stage])
