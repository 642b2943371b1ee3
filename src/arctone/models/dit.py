"""The diffusion transformer (DiT) of the bundled model.

Shapes: B batch, C channels, T latent frames, L text tokens, D width, H heads, K head size.
Sources: DiT (Peebles and Xie, 2022), shared adaptive layer norm as in PixArt-alpha, rotary positions, QK-norm, SwiGLU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arctone.model_folder.config import DiTConfig
from arctone.models.conditions import Conditions, Controls, fourier


def normal(*shape: int) -> Tensor:
    """Standard normal values; on the meta device, where there are no values, nothing is drawn.

    torch would import its whole compiler stack to know the shape of such a draw: seconds, and 100 MB.
    """
    return torch.empty(*shape) if torch.get_default_device().type == "meta" else torch.randn(*shape)


FRAME_SECONDS = 2048 / 44_100
# Multiples of the beat whose phase every frame receives: four beats, two, one, a half, a third and a quarter.
BEAT_RATES = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
NUM_TIME_WAVES = 6


class RotaryTable(nn.Module):
    """Cosines and sines of the rotary embedding for up to `length` positions, [T, K]."""

    cos: Tensor
    sin: Tensor

    def __init__(self, length: int, head_size: int) -> None:
        super().__init__()
        rates = 10_000.0 ** (-torch.arange(0, head_size, 2).float() / head_size)
        angles = torch.outer(torch.arange(length).float(), rates)
        self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)
        self.register_buffer("sin", angles.sin().repeat(1, 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Rotate queries or keys [B, H, T, K]."""
        length = x.shape[-2]
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        return x * self.cos[:length].to(x.dtype) + turned * self.sin[:length].to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attend with an additive bias.

    Args:
        q: Queries, [B, H, T, K].
        k: Keys, [B, H, L, K].
        v: Values, [B, H, L, K].
        bias: [B, 1, 1, L], 0 where real, very negative at padding.

    Returns:
        [B, H, T, K].
    """
    if torch.is_grad_enabled() and q.requires_grad and q.device.type == "cpu":
        # The gradient of torch's fused attention takes two to five times as long as this on CPUs.
        return torch.softmax((q * q.shape[-1] ** -0.5) @ k.mT + bias, dim=-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys; to itself, or to a context."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.q_norm = nn.LayerNorm(width // heads, bias=False)
        self.k_norm = nn.LayerNorm(width // heads, bias=False)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor, rotary: RotaryTable | None = None) -> Tensor:
        """Attend from frames to a context.

        Args:
            x: [B, T, D].
            context: [B, L, D].
            bias: [B, 1, 1, L], 0 where real, very negative at padding.
            rotary: Rotation of queries and keys; None in cross-attention.

        Returns:
            [B, T, D].
        """
        q = self.q_norm(self._split(self.to_q(x)))
        k, v = self.to_kv(context).chunk(2, dim=-1)
        k, v = self.k_norm(self._split(k)), self._split(v)
        if rotary is not None:
            q, k = rotary(q), rotary(k)
        out = attend(q, k, v.to(q.dtype), bias.to(q.dtype))
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class SwiGLU(nn.Module):
    """Gated feed-forward network."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2 * inner)
        self.leave = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.enter(x).chunk(2, dim=-1)
        return self.leave(value * F.silu(gate))


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward; modulated by the global condition."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.width
        self.self_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.self_attention = Attention(width, config.heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, config.heads)
        self.mlp_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = SwiGLU(width, config.mlp_width)
        # Added to the shared modulation: each block keeps its own working point at almost no cost.
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(
        self, x: Tensor, text: Tensor, shared: Tensor, biases: tuple[Tensor, Tensor], rotary: RotaryTable
    ) -> Tensor:
        """Apply self-attention, cross-attention and the MLP, each modulated and added to its input.

        Args:
            x: Hidden states, [B, T, D].
            text: Context of the cross-attention, [B, L, D].
            shared: Modulation that all blocks share, [B, 6, D].
            biases: Additive attention biases of the frames and of the text.
            rotary: Rotation of queries and keys.

        Returns:
            [B, T, D].
        """
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (shared + self.modulation).unsqueeze(2).unbind(1)
        h = self.self_norm(x) * (1 + scale_1) + shift_1
        x = x + gate_1 * self.self_attention(h, h, biases[0], rotary)
        x = x + self.cross_attention(self.cross_norm(x), text, biases[1])
        h = self.mlp_norm(x) * (1 + scale_2) + shift_2
        return x + gate_2 * self.mlp(h)


