"""The `same` autoencoder: waveforms to latents and back by transformers, weight norm already folded in.

B batch, A audio channels, N audio samples, C latent channels, T latent frames, W width, K head size. A sound is cut
into patches; each is a token. After every `stride` tokens the encoder has one more, which becomes the latent frame; the
decoder begins with the frame and has `stride` new tokens after it, which become patches. Tokens attend to each other in
chunks: half of the blocks in one division, the other half in one that lies half a chunk further.

What the published program adds at random in decoding, a thousandth of noise, is left out.

Source: Stable Audio 3 (arXiv 2605.17991); norms: Zhu et al. 2025, "Transformers without normalization"; difference of
two attentions: Ye et al. 2024, "Differential transformer".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.model_folder.config import SameConfig
from arctone.models.continuous_dit import Rotation
from arctone.models.dit import SwiGLU
from arctone.models.oobleck import tiled

# Latent frames that are worked on at once; whole chunks of every size in use.
TILE_FRAMES = 64


class DynamicTanh(nn.Module):
    """gamma tanh(alpha x) + beta in the place of a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.beta, self.gamma, torch.tanh(self.alpha * x))


class ChunkAttention(nn.Module):
    """Attention among all tokens of [B, L, W], or the difference of two."""

    def __init__(self, config: SameConfig) -> None:
        super().__init__()
        width, self.head_size = config.width, config.head_size
        self.num_maps = 2 if config.is_differential else 1
        self.to_qkv = nn.Linear(width, (1 + 2 * self.num_maps) * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.q_norm = DynamicTanh(config.head_size)
        self.k_norm = DynamicTanh(config.head_size)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        # In this order: q, k, v, and those of the second attention, which shares the values.
        parts = self.to_qkv(x).unflatten(-1, (1 + 2 * self.num_maps, -1, self.head_size)).permute(2, 0, 3, 1, 4)
        q, k, v = parts[:3]
        out = self._attended(q, k, v, rotation)
        if len(parts) > 3:
            # The second attention shares the values.
            out = out - self._attended(parts[3], parts[4], v, rotation)
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, rotation: Rotation) -> Tensor:
        q, k = rotation.turn(self.q_norm(q)), rotation.turn(self.k_norm(k))
        return functional.scaled_dot_product_attention(q, k, v)


class SameBlock(nn.Module):
    """Attention and feed-forward within a chunk."""

    def __init__(self, config: SameConfig) -> None:
        super().__init__()
        self.attention_norm = DynamicTanh(config.width)
        self.attention = ChunkAttention(config)
        self.mlp_norm = DynamicTanh(config.width)
        self.mlp = SwiGLU(config.width, config.mlp_width)
        scaled = config.branch_scale
        self.attention_scale = nn.Parameter(torch.ones(config.width)) if scaled else None
        self.mlp_scale = nn.Parameter(torch.ones(config.width)) if scaled else None

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        x = x + _scaled(self.attention(self.attention_norm(x), rotation), self.attention_scale)
        return x + _scaled(self.mlp(self.mlp_norm(x)), self.mlp_scale)


