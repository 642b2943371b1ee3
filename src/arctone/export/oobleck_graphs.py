"""The `oobleck` autoencoder as graphs of fixed length: the coarse blocks of the decoder, its fine blocks, the encoder.

B = 1 item, A audio channels, C latent channels, W width, N positions in time. Inside, frames come first, [1, 1, N, W]:
the layout of the kernels. A transposed convolution of stride s and kernel 2 s is written as what it computes: each
input adds to two neighbouring groups of s outputs, so it is a convolution of two taps to s W channels, whose groups are
laid one after another. It has the same number of operations, and every back end has 8-bit kernels for it.

The fine blocks see few input frames, so they run in short tiles that stay in the caches; the coarse ones hold most of
the weights and run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from arctone.model_folder.graph_names import NUM_FINE_BLOCKS
from arctone.models.oobleck import (
    Convolution,
    DecoderBlock,
    EncoderBlock,
    Expansion,
    OobleckDecoder,
    OobleckEncoder,
    ResidualUnit,
    Snake,
)

MAX_WEIGHTS = 6_000_000
"""Elements of one convolution weight; the quantiser fails on much larger ones, so they are cut by output channels."""


class SnakeGraph(nn.Module):
    """Snake with its two vectors computed once; [1, 1, N, W]."""

    rate: Tensor
    amount: Tensor

    def __init__(self, snake: Snake) -> None:
        super().__init__()
        self.register_buffer("rate", snake.alpha.detach().float().exp())
        self.register_buffer("amount", 1.0 / (snake.beta.detach().float().exp() + 1e-9))

    def forward(self, x: Tensor) -> Tensor:
        wave = torch.sin(x * self.rate)
        return x + self.amount * (wave * wave)


class ConvolutionGraph(nn.Module):
    """A convolution over time, its weight in pieces; [1, 1, N, W] to [1, 1, N', W']."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, stride: int = 1, dilation: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        wide_out, wide_in, kernel = weight.shape
        num_pieces = -(-weight.numel() // MAX_WEIGHTS)
        rows = [wide_out * i // num_pieces for i in range(num_pieces + 1)]
        self.pieces = nn.ModuleList()
        for first, last in pairwise(rows):
            piece = nn.Conv2d(
                wide_in,
                last - first,
                (1, kernel),
                (1, stride),
                (0, padding),
                (1, dilation),
                bias=bias is not None,
                device="meta",
            )
            piece.weight = nn.Parameter(weight[first:last].detach().float().unsqueeze(2), requires_grad=False)
            if bias is not None:
                piece.bias = nn.Parameter(bias[first:last].detach().float(), requires_grad=False)
            self.pieces.append(piece)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        return torch.cat([piece(x).permute(0, 2, 3, 1) for piece in self.pieces], dim=-1)

    @classmethod
    def of(cls, convolution: Convolution) -> ConvolutionGraph:
        """The same convolution."""
        places = {name: getattr(convolution, name) for name in ("stride", "dilation", "padding")}
        return cls(convolution.weight, convolution.bias, **places)


class ExpansionGraph(nn.Module):
    """A transposed convolution as one of two taps; [1, 1, N, W] to [1, 1, s N, W'] for even strides."""

    def __init__(self, expansion: Expansion) -> None:
        super().__init__()
        self.stride, self.padding = expansion.stride, expansion.padding
        weight = expansion.weight.detach()  # [in, out, 2 s]
        wide_in, self.wide_out, _ = weight.shape
        early, late = weight[..., : self.stride], weight[..., self.stride :]
        # Output q s + r gets tap r of input q and tap r + s of input q - 1.
        taps = torch.stack([late, early], dim=-1).permute(2, 1, 0, 3)  # [s, out, in, 2]
        bias = expansion.bias.detach().repeat(self.stride)
        self.taps = ConvolutionGraph(taps.reshape(self.stride * self.wide_out, wide_in, 2), bias, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        length = (x.shape[2] - 1) * self.stride + 2 * self.stride - 2 * self.padding
        groups = self.taps(x)
        made = groups.reshape(1, 1, groups.shape[2] * self.stride, self.wide_out)
        return made[:, :, self.padding : self.padding + length]


class ResidualGraph(nn.Module):
    """A residual unit; [1, 1, N, W]."""

    def __init__(self, unit: ResidualUnit) -> None:
        super().__init__()
        self.snake_1, self.snake_2 = SnakeGraph(unit.snake_1), SnakeGraph(unit.snake_2)
        self.wide, self.pointwise = ConvolutionGraph.of(unit.wide), ConvolutionGraph.of(unit.pointwise)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(self.snake_2(self.wide(self.snake_1(x))))


class DecoderHead(nn.Module):
    """The first convolution and the coarse blocks: latents [1, C, T] to frames [1, W, N] of the fine blocks."""

    def __init__(self, decoder: OobleckDecoder) -> None:
        super().__init__()
        self.enter = ConvolutionGraph.of(decoder.enter)
        self.blocks = _decoder_blocks(list(decoder.blocks)[:-NUM_FINE_BLOCKS])

    def forward(self, latents: Tensor) -> dict[str, Tensor]:
        return {"frames": self.blocks(self.enter(latents.mT.unsqueeze(1))).squeeze(1)}


class DecoderTail(nn.Module):
    """The fine blocks and the last convolution: frames [1, N, W] to samples [1, A, M]."""

    def __init__(self, decoder: OobleckDecoder) -> None:
        super().__init__()
        self.blocks = _decoder_blocks(list(decoder.blocks)[-NUM_FINE_BLOCKS:])
        self.snake, self.leave = SnakeGraph(decoder.snake), ConvolutionGraph.of(decoder.leave)
        self.final_tanh = decoder.config.final_tanh

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        samples = self.leave(self.snake(self.blocks(frames.unsqueeze(1)))).squeeze(1).mT
        return {"samples": samples.tanh() if self.final_tanh else samples}


class EncoderTile(nn.Module):
    """samples [1, A, N], frame_mask [1, T] to latents [1, C, T]: the mean of the encoder's normal distribution.

    Where the mask is 0, behind the end of a sound, every convolution sees zeros, as it does beyond the end of a tile.
    """

    def __init__(self, encoder: OobleckEncoder) -> None:
        super().__init__()
        self.enter = ConvolutionGraph.of(encoder.enter)
        self.blocks = nn.ModuleList()
        for block in encoder.blocks:
            assert isinstance(block, EncoderBlock)
            step = nn.Sequential(SnakeGraph(block.snake), ConvolutionGraph.of(block.step))
            self.blocks.append(nn.ModuleList([*_units(block.units), step]))
        self.strides = encoder.config.strides
        self.snake = SnakeGraph(encoder.snake)
        channels = encoder.config.latent_channels
        weight, bias = encoder.leave.weight[:channels], encoder.leave.bias
        assert bias is not None
        self.leave = ConvolutionGraph(weight, bias[:channels], padding=encoder.leave.padding)

    def forward(self, samples: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        mask, *masks = self._masks(frame_mask)
        x = self.enter(samples.mT.unsqueeze(1)) * mask
        for block, coarser in zip(self.blocks, masks, strict=True):
            assert isinstance(block, nn.ModuleList)
            for unit in block[:-1]:
                x = unit(x) * mask
            mask = coarser
            x = block[-1](x) * mask
        return {"latents": self.leave(self.snake(x)).squeeze(1).mT}

    def _masks(self, frame_mask: Tensor) -> list[Tensor]:
        """The mask at each level, from samples to latent frames, [1, 1, N, 1]."""
        ratio, found = 1, [frame_mask.reshape(1, 1, -1, 1)]
        for stride in reversed(self.strides):
            ratio *= stride
            found.append((frame_mask[:, :, None] * torch.ones(ratio)).reshape(1, 1, -1, 1))
        return found[::-1]


def _decoder_blocks(blocks: Sequence[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for block in blocks:
        assert isinstance(block, DecoderBlock)
        layers += [SnakeGraph(block.snake), ExpansionGraph(block.step), *_units(block.units)]
    return nn.Sequential(*layers)


def _units(units: nn.Sequential) -> list[nn.Module]:
    found: list[nn.Module] = []
    for unit in units:
        assert isinstance(unit, ResidualUnit)
        found.append(ResidualGraph(unit))
    return found
