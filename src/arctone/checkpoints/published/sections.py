"""What the configs of all published models have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from arctone.errors import ModelError

PROMPT: Final = "prompt"
PLAIN: Final = "diffusion_cond"
INPAINTING: Final = "diffusion_cond_inpaint"
# What such a model is given beside its latents, in this order: one channel, and as many as there are latent channels.
INPAINT_IDS: Final = ("inpaint_mask", "inpaint_masked_input")


@contextmanager
def named_file(path: Path) -> Iterator[None]:
    """This function adds the file's name to a ModelError that does not name it yet."""
    try:
        yield
    except ModelError as problem:
        raise (problem if str(problem).startswith(str(path)) else ModelError(f"{path}: {problem}")) from None


def require(condition: bool, sentence: str) -> None:
    """Raises: ModelError with the sentence if the condition does not hold."""
    if not condition:
        raise ModelError(f"{sentence}.")


def require_numbers(cross: tuple[str, ...], of_global: tuple[str, ...], named: Collection[str]) -> None:
    """Raises: ModelError unless the context begins with the prompt, and all numbers are there and used."""
    require(cross[:1] == (PROMPT,), "model.diffusion.cross_attention_cond_ids must begin with prompt")
    require({*cross[1:], *of_global} == set(named), "every number must be in the conditions, and be used")


def require_widths(cond_dim: int, num_global: int, *, token_dim: int, global_dim: int) -> int:
    """The width of all global conditions together. Raises: ModelError unless the transformer's widths are theirs."""
    require(token_dim == cond_dim, f"cond_token_dim must be cond_dim, {cond_dim}")
    total = cond_dim * num_global
    require(global_dim == total, f"global_cond_dim must be {total}, cond_dim for each global condition")
    return total
