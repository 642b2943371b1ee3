"""A critic of spectrograms: which of two level maps is the recorded one?

It looks at patches of the level over time and frequency, so that textures and partials come out as sharp as in real
sounds instead of as their average. Shapes: B batch, M frames, K = 1025 bins.
Source: patch discriminators as in pix2pix (Isola et al., 2017), on spectrograms as in UnivNet (Jang et al., 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from arctone.audio.spectral.stft import NUM_BINS

# (channels, kernel, stride), each over (time, frequency). The lobe of a partial is four bins wide.
_LAYERS = (
    (16, (3, 7), (1, 4)),
    (32, (3, 5), (1, 4)),
    (64, (3, 5), (2, 2)),
    (64, (3, 3), (2, 2)),
)


class SpectralDiscriminator(nn.Module):
    """Scaled levels [B, M, K] -> scores [B, M / 4, 16], high means real, and the hidden features of each layer."""

    position: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = [2, *(channels for channels, _, _ in _LAYERS)]
        self.layers = nn.ModuleList(
            _conv(before, channels, kernel, stride)
            for before, (channels, kernel, stride) in zip(widths[:-1], _LAYERS, strict=True)
        )
        self.leave = _conv(widths[-1], 1, (3, 3), (1, 1))
        # What is usual differs between low and high bins, so each is told where it stands.
        self.register_buffer("position", torch.linspace(-1, 1, NUM_BINS), persistent=False)

    def forward(self, level: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = torch.stack([level, self.position.expand_as(level)], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        hidden = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            hidden.append(x)
        return self.leave(x)[:, 0], hidden


def _conv(before: int, after: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return weight_norm(nn.Conv2d(before, after, kernel, stride, padding))
