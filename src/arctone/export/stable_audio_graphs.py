"""Parts of published models as graphs of fixed length: autoencoder, transformer and text encoder.

The `oobleck` autoencoder is three graphs: the coarse blocks of the decoder, its fine blocks, the encoder.

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
from torch.nn import functional

from arctone.model_folder.folder import NUM_FINE_BLOCKS
from arctone.models.continuous_dit import (
    ContinuousBlock,
    ContinuousDiT,
    CrossAttention,
    Rotation,
    SelfAttention,
    count_rotated_entries,
)
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
from arctone.models.t5 import PADDING_PENALTY, T5Block, T5Encoder, distance_buckets


class ContinuousGraph(nn.Module):
    """What the published network gives for its own x [1, C, T] and t [1]: see ContinuousDiT.output.

    Inputs besides: text_tokens [1, L, D], text_mask [1, L], seconds [1], and inpaint where the model has such channels.
    Nothing is masked among the frames: this network is always given its whole window.
    """

    rotation_cos: Tensor
    rotation_sin: Tensor

    def __init__(self, dit: ContinuousDiT) -> None:
        super().__init__()
        self.dit = dit
        config = dit.config
        length = config.max_frames + config.memory_tokens + (dit.modulate is None)
        rotation = Rotation.of(length, count_rotated_entries(config), torch.device("cpu"))
        # Not "cos" and "sin": the exporter gives constants that it folds the names of their operations.
        self.register_buffer("rotation_cos", rotation.cos)
        self.register_buffer("rotation_sin", rotation.sin)

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
        size = self.rotation_cos.shape[-1]
        moved, rest = x[..., :size], x[..., size:]
        first, second = moved.chunk(2, dim=-1)
        turned = moved * self.rotation_cos + torch.cat([-second, first], dim=-1) * self.rotation_sin
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
