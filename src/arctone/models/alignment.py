"""How well noisy latents fit a caption: a small network with a tower for sound and one for text.

It is trained on latents at all noise levels, so that a generator can be led by it without learning to fool it with
what noise would cover. B items, C channels, T latent frames, N captions, D text width, E embedding size.
Source: CLAP (Elizalde et al., 2022), on noisy latents as in Stable Audio 3 (arXiv 2605.17991).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arctone.models.dit import TimestepEmbedding
from arctone.models.spectral import ConvNeXtBlock


class AlignmentCritic(nn.Module):
    """Similarity of latents and captions, cosine times a learned sharpness.

    Args: channels: C. text_width: D. width: of the sound tower, and E.
    """

    def __init__(self, channels: int, text_width: int, width: int = 128, num_blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.level = TimestepEmbedding(width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, expansion=3) for _ in range(num_blocks))
        self.sound = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.text = nn.Sequential(nn.Linear(text_width, width), nn.SiLU(), nn.Linear(width, width))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x: Tensor, s: Tensor, frame_mask: Tensor, captions: Tensor) -> Tensor:
        """x: latents [B, C, T] at level s [B]; frame_mask: [B, T]; captions: pooled [N, D]. Returns: [B, N]."""
        mask = frame_mask.bool().unsqueeze(-1)
        h = self.enter(x.mT) + self.level(s).unsqueeze(1)
        for block in self.blocks:
            h = block(h * mask)
        pooled = (h * mask).sum(1) / mask.sum(1)
        sound, text = F.normalize(self.sound(pooled), dim=-1), F.normalize(self.text(captions), dim=-1)
        # Bounded, as in CLIP: beyond 100 a single pair would decide the gradient.
        return self.log_sharpness.clamp(max=math.log(100)).exp() * (sound.float() @ text.float().T)
