"""Program for torchrun: a few steps of flow or ARC training; the first process writes the weights' sums."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from arctone.training.loop import Trainer
from arctone.training.task import Task
from tests.training.arc_parts import EVERYTHING, arc_task
from tests.training.arc_parts import LOOP as ARC_LOOP
from tests.training.test_loop import LOOP, _task


def main(kind: str, folder: Path, devices: int) -> None:
    strategy = DDPStrategy(process_group_backend="gloo") if devices > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=devices, strategy=strategy, precision="32-true")
    task: Task
    if kind == "flow":
        task, loop = _task(), dataclasses.replace(LOOP, total_steps=4)
    else:
        task, loop = (
            arc_task(dataclasses.replace(EVERYTHING, micro_items=2)),
            dataclasses.replace(ARC_LOOP, total_steps=10),
        )
    trainer = Trainer(task, loop, folder, fabric)
    trainer.run()
    states = {role: part.state_dict()["module"] for role, part in trainer.parts.items()}
    if fabric.is_global_zero:
        weights = {
            f"{role}.{name}": float(value.double().abs().sum())
            for role, state in states.items()
            for name, value in state.items()
            # Differences of logits leave the last bias without a gradient; Adam makes steps of the rounding.
            if f"{role}.{name}" != "discriminator.head.leave.bias"
        }
        (folder / "weights.json").write_text(json.dumps(weights))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
