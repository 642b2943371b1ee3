"""The transformer published with Stable Audio Open and, changed, with Stable Audio 3: text and seconds in the context.

B batch, C latent channels, T latent frames, L text tokens, D width, H heads, K head size.

Three things that a port must keep: padded text stays among the keys (as zeros or a learned vector; nothing is masked),
only half of each head is rotated, and without text the seconds vanish from the context but not from the global vector.

Source: Evans et al. 2024, "Stable Audio Open" (arXiv 2407.14358); the small one: Novack et al. 2025,
arXiv 2505.08175; Stable Audio 3: arXiv 2605.17991.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.model_folder.config import ContinuousDiTConfig, NumberConfig, Waves
from arctone.models.conditions import Conditions
from arctone.models.dit import SwiGLU, normal

VelocityNetwork = Callable[[Tensor, Tensor], Tensor]
KeysValues = tuple[Tensor, Tensor]

NUM_RATES = 128
MIN_ROTATED = 32
# Ends of the rates that are not learned.
SLOWEST, FASTEST = 0.5, 10_000.0
# Bounds of the log-SNR that a network conditioned on it receives.
LOG_SNR_HIGH, LOG_SNR_LOW = 5.0, -12.0


class Rotation(NamedTuple):
    """Cosines and sines of the rotary embedding, [T, R] in float32; R of the K entries of a head are rotated."""

    cos: Tensor
    sin: Tensor

    @classmethod
    def of(cls, length: int, rotated: int, device: torch.device) -> Rotation:
        """For positions 0 to length - 1. rotated: entries of a head, R."""
        rates = 10_000.0 ** (-torch.arange(0, rotated, 2, device=device).float() / rotated)
        angles = torch.outer(torch.arange(length, device=device).float(), rates).repeat(1, 2)
        return cls(angles.cos(), angles.sin())

    def turn(self, x: Tensor) -> Tensor:
        """Rotate queries or keys [B, H, T, K]."""
        size = self.cos.shape[-1]
        moved, rest = x[..., :size].float(), x[..., size:]
        first, second = moved.chunk(2, dim=-1)
        turned = moved * self.cos + torch.cat([-second, first], dim=-1) * self.sin
        return torch.cat([turned.to(x.dtype), rest], dim=-1)


class HeadNorm(nn.Module):
    """Normalisation of queries or keys over the head: "none", "l2" (unit length), "ln" (layer norm) or "rms"."""

    def __init__(self, kind: str, head_size: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "ln":
            self.weight = nn.Parameter(torch.ones(head_size))
            self.bias = nn.Parameter(torch.zeros(head_size))
        if kind == "rms":
            self.gamma = nn.Parameter(torch.ones(head_size))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "l2":
            return functional.normalize(x, dim=-1)
        if self.kind == "ln":
            return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-6)
        if self.kind == "rms":
            return functional.rms_norm(x, x.shape[-1:], self.gamma, 1e-6)
        return x


class SelfAttention(nn.Module):
    """Attention among the frames, with rotary positions; or the difference of two, which share the values."""

    def __init__(self, config: ContinuousDiTConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.num_maps = 2 if config.is_differential else 1
        self.to_qkv = nn.Linear(width, (1 + 2 * self.num_maps) * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.q_norm = HeadNorm(config.qk_norm, width // config.heads)
        self.k_norm = HeadNorm(config.qk_norm, width // config.heads)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        # In this order: q, k, v, and q and k of the second attention.
        parts = [_heads(part, self.heads) for part in self.to_qkv(x).chunk(1 + 2 * self.num_maps, dim=-1)]
        q, k, v = torch.cat(parts[0::3], dim=1), torch.cat(parts[1::3], dim=1), parts[2]
        q, k = rotation.turn(self.q_norm(q)), rotation.turn(self.k_norm(k))
        return self.to_out(difference(q, k, v).transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Attention of the frames to the context; a narrower context has fewer heads, each shared by several queries."""

    def __init__(self, config: ContinuousDiTConfig) -> None:
        super().__init__()
        width, head_size = config.width, config.width // config.heads
        self.heads, self.context_heads = config.heads, config.context_width // head_size
        self.num_maps = 2 if config.is_differential else 1
        self.to_q = nn.Linear(width, self.num_maps * width, bias=False)
        self.to_kv = nn.Linear(config.context_width, (1 + self.num_maps) * config.context_width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.q_norm = HeadNorm(config.qk_norm, head_size)
        self.k_norm = HeadNorm(config.qk_norm, head_size)

    def keys_values(self, context: Tensor) -> KeysValues:
        """Keys [B, maps H, L, K] and values [B, H, L, K] of a context [B, L, ...], for every step of a sound."""
        *k, v = (_heads(part, self.context_heads) for part in self.to_kv(context).chunk(1 + self.num_maps, dim=-1))
        shared = self.heads // self.context_heads
        return self.k_norm(torch.cat(k, dim=1)).repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)

    def forward(self, x: Tensor, context: KeysValues) -> Tensor:
        q = self.q_norm(_heads(self.to_q(x), self.num_maps * self.heads))
        return self.to_out(difference(q, *context).transpose(1, 2).flatten(2))


