"""The velocity that a request asks for: its prompt, its tempo, and guidance away from what it does not want."""

from __future__ import annotations

import numpy as np

from arctone.engines.parts import Floats, TextEmbedding
from arctone.flow.guidance import guided, projected
from arctone.generation.shared import SharedParts
from arctone.request import GenerationRequest
from arctone.tokenizer import Tokenizer


class Guide:
    """Text embeddings and guidance of one request.

    Args: parts: what computes. tokenizer: of the same model. request: resolved. warnings: prompts that were cut are
    told there. is_projected: whether the model is guided across the direction of its estimate only.
    """

    def __init__(
        self,
        parts: SharedParts,
        tokenizer: Tokenizer,
        request: GenerationRequest,
        warnings: list[str],
        *,
        is_projected: bool = False,
    ) -> None:
        self._is_projected = is_projected
        self._parts = parts
        self._tokenizer = tokenizer
        self._warnings = warnings
        self._scale = float(1.0 if request.cfg_scale is None else request.cfg_scale)
        self._bpm = float(request.bpm or 0.0)
        self._text = self._embed("prompt", request.prompt)
        unwanted = request.negative_prompt.strip()
        self._away = self._embed("negative_prompt", unwanted) if unwanted else None  # None = from anything

    def velocity(self, x: Floats, t: float, seconds: float, inpaint: Floats | None = None) -> Floats:
        """Guided velocity [C, T] at latents x and time t.

        Args: seconds: length of the sound the model is told. inpaint: [1 + C, T], see Parts.
        """
        towards = self._one(x, t, self._text, seconds, self._bpm, inpaint) if self._scale != 0 else None
        away = self._one(x, t, self._away, seconds, 0.0, inpaint) if self._scale != 1 else None
        if towards is None or away is None:
            only: Floats = towards if away is None else away  # type: ignore[assignment]
            return only
        if self._is_projected:
            return np.asarray(projected(towards, away, x, t, self._scale), np.float32)
        return np.asarray(guided(towards, away, self._scale), np.float32)

    def _one(
        self, x: Floats, t: float, text: TextEmbedding | None, seconds: float, bpm: float, inpaint: Floats | None
    ) -> Floats:
        mask = np.ones(x.shape[1], bool)
        return self._parts.velocity(x.astype(np.float32, copy=False), t, text, seconds, bpm, mask, inpaint)

    def _embed(self, field: str, words: str) -> TextEmbedding:
        tokens = self._tokenizer.encode(words)
        if tokens.was_cut:
            self._warnings.append(
                f"{field} is longer than the {len(tokens.ids)} tokens the model reads; the rest was not heard."
            )
        return self._parts.encode_text(tokens.ids, tokens.mask)