class TextAdapter(nn.Module):
    """Trained layers between a frozen text encoder and the cross-attention, [B, L, W] -> [B, L, W].

    Each block adds what it makes of the states; untrained it adds nothing.
    """

    def __init__(self, width: int, heads: int, num_blocks: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * num_blocks))
        self.attentions = nn.ModuleList(Attention(width, heads) for _ in range(num_blocks))
        self.mlps = nn.ModuleList(SwiGLU(width, width) for _ in range(num_blocks))
        for attention, mlp in zip(self.attentions, self.mlps, strict=True):
            assert isinstance(attention, Attention)
            assert isinstance(mlp, SwiGLU)
            nn.init.zeros_(attention.to_out.weight)
            _zero(mlp.leave)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Adapt the states of the text encoder.

        Args:
            tokens: [B, L, W].
            bias: [B, 1, 1, L], see `Attention`.

        Returns:
            [B, L, W].
        """
        for index, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
            normal = self.norms[2 * index](tokens)
            tokens = tokens + attention(normal, normal, bias)
            tokens = tokens + mlp(self.norms[2 * index + 1](tokens))
        return tokens


class TimestepEmbedding(nn.Module):
    """Noise level t in [0, 1] to a vector, [B] -> [B, D]."""

    rates: Tensor

    def __init__(self, width: int, num_rates: int = 64) -> None:
        super().__init__()
        rates = 1000.0 * torch.exp(-math.log(10_000) * torch.arange(num_rates).float() / num_rates)
        self.register_buffer("rates", rates, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * num_rates, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        angles = t.float().unsqueeze(-1) * self.rates
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class Trunk(nn.Module):
    """The blocks and everything before them, without an output: a DiT less its last layers.

    Args:
        config: Of the transformer.
        num_blocks: How many blocks it has; all of the config's if not given. No later block exists.
    """

    frame_times: Tensor
    beat_rates: Tensor

    def __init__(self, config: DiTConfig, num_blocks: int | None = None) -> None:
        super().__init__()
        self.config = config
        width = config.width
        time_features = 4 * NUM_TIME_WAVES + 2 * len(BEAT_RATES)
        self.enter = nn.Linear(config.latent_channels + config.inpaint_channels, width)
        self.place = nn.Linear(time_features, width)
        self.time = TimestepEmbedding(width)
        self.pooled = nn.Linear(config.text_width, width)
        self.seconds = nn.Sequential(nn.Linear(2 * NUM_TIME_WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.tempo = nn.Sequential(nn.Linear(2 * NUM_TIME_WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.text = nn.Sequential(nn.LayerNorm(config.text_width), nn.Linear(config.text_width, width))
        self.null = nn.Parameter(0.02 * torch.randn(width))
        self.adapter = _text_adapter(config)
        self.controls = Controls(config) if config.controls else None
        self.modulate = nn.Linear(width, 6 * width)
        self.rotary = RotaryTable(config.max_frames, width // config.heads)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth if num_blocks is None else num_blocks))
        self.register_buffer("frame_times", torch.arange(config.max_frames) * FRAME_SECONDS, persistent=False)
        self.register_buffer("beat_rates", torch.tensor(BEAT_RATES), persistent=False)
        # Gates and modulation start at zero: every block passes its input on, and gradients with it.
        _zero(self.modulate)
        for block in self.blocks:
            assert isinstance(block, Block)
            nn.init.zeros_(block.cross_attention.to_out.weight)
        if config.inpaint_channels:
            # Known latents add nothing until it is learned what they are for.
            nn.init.zeros_(self.enter.weight[:, config.latent_channels :])

    def hidden(
        self, x: Tensor, t: Tensor, conditions: Conditions, *, num_blocks: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute hidden states.

        Args:
            x: Latents at level t, [B, C, T].
            t: Noise level, [B], 0 to 1.
            conditions: Of the batch.
            num_blocks: Number of blocks to apply; None = all.

        Returns:
            Hidden states, [B, T, D], and the global condition, [B, D].
        """
        seconds, bpm = conditions.seconds, conditions.bpm
        if conditions.inpaint is not None:
            x = torch.cat([x, conditions.inpaint.to(x.dtype)], dim=1)
        seconds_vector = self.seconds(fourier(seconds / self.config.max_seconds, NUM_TIME_WAVES))
        tempo_vector = self._tempo(bpm)
        control = self.controls.of_sound(conditions) if self.controls is not None else None
        total = self.time(t) + self.pooled(conditions.text_pooled) + seconds_vector + tempo_vector
        condition = F.silu(total if control is None else total + control[0])
        shared = self.modulate(condition).unflatten(-1, (6, -1))
        null = self.null.expand(len(bpm), -1)
        leading = [null if control is None else null + control[1], seconds_vector, tempo_vector]
        context, text_bias = self._context(conditions.text_tokens, conditions.text_mask, leading)
        biases = (_bias(conditions.frame_mask), text_bias)
        h = self.enter(x.mT) + self.place(self._time_features(seconds, bpm, x.shape[-1]))
        curves = self.controls.of_frames(conditions) if self.controls is not None else None
        h = h if curves is None else h + curves
        for block in self.blocks[:num_blocks]:
            h = block(h, context, shared, biases, self.rotary)
        return h, condition

    def _tempo(self, bpm: Tensor) -> Tensor:
        known = (bpm > 0).to(bpm.dtype)
        octaves = torch.log2(torch.clamp(bpm, min=20.0) / 20.0) / 4.5
        return self.tempo(fourier(octaves, NUM_TIME_WAVES)) * known.unsqueeze(-1)

    def _context(self, tokens: Tensor, mask: Tensor, leading: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Keys of the cross-attention, [B, 3 + L, D], and their bias. leading: [B, D] each, tokens before the text:
        a learned one for "no text", to which key and note are added, then seconds and tempo.
        """
        if self.adapter is not None:
            tokens = self.adapter(tokens, _bias(mask))
        text = self.text(tokens)
        context = torch.cat([*(vector.unsqueeze(1).to(text.dtype) for vector in leading), text], dim=1)
        return context, F.pad(_bias(mask), (len(leading), 0))

    def _time_features(self, seconds: Tensor, bpm: Tensor, frames: int) -> Tensor:
        """Features of each frame's place, [B, T, ...]: time passed, time left, phase in the beat."""
        times = self.frame_times[:frames].expand(seconds.shape[0], -1)
        passed = fourier(times / self.config.max_seconds, NUM_TIME_WAVES)
        left = fourier((seconds.unsqueeze(-1) - times) / self.config.max_seconds, NUM_TIME_WAVES)
        beats = (times * (bpm / 60).unsqueeze(-1)).unsqueeze(-1) * self.beat_rates
        # Whole turns are taken out first: sines of large angles lose their precision in float32.
        angles = 2 * math.pi * (beats - torch.floor(beats))
        known = (bpm > 0).to(times.dtype)[:, None, None]
        return torch.cat([passed, left, known * angles.sin(), known * angles.cos()], dim=-1)


class DiT(Trunk):
    """Velocity network: latents x [B, C, T] at level t [B], 0 to 1, to the velocity [B, C, T], zero at padding.

    Args:
        config: Its sizes and conditions.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        self.norm = nn.LayerNorm(config.width, elementwise_affine=False)
        self.finish = nn.Linear(config.width, 2 * config.width)
        self.leave = nn.Linear(config.width, config.latent_channels)
        # The untrained network predicts zero velocity.
        _zero(self.finish)
        _zero(self.leave)

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        hidden, condition = self.hidden(x, t, conditions)
        shift, scale = self.finish(condition).unsqueeze(1).chunk(2, dim=-1)
        velocity = self.leave(self.norm(hidden) * (1 + scale) + shift)
        return (velocity * conditions.frame_mask.unsqueeze(-1).to(velocity.dtype)).mT


def _text_adapter(config: DiTConfig) -> TextAdapter | None:
    if not config.text_adapter:
        return None
    return TextAdapter(config.text_width, max(1, config.text_width // 64), config.text_adapter)


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _bias(mask: Tensor) -> Tensor:
    """Additive attention bias [B, 1, 1, L] of a mask [B, L] (True = real)."""
    return (mask.float() - 1.0)[:, None, None, :] * 1e4
