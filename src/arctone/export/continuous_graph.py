"""The published transformer as a graph of fixed length, with its rotation as a table and attention written out.

B = 1 item, C latent channels, T latent frames, N = T and the tokens in front, L text tokens, D width, H heads, K head
size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arctone.models.continuous_dit import (
    ContinuousBlock,
    ContinuousDiT,
    CrossAttention,
    Rotation,
    SelfAttention,
    rotated_entries,
)


class ContinuousGraph(nn.Module):
    """What the published network gives for its own x [1, C, T] and t [1]: see ContinuousDiT.output.

    Inputs besides: text_tokens [1, L, D], text_mask [1, L], seconds [1], and inpaint where the model has such channels.
    Nothing is masked among the frames: this network is always given its whole window.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, dit: ContinuousDiT) -> None:
        super().__init__()
        self.dit = dit
        config = dit.config
        length = config.max_frames + config.memory_tokens + (dit.modulate is None)
        rotation = Rotation.of(length, rotated_entries(config), torch.device("cpu"))
        self.register_buffer("cos", rotation.cos)
        self.register_buffer("sin", rotation.sin)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text_tokens: Tensor,
        text_mask: Tensor,
        seconds: Tensor,
        inpaint: Tensor | None = None,
    ) -> dict[str, Tensor]:
        net = self.dit
        context, global_vector = self._conditioning(text_tokens, text_mask, seconds)
        global_vector = global_vector + net.time(t)
        frames = (x if inpaint is None else torch.cat([x, inpaint], dim=1)).mT
        h = net.enter(frames + net.enter_residual(frames))
        shared = None if net.modulate is None else net.modulate(global_vector)
        if shared is None:
            h = torch.cat([global_vector.unsqueeze(1), h], dim=1)
        if net.memory is not None:
            h = torch.cat([net.memory[None], h], dim=1)
        for block in net.blocks:
            assert isinstance(block, ContinuousBlock)
            h = self._block(block, h, context, shared)
        out = net.leave(h[:, -frames.shape[1] :])
        return {"velocity": (out + net.leave_residual(out)).mT}

    def _conditioning(self, text: Tensor, text_mask: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor]:
        net, config = self.dit, self.dit.config
        given = {"seconds_total": seconds, "seconds_start": torch.zeros_like(seconds)}
        numbers = {name: embed(given[name]) for name, embed in net.numbers.items()}
        spoken = text_mask.amax(dim=1)[:, None, None]
        tokens = [numbers[name].unsqueeze(1) * spoken for name in config.cross_numbers]
        joined = torch.cat([numbers[name] for name in config.global_numbers], dim=-1)
        return net.context(torch.cat([text, *tokens], dim=1)), net.global_vector(joined)

    def _block(self, block: ContinuousBlock, x: Tensor, context: Tensor, shared: Tensor | None) -> Tensor:
        if shared is None or block.modulation is None:
            x = x + self._among_frames(block.self_attention, block.self_norm(x))
            x = x + _to_context(block.cross_attention, block.cross_norm(x), context)
            return x + block.mlp(block.mlp_norm(x))
        parts = (shared + block.modulation).unsqueeze(1).chunk(6, dim=-1)
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = parts
        h = self._among_frames(block.self_attention, block.self_norm(x) * (1 + scale_1) + shift_1)
        x = x + h * torch.sigmoid(1 - gate_1)
        x = x + _to_context(block.cross_attention, block.cross_norm(x), context)
        return x + block.mlp(block.mlp_norm(x) * (1 + scale_2) + shift_2) * torch.sigmoid(1 - gate_2)

    def _among_frames(self, attention: SelfAttention, x: Tensor) -> Tensor:
        q, k, v = (_heads(part, attention.heads) for part in attention.to_qkv(x).chunk(3, dim=-1))
        q, k = self._turned(attention.q_norm(q)), self._turned(attention.k_norm(k))
        return attention.to_out(_joined(_mixed(q, k, v)))

    def _turned(self, x: Tensor) -> Tensor:
        size = self.cos.shape[-1]
        moved, rest = x[..., :size], x[..., size:]
        first, second = moved.chunk(2, dim=-1)
        turned = moved * self.cos + torch.cat([-second, first], dim=-1) * self.sin
        return torch.cat([turned, rest], dim=-1)


def _to_context(attention: CrossAttention, x: Tensor, context: Tensor) -> Tensor:
    q = attention.q_norm(_heads(attention.to_q(x), attention.heads))
    k, v = (_heads(part, attention.context_heads) for part in attention.to_kv(context).chunk(2, dim=-1))
    # Queries that share a head of the context are laid one after another, so that nothing is repeated.
    together = q.reshape(1, attention.context_heads, -1, q.shape[-1])
    mixed = _mixed(together, attention.k_norm(k), v).reshape(q.shape)
    return attention.to_out(_joined(mixed))


def _mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)).softmax(dim=-1) @ v


def _joined(heads: Tensor) -> Tensor:
    """[1, H, N, K] to [1, N, D]."""
    return heads.transpose(1, 2).reshape(1, heads.shape[2], -1)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.reshape(1, x.shape[1], heads, -1).transpose(1, 2)
