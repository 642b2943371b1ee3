"""Logits that know the prompt, know their clip's length exactly, and start from the flow model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import fill
from arctone.errors import ModelError, UsageError
from arctone.model_folder.config import DiTConfig
from arctone.models.conditions import Conditions
from arctone.models.discriminator import (
    HEADS,
    AlignmentCritic,
    Discriminator,
    MaskedGroupNorm,
    PublicConvHead,
    Scores,
    trunk_state,
)
from arctone.models.dit import DiT

CONFIG = DiTConfig(latent_channels=4, width=32, depth=4, heads=2, text_width=8, mlp_width=48, max_frames=96)
S = torch.tensor([0.3, 0.6])
# The published heads count padding as sound, as they do in the public trainer.
PUBLISHED = ("public_conv", "public_convnext")
EXACT = tuple(name for name in HEADS if name not in PUBLISHED)


def filled(module: nn.Module) -> nn.Module:
    """Random values where the start is zero, so that every input can show."""
    for parameter in module.parameters():
        if parameter.ndim >= 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.2)
    return module.eval()


def _discriminator(head: str) -> Discriminator:
    torch.manual_seed(0)
    module = filled(Discriminator(CONFIG, head=head))
    assert isinstance(module, Discriminator)
    return module


@pytest.fixture(params=HEADS)
def discriminator(request: pytest.FixtureRequest) -> Discriminator:
    return _discriminator(request.param)


def _inputs(frames: int) -> tuple[Tensor, Conditions]:
    source = torch.Generator().manual_seed(1)
    conditions = Conditions(
        text_tokens=torch.randn(2, 5, 8, generator=source),
        text_mask=torch.ones(2, 5, dtype=torch.bool),
        text_pooled=torch.randn(2, 8, generator=source),
        seconds=torch.full((2,), 1.2),
        bpm=torch.full((2,), 120.0),
        frame_mask=torch.ones(2, frames, dtype=torch.bool),
    )
    return torch.randn(2, 4, frames, generator=source), conditions


def _in_longer_window(x: Tensor, conditions: Conditions, frames: int) -> tuple[Tensor, Conditions]:
    missing = frames - x.shape[-1]
    mask = nn.functional.pad(conditions.frame_mask, (0, missing))
    return nn.functional.pad(x, (0, missing), value=77.0), conditions._replace(frame_mask=mask)


@torch.no_grad()
@pytest.mark.parametrize("head", EXACT)
@pytest.mark.parametrize("frames", [1, 7, 16, 43, 64])
def test_a_clip_has_the_same_logits_alone_and_in_a_longer_batch(head: str, frames: int) -> None:
    discriminator = _discriminator(head)
    x, conditions = _inputs(frames)
    alone: Scores = discriminator(x, S, conditions)
    longer, padded_conditions = _in_longer_window(x, conditions, 96)
    padded: Scores = discriminator(longer, S, padded_conditions)
    assert alone.mask.all()
    assert alone.logits.std() > 1e-3
    assert torch.equal(padded.mask.sum(1), alone.mask.sum(1))
    assert torch.allclose(padded.logits[padded.mask], alone.logits.flatten(), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("head", "alone_positions", "positions"), [("public_conv", 1, 3), ("public_convnext", 16, 24)])
def test_published_heads_count_padding_as_sound(head: str, alone_positions: int, positions: int) -> None:
    discriminator = _discriminator(head)
    x, conditions = _inputs(64)
    alone: Scores = discriminator(x, S, conditions)
    longer, padded_conditions = _in_longer_window(x, conditions, 96)
    padded: Scores = discriminator(longer, S, padded_conditions)
    assert alone.logits.shape == alone.mask.shape == (2, alone_positions)
    assert padded.logits.shape == padded.mask.shape == (2, positions)
    assert alone.mask.all()
    assert padded.mask.all()
    assert (padded.logits[:, :alone_positions] - alone.logits).abs().max() > 1e-3


@torch.no_grad()
def test_the_published_strided_head_says_what_it_needs() -> None:
    discriminator = _discriminator("public_conv")
    x, conditions = _inputs(63)
    sentence = "head: public_conv is not possible for a window of 63 states, it must have at least 64"
    with pytest.raises(UsageError, match=sentence):
        discriminator(x, S, conditions)
    with pytest.raises(UsageError, match="of width 48, its width must be a multiple of 32"):
        PublicConvHead(48)


@pytest.mark.parametrize(("head", "frames", "positions"), [("conv", 256, 16), ("conv", 43, 3), ("convnext", 256, 64)])
def test_one_logit_for_every_stretch_of_time(head: str, frames: int, positions: int) -> None:
    hidden, mask = torch.randn(2, frames, 32), torch.ones(2, frames, dtype=torch.bool)
    assert HEADS[head](32)(hidden, mask).logits.shape == (2, positions)


def test_sizes_at_the_published_width() -> None:
    """The plain head has the convolutions of the public trainer's, the other one 3.2 million parameters like it."""
    sizes = {name: sum(p.numel() for p in head(1024).parameters()) for name, head in HEADS.items()}
    assert sizes["conv"] == 4 * (1024 * 1024 * 4 + 1024 + 2 * 1024) + 1024 * 4 + 1
    assert sizes["convnext"] == pytest.approx(3.2e6, rel=0.02)


