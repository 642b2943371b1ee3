"""The `oobleck` autoencoder: waveforms to latents and back by strided convolutions, weight norm already folded in.

B batch, A audio channels, N audio samples, C latent channels, T latent frames, W width. Everything runs as
two-dimensional convolutions over [B, W, 1, N] with the channels last in memory: the form that CPUs and GPUs have 16-bit
kernels for.

Long sounds are worked on in tiles. A tile carries as many frames more on either side as the convolutions can see (the
reach), so what is kept of it equals the whole.

Source: Evans et al. 2024, "Stable Audio Open" (arXiv 2407.14358); snake: Ziyin et al. 2020,
with an amplitude of its own as in BigVGAN (Lee et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.model_folder.config import OobleckConfig, decoder_reach, encoder_reach

DILATIONS = (1, 3, 9)
# The tail of the decoder runs in tiles of that many frames of its own input: small enough for the caches.
TAIL_TILE = 256
NUM_TAIL_BLOCKS = 3
# Latent frames that the encoder makes at once.
ENCODER_TILE = 32


class Snake(nn.Module):
    """x + sin(a x)^2 / b with a and b per channel, kept as logarithms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))
        self.beta = nn.Parameter(torch.zeros(width))
        # Of frozen parameters: computed once, for a sound is made in many tiles.
        self._kept: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            rate, amount = self._factors(x.dtype)
            return x + amount * torch.sin(x * rate).square()
        kept = self._kept
        if kept is None or kept[0].dtype != x.dtype or kept[0].device != x.device:
            kept = self._factors(x.dtype)
            self._kept = None if self.alpha.requires_grad else kept
        rate, amount = kept
        # In place, because fresh memory of this size costs as much as the arithmetic.
        wave = (x * rate).sin_()
        return torch.addcmul(x, wave.mul_(wave), amount)

    def _factors(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        rate, amount = self.alpha.float().exp(), 1.0 / (self.beta.float().exp() + 1e-9)
        return rate.to(dtype)[:, None, None], amount.to(dtype)[:, None, None]


class Convolution(nn.Module):
    """Convolution over time of [B, W, 1, N]; weight [out, in, kernel] as published."""

    def __init__(
        self, wide_in: int, wide_out: int, kernel: int, *, stride: int = 1, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        bound = (wide_in * kernel) ** -0.5
        self.weight = nn.Parameter(torch.empty(wide_out, wide_in, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(wide_out)) if bias else None
        self.stride, self.dilation = stride, dilation
        self.padding = math.ceil(stride / 2) if stride > 1 else dilation * (kernel - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.unsqueeze(2)
        return functional.conv2d(x, weight, self.bias, (1, self.stride), (0, self.padding), (1, self.dilation))


class Expansion(nn.Module):
    """Transposed convolution that makes `stride` samples of each; weight [in, out, 2 stride] as published."""

    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        bound = (2 * wide_in) ** -0.5
        self.weight = nn.Parameter(torch.empty(wide_in, wide_out, 2 * stride).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(wide_out))
        self.stride, self.padding = stride, math.ceil(stride / 2)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.unsqueeze(2)
        return functional.conv_transpose2d(x, weight, self.bias, (1, self.stride), (0, self.padding))


class ResidualUnit(nn.Module):
    """Snake, dilated convolution, snake, pointwise convolution, added to the input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.snake_1 = Snake(width)
        self.wide = Convolution(width, width, 7, dilation=dilation)
        self.snake_2 = Snake(width)
        self.pointwise = Convolution(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(self.snake_2(self.wide(self.snake_1(x))))


def _units(width: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualUnit(width, dilation) for dilation in DILATIONS))


class EncoderBlock(nn.Module):
    """Three residual units, then a step to the coarser level."""

    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        self.units = _units(wide_in)
        self.snake = Snake(wide_in)
        self.step = Convolution(wide_in, wide_out, 2 * stride, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self.snake(self.units(x)))


class DecoderBlock(nn.Module):
    """A step to the finer level, then three residual units."""

    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        self.snake = Snake(wide_in)
        self.step = Expansion(wide_in, wide_out, stride)
        self.units = _units(wide_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.units(self.step(self.snake(x)))


class OobleckEncoder(nn.Module):
    """Waveform [B, A, N] to the mean and the raw scale of latents, each [B, C, T]; N is a multiple of the hop."""

    def __init__(self, config: OobleckConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * factor for factor in (1, *config.multipliers)]
        self.enter = Convolution(config.audio_channels, widths[0], 7)
        blocks = zip(pairwise(widths), config.strides, strict=True)
        self.blocks = nn.ModuleList(EncoderBlock(*pair, stride) for pair, stride in blocks)
        self.snake = Snake(widths[-1])
        self.leave = Convolution(widths[-1], 2 * config.latent_channels, 3)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        hop = self.config.hop_length
        whole = tiled(self._whole, samples, ENCODER_TILE * hop, encoder_reach(self.config) * hop, (1, hop))
        mean, scale = whole.chunk(2, dim=1)
        return mean, scale

    def _whole(self, samples: Tensor) -> Tensor:
        x = self.enter(_flat(samples, self.enter.weight))
        for block in self.blocks:
            x = block(x)
        return self.leave(self.snake(x)).squeeze(2)


class OobleckDecoder(nn.Module):
    """Latents [B, C, T] to a waveform [B, A, N]."""

    def __init__(self, config: OobleckConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * factor for factor in reversed((1, *config.multipliers))]
        strides = tuple(reversed(config.strides))
        self.enter = Convolution(config.latent_channels, widths[0], 7)
        blocks = zip(pairwise(widths), strides, strict=True)
        self.blocks = nn.ModuleList(DecoderBlock(*pair, stride) for pair, stride in blocks)
        self.snake = Snake(widths[-1])
        self.leave = Convolution(widths[-1], config.audio_channels, 7, bias=False)
        self.num_head = max(0, len(strides) - NUM_TAIL_BLOCKS)
        self.tail_strides = strides[self.num_head :]

    def forward(self, latents: Tensor, *, tile: int | None = TAIL_TILE) -> Tensor:
        """Decode latents.

        Args:
            latents: [B, C, T].
            tile: Frames of the tail's input that are computed at once, which bounds the memory; None = all.

        Returns:
            Samples, [B, A, N].
        """
        x = self.enter(_flat(latents, self.enter.weight))
        for block in self.blocks[: self.num_head]:
            x = block(x)
        if tile is None:
            return self._tail(x)
        return tiled(self._tail, x, tile, decoder_reach(self.tail_strides), (math.prod(self.tail_strides), 1))

    def _tail(self, x: Tensor) -> Tensor:
        for block in self.blocks[self.num_head :]:
            x = block(x)
        samples = self.leave(self.snake(x)).squeeze(2)
        return samples.tanh() if self.config.final_tanh else samples


class Oobleck(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: OobleckConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = OobleckEncoder(config)
        self.decoder = OobleckDecoder(config)


def tiled(part: Callable[[Tensor], Tensor], x: Tensor, tile: int, reach: int, ratio: tuple[int, int]) -> Tensor:
    """Compute part(x) in tiles of the last axis that overlap by the reach, so that the result is that of the whole.

    Args:
        part: The network.
        x: Its input, [..., N].
        tile: Length of a tile, in steps of x; a multiple of n.
        reach: How far the network sees beyond a step, in steps of x; a multiple of n.
        ratio: (m, n) if n steps of x become m of the result.

    Returns:
        [..., N * m / n].
    """
    length, (up, down) = x.shape[-1], ratio
    if length <= tile + 2 * reach:
        return part(x)
    out: Tensor | None = None
    for start in range(0, length, tile):
        stop, first = min(start + tile, length), max(0, start - reach)
        made = part(x[..., first : min(length, stop + reach)])
        kept = made[..., (start - first) * up // down : (stop - first) * up // down]
        if out is None:
            out = kept.new_empty(*kept.shape[:-1], length * up // down)
        out[..., start * up // down : stop * up // down] = kept
    assert out is not None
    return out


def _flat(x: Tensor, weight: Tensor) -> Tensor:
    """[B, W, N] as an image of one row, channels last, in the type of the weights."""
    return x.to(weight.dtype).unsqueeze(2).contiguous(memory_format=torch.channels_last)
