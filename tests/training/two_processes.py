"""Program for torchrun: a few steps of flow training; the first process writes the losses and the weights' sum."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from arctone.training.loop import Trainer
from tests.training.test_loop import LOOP, _task


def main(folder: Path, devices: int) -> None:
    strategy = DDPStrategy(process_group_backend="gloo") if devices > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=devices, strategy=strategy, precision="32-true")
    trainer = Trainer(_task(), dataclasses.replace(LOOP, total_steps=4), folder, fabric)
    trainer.run()
    if fabric.is_global_zero:
        weights = {name: float(value.double().abs().sum()) for name, value in trainer.task.module.state_dict().items()}
        (folder / "weights.json").write_text(json.dumps(weights))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
