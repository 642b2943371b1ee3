"""A model of few steps is tuned by the change of the flow that it was made from, on a toy with a known answer.

The data are normal. One step of the flow gives their mean, without any spread; the few-step model, a perfect
consistency model, gives mean and spread. Tuned to data with another mean, it must still give their spread.

At a small level t the flow's estimate of x_0 depends on the data's mean by t^2 / s^2 (s: their spread), the estimate
of a consistency model by half of that. So at many low levels, which eight steps have, the flow's change counts twice,
and half of it is right.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from arctone.models.lora import LoraConfig, low_rank_pairs
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.lora import LoraTask
from tests.training.distill_toys import Corrected, PlainBatches, made_law, no_conditions

OLD, NEW, STD = 1.5, 2.5, 0.5
LORA = LoraConfig(rank=4, alpha=4.0, target_modules=("correction.0", "correction.2", "leave"))
LOOP = LoopConfig(
    total_steps=500, rate=1e-2, weight_decay=0.0, warmup_steps=0, ema_decay=0.95, precision="32-true",
    log_every=1000, checkpoint_every=1000,
)  # fmt: skip


def _end_of_trajectory(x: Tensor, t: Tensor) -> Tensor:
    """Where the flow of the old data leads from x at level t, in closed form."""
    return OLD + STD * (x - (1 - t) * OLD) / ((1 - t) ** 2 * STD**2 + t**2).sqrt()


@pytest.fixture(scope="module")
def few_step() -> Corrected:
    """The flow's network, trained to give the trajectory's end at once: a perfect consistency model."""
    torch.manual_seed(0)
    student = Corrected(OLD, STD)
    optimiser = torch.optim.Adam(student.parameters(), lr=5e-3)
    for _ in range(800):
        t = 0.05 + 0.95 * torch.rand(64, 1, 1)
        x = (1 - t) * (OLD + STD * torch.randn(64, 1, 16)) + t * torch.randn(64, 1, 16)
        v = student(x, t.flatten(), no_conditions(64, 16))
        loss = (x - t * v - _end_of_trajectory(x, t)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return student.requires_grad_(False)


def _flow(few_step: Corrected) -> Corrected:
    """The network before it was post-trained: the exact flow, whose correction is zero."""
    flow = copy.deepcopy(few_step)
    torch.manual_seed(0)
    flow.load_state_dict(Corrected(OLD, STD).state_dict())
    return flow


def _change(base: nn.Module, folder: Path) -> dict[str, Tensor]:
    """What an adapter that was trained on the new data adds to each layer's weight."""
    batches = PlainBatches(64, (1, 16), NEW, STD)
    trainer = Trainer(LoraTask(base, batches, LORA), LOOP, folder)
    trainer.run()
    return {f"{name}.weight": LORA.scale * up @ down for name, (down, up) in low_rank_pairs(trainer.ema.state).items()}


def _changed(base: nn.Module, change: dict[str, Tensor], strength: float) -> nn.Module:
    module = copy.deepcopy(base)
    state = module.state_dict()
    module.load_state_dict(state | {name: state[name] + strength * delta for name, delta in change.items()})
    return module


def test_the_change_of_the_flow_keeps_the_spread_and_the_flow_objective_destroys_it(
    few_step: Corrected, tmp_path: Path
) -> None:
    flow = _flow(few_step)
    assert made_law(flow, "ping_pong", 1) == pytest.approx((OLD, 0.0), abs=0.02)
    assert made_law(few_step, "ping_pong", 1) == pytest.approx((OLD, STD), abs=0.03)
    change = _change(flow, tmp_path / "flow")
    assert made_law(_changed(few_step, change, 1.0), "ping_pong", 1) == pytest.approx((NEW, STD), abs=0.2)
    assert made_law(_changed(few_step, change, 0.5), "ping_pong", 8) == pytest.approx((NEW, STD), abs=0.1)
    assert made_law(_changed(few_step, change, 1.0), "ping_pong", 8)[0] == pytest.approx(OLD + 2 * (NEW - OLD), abs=0.4)
    directly = _changed(few_step, _change(few_step, tmp_path / "directly"), 1.0)
    mean, std = made_law(directly, "ping_pong", 1)
    assert mean == pytest.approx(NEW, abs=0.15)
    assert std < 0.15
