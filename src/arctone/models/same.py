"""The `same` autoencoder: waveforms to latents and back by transformers, weight norm already folded in.

B batch, A audio channels, N audio samples, C latent channels, T latent frames, W width, K head size. A sound is cut
into patches; each is a token. After every `stride` tokens the encoder has one more, which becomes the latent frame; the
decoder begins with the frame and has `stride` new tokens after it, which become patches. Tokens attend to each other in
chunks (SAME-S): half of the blocks in one division, the other half in one that lies half a chunk further; or each to
those of the frames around its own (SAME-L).

The published program adds noise in decoding (and SAME-L in encoding), which is left out unless the config asks for it;
then it is the same noise for the same frame each time.

Source: Stable Audio 3 (arXiv 2605.17991); norms: Zhu et al. 2025, "Transformers without normalization"; difference of
two attentions: Ye et al. 2024, "Differential transformer".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.flow.noise import item_noise
from arctone.model_folder.config import SameConfig
from arctone.models.continuous_dit import Rotation, difference
from arctone.models.dit import SwiGLU
from arctone.models.oobleck import tiled

# Latent frames that are worked on at once; whole chunks of every size in use.
TILE_FRAMES = 64
# Tokens whose window is computed at once.
PIECE = 512
# Seeds of the noise of the encoder's tokens, the decoder's tokens and the latents; any would do.
ENCODER_SEED, DECODER_SEED, LATENT_SEED = 1, 2, 3


class DynamicTanh(nn.Module):
    """gamma tanh(alpha x) + beta in the place of a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.beta, self.gamma, torch.tanh(self.alpha * x))


