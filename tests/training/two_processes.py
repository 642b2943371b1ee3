"""Program for torchrun: a few steps of flow and ARC training, on whole networks and on shards; the first process writes
the weights' sums.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from arctone.model_folder.config import ContinuousDiTConfig
from arctone.models.discriminator import Discriminator
from arctone.training.arc.task import ArcTask
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.network import new_network
from arctone.training.recipes import paper
from arctone.training.task import Task
from benchmarks.arc_update import Prompts
from tests.training.arc_parts import EVERYTHING, arc_task, filled
from tests.training.arc_parts import LOOP as ARC_LOOP
from tests.training.test_loop import LOOP, _task

# "published" is the recipe `paper` on a published transformer: checkpointed blocks, weight norm, parts of a batch.
STAGES = ("flow", "arc", "flow-sharded", "arc-sharded", "published-sharded")
PUBLISHED = ContinuousDiTConfig(
    width=64, depth=2, heads=2, context_width=32, global_width=64, text_width=16, latent_channels=8, max_frames=32
)
WEIGHTS = "weights.json"


def train(stage: str, folder: Path, devices: int) -> dict[str, float]:
    """Return the sum of the absolute values of each weight, by role and name."""
    strategy = DDPStrategy(process_group_backend="gloo") if devices > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=devices, strategy=strategy, precision="32-true")
    task, loop = task_and_loop(stage)
    if stage.endswith("-sharded") and devices > 1:
        loop = dataclasses.replace(loop, strategy="fsdp")
    trainer = Trainer(task, loop, folder, fabric)
    trainer.run()
    states = {role: part.state_dict()["module"] for role, part in trainer.parts.items()}
    return {
        f"{role}.{name}": float(value.double().abs().sum())
        for role, state in states.items()
        for name, value in state.items()
        if not _follows_rounding(f"{role}.{name}")
    }


def _follows_rounding(name: str) -> bool:
    """Differences of logits leave the last biases without a gradient, and softmax those of keys; Adam makes steps of
    the rounding there.
    """
    is_last = name == "discriminator.head.leave.bias" or name.startswith("discriminator.head.layers.")
    return name.endswith("bias") and (is_last or name.endswith("k_norm.bias"))


def task_and_loop(stage: str) -> tuple[Task, LoopConfig]:
    """Return what a stage trains, and for how long."""
    if stage.startswith("flow"):
        return _task(), dataclasses.replace(LOOP, total_steps=4)
    if stage.startswith("published"):
        plan = paper()
        # Three items: one process has two parts, the other one.
        settings = dataclasses.replace(plan.arc, micro_items=1)
        loop = dataclasses.replace(plan.arc_loop, total_steps=4, rate=1e-3, precision="32-true", checkpoint_every=2)
        network = filled(new_network(PUBLISHED, 0))
        torch.manual_seed(1)
        discriminator = Discriminator(PUBLISHED, 2, settings.discriminator.head)
        return ArcTask(network, discriminator, SharedPrompts(PUBLISHED, 3, 8), settings), loop
    # Sharded networks are called equally often by all processes, which `self_output` does not do.
    own = 0.0 if stage.endswith("-sharded") else EVERYTHING.self_output
    return arc_task(dataclasses.replace(EVERYTHING, micro_items=2, self_output=own)), dataclasses.replace(
        ARC_LOOP, total_steps=10
    )


class SharedPrompts(Prompts):
    """Random latents and prompts, split over the processes."""

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        whole = super().batch(step, 0, 1)
        return {name: value[rank::world_size] if value.ndim else value for name, value in whole.items()}


def main(folder: Path, stages: list[str]) -> None:
    for stage in stages:
        (folder / stage).mkdir(exist_ok=True)
        weights = train(stage, folder / stage, devices=int(os.environ["WORLD_SIZE"]))
        if os.environ["RANK"] == "0":
            (folder / stage / WEIGHTS).write_text(json.dumps(weights))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
