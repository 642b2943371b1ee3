"""Discriminators of ARC training: heads on the first blocks of a flow network, the alignment critic, the fake score.

It scores noisy latents against a prompt, one logit for each stretch of time; high = real. With the heads "conv" and
"convnext" and a network that masks padding it is exact under padding: a clip has the same logits alone and in a batch
of longer ones. The two heads of the public trainer count padding as sound.
B batch, C channels, T latent frames, P tokens before them, D width, S score positions.
Source: Novack et al. 2025, arXiv 2505.08175, and the public trainer's two heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from arctone.errors import UsageError
from arctone.model_folder.config import ContinuousDiTConfig, DiTConfig, TransformerConfig
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT, ContinuousTrunk
from arctone.models.dit import DiT, TimestepEmbedding, Trunk
from arctone.models.spectral import ConvNeXtBlock

BLOCK_SHARE = 0.75
"""Part of the flow model's blocks that the discriminator has by default."""


class Scores(NamedTuple):
    """logits: [B, S], high = real. mask: [B, S], True where a position belongs to the clip."""

    logits: Tensor
    mask: Tensor


class Discriminator(nn.Module):
    """Scores of noisy latents.

    Args:
        config: Of the flow model.
        num_blocks: How many of its blocks to have, 1 to its depth; None = three of four.
        head: Name of one of HEADS.

    Raises:
        UsageError: For an unknown head or an impossible number of blocks.
    """

    def __init__(self, config: TransformerConfig, num_blocks: int | None = None, head: str = "conv") -> None:
        super().__init__()
        num_blocks = blocks_of(config, BLOCK_SHARE, num_blocks)
        if head not in HEADS:
            raise UsageError(f"head: {head!r} is unknown, choose from {', '.join(HEADS)}", field="head")
        self.trunk = TRUNKS[type(config)](config, num_blocks)
        self.head = HEADS[head](config.width)

    def forward(self, x: Tensor, s: Tensor, conditions: Conditions) -> Scores:
        """Score noisy latents position by position.

        Args:
            x: Latents at level s, [B, C, T].
            s: Noise level, [B], 0 to 1.
            conditions: Of the batch.

        Returns:
            Logits and their mask, [B, S]; high = real.
        """
        hidden, _ = self.trunk.hidden(x, s, conditions)
        return self.head(hidden, mask_of_states(hidden, conditions))


# By the config of the flow model, what builds its first blocks.
TRUNKS: dict[type, Callable[[Any, int], Trunk | ContinuousTrunk]] = {
    DiTConfig: Trunk,
    ContinuousDiTConfig: ContinuousTrunk,
}
NETWORKS: dict[type, Callable[[Any], DiT | ContinuousDiT]] = {DiTConfig: DiT, ContinuousDiTConfig: ContinuousDiT}


def blocks_of(config: TransformerConfig, share: float, num_blocks: int | None = None) -> int:
    """Compute a number of blocks.

    Args:
        config: Of the flow model.
        share: Part of its blocks, which is rounded.
        num_blocks: The number itself; None = by the share.

    Returns:
        1 up to the depth of the flow model.

    Raises:
        UsageError: If the flow model has fewer.
    """
    number = max(1, round(share * config.depth)) if num_blocks is None else num_blocks
    if not 1 <= number <= config.depth:
        raise UsageError(
            f"num_blocks: {number} is not possible, the flow model has {config.depth} blocks", field="num_blocks"
        )
    return number


def mask_of_states(hidden: Tensor, conditions: Conditions) -> Tensor:
    """Extend the frame mask to the tokens before the frames, which are always real.

    Args:
        hidden: [B, P + T, D].
        conditions: With frame_mask [B, T].

    Returns:
        [B, P + T], True = real.
    """
    mask = conditions.frame_mask.bool()
    return F.pad(mask, (hidden.shape[1] - mask.shape[1], 0), value=True)


def trunk_state(flow_state: Mapping[str, Tensor], config: TransformerConfig, num_blocks: int) -> dict[str, Tensor]:
    """A flow model's weights less those that a trunk of `num_blocks` blocks does not have.

    Only names that a network of this config has behind the trunk are left out; strange ones stay, for a strict load to
    find them.
    """
    with torch.device("meta"):
        whole, trunk = NETWORKS[type(config)](config), TRUNKS[type(config)](config, num_blocks)
        behind = whole.state_dict().keys() - trunk.state_dict().keys()
    return {name: value for name, value in flow_state.items() if name not in behind}


class MaskedGroupNorm(nn.GroupNorm):
    """Group normalisation over the real positions of [B, D, T] alone."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Normalize over real positions.

        Args:
            x: [B, D, T].
            mask: [B, 1, T], 1 = real.

        Returns:
            [B, D, T].
        """
        with torch.autocast(x.device.type, enabled=False):
            grouped = x.float().unflatten(1, (self.num_groups, -1))
            real = mask.unsqueeze(1).float()
            count = real.sum((2, 3), keepdim=True) * grouped.shape[2]
            centred = (grouped - (grouped * real).sum((2, 3), keepdim=True) / count) * real
            variance = centred.square().sum((2, 3), keepdim=True) / count
            normal = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2)
            return normal * self.weight[:, None] + self.bias[:, None]


