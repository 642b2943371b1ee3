"""What the diffusion transformer does and does not depend on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from arctone.model_folder.config import DiTConfig
from arctone.models.conditions import Conditions
from arctone.models.dit import DiT, Trunk

CONFIG = DiTConfig(latent_channels=4, width=32, depth=2, heads=2, text_width=8, mlp_width=48, max_frames=24)
# What a DiT has behind its trunk.
LAST = ("norm", "finish", "leave")


@pytest.fixture
def dit() -> DiT:
    """Random network whose zero-initialised layers have been filled, so that every input can show."""
    torch.manual_seed(0)
    module = DiT(CONFIG).eval()
    for parameter in module.parameters():
        if parameter.ndim == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.2)
    return module


def _inputs(items: int = 2, frames: int = 16) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(items, 4, frames, generator=source),
        "t": torch.full((items,), 0.6),
        "text_tokens": torch.randn(items, 5, 8, generator=source),
        "text_mask": torch.ones(items, 5, dtype=torch.bool),
        "text_pooled": torch.randn(items, 8, generator=source),
        "seconds": torch.full((items,), 0.7),
        "bpm": torch.full((items,), 120.0),
        "frame_mask": torch.ones(items, frames, dtype=torch.bool),
    }


def _velocity(dit: DiT, inputs: dict[str, Tensor]) -> Tensor:
    velocity: Tensor = dit(inputs["x"], inputs["t"], Conditions.of(inputs))
    return velocity


@torch.no_grad()
def test_untrained_network_predicts_zero_velocity() -> None:
    assert not _velocity(DiT(CONFIG), _inputs()).any()


@torch.no_grad()
@pytest.mark.parametrize("name", ["x", "t", "text_tokens", "text_pooled", "seconds", "bpm"])
def test_every_condition_matters(dit: DiT, name: str) -> None:
    inputs = _inputs()
    other = inputs | {name: inputs[name].flip(-1) if name.startswith("text") else inputs[name] * 0.5}
    assert (_velocity(dit, inputs) - _velocity(dit, other)).abs().max() > 1e-3


@torch.no_grad()
def test_items_do_not_see_each_other(dit: DiT) -> None:
    inputs = _inputs()
    alone = _velocity(dit, {name: value[1:] for name, value in inputs.items()})
    assert torch.allclose(_velocity(dit, inputs)[1:], alone, atol=1e-5)


@torch.no_grad()
def test_padded_frames_and_tokens_have_no_influence(dit: DiT) -> None:
    inputs = _inputs()
    inputs["frame_mask"][:, 11:] = False
    inputs["text_mask"][:, 3:] = False
    other = {name: value.clone() for name, value in inputs.items()}
    other["x"][:, :, 11:] = 99
    other["text_tokens"][:, 3:] = 99
    assert torch.allclose(_velocity(dit, inputs), _velocity(dit, other), atol=1e-4)
    assert not _velocity(dit, inputs)[:, :, 11:].any()


@torch.no_grad()
def test_a_longer_padded_window_gives_the_same_velocity(dit: DiT) -> None:
    """Static engine windows are longer than the clip: that must not change the sound."""
    inputs = _inputs(frames=16)
    padded = inputs | {
        "x": nn.functional.pad(inputs["x"], (0, 8)),
        "frame_mask": nn.functional.pad(inputs["frame_mask"], (0, 8)),
    }
    assert torch.allclose(_velocity(dit, padded)[:, :, :16], _velocity(dit, inputs), atol=1e-5)


@torch.no_grad()
def test_without_text_the_prompt_is_forgotten(dit: DiT) -> None:
    inputs = _inputs()
    silent = inputs | {"text_mask": torch.zeros_like(inputs["text_mask"]), "text_pooled": torch.zeros(2, 8)}
    other = silent | {"text_tokens": -inputs["text_tokens"]}
    assert torch.allclose(_velocity(dit, silent), _velocity(dit, other), atol=1e-5)


@torch.no_grad()
def test_beat_phase_repeats_with_the_beat(dit: DiT) -> None:
    """Without other information about time, frames one bar apart receive the same."""
    seconds, bpm = torch.tensor([1.0]), torch.tensor([60 * 4 / (8 * 2048 / 44_100)])
    features = dit._time_features(seconds, bpm, 24)[0, :, -12:]
    assert torch.allclose(features[:8], features[8:16], atol=1e-3)
    assert (features[0] - features[4]).abs().max() > 0.5


@torch.no_grad()
def test_hidden_states_of_a_depth_are_those_of_the_shorter_network(dit: DiT) -> None:
    shallow = DiT(DiTConfig(**{**_as_dict(CONFIG), "depth": 1}))
    state = {name: value for name, value in dit.state_dict().items() if not name.startswith("blocks.1.")}
    shallow.load_state_dict(state)
    inputs = _inputs()
    x, t, conditions = inputs["x"], inputs["t"], Conditions.of(inputs)
    expected = dit.hidden(x, t, conditions, num_blocks=1)[0]
    assert torch.equal(shallow.hidden(x, t, conditions)[0], expected)
    trunk = Trunk(CONFIG, num_blocks=1)
    trunk.load_state_dict({name: value for name, value in state.items() if name.split(".")[0] not in LAST})
    assert torch.equal(trunk.hidden(x, t, conditions)[0], expected)


def _as_dict(config: DiTConfig) -> dict[str, int]:
    return {name: getattr(config, name) for name in config.__struct_fields__}
