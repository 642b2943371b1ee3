"""How near the memory of `arctone train ... --plan` is to what runs really take, for three sizes on this CPU.

    python -m benchmarks.train_plan
    python -m benchmarks.train_plan --small   # narrower networks, in minutes

Each size is planned in one process and trained for four steps in another; both begin with a base process, whose memory
does not count. The processes give freed memory back at once (MALLOC_MMAP_THRESHOLD_), because otherwise the C library
keeps about a third more than is in use. Prints a line for each size: predicted, taken, and their ratio.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from arctone.model_folder.config import ContinuousDiTConfig
from arctone.models.discriminator import Discriminator, blocks_of
from arctone.training.arc.task import ArcTask
from arctone.training.loop import Trainer
from arctone.training.network import new_network
from arctone.training.plan import plan_trainer
from arctone.training.recipes import paper
from benchmarks.arc_update import Prompts

SIZES = ((512, 8), (768, 8), (1024, 8))
"""Widths and depths."""
SMALL_SIZES = ((256, 8), (384, 8), (512, 8))
ITEMS, FRAMES, STEPS = 4, 128, 4


def trainer_of(width: int, depth: int, folder: Path) -> Trainer:
    """Returns the trainer of the recipe `paper` on random latents.

    Args:
        width: Of the transformer.
        depth: Its blocks.
        folder: Of the checkpoint.
    """
    config = ContinuousDiTConfig(width=width, depth=depth, heads=width // 64, context_width=width, global_width=width)
    plan = paper()
    settings = dataclasses.replace(plan.arc, micro_items=2)
    loop = dataclasses.replace(plan.arc_loop, checkpoint_minutes=1e9, checkpoint_every=10**9)
    prompts = Prompts(config, ITEMS)  # type: ignore[arg-type]
    prompts.frames = FRAMES
    discriminator = Discriminator(config, blocks_of(config, settings.discriminator.block_share), "public_convnext")
    return Trainer(ArcTask(new_network(config, 0), discriminator, prompts, settings), loop, folder)


def measure(kind: str, width: int, depth: int) -> float:
    """Returns bytes: predicted ("plan"), or taken above those of a warm process ("train")."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        _warm_up(Path(folder) / "small")
        before = resident_bytes()
        trainer = trainer_of(width, depth, Path(folder) / "own")
        if kind == "plan":
            return float(plan_trainer(trainer).memory)
        for _ in range(STEPS):
            trainer.one_step()
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)


def _warm_up(folder: Path) -> None:
    """Loads everything that the first step loads, with a network of no size."""
    trainer = trainer_of(64, 1, folder)
    for _ in range(2):
        trainer.one_step()


def resident_bytes() -> int:
    """Returns the memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Prints the comparison, or measures one size for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_plan", description=__doc__)
    parser.add_argument("--small", action="store_true", help="narrower networks")
    parser.add_argument("--one", nargs=3, metavar=("KIND", "WIDTH", "DEPTH"))
    options = parser.parse_args()
    chosen = options.one
    if chosen:
        print(json.dumps(measure(chosen[0], int(chosen[1]), int(chosen[2]))))
        return
    for width, depth in SMALL_SIZES if options.small else SIZES:
        found = [
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.train_plan", "--one", kind, str(width), str(depth)],
                    check=True, capture_output=True, text=True,
                    env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"},
                ).stdout.splitlines()[-1]
            )
            for kind in ("plan", "train")
        ]  # fmt: skip
        print(f"width {width}, depth {depth}: predicted {found[0] / 1e9:.2f} GB, taken {found[1] / 1e9:.2f} GB, "
              f"ratio {found[0] / found[1]:.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
