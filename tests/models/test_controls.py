"""Controls: what is not given changes nothing, what is given matters, and old weights give what they gave."""

from __future__ import annotations

import msgspec
import pytest
import torch
from torch import Tensor, nn

from arctone.model_folder.config import CURVE_CONTROLS, NUMBER_CONTROLS, DiTConfig
from arctone.models.conditions import Conditions, key_features, pitch_features
from arctone.models.discriminator import Discriminator
from arctone.models.dit import DiT

PLAIN = DiTConfig(latent_channels=4, width=32, depth=2, heads=2, text_width=64, mlp_width=48, max_frames=24)
FULL = msgspec.structs.replace(
    PLAIN, controls=(*NUMBER_CONTROLS, *CURVE_CONTROLS), text_adapter=1, inpaint_channels=1 + PLAIN.latent_channels
)
FRAMES = 16
NAMES = (*NUMBER_CONTROLS, *CURVE_CONTROLS)


def _filled(module: nn.Module) -> nn.Module:
    """The module with its zero-initialised matrices filled, as if trained."""
    torch.manual_seed(3)
    for parameter in module.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.2)
    return module.eval()


def _inputs() -> tuple[Tensor, Tensor, Conditions]:
    source = torch.Generator().manual_seed(1)
    conditions = Conditions(
        text_tokens=torch.randn(2, 5, 64, generator=source),
        text_mask=torch.ones(2, 5, dtype=torch.bool),
        text_pooled=torch.randn(2, 64, generator=source),
        seconds=torch.full((2,), 0.7),
        bpm=torch.full((2,), 120.0),
        frame_mask=torch.ones(2, FRAMES, dtype=torch.bool),
    )
    return torch.randn(2, 4, FRAMES, generator=source), torch.full((2,), 0.6), conditions


def _given(name: str) -> Tensor:
    if name in NUMBER_CONTROLS:
        return torch.tensor([10.0, 3.0] if name == "key" else [60.0, 71.0])
    values = torch.linspace(0.1, 0.9, FRAMES).expand(2, -1) * (100 if name == "pitch" else 1)
    return torch.stack([values, torch.ones_like(values)], dim=1)


def _nothing(name: str) -> Tensor:
    return torch.zeros(2) if name in NUMBER_CONTROLS else torch.zeros(2, 2, FRAMES)


@torch.no_grad()
def test_an_old_network_gives_the_same_bits_with_new_parts() -> None:
    old = _filled(DiT(PLAIN))
    torch.manual_seed(5)
    new = DiT(FULL)
    state = new.state_dict()
    enter = torch.cat([old.enter.weight, state["enter.weight"][:, 4:]], dim=1)
    new.load_state_dict(state | old.state_dict() | {"enter.weight": enter})
    x, t, conditions = _inputs()
    everything = conditions._replace(inpaint=torch.randn(2, 5, FRAMES), **{name: _given(name) for name in NAMES})
    before = old(x, t, conditions)
    assert torch.equal(before, new.eval()(x, t, everything))
    assert before.abs().max() > 0


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_a_control_that_is_not_given_changes_nothing_and_a_given_one_does(name: str) -> None:
    dit = _filled(DiT(msgspec.structs.replace(PLAIN, controls=(name,))))
    x, t, conditions = _inputs()
    absent = dit(x, t, conditions)
    assert torch.equal(absent, dit(x, t, conditions._replace(**{name: _nothing(name)})))
    given = conditions._replace(**{name: _given(name)})
    assert (dit(x, t, given) - absent).abs().amax(dim=(1, 2)).min() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_the_discriminator_receives_the_controls(name: str) -> None:
    network = _filled(Discriminator(msgspec.structs.replace(PLAIN, controls=(name,))))
    x, t, conditions = _inputs()
    plain = network(x, t, conditions).logits
    assert (network(x, t, conditions._replace(**{name: _given(name)})).logits - plain).abs().max() > 1e-4


@torch.no_grad()
def test_a_curve_acts_at_its_frames_first() -> None:
    """Through one block of attention every frame sees all others, so the input layer is looked at alone."""
    dit = _filled(DiT(msgspec.structs.replace(PLAIN, controls=("loudness",))))
    assert dit.controls is not None
    curve = _given("loudness")
    curve[:, :, 8:] = 0
    _, _, conditions = _inputs()
    added = dit.controls.of_frames(conditions._replace(loudness=curve))
    assert added is not None
    assert added[:, 8:].abs().max() == 0
    assert added[:, :8].abs().max() > 0


def test_keys_are_distinguished_and_notes_of_one_name_share_their_circle() -> None:
    keys = key_features(torch.arange(0, 25).float())
    assert not keys[0].any()
    assert torch.equal(keys[1:], torch.eye(24))
    low, high, other = pitch_features(torch.tensor([48.0, 60.0, 61.0]))
    assert torch.allclose(low[16:], high[16:], atol=1e-5)
    assert (high[16:] - other[16:]).abs().max() > 0.1
    assert not pitch_features(torch.zeros(1)).any()


def test_the_unconditional_side_loses_what_the_prompt_says_and_keeps_the_curves() -> None:
    _, _, conditions = _inputs()
    given = conditions._replace(**{name: _given(name) for name in NAMES})
    bare = given.unconditional()
    assert not any(getattr(bare, name).any() for name in ("text_mask", "bpm", "key", "note"))
    assert all(torch.equal(getattr(bare, name), getattr(given, name)) for name in CURVE_CONTROLS)
    both = given.joined(bare)
    assert both.loudness is not None
    assert both.loudness.shape == (4, 2, FRAMES)
    assert torch.equal(both.items(slice(2, 4)).key, bare.key)


@torch.no_grad()
def test_the_adapter_changes_the_text_alone() -> None:
    dit = _filled(DiT(msgspec.structs.replace(PLAIN, text_adapter=2)))
    x, t, conditions = _inputs()
    silent = conditions.unconditional()
    other = silent._replace(text_tokens=silent.text_tokens.flip(1))
    assert torch.equal(dit(x, t, silent), dit(x, t, other))
    assert not torch.equal(dit(x, t, conditions), dit(x, t, conditions._replace(text_tokens=other.text_tokens)))
