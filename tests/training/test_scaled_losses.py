"""Precision 16-mixed: losses are scaled, gradients are not.

Training with 16-bit floats needs a GPU; here its plugin runs on the CPU, with torch's own scaler.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from arctone.errors import UsageError
from arctone.training.arc.config import PenaltyConfig
from arctone.training.loop import Trainer
from arctone.training.parallel import loss_scaler, open_fabric
from tests.training.arc_parts import LOOP as ARC_LOOP
from tests.training.arc_parts import arc_config, arc_task
from tests.training.test_loop import LOOP, _task

HALF = dataclasses.replace(LOOP, precision="16-mixed")


def half(scale: float, growth_interval: int = 2000) -> Fabric:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=growth_interval)
    plugin = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
    return Fabric(accelerator="cpu", devices=1, plugins=[plugin])


def weights(trainer: Trainer) -> dict[str, Any]:
    return {role: part.state_dict()["module"] for role, part in trainer.parts.items()}


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    for role, state in one.items():
        for name, value in state.items():
            assert torch.equal(value, other[role][name]), f"{role}.{name}"


def test_the_norm_that_is_clipped_is_that_of_the_unscaled_gradients(tmp_path: Path) -> None:
    exact = Trainer(_task(), LOOP, tmp_path / "32").one_step()
    scaled = Trainer(_task(), HALF, tmp_path / "16", half(2.0**14)).one_step()
    assert scaled["gradient_norm"] == pytest.approx(exact["gradient_norm"], rel=2e-2)
    assert scaled["total"] == pytest.approx(exact["total"], rel=2e-2)


def test_both_networks_of_arc_are_unscaled(tmp_path: Path) -> None:
    config = arc_config(penalties=PenaltyConfig(r1_weight=1.0, r2_weight=1.0), micro_items=2)
    loop = dataclasses.replace(ARC_LOOP, precision="32-true")
    exact = Trainer(arc_task(config), loop, tmp_path / "32")
    scaled = Trainer(arc_task(config), dataclasses.replace(loop, precision="16-mixed"), tmp_path / "16", half(2.0**12))
    for _ in range(2):
        wanted, found = exact.one_step(), scaled.one_step()
        norm = next(name for name in wanted if name.endswith("gradient_norm"))
        assert found[norm] == pytest.approx(wanted[norm], rel=5e-2)


def test_an_overflow_halves_the_scale_and_changes_no_weight(tmp_path: Path) -> None:
    fabric = half(2.0**28)
    trainer = Trainer(_task(), HALF, tmp_path, fabric)
    before = {name: value.clone() for name, value in weights(trainer)["model"].items()}
    values = trainer.one_step()
    assert not math.isfinite(values["gradient_norm"])
    assert trainer.skipped == 1
    assert_equal({"model": before}, weights(trainer))
    assert loss_scaler(fabric).get_scale() == 2.0**27
    while trainer.skipped:
        trainer.one_step()
    assert any(not torch.equal(value, weights(trainer)["model"][name]) for name, value in before.items())


def test_a_resumed_run_goes_on_with_its_scale(tmp_path: Path) -> None:
    whole = Trainer(_task(), HALF, tmp_path / "whole", half(2.0**8, growth_interval=3))
    whole.run()
    first = Trainer(_task(), HALF, tmp_path / "cut", half(2.0**8, growth_interval=3))
    for _ in range(5):
        first.one_step()
    first.save()
    fabric = half(2.0**16, growth_interval=3)
    resumed = Trainer(_task(), HALF, tmp_path / "cut", fabric)
    assert resumed.step == 5
    resumed.run()
    assert_equal(weights(whole), weights(resumed))
    assert loss_scaler(fabric).get_scale() == loss_scaler(whole.fabric).get_scale() == 2.0**12


def test_it_is_refused_without_a_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(
        UsageError, match="precision: '16-mixed' needs a GPU with CUDA, and none was found; choose bf16"
    ):
        open_fabric(HALF)
