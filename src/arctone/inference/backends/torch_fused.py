"""Whole sounds in torch: text, every step and decoding, with all that lies between them on the device.

B sounds, S steps, C latent channels, T latent frames, L text tokens, A audio channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from arctone.flow.guidance import combined
from arctone.flow.samplers import SAMPLERS
from arctone.inference.backends.torch_codecs import Codec
from arctone.model_folder.config import ModelConfig
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT

Network = Callable[..., Tensor]


@dataclass(frozen=True)
class Plan:
    """What is fixed for a recorded request; whatever else changes from one to the next is an input. See Order."""

    num_sounds: int
    num_heard: int
    cfg_scale: float
    is_projected: bool
    sampler: str
    times: tuple[float, ...]


@dataclass(frozen=True)
class Networks:
    """What computes. transformer: as it is called, compiled or not. module: the same, as it is."""

    text: nn.Module
    transformer: Network
    module: nn.Module
    decoder: Network


def sounds(networks: Networks, config: ModelConfig, codec: Codec, plan: Plan, *inputs: Tensor) -> Tensor:
    """Samples [B, A, N] of a plan.

    Args: inputs: ids and mask of the prompt and ids and mask of what guidance leads away from, [1, L] each; noise
    [S, B, C, T]; mask of the frames [1, T]; seconds and bpm [1]; then what the codec drew, [B, ...] each.
    """
    ids, mask, away_ids, away_mask, noise, frame_mask, seconds, bpm, *drawn = inputs
    shared = (frame_mask, seconds)
    sides = [_conditions(networks, config, plan, ids, mask, bpm, *shared)] if plan.cfg_scale != 0 else []
    if plan.cfg_scale != 1:
        sides.append(_conditions(networks, config, plan, away_ids, away_mask, torch.zeros_like(bpm), *shared))
    conditions = sides[0] if len(sides) == 1 else sides[0].joined(*sides[1:])
    prepared = [networks.module.prepare(conditions)] if isinstance(networks.module, ContinuousDiT) else []

    def velocity(x: Tensor, t: float) -> Tensor:
        both = torch.cat([x] * len(sides))
        levels = torch.full((len(both),), t, dtype=torch.float32, device=x.device)
        found = networks.transformer(both, levels, conditions, *prepared).float()
        if len(sides) == 1:
            return found
        towards, away = found.chunk(2)
        made: Tensor = combined(towards, away, x, t, plan.cfg_scale, is_projected=plan.is_projected)
        return made

    start = noise[0] * plan.times[0]
    *_, last = SAMPLERS[plan.sampler](velocity, start, plan.times, lambda step: noise[step])
    return codec.decode_there(networks.decoder, last.x[..., : plan.num_heard], drawn)


def _conditions(
    networks: Networks,
    config: ModelConfig,
    plan: Plan,
    ids: Tensor,
    mask: Tensor,
    bpm: Tensor,
    frame_mask: Tensor,
    seconds: Tensor,
) -> Conditions:
    """Conditions of all sounds on one side of guidance. A prompt without tokens is none: see `parts.no_text`."""
    tokens, pooled = networks.text(ids, mask.float())
    is_said = mask.any(dim=1, keepdim=True)
    # Not a product with 0: what attention makes of nothing need not be a number.
    tokens = torch.where(is_said.unsqueeze(2), tokens, 0.0)
    pooled = torch.where(is_said, pooled, 0.0)
    frames, channels = frame_mask.shape[1], config.dit.inpaint_channels
    # There is nothing known in a sound that is made from text.
    inpaint = tokens.new_zeros(1, channels, frames, dtype=torch.float32) if channels else None
    given = (tokens, mask, pooled, seconds, bpm, frame_mask, inpaint)
    return Conditions(*(None if value is None else value.expand(plan.num_sounds, *value.shape[1:]) for value in given))
