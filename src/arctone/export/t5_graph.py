"""T5's encoder as a graph of fixed length: what depends on the distances of tokens is computed once, at export.

L text tokens, D width, H heads. Attention is written out (matmul, softmax, matmul), the form that the converter keeps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.models.t5 import PADDING_PENALTY, T5Block, T5Encoder, distance_buckets


class T5Graph(nn.Module):
    """ids int32 [1, L], mask [1, L] -> tokens [1, L, D], zero at padding, and pooled [1, D]."""

    bias: Tensor

    def __init__(self, encoder: T5Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        config = encoder.config
        places = torch.arange(config.max_tokens)
        buckets = distance_buckets(places[None, :] - places[:, None], config.position_buckets, config.position_distance)
        self.register_buffer("bias", encoder.distances.weight.detach().float()[buckets].permute(2, 0, 1)[None])

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.encoder.words(ids)
        bias = self.bias + ((1.0 - mask) * PADDING_PENALTY)[:, None, None, :]
        for block in self.encoder.blocks:
            assert isinstance(block, T5Block)
            x = x + _attend(block, block.attention_norm(x), bias)
            h = block.mlp_norm(x)
            up = block.up(h)
            gated = functional.relu(up) if block.gate is None else _gelu(block.gate(h)) * up
            x = x + block.down(gated)
        tokens = self.encoder.norm(x) * mask[:, :, None]
        mean = tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return {"tokens": tokens, "pooled": mean * torch.rsqrt(mean.square().sum(dim=1, keepdim=True) + 1e-24)}


def _attend(block: T5Block, x: Tensor, bias: Tensor) -> Tensor:
    length, heads = x.shape[1], block.heads
    q, k, v = (part(x).reshape(1, length, heads, -1).transpose(1, 2) for part in (block.q, block.k, block.v))
    mixed = (q @ k.transpose(2, 3) + bias).softmax(dim=-1) @ v
    return block.o(mixed.transpose(1, 2).reshape(1, length, -1))


def _gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")
