"""Program for torchrun: a few steps of flow and of ARC training; the first process writes the weights' sums."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from arctone.training.loop import Trainer
from arctone.training.task import Task
from tests.training.arc_parts import EVERYTHING, arc_task
from tests.training.arc_parts import LOOP as ARC_LOOP
from tests.training.test_loop import LOOP, _task

STAGES = ("flow", "arc")
WEIGHTS = "weights.json"


def train(stage: str, folder: Path, devices: int) -> dict[str, float]:
    """Return the sum of the absolute values of each weight, by role and name."""
    strategy = DDPStrategy(process_group_backend="gloo") if devices > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=devices, strategy=strategy, precision="32-true")
    task: Task
    if stage == "flow":
        task, loop = _task(), dataclasses.replace(LOOP, total_steps=4)
    else:
        task, loop = (
            arc_task(dataclasses.replace(EVERYTHING, micro_items=2)),
            dataclasses.replace(ARC_LOOP, total_steps=10),
        )
    trainer = Trainer(task, loop, folder, fabric)
    trainer.run()
    states = {role: part.state_dict()["module"] for role, part in trainer.parts.items()}
    return {
        f"{role}.{name}": float(value.double().abs().sum())
        for role, state in states.items()
        for name, value in state.items()
        # Differences of logits leave the last bias without a gradient; Adam makes steps of the rounding.
        if f"{role}.{name}" != "discriminator.head.leave.bias"
    }


def main(folder: Path, stages: list[str]) -> None:
    for stage in stages:
        (folder / stage).mkdir(exist_ok=True)
        weights = train(stage, folder / stage, devices=int(os.environ["WORLD_SIZE"]))
        if os.environ["RANK"] == "0":
            (folder / stage / WEIGHTS).write_text(json.dumps(weights))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
