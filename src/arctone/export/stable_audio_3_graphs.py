"""Parts of Stable Audio 3 as graphs of fixed length for ONNX: transformer, T5Gemma and the `same` autoencoder.

Rates of waves and rotations are constants here, computed by torch: the fastest waves of the noise level turn 63,000
radians, and an exporter that folds them in another rounding would move them by a hundredth of a radian.

A audio channels, C latent channels, T latent frames, N audio samples, L text tokens, D text width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.errors import ModelError
from arctone.export.graphs import Signature
from arctone.model_folder.config import ModelConfig, SameConfig, T5GemmaConfig, of_type
from arctone.model_folder.folder import TEXT_SIGNATURE
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import (
    FASTEST,
    LOG_SNR_HIGH,
    LOG_SNR_LOW,
    NUM_RATES,
    SLOWEST,
    ContinuousBlock,
    ContinuousDiT,
    NumberEmbedding,
    Rotation,
    Timestep,
    count_rotated_entries,
)
from arctone.models.same import SameDecoder, SameEncoder
from arctone.models.t5 import T5GemmaEncoder


class Waves(nn.Module):
    """Cosines and sines of rates that lie evenly on a log scale, [1] to [1, 2 NUM_RATES]; see `exponential_waves`."""

    rates: Tensor

    def __init__(self) -> None:
        super().__init__()
        low, high = math.log(SLOWEST), math.log(FASTEST)
        self.register_buffer("rates", torch.exp(torch.linspace(0, 1, NUM_RATES) * (high - low) + low))

    def forward(self, value: Tensor) -> Tensor:
        angles = value.unsqueeze(-1) * self.rates * 2 * math.pi
        return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeGraph(nn.Module):
    """A Timestep with constant rates."""

    def __init__(self, time: Timestep) -> None:
        super().__init__()
        self.waves, self.mlp, self.as_log_snr = Waves(), time.mlp, time.as_log_snr

    def forward(self, t: Tensor) -> Tensor:
        if self.as_log_snr:
            level = t.clamp(1e-7, 1 - 1e-7)
            clear = torch.log((1 - level) / level).clamp(LOG_SNR_LOW, LOG_SNR_HIGH)
            t = (LOG_SNR_HIGH - clear) / (LOG_SNR_HIGH - LOG_SNR_LOW)
        vector: Tensor = self.mlp(self.waves(t))
        return vector


class NumberGraph(nn.Module):
    """A NumberEmbedding with constant rates."""

    def __init__(self, number: NumberEmbedding) -> None:
        super().__init__()
        self.waves, self.project = Waves(), number.project
        self.minimum, self.maximum = number.minimum, number.maximum

    def forward(self, number: Tensor) -> Tensor:
        unit = (number.clamp(self.minimum, self.maximum) - self.minimum) / (self.maximum - self.minimum)
        vector: Tensor = self.project(self.waves(unit))
        return vector


class TransformerGraph(nn.Module):
    """What the published network gives for its own x [1, C, T] and t [1]: see ContinuousDiT.output.

    Inputs besides: text_tokens [1, L, D], text_mask [1, L], seconds [1] and inpaint where the model has such channels.
    """

    rotation_cos: Tensor
    rotation_sin: Tensor

    def __init__(self, dit: ContinuousDiT) -> None:
        super().__init__()
        self.dit = dit
        if dit.time.rates is None:
            dit.time = TimeGraph(dit.time)  # type: ignore[assignment]
        for name, number in dit.numbers.items():
            assert isinstance(number, NumberEmbedding)
            if number.rates is None:
                dit.numbers[name] = NumberGraph(number)
        config = dit.config
        length = config.max_frames + config.memory_tokens + (dit.modulate is None)
        rotation = Rotation.of(length, count_rotated_entries(config), torch.device("cpu"))
        self.register_buffer("rotation_cos", rotation.cos)
        self.register_buffer("rotation_sin", rotation.sin)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text_tokens: Tensor,
        text_mask: Tensor,
        seconds: Tensor,
        inpaint: Tensor | None = None,
    ) -> dict[str, Tensor]:
        net = self.dit
        pooled, frame_mask = text_tokens[:, 0], torch.ones_like(x[:, 0])
        given = Conditions(text_tokens, text_mask, pooled, seconds, torch.zeros_like(seconds), frame_mask, inpaint)
        context, global_vector = net.conditioning(given)
        context, global_vector = net.context(context), global_vector + net.time(t)
        known = inpaint.mT if inpaint is not None and net.config.inpaint_place == "blocks" else None
        if inpaint is not None and known is None:
            x = torch.cat([x, inpaint], dim=1)
        h = net.enter(x.mT + net.enter_residual(x.mT))
        shared = None if net.modulate is None else net.modulate(global_vector)
        if shared is None:
            h = torch.cat([global_vector.unsqueeze(1), h], dim=1)
        if net.memory is not None:
            h = torch.cat([net.memory[None], h], dim=1)
        rotation = Rotation(self.rotation_cos, self.rotation_sin)
        for block in net.blocks:
            assert isinstance(block, ContinuousBlock)
            h = block(h, block.cross_attention.keys_values(context), shared, rotation, known)
        out = net.leave(h[:, -x.shape[2] :])
        return {"velocity": (out + net.leave_residual(out)).mT}


class T5GemmaGraph(nn.Module):
    """ids int32 [1, L], mask [1, L] -> tokens [1, L, D], zero at padding, and pooled [1, D]."""

    def __init__(self, encoder: T5GemmaEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        tokens, pooled = self.encoder(ids, mask)
        return {"tokens": tokens, "pooled": pooled}


class SameDecoderGraph(nn.Module):
    """latents [1, C, T] -> samples [1, A, N]: the whole length at once."""

    def __init__(self, decoder: SameDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> dict[str, Tensor]:
        net, frames = self.decoder, latents.shape[-1]
        x = latents if net.level is None else latents * net.level
        whole = functional.pad(net.enter(x.mT).mT, (0, -frames % net.config.chunk_frames))
        return {"samples": net._whole(whole)[..., : frames * net.config.hop_length]}


class SameEncoderGraph(nn.Module):
    """samples [1, A, N] -> latents [1, C, T]: the whole length at once; behind a sound there is silence."""

    def __init__(self, encoder: SameEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        net, hop = self.encoder, self.encoder.config.hop_length
        frames = samples.shape[-1] // hop
        whole = functional.pad(samples, (0, -frames % net.config.chunk_frames * hop))
        return {"latents": net._whole(whole)[..., :frames]}


def signature_of(module: Any, config: ModelConfig) -> Signature:
    """Returns the graph of a part of Stable Audio 3, at the longest length that the model makes.

    Args:
        module: Part of the model; a transformer's embeddings of numbers are replaced.
        config: Config of the model.

    Returns:
        Module with its inputs.

    Raises:
        ModelError: If the autoencoder draws noise, or for a module that none is known for.
    """
    codec = of_type(config.autoencoder, SameConfig)
    if codec.encoder_noise or codec.decoder_noise or codec.latent_noise:
        raise ModelError(
            f"{config.name} cannot be exported: its autoencoder draws noise, which a graph cannot do; set "
            "encoder_noise, decoder_noise and latent_noise to 0 in its config.json"
        )
    length, frames = config.text.max_tokens, config.dit.max_frames
    mask = (torch.arange(length) < max(length // 4, 1)).float()[None]
    if isinstance(module, T5GemmaEncoder):
        ids = (torch.arange(length, dtype=torch.int32) * 7919 % of_type(config.text, T5GemmaConfig).vocabulary)[None]
        return Signature(TEXT_SIGNATURE, T5GemmaGraph(module).eval(), {"ids": ids, "mask": mask})
    if isinstance(module, ContinuousDiT):
        return Signature(f"T{frames}", TransformerGraph(module).eval(), _inputs(config, mask))
    if isinstance(module, SameDecoder):
        inputs = {"latents": _normal(1, 1, codec.latent_channels, frames)}
        return Signature(f"T{frames}", SameDecoderGraph(module).eval(), inputs)
    if isinstance(module, SameEncoder):
        inputs = {"samples": 0.3 * _normal(1, 1, config.channels, frames * config.hop_length)}
        return Signature(f"T{frames}", SameEncoderGraph(module).eval(), inputs)
    raise ModelError(f"{config.name} cannot be exported: no graph is known for a {type(module).__name__}.")


def _inputs(config: ModelConfig, mask: Tensor) -> dict[str, Tensor]:
    dit = config.dit
    inputs = {
        "x": _normal(1, 1, dit.latent_channels, dit.max_frames),
        "t": torch.full((1,), 0.6),
        "text_tokens": _normal(2, 1, config.text.max_tokens, config.text.width) * mask[:, :, None],
        "text_mask": mask,
        "seconds": torch.full((1,), dit.max_seconds),
    }
    if dit.inpaint_channels:
        inputs["inpaint"] = _normal(3, 1, dit.inpaint_channels, dit.max_frames)
    return inputs


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
