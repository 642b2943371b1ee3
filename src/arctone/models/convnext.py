"""ConvNeXt block over time. B batch, M frames, D width. Source: Vocos (Siuzdak, 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise network; [B, M, D] -> [B, M, D]."""

    def __init__(self, width: int, expansion: int, kernel: int = 7) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        # Starts near the identity, which lets deep stacks train from the first step.
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: [B, M, 1], True = real; the convolution sees zeros elsewhere, as beyond the end of a sound."""
        seen = x if mask is None else x * mask
        # Depthwise convolution has no fast 16-bit path on CPUs, so it leaves autocast.
        with torch.autocast(x.device.type, enabled=False):
            mixed = self.mix(seen.float().mT).mT
        return x + self.scale * self.down(F.gelu(self.up(self.norm(mixed))))