class ConvHead(nn.Module):
    """Four strided convolutions and one logit for every 16 frames; [B, T, D] -> Scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.downs = nn.ModuleList(nn.Conv1d(width, width, 4, stride=2, padding=1) for _ in range(4))
        # 32 groups at the published width of 1024, never groups of fewer than 8 channels.
        self.norms = nn.ModuleList(MaskedGroupNorm(math.gcd(32, max(width // 8, 1)), width) for _ in range(4))
        self.leave = nn.Conv1d(width, 1, 4)

    def forward(self, hidden: Tensor, mask: Tensor) -> Scores:
        x, mask = _whole(hidden.mT, mask.unsqueeze(1), 16)
        for down, norm in zip(self.downs, self.norms, strict=True):
            x, mask = down(x * mask), mask[..., ::2]
            x = F.silu(norm(x, mask))
        # Without padding the last kernel of 4 would need 64 frames; three seconds is longer than many sounds.
        logits = self.leave(F.pad(x * mask, (1, 2)))
        return Scores(logits[:, 0].float(), mask[:, 0])


class ConvNeXtHead(nn.Module):
    """Three stages of two ConvNeXt blocks and a convolution, and one logit for every 4 frames; [B, T, D] -> Scores.

    128 channels, times 1, 2 and 4 after each stage; narrow flow models have a fourth of their width for the first.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        first = min(128, max(width // 4, 8))
        self.enter = nn.Conv1d(width, first, 7, padding=3)
        self.stages = nn.ModuleList(
            nn.ModuleList(ConvNeXtBlock(channels, expansion=4) for _ in range(2))
            for channels in (first, first, 2 * first)
        )
        self.downs = nn.ModuleList(
            [
                nn.Conv1d(first, first, 3, padding=1),
                nn.Conv1d(first, 2 * first, 4, stride=2, padding=1),
                nn.Conv1d(2 * first, 4 * first, 4, stride=2, padding=1),
            ]
        )
        self.norm = nn.LayerNorm(4 * first)
        self.leave = nn.Conv1d(4 * first, 1, 3, padding=1)

    def forward(self, hidden: Tensor, mask: Tensor) -> Scores:
        x, mask = _whole(hidden.mT, mask.unsqueeze(1), 4)
        x = self.enter(x * mask)
        for stage, down in zip(self.stages, self.downs, strict=True):
            assert isinstance(stage, nn.ModuleList)
            assert isinstance(down, nn.Conv1d)
            for block in stage:
                x = block((x * mask).mT).mT
            x, mask = down(x * mask), mask[..., :: down.stride[0]]
        logits = self.leave(self.norm(x.mT).mT * mask)
        return Scores(logits[:, 0].float(), mask[:, 0])


class PublicConvHead(nn.Module):
    """The published strided head: one logit for every 16 states, padding like sound; [B, T, D] -> Scores.

    The last convolution is not padded, so it needs 64 states, three seconds.

    Args:
        width: D, a multiple of 32.

    Raises:
        UsageError: For another width, and in the forward pass for fewer states.
    """

    min_states = 64
    num_groups = 32

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % self.num_groups:
            raise UsageError(
                f"head: public_conv is not possible for a flow model of width {width}, its width must be a multiple of "
                f"{self.num_groups}",
                field="head",
            )
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [nn.Conv1d(width, width, 4, stride=2, padding=1), nn.GroupNorm(self.num_groups, width), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, 1, 4))

    def forward(self, hidden: Tensor, mask: Tensor) -> Scores:
        if hidden.shape[1] < self.min_states:
            raise UsageError(
                f"head: public_conv is not possible for a window of {hidden.shape[1]} states, it must have at least "
                f"{self.min_states}",
                field="head",
            )
        return _every_position(self.layers(hidden.mT))


class PublicConvNeXtHead(nn.Module):
    """The published ConvNeXt head: one logit for every 4 states, padding like sound; [B, T, D] -> Scores.

    Every convolution has weight norm. The published code sets the last one of each block to zero, which its weight norm
    undoes before the first call: only the bias is zero.

    Args:
        width: D.
        channels: Of the first stage.
        multipliers: Of the channels after each stage.
        strides: Of each stage.
        num_blocks: Blocks of a stage.
    """

    def __init__(
        self,
        width: int,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 4),
        strides: Sequence[int] = (1, 2, 2),
        num_blocks: int = 2,
    ) -> None:
        super().__init__()
        sizes = [channels, *(channels * multiplier for multiplier in multipliers)]
        layers: list[nn.Module] = [_normed(nn.Conv1d(width, channels, 7, padding=3))]
        for before, after, stride in zip(sizes[:-1], sizes[1:], strides, strict=True):
            layers += [PublicConvNeXtBlock(before) for _ in range(num_blocks)]
            layers.append(_normed(nn.Conv1d(before, after, 2 * stride, stride, padding=math.ceil(stride / 2))))
        self.layers = nn.Sequential(*layers, _normed(nn.Conv1d(sizes[-1], 1, 3, padding=1)))

    def forward(self, hidden: Tensor, mask: Tensor) -> Scores:
        return _every_position(self.layers(hidden.mT))


