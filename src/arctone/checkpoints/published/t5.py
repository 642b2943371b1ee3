"""The encoder of a T5 from its published folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from arctone.checkpoints.published.tensor_names import Place, account_part
from arctone.errors import InputFileError, ModelError
from arctone.files.text import parse_typed, read_bytes
from arctone.model_folder.config import T5Config
from arctone.model_folder.tokenizer import FILE_NAME
from arctone.models.t5 import T5Encoder

_BLOCK = {
    "attention_norm": "layer.0.layer_norm",
    "q": "layer.0.SelfAttention.q",
    "k": "layer.0.SelfAttention.k",
    "v": "layer.0.SelfAttention.v",
    "o": "layer.0.SelfAttention.o",
    "mlp_norm": "layer.1.layer_norm",
    "down": "layer.1.DenseReluDense.wo",
}
# The half that writes text, and second names of the word embedding.
_UNUSED = ("decoder.", "lm_head.", "encoder.embed_tokens.")


class _Settings(msgspec.Struct, frozen=True):
    """What is read of T5's config.json; its many other keys concern the decoder and training."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    model_type: str = "t5"
    feed_forward_proj: str = "relu"
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6


def t5_config(folder: Path, max_tokens: int) -> T5Config:
    """Read the sizes of the T5 in a folder.

    Args:
        folder: The folder.
        max_tokens: Tokens of a prompt.

    Returns:
        The sizes.

    Raises:
        ModelError: If there is none, or one of another architecture.
    """
    path = folder / "config.json"
    try:
        settings = parse_typed(read_bytes(path), _Settings)
    except (InputFileError, ValueError) as problem:
        raise ModelError(f"{folder} holds no T5: {path.name} cannot be read ({problem}).") from None
    if settings.model_type != "t5" or settings.feed_forward_proj not in ("relu", "gated-gelu"):
        raise ModelError(
            f"{path}: model_type {settings.model_type} with feed_forward_proj {settings.feed_forward_proj} is unknown; "
            "known is t5 with relu or gated-gelu."
        )
    return T5Config(
        vocabulary=settings.vocab_size,
        width=settings.d_model,
        depth=settings.num_layers,
        heads=settings.num_heads,
        head_width=settings.d_kv,
        mlp_width=settings.d_ff,
        activation="relu" if settings.feed_forward_proj == "relu" else "gated-gelu",
        position_buckets=settings.relative_attention_num_buckets,
        position_distance=settings.relative_attention_max_distance,
        norm_epsilon=settings.layer_norm_epsilon,
        max_tokens=max_tokens,
    )


def t5_state(published: dict[str, Tensor], path: Path, config: T5Config) -> dict[str, Tensor]:
    """This function gives the encoder's weights by our names.

    Args:
        published: The tensors by their published names.
        path: The file they lie in, for errors.
        config: The sizes.

    Returns:
        Tensors by name.

    Raises:
        ModelError: The sentence names every tensor that does not fit.
    """
    second = published.get("encoder.embed_tokens.weight")
    if second is not None and not second.equal(published.setdefault("shared.weight", second)):
        raise ModelError(f"{path}: shared.weight and encoder.embed_tokens.weight differ, but they are one matrix.")
    used = {name: value for name, value in published.items() if not name.startswith(_UNUSED)}
    wanted = places(config)
    account_part(used, wanted, str(path))
    return {name: used[place.name] for name, place in wanted.items()}


def places(config: T5Config) -> dict[str, Place]:
    """Where each of our tensors lies in the published file."""
    with torch.device("meta"):
        shapes = T5Encoder(config).state_dict()
    return {name: Place(_published(name, config), tuple(value.shape)) for name, value in shapes.items()}


def _published(name: str, config: T5Config) -> str:
    fixed: dict[str, str] = {
        "words.weight": "shared.weight",
        "distances.weight": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "norm.weight": "encoder.final_layer_norm.weight",
    }
    if name in fixed:
        return fixed[name]
    _, index, part, ending = name.split(".")
    up = "wi" if config.activation == "relu" else "wi_1"
    names: dict[str, Any] = {**_BLOCK, "up": f"layer.1.DenseReluDense.{up}", "gate": "layer.1.DenseReluDense.wi_0"}
    return f"encoder.block.{index}.{names[part]}.{ending}"


def tokenizer_file(folder: Path) -> Path:
    """Find the folder's tokenizer.json.

    Args:
        folder: The folder of a text encoder.

    Returns:
        Its path.

    Raises:
        ModelError: If it is missing.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise ModelError(f"{folder} has no {FILE_NAME}; the older spiece.model alone is not read.")
    return path