class TokenAttention(nn.Module):
    """Attention among the tokens of [B, L, W], all or those of a window; or the difference of two."""

    def __init__(self, config: SameConfig) -> None:
        super().__init__()
        width, self.head_size = config.width, config.head_size
        self.num_maps = 2 if config.is_differential else 1
        self.to_qkv = nn.Linear(width, (1 + 2 * self.num_maps) * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.q_norm = DynamicTanh(config.head_size)
        self.k_norm = DynamicTanh(config.head_size)
        tokens = 1 + config.stride
        self.window = None if config.window is None else (config.window[0] * tokens, config.window[1] * tokens)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        # In this order: q, k, v, and q and k of the second attention, which shares the values.
        parts = self.to_qkv(x).unflatten(-1, (1 + 2 * self.num_maps, -1, self.head_size)).permute(2, 0, 3, 1, 4)
        q, k, v = torch.cat(list(parts[0::3]), dim=1), torch.cat(list(parts[1::3]), dim=1), parts[2]
        q, k = rotation.turn(self.q_norm(q)), rotation.turn(self.k_norm(k))
        out = difference(q, k, v) if self.window is None else windowed(q, k, v, self.window)
        return self.to_out(out.transpose(1, 2).flatten(2))


def windowed(q: Tensor, k: Tensor, v: Tensor, window: tuple[int, int]) -> Tensor:
    """This function attends to the tokens of a window around each token, in pieces, so that no mask is large.

    Args:
        q: See `difference`.
        k: See `difference`.
        v: See `difference`.
        window: How many tokens before and after its own each one attends to.

    Returns:
        [B, H, L, K].
    """
    length, (before, after) = q.shape[2], window
    found = []
    for start in range(0, length, PIECE):
        stop = min(start + PIECE, length)
        first, last = max(0, start - before), min(length, stop + after)
        apart = torch.arange(first, last, device=q.device) - torch.arange(start, stop, device=q.device)[:, None]
        mask = (apart >= -before) & (apart <= after)
        found.append(difference(q[:, :, start:stop], k[:, :, first:last], v[:, :, first:last], mask))
    return torch.cat(found, dim=2)


class SineGLU(SwiGLU):
    """Gated feed-forward whose gate is a sine: h sin(pi g)."""

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.enter(x).chunk(2, dim=-1)
        return self.leave(value * torch.sin(math.pi * gate))


class SameBlock(nn.Module):
    """Attention and feed-forward among tokens that are near each other."""

    def __init__(self, config: SameConfig, *, has_sines: bool = False) -> None:
        super().__init__()
        self.attention_norm = DynamicTanh(config.width)
        self.attention = TokenAttention(config)
        self.mlp_norm = DynamicTanh(config.width)
        self.mlp = (SineGLU if has_sines else SwiGLU)(config.width, config.mlp_width)
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


class TokenBlocks(nn.Module):
    """Frames of 1 + stride tokens, [B, T, 1 + stride, W], through all blocks; T is a multiple of a chunk's frames.

    sine_blocks: how many of the last blocks have sines for gates.
    """

    def __init__(self, config: SameConfig, depth: int, sine_blocks: int = 0) -> None:
        super().__init__()
        self.frames, self.rotated, self.has_chunks = config.chunk_frames, config.head_size // 2, config.window is None
        first_sine = depth - sine_blocks
        self.blocks = nn.ModuleList(SameBlock(config, has_sines=index >= first_sine) for index in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        _, num_frames, tokens, _ = x.shape
        x = x.flatten(1, 2)
        if self.has_chunks:
            x = self._in_chunks(x, self.frames * tokens)
        else:
            x = self._chunks(x, x.shape[1], Rotation.of(x.shape[1], self.rotated, x.device), self.blocks)
        return x.unflatten(1, (num_frames, tokens))

    def _in_chunks(self, x: Tensor, size: int) -> Tensor:
        shift, half, length = size // 2, len(self.blocks) // 2, x.shape[1]
        rotation = Rotation.of(size, self.rotated, x.device)
        x = self._chunks(x, size, rotation, self.blocks[:half])
        moved = torch.cat([x[:, :shift], x, x[:, -shift:]], dim=1)
        return self._chunks(moved, size, rotation, self.blocks[half:])[:, shift : shift + length]

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
        self.body = TokenBlocks(config, config.encoder_depth)
        self.leave = nn.Linear(config.width, config.latent_channels)
        self.scale = nn.Parameter(torch.ones(1, config.latent_channels, 1))
        self.shift = nn.Parameter(torch.zeros(1, config.latent_channels, 1))
        self.level = nn.Parameter(torch.ones(1)) if config.has_level else None

    def forward(self, samples: Tensor) -> Tensor:
        config = self.config
        hop, frames = config.hop_length, samples.shape[-1] // config.hop_length
        whole = functional.pad(samples, (0, -frames % config.chunk_frames * hop))
        if config.encoder_noise:
            # A further channel carries each frame's number through the tiles.
            numbers = torch.arange(whole.shape[-1] // hop, device=whole.device).float().repeat_interleave(hop)
            whole = torch.cat([whole.float(), numbers.expand(len(whole), 1, -1)], dim=1)
        latents = tiled(self._whole, whole, TILE_FRAMES * hop, config.reach_frames * hop, (1, hop))
        return latents[..., :frames]

    def _whole(self, samples: Tensor) -> Tensor:
        config = self.config
        samples, numbers = (
            samples[:, : config.audio_channels],
            samples[0, config.audio_channels :, :: config.hop_length],
        )
        patches = samples.to(self.leave.weight.dtype).unflatten(-1, (-1, config.patch))
        x = self.enter(patches.permute(0, 1, 3, 2).flatten(1, 2)).mT.unflatten(1, (-1, config.stride))
        new = self.new_tokens.expand(*x.shape[:2], -1, -1)
        if config.encoder_noise:
            new = new + config.encoder_noise * frame_noise(ENCODER_SEED, numbers[0], new)
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
        self.body = TokenBlocks(config, config.decoder_depth, config.sine_blocks)
        self.leave = Patches(config.width, config.audio_channels * config.patch, config.decoder_kernel)

    def forward(self, latents: Tensor) -> Tensor:
        config = self.config
        x = latents.to(self.enter.weight.dtype)
        x = x if self.level is None else x * self.level
        frames = x.shape[-1]
        numbers = torch.arange(frames + -frames % config.chunk_frames, device=x.device)
        if config.latent_noise:
            size = x.std(dim=-1, keepdim=True) if self.level is None else self.level
            x = x + config.latent_noise * size * frame_noise(LATENT_SEED, numbers[:frames], x.mT).mT
        x = self.enter(x.mT).mT
        whole = functional.pad(x, (0, -frames % config.chunk_frames))
        if config.decoder_noise:
            # A further channel carries each frame's number through the tiles.
            whole = torch.cat([whole.float(), numbers.float().expand(len(whole), 1, -1)], dim=1)
        samples = tiled(self._whole, whole, TILE_FRAMES, config.reach_frames, (config.hop_length, 1))
        return samples[..., : frames * config.hop_length]

    def _whole(self, x: Tensor) -> Tensor:
        config = self.config
        x, numbers = x[:, : config.width].to(self.enter.weight.dtype), x[0, config.width :]
        frames = x.mT.unsqueeze(2)
        new = self.new_tokens.expand(len(x), config.stride, -1).unsqueeze(1).expand(-1, frames.shape[1], -1, -1)
        if config.decoder_noise:
            new = new + config.decoder_noise * frame_noise(DECODER_SEED, numbers[0], new)
        x = self.body(torch.cat([frames, new], dim=2))[:, :, 1:]
        patches = self.leave(x.flatten(1, 2).mT).unflatten(1, (config.audio_channels, config.patch))
        samples = patches.permute(0, 1, 3, 2).flatten(2)
        return samples.tanh() if config.soft_clip else samples


class Same(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: SameConfig) -> None:
        super().__init__()
        self.encoder, self.decoder = SameEncoder(config), SameDecoder(config)


def frame_noise(seed: int, numbers: Tensor, like: Tensor) -> Tensor:
    """This function draws standard normal noise that depends on a seed and on each frame's number alone.

    Args:
        seed: 0 to 2**64 - 1.
        numbers: [T], the number of each frame in the whole sound.
        like: [B, T, ...], whose shape, type and device the noise has; the same for all items.

    Returns:
        Same shape and type as `like`.
    """
    shape = (like.shape[-1], math.prod(like.shape[2:-1]))
    drawn = np.stack([item_noise(seed, int(number), shape).T for number in numbers.tolist()])
    return torch.from_numpy(drawn).to(like).reshape(like.shape[1:]).expand(like.shape)


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    return x if scale is None else x * scale