class PublicConvNeXtBlock(nn.Module):
    """Depth-wise convolution, then two pointwise ones with GELU between them, added to the input, [B, D, T]."""

    def __init__(self, channels: int, kernel: int = 7, expansion: int = 4) -> None:
        super().__init__()
        self.deep = _normed(nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels))
        self.up = _normed(nn.Conv1d(channels, expansion * channels, 1))
        self.down = _normed(nn.Conv1d(expansion * channels, channels, 1))
        assert self.down.bias is not None
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.deep(x))))


Head = Callable[[int], nn.Module]
HEADS: dict[str, Head] = {
    "conv": ConvHead,
    "convnext": ConvNeXtHead,
    "public_conv": PublicConvHead,
    "public_convnext": PublicConvNeXtHead,
}


def _normed(layer: nn.Conv1d) -> nn.Conv1d:
    return weight_norm(layer)


def _every_position(logits: Tensor) -> Scores:
    """Scores of [B, 1, S] where all positions count."""
    found = logits[:, 0].float()
    return Scores(found, torch.ones_like(found, dtype=torch.bool))


def _whole(x: Tensor, mask: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """x [B, D, T] and its mask filled up to a multiple of frames, so that every stride halves the length exactly."""
    missing = -x.shape[-1] % multiple
    return F.pad(x, (0, missing)), F.pad(mask, (0, missing))


class AlignmentCritic(nn.Module):
    """Similarity of latents and captions, cosine times a learned sharpness.

    Args:
        channels: C, of the latents.
        text_width: D, of the pooled captions.
        width: Of the sound tower, and E.
        num_blocks: Of the sound tower.
    """

    def __init__(self, channels: int, text_width: int, width: int = 128, num_blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.level = TimestepEmbedding(width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, expansion=3) for _ in range(num_blocks))
        self.sound = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.text = nn.Sequential(nn.Linear(text_width, width), nn.SiLU(), nn.Linear(width, width))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x: Tensor, s: Tensor, frame_mask: Tensor, captions: Tensor) -> Tensor:
        """Compute the similarity of every sound with every caption.

        Args:
            x: Latents [B, C, T] at level s.
            s: [B], 0 to 1.
            frame_mask: [B, T], True = real.
            captions: Pooled, [N, D].

        Returns:
            [B, N].
        """
        mask = frame_mask.bool().unsqueeze(-1)
        h = self.enter(x.mT) + self.level(s).unsqueeze(1)
        for block in self.blocks:
            h = block(h * mask)
        pooled = (h * mask).sum(1) / mask.sum(1)
        sound, text = F.normalize(self.sound(pooled), dim=-1), F.normalize(self.text(captions), dim=-1)
        # Bounded, as in CLIP: beyond 100 a single pair would decide the gradient.
        return self.log_sharpness.clamp(max=math.log(100)).exp() * (sound.float() @ text.float().T)


class FakeScore(nn.Module):
    """A flow model of the student's outputs with, if wanted, a head that tells them from real latents.

    Args:
        dit: A DiT, or any velocity network of the same form.
        head: From hidden states [B, T, D] and mask [B, T] to Scores; None where there is no adversarial term.
        num_blocks: After which block the head reads the hidden states.
    """

    def __init__(self, dit: nn.Module, head: nn.Module | None = None, num_blocks: int | None = None) -> None:
        super().__init__()
        self.dit, self.head, self.num_blocks = dit, head, num_blocks

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Compute the velocity.

        Args:
            x: Noisy latents, [B, C, T].
            t: Noise level, [B], 0 to 1.
            conditions: Of the batch.

        Returns:
            [B, C, T].
        """
        return self.dit(x, t, conditions)

    def scores(self, x: Tensor, s: Tensor, conditions: Conditions) -> Scores:
        """Score noisy latents position by position.

        Args:
            x: Latents at level s, [B, C, T].
            s: Noise level, [B], 0 to 1.
            conditions: Of the batch.

        Returns:
            Logits and their mask; high = real.
        """
        assert self.head is not None
        hidden, _ = self.dit.hidden(x, s, conditions, num_blocks=self.num_blocks)  # type: ignore[operator]
        return self.head(hidden, mask_of_states(hidden, conditions))
