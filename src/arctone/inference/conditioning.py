"""The velocity that a request asks for: its prompt, its tempo, and guidance away from what it does not want."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arctone.flow.guidance import combined
from arctone.inference.backends.base import Floats, TextEmbedding
from arctone.inference.request import GenerationRequest
from arctone.inference.shared import SharedParts
from arctone.model_folder.tokenizer import Tokenizer, Tokens


class Words(NamedTuple):
    """What a request says: the tokens of its prompt, and of what it does not want; None = anything."""

    prompt: Tokens
    away: Tokens | None

    @classmethod
    def of(cls, request: GenerationRequest, tokenizer: Tokenizer, warnings: list[str]) -> Words:
        """The words of a request. Args: warnings: prompts that were cut are told there."""

        def read(field: str, words: str) -> Tokens:
            tokens = tokenizer.encode(words)
            if tokens.was_cut:
                warnings.append(
                    f"{field} is longer than the {len(tokens.ids)} tokens the model reads; the rest was not heard."
                )
            return tokens

        unwanted = request.negative_prompt.strip()
        return cls(read("prompt", request.prompt), read("negative_prompt", unwanted) if unwanted else None)


class Guide:
    """Text embeddings and guidance of one request.

    Args: parts: what computes. words: of the request. request: resolved. is_projected: whether the model is guided
    across the direction of its estimate only.
    """

    def __init__(
        self, parts: SharedParts, words: Words, request: GenerationRequest, *, is_projected: bool = False
    ) -> None:
        self._is_projected = is_projected
        self._parts = parts
        self._scale = scale_of(request)
        self._bpm = float(request.bpm or 0.0)
        self._text = parts.encode_text(words.prompt.ids, words.prompt.mask)
        self._away = None if words.away is None else parts.encode_text(words.away.ids, words.away.mask)

    def velocity(self, x: Floats, t: float, seconds: float, inpaint: Floats | None = None) -> Floats:
        """Guided velocity [C, T] at latents x and time t.

        Args: seconds: length of the sound the model is told. inpaint: [1 + C, T], see Parts.
        """
        towards = self._one(x, t, self._text, seconds, self._bpm, inpaint) if self._scale != 0 else None
        away = self._one(x, t, self._away, seconds, 0.0, inpaint) if self._scale != 1 else None
        if towards is None or away is None:
            only: Floats = towards if away is None else away  # type: ignore[assignment]
            return only
        found = combined(towards, away, x, t, self._scale, is_projected=self._is_projected)
        return np.asarray(found, np.float32)

    def _one(
        self, x: Floats, t: float, text: TextEmbedding | None, seconds: float, bpm: float, inpaint: Floats | None
    ) -> Floats:
        mask = np.ones(x.shape[1], bool)
        return self._parts.velocity(x.astype(np.float32, copy=False), t, text, seconds, bpm, mask, inpaint)


def scale_of(request: GenerationRequest) -> float:
    """The guidance scale of a resolved request."""
    return float(1.0 if request.cfg_scale is None else request.cfg_scale)
