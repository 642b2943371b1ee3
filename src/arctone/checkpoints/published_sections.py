"""What the configs of all published models have in common."""

from __future__ import annotations

from typing import Final

from arctone.errors import ModelError

PROMPT: Final = "prompt"
PLAIN: Final = "diffusion_cond"
INPAINTING: Final = "diffusion_cond_inpaint"
# What such a model is given beside its latents, in this order: one channel, and as many as there are latent channels.
INPAINT_IDS: Final = ("inpaint_mask", "inpaint_masked_input")


def require(condition: bool, sentence: str) -> None:
    """Raises: ModelError with the sentence if the condition does not hold."""
    if not condition:
        raise ModelError(f"{sentence}.")
