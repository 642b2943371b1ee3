"""Stable Audio Open in the layout of diffusers: folders transformer, vae, projection_model, with other tensor names.

Names are brought back to those of stable-audio-tools; from there on there is one way.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from arctone.checkpoints.published.source import find_weights
from arctone.checkpoints.published.stable_audio_open import sampling_of
from arctone.checkpoints.published.tensor_names import AUTOENCODER, CONDITIONER, TRANSFORMER
from arctone.checkpoints.tensor_files import read_weights
from arctone.errors import InputFileError, ModelError
from arctone.files.text import parse_typed, read_bytes
from arctone.model_folder.config import (
    ContinuousDiTConfig,
    ModelConfig,
    NumberConfig,
    NumberName,
    OobleckConfig,
    T5Config,
)

WEIGHTS = ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16")

_BLOCK = {
    "norm1.weight": "pre_norm.gamma",
    "norm1.bias": "pre_norm.beta",
    "norm2.weight": "cross_attend_norm.gamma",
    "norm2.bias": "cross_attend_norm.beta",
    "norm3.weight": "ff_norm.gamma",
    "norm3.bias": "ff_norm.beta",
    "attn1.to_out.0.weight": "self_attn.to_out.weight",
    "attn2.to_out.0.weight": "cross_attn.to_out.weight",
    "attn2.to_q.weight": "cross_attn.to_q.weight",
    "ff.net.0.proj.weight": "ff.ff.0.proj.weight",
    "ff.net.0.proj.bias": "ff.ff.0.proj.bias",
    "ff.net.2.weight": "ff.ff.2.weight",
    "ff.net.2.bias": "ff.ff.2.bias",
}
_OUTER = {
    "time_proj": "timestep_features",
    "proj_in": "transformer.project_in",
    "proj_out": "transformer.project_out",
    "timestep_proj": "to_timestep_embed",
    "global_proj": "to_global_embed",
    "cross_attention_proj": "to_cond_embed",
}
_NUMBERS = {"start_number_conditioner": "seconds_start", "end_number_conditioner": "seconds_total"}
_UNIT = {"snake1": "0", "conv1": "1", "snake2": "2", "conv2": "3"}


class _Transformer(msgspec.Struct, frozen=True):
    """What is read of transformer/config.json."""

    sample_size: float
    in_channels: int
    num_layers: int
    attention_head_dim: int
    num_attention_heads: int
    cross_attention_dim: int
    global_states_input_dim: int
    cross_attention_input_dim: int


class _Autoencoder(msgspec.Struct, frozen=True):
    """What is read of vae/config.json."""

    encoder_hidden_size: int
    decoder_channels: int
    decoder_input_channels: int
    audio_channels: int
    sampling_rate: int
    channel_multiples: tuple[int, ...]
    downsampling_ratios: tuple[int, ...]


class _Projection(msgspec.Struct, frozen=True):
    """What is read of projection_model/config.json."""

    conditioning_dim: int
    min_value: float
    max_value: float


def read(folder: Path, name: str) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read a folder of diffusers.

    Args:
        folder: The folder.
        name: Of the model.

    Returns:
        Its config, and its tensors by the names of stable-audio-tools.

    Raises:
        ModelError: If it is damaged or of another kind.
    """
    config = _config(folder, name)
    depth = len(config.autoencoder.strides) if isinstance(config.autoencoder, OobleckConfig) else 0
    found = _transformer_state(_tensors(folder / "transformer"))
    for key, value in _tensors(folder / "vae").items():
        # diffusers keeps the snakes' numbers as [1, W, 1].
        found[AUTOENCODER + _autoencoder_name(key, depth)] = value.flatten() if ".snake" in f".{key}" else value
    for key, value in _tensors(folder / "projection_model").items():
        part, _, rest = key.partition(".")
        inner = rest.replace("time_positional_embedding", "embedder.embedding")
        found[f"{CONDITIONER}{_NUMBERS.get(part, part)}.{inner}"] = value
    return config, found


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = find_weights(folder, *WEIGHTS)
    if path is None:
        raise ModelError(f"{folder} holds no {WEIGHTS[0]}.safetensors, in one file or in shards.")
    return read_weights(path)


