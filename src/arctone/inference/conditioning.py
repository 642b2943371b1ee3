"""What the transformer is conditioned on, and guidance: from the tokens of the prompts to a guided velocity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arctone.flow.guidance import combined
from arctone.inference.backends.base import Floats, TextEmbedding, VelocityInputs
from arctone.inference.context import GenerationContext
from arctone.model_folder.tokenizer import Tokenizer, Tokens


class PromptTokens(NamedTuple):
    """Tokens of a request's prompt and of its negative prompt; None = guidance leads away from no text at all."""

    prompt: Tokens
    negative: Tokens | None


def tokenize(context: GenerationContext, tokenizer: Tokenizer) -> PromptTokens:
    """Tokenize the prompts of a request; a truncated one adds a warning."""

    def encode(field: str, text: str) -> Tokens:
        tokens = tokenizer.encode(text)
        if tokens.was_cut:
            context.warnings.append(
                f"{field} is longer than the {len(tokens.ids)} tokens the model reads; the rest was not heard."
            )
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

    def __call__(self, x: Floats, t: float, seconds: float, inpaint: Floats | None = None) -> Floats:
        """Compute the guided velocity.

        Args:
            x: latents, [C, T].
            t: time, 1 = noise.
            seconds: length of the sound that the transformer is conditioned on.
            inpaint: [1 + C, T], see VelocityInputs.

        Returns:
            Velocity, [C, T].
        """
        context, scale = self._context, self._context.cfg_scale
        mask = np.ones(x.shape[1], bool)
        away = VelocityInputs(x.astype(np.float32, copy=False), t, self._negative, seconds, 0.0, mask, inpaint)
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
