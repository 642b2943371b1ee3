"""Encoder of T5Gemma in plain torch: token states of a prompt.

B batch, L text tokens, D width, H heads, K head size. Frozen everywhere in this project, so there is no dropout.
Its blocks alternate between whole attention and one over 4,096 neighbours; prompts are shorter, so all are whole.
Source: Zhang et al. 2025, "Encoder-decoder Gemma" (arXiv 2504.06225); blocks as in Gemma 2 (arXiv 2408.00118).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.model_folder.config import T5GemmaConfig
from arctone.models.t5 import PADDING_PENALTY
from arctone.models.unfilled import normal


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
        """turn: cosines and sines [L, K]; bias: added to the scores, [B, 1, 1, L]."""
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

        Args: ids: integers [B, L]. mask: [B, L], 1 = real token, 0 = padding.
        Returns: token states [B, L, D], zero at padding; mean of the real states, L2-normalised, [B, D].
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
