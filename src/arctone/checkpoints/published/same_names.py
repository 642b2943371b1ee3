"""Where each tensor of a published SAME autoencoder goes."""

from __future__ import annotations

import torch
from torch import Tensor

from arctone.checkpoints.published.places import Place, renamed
from arctone.model_folder.config import SameConfig
from arctone.models.same import Same

_FIXED = {
    "encoder.leave": "encoder.layers.2",
    "encoder.scale": "bottleneck.scaling_factor",
    "encoder.shift": "bottleneck.bias",
    # One number, which both halves need.
    "encoder.level": "bottleneck.running_std",
    "decoder.level": "bottleneck.running_std",
    "decoder.enter": "decoder.layers.1",
    "encoder.enter": "encoder.layers.0.mapping",
    "decoder.leave": "decoder.layers.3.mapping",
    "encoder.new_tokens": "encoder.layers.0.new_tokens",
    "decoder.new_tokens": "decoder.layers.3.new_tokens",
    "encoder.body.blocks": "encoder.layers.0.transformers",
    "decoder.body.blocks": "decoder.layers.3.transformers",
}
_BLOCK = {
    "attention_norm": "pre_norm",
    "attention": "self_attn",
    "attention_scale": "self_attn_scale.scale",
    "mlp_norm": "ff_norm",
    "mlp.enter": "ff.ff.0.proj",
    "mlp.leave": "ff.ff.2",
    "mlp_scale": "ff_scale.scale",
}


def places(config: SameConfig, prefix: str) -> tuple[dict[str, Place], dict[str, Tensor]]:
    """Our names with their places, and published buffers that never change. prefix: of every published name."""
    with torch.device("meta"):
        shapes = Same(config).state_dict()
    found = {name: Place(prefix + _name(name), tuple(value.shape), _normed(name)) for name, value in shapes.items()}
    rotated = config.head_size // 2
    rates = 1.0 / (10_000 ** (torch.arange(0, rotated, 2).float() / rotated))
    constants = {f"{prefix}bottleneck.noise_scaling_factor": torch.ones(1, 0, 1)}
    for half, layer, depth in (("encoder", 0, config.encoder_depth), ("decoder", 3, config.decoder_depth)):
        for index in range(depth):
            constants[f"{prefix}{half}.layers.{layer}.transformers.{index}.rope.inv_freq"] = rates.clone()
    return found, constants


def _normed(name: str) -> bool:
    return name in ("encoder.enter.weight", "decoder.leave.weight")


def _name(name: str) -> str:
    half, part, *rest = name.split(".")
    if part == "body":
        _, index, *inner = rest
        return f"{_FIXED[f'{half}.body.blocks']}.{index}.{renamed('.'.join(inner), _BLOCK)}"
    return renamed(name, _FIXED)
