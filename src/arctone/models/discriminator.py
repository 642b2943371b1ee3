"""The discriminator of adversarial post-training: the first blocks of a flow model and a small convolutional head.

It scores noisy latents against a prompt, one logit for each stretch of time; high = real. All it does is exact under
padding: a clip has the same logits alone and in a batch of longer ones.
B batch, C channels, T latent frames, D width, S score positions.
Source: Novack et al. 2025, arXiv 2505.08175, and the public trainer's two heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arctone.errors import UsageError
from arctone.model_folder.config import DiTConfig
from arctone.models.conditions import Conditions
from arctone.models.dit import DiT, Trunk
from arctone.models.spectral import ConvNeXtBlock

BLOCK_SHARE = 0.75
"""Part of the flow model's blocks that the discriminator has by default."""


class Scores(NamedTuple):
    """logits: [B, S], high = real. mask: [B, S], True where a position belongs to the clip."""

    logits: Tensor
    mask: Tensor


class Discriminator(nn.Module):
    """Scores of noisy latents.

    Args: config: of the flow model. num_blocks: how many of its blocks to have, 1 to its depth; by default three of
    four. head: "conv" or "convnext".
    Raises: UsageError for an unknown head or an impossible number of blocks.
    """

    def __init__(self, config: DiTConfig, num_blocks: int | None = None, head: str = "conv") -> None:
        super().__init__()
        num_blocks = max(1, round(BLOCK_SHARE * config.depth)) if num_blocks is None else num_blocks
        if not 1 <= num_blocks <= config.depth:
            raise UsageError(
                f"num_blocks: {num_blocks} is not possible, the flow model has {config.depth} blocks",
                field="num_blocks",
            )
        if head not in HEADS:
            raise UsageError(f"head: {head!r} is unknown, choose from {', '.join(HEADS)}", field="head")
        self.trunk = Trunk(config, num_blocks)
        self.head = HEADS[head](config.width)

    def forward(self, x: Tensor, s: Tensor, conditions: Conditions) -> Scores:
        """x: latents [B, C, T] at level s [B], 0 to 1."""
        hidden, _ = self.trunk.hidden(x, s, conditions)
        return self.head(hidden, conditions.frame_mask.bool())


def trunk_state(flow_state: Mapping[str, Tensor], config: DiTConfig, num_blocks: int) -> dict[str, Tensor]:
    """A flow model's weights less those that a trunk of `num_blocks` blocks does not have.

    Only names that a DiT of this config has behind the trunk are left out; strange ones stay, for a strict load to
    find them.
    """
    with torch.device("meta"):
        behind = DiT(config).state_dict().keys() - Trunk(config, num_blocks).state_dict().keys()
    return {name: value for name, value in flow_state.items() if name not in behind}


class MaskedGroupNorm(nn.GroupNorm):
    """Group normalisation over the real positions of [B, D, T] alone."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """mask: [B, 1, T]."""
        with torch.autocast(x.device.type, enabled=False):
            grouped = x.float().unflatten(1, (self.num_groups, -1))
            real = mask.unsqueeze(1).float()
            count = real.sum((2, 3), keepdim=True) * grouped.shape[2]
            centred = (grouped - (grouped * real).sum((2, 3), keepdim=True) / count) * real
            variance = centred.square().sum((2, 3), keepdim=True) / count
            normal = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2)
            return normal * self.weight[:, None] + self.bias[:, None]


class ConvHead(nn.Module):
    """Four strided convolutions and one logit for every 16 frames; [B, T, D] -> Scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.downs = nn.ModuleList(nn.Conv1d(width, width, 4, stride=2, padding=1) for _ in range(4))
        # 32 groups at the published width of 1024, never groups of fewer than 8 channels.
        self.norms = nn.ModuleList(MaskedGroupNorm(math.gcd(32, max(width // 8, 1)), width) for _ in range(4))
        self.leave = nn.Conv1d(width, 1, 4)

    def forward(self, hidden: Tensor, mask: Tensor) -> Scores:
        x, mask = _whole(hidden.mT, mask.unsqueeze(1), 16)
        for down, norm in zip(self.downs, self.norms, strict=True):
            x, mask = down(x * mask), mask[..., ::2]
            x = F.silu(norm(x, mask))
        # Without padding the last kernel of 4 would need 64 frames; three seconds is longer than many sounds.
        logits = self.leave(F.pad(x * mask, (1, 2)))
        return Scores(logits[:, 0].float(), mask[:, 0])


class ConvNeXtHead(nn.Module):
    """Three stages of two ConvNeXt blocks and a convolution, and one logit for every 4 frames; [B, T, D] -> Scores.

    128 channels, times 1, 2 and 4 after each stage; narrow flow models have a fourth of their width for the first.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        first = min(128, max(width // 4, 8))
        self.enter = nn.Conv1d(width, first, 7, padding=3)
        self.stages = nn.ModuleList(
            nn.ModuleList(ConvNeXtBlock(channels, expansion=4) for _ in range(2))
            for channels in (first, first, 2 * first)
        )
        self.downs = nn.ModuleList(
            [
                nn.Conv1d(first, first, 3, padding=1),
                nn.Conv1d(first, 2 * first, 4, stride=2, padding=1),
                nn.Conv1d(2 * first, 4 * first, 4, stride=2, padding=1),
            ]
        )
        self.norm = nn.LayerNorm(4 * first)
        self.leave = nn.Conv1d(4 * first, 1, 3, padding=1)

    def forward(self, hidden: Tensor, mask: Tensor) -> Scores:
        x, mask = _whole(hidden.mT, mask.unsqueeze(1), 4)
        x = self.enter(x * mask)
        for stage, down in zip(self.stages, self.downs, strict=True):
            assert isinstance(stage, nn.ModuleList)
            assert isinstance(down, nn.Conv1d)
            for block in stage:
                x = block((x * mask).mT).mT
            x, mask = down(x * mask), mask[..., :: down.stride[0]]
        logits = self.leave(self.norm(x.mT).mT * mask)
        return Scores(logits[:, 0].float(), mask[:, 0])


HEADS: dict[str, type[ConvHead] | type[ConvNeXtHead]] = {"conv": ConvHead, "convnext": ConvNeXtHead}


def _whole(x: Tensor, mask: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """x [B, D, T] and its mask filled up to a multiple of frames, so that every stride halves the length exactly."""
    missing = -x.shape[-1] % multiple
    return F.pad(x, (0, missing)), F.pad(mask, (0, missing))