class Patches(nn.Module):
    """Convolution over tokens, [B, W, L] to [B, W, L]; weight [out, in, kernel] as published."""

    def __init__(self, wide_in: int, wide_out: int, kernel: int) -> None:
        super().__init__()
        bound = (wide_in * kernel) ** -0.5
        self.weight = nn.Parameter(torch.empty(wide_out, wide_in, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(wide_out))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv1d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class ChunkedBlocks(nn.Module):
    """Frames of 1 + stride tokens, [B, T, 1 + stride, W], through all blocks; T is a multiple of a chunk's frames."""

    def __init__(self, config: SameConfig, depth: int) -> None:
        super().__init__()
        self.frames, self.rotated = config.chunk_frames, config.head_size // 2
        self.blocks = nn.ModuleList(SameBlock(config) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        batch, num_frames, tokens, width = x.shape
        x, shift = x.flatten(1, 2), self.frames * tokens // 2
        size, half = self.frames * tokens, len(self.blocks) // 2
        rotation = Rotation.of(size, self.rotated, x.device)
        x = self._chunks(x, size, rotation, self.blocks[:half])
        moved = torch.cat([x[:, :shift], x, x[:, -shift:]], dim=1)
        moved = self._chunks(moved, size, rotation, self.blocks[half:])
        return moved[:, shift : shift + num_frames * tokens].reshape(batch, num_frames, tokens, width)

    @staticmethod
    def _chunks(x: Tensor, size: int, rotation: Rotation, blocks: nn.ModuleList) -> Tensor:
        chunks = x.reshape(-1, size, x.shape[-1])
        for block in blocks:
            chunks = block(chunks, rotation)
        return chunks.reshape(x.shape)


class SameEncoder(nn.Module):
    """Waveform [B, A, N] to latents [B, C, T]; N is a multiple of the hop."""

    def __init__(self, config: SameConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = Patches(config.audio_channels * config.patch, config.width, config.encoder_kernel)
        self.new_tokens = nn.Parameter(1e-5 * torch.ones(1, 1, config.width))
        self.body = ChunkedBlocks(config, config.encoder_depth)
        self.leave = nn.Linear(config.width, config.latent_channels)
        self.scale = nn.Parameter(torch.ones(1, config.latent_channels, 1))
        self.shift = nn.Parameter(torch.zeros(1, config.latent_channels, 1))
        self.level = nn.Parameter(torch.ones(1)) if config.has_level else None

    def forward(self, samples: Tensor) -> Tensor:
        config = self.config
        hop, frames = config.hop_length, samples.shape[-1] // config.hop_length
        whole = functional.pad(samples, (0, -frames % config.chunk_frames * hop))
        latents = tiled(self._whole, whole, TILE_FRAMES * hop, config.reach_frames * hop, (1, hop))
        return latents[..., :frames]

    def _whole(self, samples: Tensor) -> Tensor:
        config = self.config
        patches = samples.to(self.leave.weight.dtype).unflatten(-1, (-1, config.patch))
        x = self.enter(patches.permute(0, 1, 3, 2).flatten(1, 2)).mT.unflatten(1, (-1, config.stride))
        new = self.new_tokens.expand(*x.shape[:2], -1, -1)
        x = self.body(torch.cat([x, new], dim=2))[:, :, -1]
        latents = self.leave(x).mT * self.scale + self.shift
        return latents if self.level is None else latents / self.level


class SameDecoder(nn.Module):
    """Latents [B, C, T] to a waveform [B, A, N]."""

    def __init__(self, config: SameConfig) -> None:
        super().__init__()
        self.config = config
        self.level = nn.Parameter(torch.ones(1)) if config.has_level else None
        self.enter = nn.Linear(config.latent_channels, config.width)
        count = 1 if config.shares_new_token else config.stride
        self.new_tokens = nn.Parameter(1e-5 * torch.ones(1, count, config.width))
        self.body = ChunkedBlocks(config, config.decoder_depth)
        self.leave = Patches(config.width, config.audio_channels * config.patch, config.decoder_kernel)

    def forward(self, latents: Tensor) -> Tensor:
        config = self.config
        x = latents.to(self.enter.weight.dtype)
        x = self.enter((x if self.level is None else x * self.level).mT).mT
        frames = x.shape[-1]
        whole = functional.pad(x, (0, -frames % config.chunk_frames))
        samples = tiled(self._whole, whole, TILE_FRAMES, config.reach_frames, (config.hop_length, 1))
        return samples[..., : frames * config.hop_length]

    def _whole(self, x: Tensor) -> Tensor:
        config = self.config
        frames = x.mT.unsqueeze(2)
        new = self.new_tokens.expand(len(x), config.stride, -1).unsqueeze(1).expand(-1, frames.shape[1], -1, -1)
        x = self.body(torch.cat([frames, new], dim=2))[:, :, 1:]
        patches = self.leave(x.flatten(1, 2).mT).unflatten(1, (config.audio_channels, config.patch))
        samples = patches.permute(0, 1, 3, 2).flatten(2)
        return samples.tanh() if config.soft_clip else samples


class Same(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: SameConfig) -> None:
        super().__init__()
        self.encoder, self.decoder = SameEncoder(config), SameDecoder(config)


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    return x if scale is None else x * scale
