"""The transformer as two graphs: what stays the same over all steps of a sound, computed once, and the step itself.

Written for a runtime that pays for every operation: rows in two dimensions, queries and keys normalised and rotated
together, scale and signs folded into constants. The results are those of `DiT` but for the order of float additions.
T latent frames, S = 3 + L context tokens, D width, H heads, K head size, N blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.models.dit import NUM_TIME_WAVES, Attention, Block, DiT, fourier

CONTEXT, STEP = "context", "step"
"""Signature names, with the number of frames behind them."""


class ContextGraph(nn.Module):
    """Conditions of `arctone.models.conditions` (batch 1) -> what every step of a sound shares.

    Returns: place [T, D], what each frame is told of its place; condition [1, D], of text, seconds and tempo;
    keys [N, H, K, S] and values [N, H, S, K] of the cross-attention, the keys with the scale of the attention in them.
    """

    def __init__(self, dit: DiT, frames: int) -> None:
        super().__init__()
        self.dit, self.frames = dit, frames

    def forward(self, text_tokens: Tensor, text_pooled: Tensor, seconds: Tensor, bpm: Tensor) -> dict[str, Tensor]:
        net = self.dit
        seconds_vector = net.seconds(fourier(seconds / net.config.max_seconds, NUM_TIME_WAVES))
        tempo_vector = net._tempo(bpm)
        place = net.place(net._time_features(seconds, bpm, self.frames)[0])
        context = torch.cat([net.null[None], seconds_vector, tempo_vector, net.text(text_tokens[0])])
        pairs = [_keys_and_values(block.cross_attention, context) for block in _blocks(net)]
        return {
            "place": place,
            "condition": net.pooled(text_pooled) + seconds_vector + tempo_vector,
            "keys": torch.stack([keys for keys, _ in pairs]),
            "values": torch.stack([values for _, values in pairs]),
        }


class StepGraph(nn.Module):
    """x [1, C, T], t [1], the outputs of ContextGraph, text_mask [1, L], frame_mask [1, T] -> velocity [1, C, T]."""

    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, dit: DiT, frames: int) -> None:
        super().__init__()
        self.dit = dit
        size = dit.config.width // dit.config.heads
        signs = torch.cat([-torch.ones(size // 2), torch.ones(size // 2)])
        self.register_buffer("rotary_cos", dit.rotary.cos[:frames].unsqueeze(1), persistent=False)
        self.register_buffer("rotary_sin", (dit.rotary.sin[:frames] * signs).unsqueeze(1), persistent=False)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        place: Tensor,
        condition: Tensor,
        keys: Tensor,
        values: Tensor,
        text_mask: Tensor,
        frame_mask: Tensor,
        inpaint: Tensor | None = None,
    ) -> dict[str, Tensor]:
        net = self.dit
        given = x[0] if inpaint is None else torch.cat([x[0], inpaint[0]])
        condition = functional.silu(net.time(t) + condition)
        shared = net.modulate(condition).reshape(6, -1)
        frame_bias = (frame_mask - 1.0).unsqueeze(1) * 1e4
        text_bias = functional.pad((text_mask - 1.0) * 1e4, (3, 0)).unsqueeze(1)
        h = net.enter(given.mT) + place
        for number, block in enumerate(_blocks(net)):
            shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (shared + block.modulation).split(1)
            row = normalised(h) * (1 + scale_1) + shift_1
            h = h + gate_1 * self._self_attention(block.self_attention, row, frame_bias)
            row = normalised(h) * block.cross_norm.weight + block.cross_norm.bias
            h = h + _cross_attention(block.cross_attention, row, keys[number], values[number], text_bias)
            row = normalised(h) * (1 + scale_2) + shift_2
            h = h + gate_2 * block.mlp(row)
        shift, scale = net.finish(condition).chunk(2, dim=-1)
        velocity = net.leave(normalised(h) * (1 + scale) + shift)
        return {"velocity": (velocity.mT * frame_mask).unsqueeze(0)}

    def _self_attention(self, attention: Attention, rows: Tensor, bias: Tensor) -> Tensor:
        heads, width = attention.heads, rows.shape[-1]
        keys_values = attention.to_kv(rows)
        both = torch.cat([attention.to_q(rows), keys_values[:, :width]], dim=1).reshape(-1, 2 * heads, width // heads)
        both = normalised(both) * _norm_weights(attention)
        first, second = both.chunk(2, dim=-1)
        both = both * self.rotary_cos + torch.cat([second, first], dim=-1) * self.rotary_sin
        q, k = both[:, :heads].transpose(0, 1), both[:, heads:].permute(1, 2, 0)
        v = keys_values[:, width:].reshape(-1, heads, width // heads).transpose(0, 1)
        return _attended(attention, q, k, v, bias)


def normalised(x: Tensor) -> Tensor:
    """Layer norm over the last axis without weights, in as few operations as it takes."""
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)


def _blocks(dit: DiT) -> list[Block]:
    return [block for block in dit.blocks if isinstance(block, Block)]


def _keys_and_values(attention: Attention, context: Tensor) -> tuple[Tensor, Tensor]:
    """[H, K, S] and [H, S, K]."""
    heads = attention.heads
    keys, values = (part.reshape(context.shape[0], heads, -1) for part in attention.to_kv(context).chunk(2, dim=-1))
    keys = normalised(keys) * (attention.k_norm.weight * keys.shape[-1] ** -0.5)
    return keys.permute(1, 2, 0), values.transpose(0, 1)


def _cross_attention(attention: Attention, rows: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    q = attention.to_q(rows).reshape(rows.shape[0], attention.heads, -1)
    q = normalised(q) * attention.q_norm.weight
    return _attended(attention, q.transpose(0, 1), keys, values, bias)


def _attended(attention: Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """q [H, T, K], k [H, K, S], v [H, S, K], bias [1, 1, S] -> [T, D]."""
    out = torch.softmax(q @ k + bias, dim=-1) @ v
    return attention.to_out(out.transpose(0, 1).reshape(q.shape[1], -1))


def _norm_weights(attention: Attention) -> Tensor:
    """[2 H, K]: of the queries, with the scale of the attention in them, and of the keys."""
    size = attention.q_norm.weight.shape[0]
    queries = (attention.q_norm.weight * size**-0.5).expand(attention.heads, -1)
    return torch.cat([queries, attention.k_norm.weight.expand(attention.heads, -1)])