@torch.no_grad()
def test_masked_group_norm_is_group_norm_of_the_real_part() -> None:
    torch.manual_seed(0)
    norm = MaskedGroupNorm(4, 32)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 32, 11)
    mask = (torch.arange(11) < 7).expand(2, 1, 11)
    expected = nn.functional.group_norm(x[..., :7], 4, norm.weight, norm.bias, norm.eps)
    assert torch.allclose(norm(x, mask)[..., :7], expected, atol=1e-5)


@torch.no_grad()
def test_prompt_and_level_matter(discriminator: Discriminator) -> None:
    x, conditions = _inputs(80)
    logits = discriminator(x, S, conditions).logits
    others = {
        "text_tokens": conditions._replace(text_tokens=conditions.text_tokens.flip(0)),
        "text_pooled": conditions._replace(text_pooled=conditions.text_pooled.flip(0)),
        "bpm": conditions._replace(bpm=conditions.bpm * 0.7),
    }
    for name, other in others.items():
        assert (discriminator(x, S, other).logits - logits).abs().max() > 1e-4, name
    assert (discriminator(x, S.flip(0), conditions).logits - logits).abs().max() > 1e-4


def test_every_parameter_takes_part(discriminator: Discriminator) -> None:
    # A length that no stride divides, long enough for the published strided head.
    x, conditions = _inputs(91)
    discriminator(x, S, conditions).logits.square().sum().backward()
    assert [name for name, value in discriminator.named_parameters() if value.grad is None] == []
    assert len(discriminator.trunk.blocks) == 3
    assert not {"norm", "finish", "leave"} & {name for name, _ in discriminator.trunk.named_children()}


def test_it_starts_from_the_flow_model_strictly() -> None:
    torch.manual_seed(0)
    flow, module = DiT(CONFIG), Discriminator(CONFIG)
    filled(flow)
    state = dict(flow.state_dict())
    fill(module.trunk, trunk_state(state, CONFIG, 3), "flow")
    x, conditions = _inputs(16)
    expected = flow.hidden(x, S, conditions, num_blocks=3)[0]
    assert torch.equal(module.trunk.hidden(x, S, conditions)[0], expected)
    strange = state | {"blocks.9.modulation": torch.zeros(6, 32)}
    with pytest.raises(ModelError, match=r"unknown tensor blocks.9.modulation"):
        fill(module.trunk, trunk_state(strange, CONFIG, 3), "flow")
    del state["blocks.1.mlp.enter.weight"]
    with pytest.raises(ModelError, match=r"lacks the tensor blocks.1.mlp.enter.weight"):
        fill(module.trunk, trunk_state(state, CONFIG, 3), "flow")


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="num_blocks: 5 is not possible, the flow model has 4 blocks"):
        Discriminator(CONFIG, num_blocks=5)
    with pytest.raises(UsageError, match="head: 'deep' is unknown, choose from conv, convnext"):
        Discriminator(CONFIG, head="deep")


@torch.no_grad()
def test_alignment_is_blind_to_padding() -> None:
    torch.manual_seed(0)
    critic = AlignmentCritic(4, 8, width=16)
    x, conditions = _inputs(20)
    padded, longer = _in_longer_window(x, conditions, 40)
    captions = torch.randn(3, 8)
    alone = critic(x, S, conditions.frame_mask, captions)
    assert alone.shape == (2, 3)
    assert torch.allclose(critic(padded, S, longer.frame_mask, captions), alone, atol=1e-4)
