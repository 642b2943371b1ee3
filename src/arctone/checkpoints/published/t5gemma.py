"""The encoder of a T5Gemma from its published folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from arctone.checkpoints.published.tensor_names import Place, account_part
from arctone.errors import InputFileError, ModelError
from arctone.files.text import parse_typed, read_bytes
from arctone.model_folder.config import T5GemmaConfig
from arctone.models.t5 import T5GemmaEncoder

MODEL_TYPE = "t5gemma"
_BLOCK = {
    "attention_before": "pre_self_attn_layernorm",
    "attention_after": "post_self_attn_layernorm",
    "mlp_before": "pre_feedforward_layernorm",
    "mlp_after": "post_feedforward_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
# A whole model has "model." before its encoder, an encoder alone has not.
_PREFIXES = ("model.encoder.", "encoder.")


class _Encoder(msgspec.Struct, frozen=True):
    """What is read of the encoder's settings."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    query_pre_attn_scalar: float
    attn_logit_softcapping: float | None = 50.0
    hidden_activation: str = "gelu_pytorch_tanh"
    attention_bias: bool = False
    rms_norm_eps: float = 1e-6
    rope_theta: float | None = None
    rope_parameters: dict[str, Any] | None = None


class _Settings(msgspec.Struct, frozen=True):
    """What is read of T5Gemma's config.json; its other keys concern the decoder and training."""

    encoder: _Encoder


def t5gemma_config(folder: Path, max_tokens: int) -> T5GemmaConfig:
    """Read the sizes of the T5Gemma in a folder.

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
        encoder = parse_typed(read_bytes(path), _Settings).encoder
    except (InputFileError, ValueError) as problem:
        raise ModelError(f"{folder} holds no T5Gemma: {path.name} cannot be read ({problem}).") from None
    if encoder.hidden_activation != "gelu_pytorch_tanh" or encoder.attention_bias:
        raise ModelError(
            f"{path}: hidden_activation {encoder.hidden_activation} with attention_bias {encoder.attention_bias} is "
            "unknown; known is gelu_pytorch_tanh without biases."
        )
    turned = encoder.rope_parameters or {}
    if turned.get("rope_type", "default") != "default":
        raise ModelError(f"{path}: the rope_type {turned['rope_type']} is unknown; known is default.")
    return T5GemmaConfig(
        vocabulary=encoder.vocab_size,
        width=encoder.hidden_size,
        depth=encoder.num_hidden_layers,
        heads=encoder.num_attention_heads,
        key_heads=encoder.num_key_value_heads,
        head_width=encoder.head_dim,
        mlp_width=encoder.intermediate_size,
        score_width=encoder.query_pre_attn_scalar,
        score_cap=encoder.attn_logit_softcapping or 0.0,
        rotary_base=float(encoder.rope_theta or turned.get("rope_theta", 10_000.0)),
        norm_epsilon=encoder.rms_norm_eps,
        max_tokens=max_tokens,
    )


def t5gemma_state(published: dict[str, Tensor], path: Path, config: T5GemmaConfig) -> dict[str, Tensor]:
    """This function gives the encoder's weights by our names; arguments and errors as of `t5_state`."""
    used = {
        name.removeprefix(prefix): value
        for prefix in _PREFIXES
        for name, value in published.items()
        if name.startswith(prefix)
    }
    wanted = places(config)
    account_part(used, wanted, str(path))
    return {name: used[place.name] for name, place in wanted.items()}


def places(config: T5GemmaConfig) -> dict[str, Place]:
    """Where each of our tensors lies among those of the published encoder."""
    with torch.device("meta"):
        shapes = T5GemmaEncoder(config).state_dict()
    return {name: Place(_published(name), tuple(value.shape)) for name, value in shapes.items()}


def _published(name: str) -> str:
    fixed = {"words.weight": "embed_tokens.weight", "norm.weight": "norm.weight"}
    if name in fixed:
        return fixed[name]
    _, index, part, ending = name.split(".")
    return f"layers.{index}.{_BLOCK[part]}.{ending}"
