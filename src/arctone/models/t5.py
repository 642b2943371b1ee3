"""Text encoders T5 and T5Gemma.

B batch, L text tokens, D width, H heads, K head size. Frozen everywhere in this project, so there is no dropout.
Source: Raffel et al. 2020, "Exploring the limits of transfer learning"; gated feed-forward: Shazeer 2020.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.model_folder.config import T5Config, T5GemmaConfig
from arctone.models.dit import normal

PADDING_PENALTY = -1e9


class ScaleNorm(nn.Module):
    """Division by the root mean square over the width, in float32, times a gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        power = x.float().square().mean(dim=-1, keepdim=True)
        return self.weight * (x.float() * torch.rsqrt(power + self.epsilon)).to(self.weight.dtype)


class T5Block(nn.Module):
    """Pre-norm block: [B, L, D] and an additive bias [B, H, L, L] to [B, L, D]."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads, self.is_gated = config.heads, config.activation == "gated-gelu"
        self.attention_norm = ScaleNorm(config.width, config.norm_epsilon)
        self.q, self.k, self.v = (nn.Linear(config.width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, config.width, bias=False)
        self.mlp_norm = ScaleNorm(config.width, config.norm_epsilon)
        self.up = nn.Linear(config.width, config.mlp_width, bias=False)
        self.gate = nn.Linear(config.width, config.mlp_width, bias=False) if self.is_gated else None
        self.down = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attend(self.attention_norm(x), bias)
        h = self.mlp_norm(x)
        inner = functional.relu(self.up(h)) if self.gate is None else _gelu(self.gate(h)) * self.up(h)
        return x + self.down(inner)

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        # T5 does not divide by the root of the head size; its initialisation accounts for that.
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(mixed.transpose(1, 2).flatten(2))


class T5Encoder(nn.Module):
    """Token states and one pooled vector of prompts, as every text encoder here gives them."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.width, _weight=normal(config.vocabulary, config.width))
        self.distances = nn.Embedding(
            config.position_buckets, config.heads, _weight=normal(config.position_buckets, config.heads)
        )
        self.blocks = nn.ModuleList(T5Block(config) for _ in range(config.depth))
        self.norm = ScaleNorm(config.width, config.norm_epsilon)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes padded prompts.

        Args:
            ids: Integers [B, L].
            mask: [B, L], 1 = real token, 0 = padding; at least one real token per row.

        Returns:
            Token states [B, L, D], zero at padding; mean of the real states, L2-normalised, [B, D].
        """
        x = self.words(ids.long())
        bias = self._bias(ids.shape[1], x.device) + ((1.0 - mask.float()) * PADDING_PENALTY)[:, None, None, :]
        for block in self.blocks:
            x = block(x, bias.to(x.dtype))
        tokens = self.norm(x) * mask.to(x.dtype)[:, :, None]
        mean = tokens.float().sum(dim=1) / mask.float().sum(dim=1, keepdim=True)
        return tokens, functional.normalize(mean, dim=-1)

    def _bias(self, length: int, device: torch.device) -> Tensor:
        """What the distance of two tokens adds to their score, [1, H, L, L]."""
        places = torch.arange(length, device=device)
        buckets = distance_buckets(
            places[None, :] - places[:, None], self.config.position_buckets, self.config.position_distance
        )
        return self.distances(buckets).permute(2, 0, 1)[None].float()


def distance_buckets(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Assign signed distances to buckets: half of them for each sign, exact near 0, on a log scale beyond.

    Args:
        distance: Any shape.
        num_buckets: Number of buckets of both signs.
        max_distance: From here on all distances share the last bucket.

    Returns:
        Numbers of buckets, same shape.
    """
    half = num_buckets // 2
    exact = half // 2
    size = distance.abs()
    scaled = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (half - exact)
    far = (exact + scaled.long()).clamp(max=half - 1)
    return torch.where(distance > 0, half, 0) + torch.where(size < exact, size, far)