def _config(folder: Path, name: str) -> ModelConfig:
    transformer = _settings(folder / "transformer", _Transformer)
    vae = _settings(folder / "vae", _Autoencoder)
    projection = _settings(folder / "projection_model", _Projection)
    autoencoder = OobleckConfig(
        latent_channels=vae.decoder_input_channels,
        audio_channels=vae.audio_channels,
        width=vae.decoder_channels,
        multipliers=vae.channel_multiples,
        strides=vae.downsampling_ratios,
    )
    width = transformer.attention_head_dim * transformer.num_attention_heads
    frames = round(transformer.sample_size)
    numbers: tuple[NumberName, ...] = ("seconds_start", "seconds_total")
    dit = ContinuousDiTConfig(
        objective="v",
        latent_channels=transformer.in_channels,
        width=width,
        depth=transformer.num_layers,
        heads=transformer.num_attention_heads,
        text_width=transformer.cross_attention_input_dim,
        context_width=transformer.cross_attention_dim,
        global_width=width,
        qk_norm="none",
        numbers=tuple(NumberConfig(number, projection.min_value, projection.max_value) for number in numbers),
        cross_numbers=numbers,
        global_numbers=numbers,
        max_frames=frames,
        max_seconds=int(100 * frames * autoencoder.hop_length / vae.sampling_rate) / 100,
    )
    return ModelConfig(
        name=name,
        autoencoder=autoencoder,
        dit=dit,
        text=T5Config(width=projection.conditioning_dim, max_tokens=128),
        sampling=sampling_of(dit),
        sample_rate=vae.sampling_rate,
        channels=vae.audio_channels,
        hop_length=autoencoder.hop_length,
    )


def _settings(folder: Path, kind: type[Any]) -> Any:
    path = folder / "config.json"
    try:
        return parse_typed(read_bytes(path), kind)
    except (InputFileError, ValueError) as problem:
        raise ModelError(f"{path} does not describe a Stable Audio model of diffusers: {problem}.") from None


def _transformer_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Separate queries, keys and values are joined again."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        match = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", key)
        if match is None:
            found[TRANSFORMER + _outer(key)] = value.unsqueeze(1) if key == "time_proj.weight" else value
            continue
        layer, inner = f"{TRANSFORMER}transformer.layers.{match[1]}", match[2]
        joined = re.fullmatch(r"(attn1\.to_[qkv]|attn2\.to_[kv])\.weight", inner)
        if joined is None:
            found[f"{layer}.{_BLOCK.get(inner, inner)}"] = value
            continue
        names = ("q", "k", "v") if inner.startswith("attn1") else ("k", "v")
        attention = "self_attn.to_qkv" if inner.startswith("attn1") else "cross_attn.to_kv"
        parts = [state.get(f"transformer_blocks.{match[1]}.{inner[:5]}.to_{part}.weight") for part in names]
        whole = [part for part in parts if part is not None]
        if inner.endswith(f"to_{names[0]}.weight") and len(whole) == len(names):
            found[f"{layer}.{attention}.weight"] = torch.cat(whole)
    return found


def _outer(key: str) -> str:
    head, _, rest = key.partition(".")
    return f"{_OUTER.get(head, head)}.{rest}"


def _autoencoder_name(key: str, depth: int) -> str:
    half, head, *rest = key.split(".")
    fixed = {"conv1": 0, "snake1": depth + 1, "conv2": depth + 2}
    if head in fixed:
        return ".".join([half, "layers", str(fixed[head]), *rest])
    block, inner, *rest = rest
    start = f"{half}.layers.{int(block) + 1}.layers"
    first, places = (0, {"snake1": "3", "conv1": "4"}) if half == "encoder" else (2, {"snake1": "0", "conv_t1": "1"})
    if inner.startswith("res_unit"):
        unit, *rest = rest
        return ".".join([start, str(first + int(inner[-1]) - 1), "layers", _UNIT.get(unit, unit), *rest])
    return ".".join([start, places.get(inner, inner), *rest])
