"""Adapters: what they add, what they leave alone, and that a run that was interrupted is the same run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.models.conditions import Conditions
from arctone.models.dit import DiT
from arctone.models.lora import Adapted, LoraConfig, LowRank, low_rank_pairs, target_layers
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.lora import LoraTask
from tests.training.arc_parts import filled
from tests.training.test_loop import DIT, RandomBatches

LOOP = LoopConfig(
    total_steps=8, rate=1e-2, weight_decay=0.0, warmup_steps=2, precision="32-true", log_every=1, checkpoint_every=3
)
SMALL = LoraConfig(rank=3, alpha=6.0)


def _base() -> DiT:
    torch.manual_seed(3)
    module = filled(DiT(DIT))
    assert isinstance(module, DiT)
    return module.requires_grad_(False)


def _trained(adapted: Adapted) -> Adapted:
    """With `up` away from zero."""
    source = torch.Generator().manual_seed(5)
    for name, value in adapted.named_parameters():
        if name.endswith("up.weight"):
            with torch.no_grad():
                value.copy_(0.1 * torch.randn(value.shape, generator=source))
    return adapted


def _input() -> tuple[Tensor, Tensor, Conditions]:
    batch = RandomBatches().batch(0, 0, 1)
    return batch["latents"], torch.tensor([0.1, 0.4, 0.7, 1.0]), Conditions.of(batch)


def test_a_layer_with_an_adapter_is_the_layer_with_the_merged_weight() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(12, 7).double(), torch.randn(5, 12, dtype=torch.float64)
    pair = LowRank(layer, LoraConfig(rank=2, alpha=5.0)).double()
    nn.init.normal_(pair.up.weight)
    merged = nn.functional.linear(x, layer.weight + 2.5 * pair.up.weight @ pair.down.weight, layer.bias)
    assert torch.allclose(layer(x) + pair(x), merged, atol=1e-12)
    assert torch.linalg.matrix_rank(pair.up.weight @ pair.down.weight) == 2


@torch.no_grad()
def test_an_untrained_adapter_changes_nothing_and_a_trained_one_is_not_left_behind() -> None:
    base, given = _base(), _input()
    alone = base(*given)
    assert torch.equal(Adapted(base, SMALL)(*given), alone)
    adapted = _trained(Adapted(base, SMALL))
    assert not torch.allclose(adapted(*given), alone, atol=1e-2)
    assert torch.equal(base(*given), alone)


def test_only_the_adapter_is_trained_and_kept() -> None:
    adapted = Adapted(_base(), SMALL)
    assert all(name.startswith("pairs.") for name in adapted.state_dict())
    assert len(low_rank_pairs(adapted.state_dict())) == 2 * 8
    count = sum(parameter.numel() for parameter in adapted.parameters())
    layers = target_layers(_base(), SMALL.target_modules).values()
    assert count == sum(3 * (layer.in_features + layer.out_features) for layer in layers)


def test_targets_are_ends_of_names() -> None:
    assert [*target_layers(_base(), ("to_q",))] == [
        f"blocks.{block}.{kind}_attention.to_q" for block in (0, 1) for kind in ("self", "cross")
    ]
    assert "enter" not in target_layers(_base(), ("mlp.enter",))
    with pytest.raises(UsageError, match=r"target: 'to_query' is no linear layer of the model; layers are .*to_q"):
        target_layers(_base(), ("to_q", "to_query"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rank": 0}, "rank: 0 is not possible"),
        ({"alpha": 0.0}, "alpha: 0 is not possible"),
        ({"alpha": float("nan")}, "alpha: nan is not possible"),
        ({"dropout": 1.0}, "dropout: 1 is not possible"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        LoraConfig(**settings)  # type: ignore[arg-type]


def test_training_moves_the_adapter_and_not_the_base(tmp_path: Path) -> None:
    base = _base()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    trainer = Trainer(LoraTask(base, RandomBatches(), SMALL), dataclasses.replace(LOOP, total_steps=40), tmp_path)
    losses = [trainer.one_step()["total"] for _ in range(40)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    ups = [up for _, up in low_rank_pairs(trainer.ema.state).values()]
    assert all(up.any() for up in ups)


@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_interrupted_and_resumed_is_the_same_run_also_with_dropout(tmp_path: Path, stop_at: int) -> None:
    lora = LoraConfig(rank=3, dropout=0.3)

    def trainer(folder: str) -> Trainer:
        return Trainer(LoraTask(_base(), RandomBatches(), lora), LOOP, tmp_path / folder)

    whole = trainer("whole")
    whole.run()

    def interrupt(step: int, _: dict[str, float]) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer("parts").run(interrupt)
    torch.rand(7)  # the global random state is of no account
    resumed = trainer("parts")
    assert resumed.step == stop_at
    resumed.run()
    for name, value in whole.ema.state.items():
        assert torch.equal(value, resumed.ema.state[name]), name


def test_dropout_drops(tmp_path: Path) -> None:
    task = LoraTask(_base(), RandomBatches(), LoraConfig(rank=3, dropout=0.5))
    assert isinstance(task.module, Adapted)
    _trained(task.module)
    batch = task.batch(0, 0, 1)
    first, again, later = (task.losses(task.module, batch, step)["total"] for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
