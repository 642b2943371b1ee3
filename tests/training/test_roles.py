"""Tasks with several networks: each step updates one, and only that one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from arctone.errors import UsageError
from arctone.training.loop import LoopConfig, NotFinite, Trainer
from arctone.training.optim import OptimiserConfig
from arctone.training.randomness import generator
from arctone.training.task import SteadyRate

LOOP = LoopConfig(
    total_steps=9,
    rate=1e-2,
    warmup_steps=0,
    rate_floor=1.0,
    weight_decay=0.0,
    precision="32-true",
    log_every=1,
    checkpoint_every=100,
    ema_decay=0.5,
    roles={"critic": OptimiserConfig(rate=1e-3, weight_decay=0.0, gradient_clip=1e-3)},
)


class TwoRoles(SteadyRate):
    """A generator whose critic scores it, which is trained in two steps of three."""

    frozen: Sequence[nn.Module] = ()

    def __init__(self, broken_from: int = 1000) -> None:
        torch.manual_seed(3)
        self.roles: dict[str, nn.Module] = {"generator": nn.Linear(4, 4), "critic": nn.Linear(4, 1)}
        self.broken_from = broken_from

    def role_at(self, step: int) -> str:
        return "generator" if step % 3 == 0 else "critic"

    def batch(self, step: int, rank: int, world_size: int) -> Tensor:
        return torch.randn(8, 4, generator=generator(7, step))[rank::world_size]

    def losses(self, module: nn.Module, batch: Tensor, step: int) -> dict[str, Tensor]:
        sign = 1 if module is self.roles["generator"] else -1
        score = self.roles["critic"](self.roles["generator"](batch)).square().mean()
        return {"total": sign * score if step < self.broken_from else score * float("nan")}

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        raise AssertionError


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    return {
        f"{role}.{name}": value.clone()
        for role, part in trainer.parts.items()
        for name, value in part.module.state_dict().items()
    }


def test_a_step_changes_its_role_and_no_other(tmp_path: Path) -> None:
    trainer = Trainer(TwoRoles(), LOOP, tmp_path)
    for step in range(6):
        before = _weights(trainer)
        trainer.one_step()
        changed = {
            name.split(".")[0] for name, value in _weights(trainer).items() if not torch.equal(value, before[name])
        }
        assert changed == {"generator" if step % 3 == 0 else "critic"}
        gradients = [value.grad for part in trainer.parts.values() for value in part.module.parameters()]
        assert gradients == [None] * 4


def test_gradients_are_only_made_for_the_role_of_the_step(tmp_path: Path) -> None:
    task = TwoRoles()
    trainer = Trainer(task, LOOP, tmp_path)
    kept: dict[str, bool] = {}
    inner = task.losses

    def watched(module: nn.Module, batch: Tensor, step: int) -> dict[str, Tensor]:
        losses = inner(module, batch, step)
        losses["total"].backward(retain_graph=True)
        kept.update({name: role.weight.grad is not None for name, role in task.roles.items()})  # type: ignore[misc]
        return losses

    task.losses = watched  # type: ignore[method-assign]
    trainer.one_step()
    assert kept == {"generator": True, "critic": False}
    trainer.one_step()
    assert kept == {"generator": False, "critic": True}


def test_each_role_has_its_own_rate_and_clip(tmp_path: Path) -> None:
    """The first step of Adam moves every weight by the rate, whatever the gradient's size."""
    trainer = Trainer(TwoRoles(), LOOP, tmp_path)
    start = _weights(trainer)
    trainer.one_step()
    trainer.one_step()
    moved = {name: float((value - start[name]).abs().max()) for name, value in _weights(trainer).items()}
    assert moved["generator.weight"] == pytest.approx(1e-2, rel=1e-3)
    assert moved["critic.weight"] == pytest.approx(1e-3, rel=1e-2)
    assert trainer.parts["critic"].config.gradient_clip == 1e-3


def test_only_the_first_role_is_averaged_and_only_on_its_steps(tmp_path: Path) -> None:
    trainer = Trainer(TwoRoles(), LOOP, tmp_path)
    assert {*trainer.ema.state} == {"weight", "bias"}
    expected = trainer.module.state_dict()["weight"].clone()
    for step in range(6):
        trainer.one_step()
        if step % 3 == 0:
            updates = step // 3 + 1
            decay = min(0.5, updates / (10 + updates))
            expected = decay * expected + (1 - decay) * trainer.module.state_dict()["weight"]
        assert torch.allclose(trainer.ema.state["weight"], expected, atol=1e-7)


@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_resumed_run_is_the_same_for_all_roles(tmp_path: Path, stop_at: int) -> None:
    whole = Trainer(TwoRoles(), LOOP, tmp_path / "whole")
    whole.run()
    first = Trainer(TwoRoles(), LOOP, tmp_path / "parts")
    for _ in range(stop_at):
        first.one_step()
    first.save()
    second = Trainer(TwoRoles(), LOOP, tmp_path / "parts")
    second.run()
    left, right = _weights(whole), _weights(second)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert all(torch.equal(value, second.ema.state[name]) for name, value in whole.ema.state.items())


def test_log_names_the_role_and_averages_only_its_steps(tmp_path: Path) -> None:
    trainer = Trainer(TwoRoles(), dataclasses.replace(LOOP, total_steps=3, log_every=3), tmp_path)
    values = [trainer.task.role_at(step) for step in range(3)]
    assert values == ["generator", "critic", "critic"]
    seen: list[dict[str, float]] = []
    one_step = trainer.one_step

    def watched() -> dict[str, float]:
        seen.append(one_step())
        return seen[-1]

    trainer.one_step = watched  # type: ignore[method-assign]
    trainer.run()
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["generator/total"] == seen[0]["generator/total"]
    assert row["critic/total"] == pytest.approx((seen[1]["critic/total"] + seen[2]["critic/total"]) / 2)


def test_a_loss_that_is_not_finite_changes_no_role(tmp_path: Path) -> None:
    trainer = Trainer(TwoRoles(broken_from=3), dataclasses.replace(LOOP, total_steps=100), tmp_path)
    for _ in range(3):
        trainer.one_step()
    before = _weights(trainer)
    with pytest.raises(NotFinite, match="not finite for 20 steps up to step 23"):
        trainer.run()
    after = _weights(trainer)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_of_other_roles_is_refused(tmp_path: Path) -> None:
    Trainer(TwoRoles(), LOOP, tmp_path).save()
    task = TwoRoles()
    task.roles = {"generator": task.roles["generator"]}
    with pytest.raises(UsageError, match="trains generator, critic, not generator"):
        Trainer(task, LOOP, tmp_path)