def difference(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """This function attends once, or twice and subtracts the second from the first.

    Source: Ye et al. 2024, "Differential transformer", without its learned factor.

    Args:
        q: [B, maps H, L, K], the heads of the second attention after those of the first.
        k: [B, maps H, L, K], in the order of q.
        v: [B, H, L, K], which both share.
        mask: [queries, keys], True where a query attends to a key; None = everywhere.

    Returns:
        [B, H, L, K].
    """
    maps = q.shape[1] // v.shape[1]
    out = functional.scaled_dot_product_attention(q, k, v if maps == 1 else v.repeat(1, maps, 1, 1), mask)
    if maps == 1:
        return out
    first, second = out.chunk(2, dim=1)
    return first - second


class ContinuousBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward."""

    def __init__(self, config: ContinuousDiTConfig) -> None:
        super().__init__()
        width = config.width
        self.self_norm = _norm(config)
        self.self_attention = SelfAttention(config)
        self.cross_norm = _norm(config)
        self.cross_attention = CrossAttention(config)
        self.mlp_norm = _norm(config)
        self.mlp = SwiGLU(width, 4 * width)
        modulated = config.global_condition == "adaLN"
        self.modulation = nn.Parameter(torch.zeros(6 * width)) if modulated else None
        self.known: nn.Sequential | None = None
        if config.inpaint_place == "blocks":
            self.known = nn.Sequential(nn.Linear(config.inpaint_channels, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self, x: Tensor, context: KeysValues, shared: Tensor | None, rotation: Rotation, known: Tensor | None = None
    ) -> Tensor:
        """x: [B, T, D]; context: of the cross-attention; shared: [B, 6 D], the modulation of all blocks; known: [B, F,
        1 + C], mask and known latents of the last F frames of x.
        """
        if shared is None or self.modulation is None:
            x = x + self.self_attention(self.self_norm(x), rotation)
            x = self._add_known(x + self.cross_attention(self.cross_norm(x), context), known)
            return x + self.mlp(self.mlp_norm(x))
        parts = (shared + self.modulation).unsqueeze(1).chunk(6, dim=-1)
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = parts
        h = self.self_attention(self.self_norm(x) * (1 + scale_1) + shift_1, rotation)
        x = x + h * torch.sigmoid(1 - gate_1)
        x = self._add_known(x + self.cross_attention(self.cross_norm(x), context), known)
        h = self.mlp(self.mlp_norm(x) * (1 + scale_2) + shift_2)
        return x + h * torch.sigmoid(1 - gate_2)

    def _add_known(self, x: Tensor, known: Tensor | None) -> Tensor:
        if self.known is None or known is None:
            return x
        return x + functional.pad(self.known(known), (0, 0, x.shape[1] - known.shape[1], 0))


class NumberEmbedding(nn.Module):
    """A number to a vector, [B] -> [B, D]: the number itself and waves of learned rates, or waves alone, projected."""

    def __init__(self, config: NumberConfig, width: int) -> None:
        super().__init__()
        self.minimum, self.maximum = config.minimum, config.maximum
        is_learned = config.waves == "learned"
        self.rates = nn.Parameter(normal(NUM_RATES)) if is_learned else None
        self.project = nn.Linear(2 * NUM_RATES + is_learned, width)

    def forward(self, number: Tensor) -> Tensor:
        unit = (number.float().clamp(self.minimum, self.maximum) - self.minimum) / (self.maximum - self.minimum)
        if self.rates is None:
            return self.project(exponential_waves(unit))
        # In this order, because it gives the published rounding.
        angles = unit.unsqueeze(-1) * self.rates * 2 * math.pi
        return self.project(torch.cat([unit.unsqueeze(-1), angles.sin(), angles.cos()], dim=-1))


class Timestep(nn.Module):
    """Noise level [B] to a vector [B, D], by waves.

    waves: whether their rates are learned. as_log_snr: whether they show the log-SNR of the level, 0 for clean latents
    and 1 for noise.
    """

    def __init__(self, width: int, waves: Waves = "learned", *, as_log_snr: bool = False) -> None:
        super().__init__()
        self.as_log_snr = as_log_snr
        self.rates = nn.Parameter(normal(NUM_RATES)) if waves == "learned" else None
        self.mlp = nn.Sequential(nn.Linear(2 * NUM_RATES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        if self.as_log_snr:
            level = t.float().clamp(1e-7, 1 - 1e-7)
            clear = torch.log((1 - level) / level).clamp(LOG_SNR_LOW, LOG_SNR_HIGH)
            t = (LOG_SNR_HIGH - clear) / (LOG_SNR_HIGH - LOG_SNR_LOW)
        if self.rates is None:
            return self.mlp(exponential_waves(t))
        angles = (2 * math.pi * t.float()).unsqueeze(-1) * self.rates
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


def exponential_waves(value: Tensor) -> Tensor:
    """Cosines and sines of rates that lie evenly on a log scale, [B] -> [B, 2 NUM_RATES].

    The fastest turn ten thousand times, so the order of the operations, which is the published one, changes the sound.
    """
    ramp = torch.linspace(0, 1, NUM_RATES, device=value.device)
    low, high = math.log(SLOWEST), math.log(FASTEST)
    angles = value.float().unsqueeze(-1) * torch.exp(ramp * (high - low) + low) * 2 * math.pi
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Prepared(NamedTuple):
    """What depends on the conditions alone, and so is the same in all steps of a sound.

    global_vector: [B, D], without the noise level. contexts: keys and values for each block.
    """

    global_vector: Tensor
    contexts: tuple[KeysValues, ...]


# Waves of high rates lose their meaning in 16 bit, and these parts are small.
EXACT_PARTS = ("time.", "numbers.", "global_vector.")


class ContinuousTrunk(nn.Module):
    """The blocks and everything before them, without an output: a ContinuousDiT less its last layers.

    Args:
        config: Sizes and kinds of conditioning.
        num_blocks: How many blocks it has; None = all of the config's. No later block exists.
    """

    def __init__(self, config: ContinuousDiTConfig, num_blocks: int | None = None) -> None:
        super().__init__()
        self.config = config
        width, channels = config.width, config.latent_channels
        if config.inpaint_place == "input":
            channels += config.inpaint_channels
        self.enter_residual = nn.Linear(channels, channels, bias=False)
        self.enter = nn.Linear(channels, width, bias=False)
        self.time = Timestep(width, config.time_waves, as_log_snr=config.log_snr_time)
        self.padding = nn.Parameter(normal(config.text_width)) if config.learned_padding else None
        self.numbers = nn.ModuleDict({n.name: NumberEmbedding(n, config.text_width) for n in config.numbers})
        self.context = _projection(config.text_width, config.context_width)
        self.global_vector = _projection(config.text_width * len(config.global_numbers), config.global_width)
        depth = config.depth if num_blocks is None else num_blocks
        self.blocks = nn.ModuleList(ContinuousBlock(config) for _ in range(depth))
        self.memory = nn.Parameter(normal(config.memory_tokens, width)) if config.memory_tokens else None
        self.modulate: nn.Sequential | None = None
        if config.global_condition == "adaLN":
            self.modulate = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 6 * width))

    def hidden(
        self, x: Tensor, t: Tensor, conditions: Conditions, *, num_blocks: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the hidden states of the frames and of the tokens before them.

        Args:
            x: Latents at level t on the straight path, [B, C, T].
            t: Levels, [B], 0 to 1.
            conditions: Tempo has no effect.
            num_blocks: States after this number of blocks; None = all.

        Returns:
            Hidden states [B, P + T, D], P of them for tokens before the frames, and the global vector [B, D].
        """
        if self.config.objective == "v":
            x, t, _ = turned(x, t)
        given = self.prepare(conditions)
        h = self.states(x, t, conditions, given, num_blocks)
        return h[:, self.config.memory_tokens :], given.global_vector

    def states(
        self, x: Tensor, t: Tensor, conditions: Conditions, given: Prepared, num_blocks: int | None = None
    ) -> Tensor:
        """Compute the states of all tokens, those for memory and conditions first.

        Args:
            x: The network's own noisy latents, [B, C, T].
            t: Its own levels, [B].
            conditions: Known latents are read of them.
            given: The rest of the conditions, as `prepare` gave it.
            num_blocks: States after this number of blocks; None = all.

        Returns:
            [B, M + P + T, D].
        """
        global_vector = given.global_vector + self.time(t)
        dtype = self.enter.weight.dtype
        known: Tensor | None = None
        if self.config.inpaint_place == "blocks":
            inpaint = conditions.inpaint
            known = (x.new_zeros(len(x), self.config.inpaint_channels, x.shape[2]) if inpaint is None else inpaint).mT
            known = known.to(dtype)
        elif conditions.inpaint is not None:
            x = torch.cat([x, conditions.inpaint.to(x.dtype)], dim=1)
        frames = x.mT.to(dtype)
        h = self.enter(frames + self.enter_residual(frames))
        shared: Tensor | None = None
        if self.modulate is None:
            h = torch.cat([global_vector.unsqueeze(1).to(dtype), h], dim=1)
        else:
            shared = self.modulate(global_vector.to(dtype))
        if self.memory is not None:
            h = torch.cat([self.memory.expand(h.shape[0], -1, -1), h], dim=1)
        rotation = Rotation.of(h.shape[1], count_rotated_entries(self.config), h.device)
        for block, context in zip(self.blocks[:num_blocks], given.contexts[:num_blocks], strict=True):
            h = block(h, context, shared, rotation, known)
        return h

    def prepare(self, conditions: Conditions) -> Prepared:
        """The part of the work that needs neither latents nor noise level."""
        context, global_vector = self.conditioning(conditions)
        context = self.context(context.to(self.enter.weight.dtype))
        attentions = (block.get_submodule("cross_attention") for block in self.blocks)
        return Prepared(global_vector, tuple(_cross(attention).keys_values(context) for attention in attentions))

    def conditioning(self, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Context before its projection [B, L + numbers, text width], and the projected global vector [B, D]."""
        seconds = {"seconds_total": conditions.seconds, "seconds_start": torch.zeros_like(conditions.seconds)}
        numbers = {name: embed(seconds[name]) for name, embed in self.numbers.items()}
        text = conditions.text_tokens
        # Guidance leads away from an empty context: there the numbers are silent, too.
        spoken = conditions.text_mask.to(text.dtype).amax(dim=1)[:, None, None]
        if self.padding is not None:
            is_real = conditions.text_mask.bool().unsqueeze(-1)
            text = torch.where(is_real, text, self.padding.to(text.dtype)) * spoken
        tokens = [numbers[name].unsqueeze(1).to(text.dtype) * spoken for name in self.config.cross_numbers]
        joined = torch.cat([numbers[name] for name in self.config.global_numbers], dim=-1)
        return torch.cat([text, *tokens], dim=1), self.global_vector(joined)


class ContinuousDiT(ContinuousTrunk):
    """Velocity network: latents x [B, C, T] at level t [B] on the straight path to the velocity of that path.

    The velocity [B, C, T] is zero at padding, whatever the objective the network was trained on. Tempo has no effect.

    Args:
        config: Its sizes and conditions.
    """

    def __init__(self, config: ContinuousDiTConfig) -> None:
        super().__init__(config)
        self.leave = nn.Linear(config.width, config.latent_channels, bias=False)
        self.leave_residual = nn.Linear(config.latent_channels, config.latent_channels, bias=False)

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions, prepared: Prepared | None = None) -> Tensor:
        if self.config.objective == "v":
            velocity = straight_velocity(lambda turned, angle: self.output(turned, angle, conditions, prepared), x, t)
        else:
            velocity = self.output(x, t, conditions, prepared)
        return velocity * conditions.frame_mask.unsqueeze(1).to(velocity.dtype)

    def output(self, x: Tensor, t: Tensor, conditions: Conditions, prepared: Prepared | None = None) -> Tensor:
        """What the published network gives for its own x and t, [B, C, T]."""
        h = self.states(x, t, conditions, prepared or self.prepare(conditions))
        out = self.leave(h[:, -x.shape[2] :])
        return (out + self.leave_residual(out)).mT


def straight_velocity(network: VelocityNetwork, x: Tensor, t: Tensor) -> Tensor:
    """Compute the velocity of the straight path from a network of variance-preserving diffusion.

    Both paths mix the same data and noise; only scale and time differ. With a = atan2(t, 1 - t), the network's own x is
    x / |(1 - t, t)| and its own time a / (pi / 2); its velocity is cos(a) noise - sin(a) data.

    Args:
        network: (x, t) of variance-preserving diffusion to its velocity.
        x: [B, C, T] on the straight path.
        t: [B].

    Returns:
        Velocity [B, C, T].
    """
    turned_x, time, size = turned(x, t)
    sigma, alpha = t[:, None, None] / size, (1 - t)[:, None, None] / size
    v = network(turned_x, time).to(x.dtype)
    data, noise = alpha * turned_x - sigma * v, sigma * turned_x + alpha * v
    return noise - data


def turned(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Express a mixture in the terms of variance-preserving diffusion.

    Args:
        x: Latents on the straight path, [B, C, T].
        t: Levels, [B].

    Returns:
        Its x [B, C, T], its time [B], and the scale.
    """
    size = torch.sqrt((1 - t).square() + t.square())[:, None, None]
    return x / size, torch.atan2(t, 1 - t) * (2 / math.pi), size


def _cross(module: nn.Module) -> CrossAttention:
    assert isinstance(module, CrossAttention)
    return module


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def count_rotated_entries(config: ContinuousDiTConfig) -> int:
    """How many entries of each head are rotated."""
    return max(config.width // config.heads // 2, MIN_ROTATED)


def _norm(config: ContinuousDiTConfig) -> nn.Module:
    if config.norm == "rms":
        return nn.RMSNorm(config.width, eps=1e-5)
    return nn.LayerNorm(config.width, bias=False)


def _projection(wide_in: int, wide_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide_in, wide_out, bias=False), nn.SiLU(), nn.Linear(wide_out, wide_out, bias=False))