def _gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


class ShiftedScaleNorm(nn.Module):
    """Division by the root mean square over the width, in float32, times a gain of 1 + weight."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        level = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.epsilon)
        return (wide * level * (1.0 + self.weight.float())).to(x.dtype)


class T5GemmaBlock(nn.Module):
    """Attention and gated feed-forward, each with a norm before and after it: [B, L, D] to [B, L, D]."""

    def __init__(self, config: T5GemmaConfig) -> None:
        super().__init__()
        self.config = config
        width, inner = config.width, config.heads * config.head_width
        keys = config.key_heads * config.head_width
        self.attention_before, self.attention_after, self.mlp_before, self.mlp_after = (
            ShiftedScaleNorm(width, config.norm_epsilon) for _ in range(4)
        )
        self.q = nn.Linear(width, inner, bias=False)
        self.k, self.v = (nn.Linear(width, keys, bias=False) for _ in range(2))
        self.o = nn.Linear(inner, width, bias=False)
        self.gate, self.up = (nn.Linear(width, config.mlp_width, bias=False) for _ in range(2))
        self.down = nn.Linear(config.mlp_width, width, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        """Apply attention and the MLP, each normalized and added to its input.

        Args:
            x: [B, L, D].
            turn: Cosines and sines of the rotation, [L, K] each.
            bias: Added to the attention scores, [B, 1, 1, L].

        Returns:
            [B, L, D].
        """
        x = x + self.attention_after(self._attend(self.attention_before(x), turn, bias))
        h = self.mlp_before(x)
        h = self.down(functional.gelu(self.gate(h), approximate="tanh") * self.up(h))
        return x + self.mlp_after(h)

    def _attend(self, x: Tensor, turn: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        config = self.config
        q, k, v = (part(x).unflatten(-1, (-1, config.head_width)).transpose(1, 2) for part in (self.q, self.k, self.v))
        shared = config.heads // config.key_heads
        k, v = _turned(k, turn).repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        scores = _turned(q, turn) @ k.mT * config.score_width**-0.5
        if config.score_cap:
            scores = config.score_cap * torch.tanh(scores / config.score_cap)
        mixed = torch.softmax(scores.float() + bias, dim=-1).to(v.dtype) @ v
        return self.o(mixed.transpose(1, 2).flatten(2))


class T5GemmaEncoder(nn.Module):
    """Token states and one pooled vector of prompts, as every text encoder here gives them."""

    def __init__(self, config: T5GemmaConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.width, _weight=normal(config.vocabulary, config.width))
        self.blocks = nn.ModuleList(T5GemmaBlock(config) for _ in range(config.depth))
        self.norm = ShiftedScaleNorm(config.width, config.norm_epsilon)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes padded prompts.

        Args:
            ids: Integers [B, L].
            mask: [B, L], 1 = real token, 0 = padding.

        Returns:
            Token states [B, L, D], zero at padding; mean of the real states, L2-normalised, [B, D].
        """
        x = self.words(ids.long())
        x = x * torch.tensor(self.config.width**0.5, dtype=x.dtype)
        bias = ((1.0 - mask.float()) * PADDING_PENALTY)[:, None, None, :]
        turn = self._turn(ids.shape[1], x)
        for block in self.blocks:
            x = block(x, turn, bias)
        tokens = self.norm(x) * mask.to(x.dtype)[:, :, None]
        mean = tokens.float().sum(dim=1) / mask.float().sum(dim=1, keepdim=True).clamp(min=1)
        return tokens, functional.normalize(mean, dim=-1)

    def _turn(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        size = self.config.head_width
        rates = self.config.rotary_base ** -(torch.arange(0, size, 2, device=like.device).float() / size)
        angles = torch.outer(torch.arange(length, device=like.device).float(), rates).repeat(1, 2)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * turn[0] + torch.cat([-second, first], dim=-1) * turn[1]
