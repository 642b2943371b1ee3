"""One generator and one discriminator update of the published small model at its true size, with the published head.

    python -m benchmarks.arc_true_size             # 341 M parameters, 256 latent frames
    python -m benchmarks.arc_true_size --width 512 # the same blocks, narrower, where memory or time do not suffice
    python -m benchmarks.arc_true_size --plan      # what --plan predicts for the peak of our sides
    python -m benchmarks.arc_true_size --small     # a shrunk one, to try the program

Ours runs with the recipe `paper` (bfloat16 mixed precision, checkpointed activations, parts of one clip), on clips of
mixed length and on whole windows, each with moments and averages in memory and in a file (`offload`). The public
trainer's arithmetic (`benchmarks.arc_update.PublicStep`: all blocks kept, gradients of the real branch, every clip
filled to the whole window, no penalties) runs in turn with it, each measurement in a process of its own. Random
weights. Prints processor seconds of a pair, the peak of the process, and how much of that was there before the networks
were built.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from arctone.model_folder.config import ContinuousDiTConfig
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT
from arctone.models.discriminator import HEADS, Discriminator, blocks_of
from arctone.training.arc.batches import ArcMaterial
from arctone.training.arc.config import ArcConfig, PenaltyConfig
from arctone.training.arc.task import ArcTask
from arctone.training.loop import Trainer
from arctone.training.parallel import checkpoint_activations
from arctone.training.plan import plan_trainer
from arctone.training.recipes import paper
from benchmarks.arc_update import Prompts, PublicStep
from benchmarks.train_plan import resident_bytes

TRUE = ContinuousDiTConfig()
SMALL = ContinuousDiTConfig(width=128, depth=4, heads=2, context_width=128, global_width=128, max_frames=64)
SIDES = ("ours", "ours-offloaded", "ours-whole", "ours-whole-offloaded", "public")
WHOLE_SIDES = ("ours-whole", "ours-whole-offloaded", "public")
"""Those with clips of the whole window; the others have a mix of four lengths."""


class WholeDepthDiscriminator(nn.Module):
    """A whole flow model with the published head on the states after some of its blocks; the other blocks are dead."""

    def __init__(self, config: ContinuousDiTConfig, num_blocks: int) -> None:
        super().__init__()
        self.dit, self.num_blocks = ContinuousDiT(config), num_blocks
        self.head = HEADS["public_convnext"](config.width)

    def forward(self, x: Tensor, s: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """See Discriminator.forward."""
        hidden, _ = self.dit.hidden(x, s, conditions, num_blocks=self.num_blocks)
        found: tuple[Tensor, Tensor] = self.head(hidden, conditions.frame_mask)
        return found


def narrowed(width: int) -> ContinuousDiTConfig:
    """Returns the published config with all widths of the transformer changed; heads keep their size.

    Args:
        width: A multiple of the size of a head, 128.
    """
    heads = width * TRUE.heads // TRUE.width
    return msgspec.structs.replace(TRUE, width=width, heads=heads, context_width=width, global_width=width)


def measure(side: str, config: ContinuousDiTConfig, items: int, *, penalties: bool) -> dict[str, float]:
    """Returns processor seconds of a pair, its parameters in millions and the peak memory of this process in GB."""
    torch.set_num_threads(1)
    before = resident_bytes() / 1e9
    prompts = Prompts(config, items)  # type: ignore[arg-type]
    lengths = [config.max_frames // 4 * quarter for quarter in (1, 2, 3, 4)]
    if side in WHOLE_SIDES:
        lengths = [config.max_frames]
    with tempfile.TemporaryDirectory() as folder:
        if side == "public":
            update, size = public_pair(config, prompts)
        else:
            trainer = trainer_of(side, config, prompts, Path(folder), penalties=penalties)
            size = sum(value.numel() for part in trainer.parts.values() for value in part.module.parameters())

            def update(pair: int) -> None:
                trainer.one_step()
                trainer.one_step()

        seconds = 0.0
        for pair, prompts.frames in enumerate(lengths):
            started = time.process_time()
            update(pair)
            seconds += (time.process_time() - started) / len(lengths)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "parameters_m": size / 1e6, "peak_gb": peak, "before_gb": before}


def trainer_of(
    side: str, config: ContinuousDiTConfig, prompts: Prompts, folder: Path, *, penalties: bool = False
) -> Trainer:
    """Returns our trainer on random latents, one clip at a time.

    Args:
        side: One of `SIDES`; the name says whether moments and averages lie in a file.
        config: Sizes of the network.
        prompts: Random latents.
        folder: Of the checkpoint and of that file.
        penalties: Whether the published gradient penalties take part.
    """
    plan = paper()
    settings = dataclasses.replace(plan.arc, micro_items=1)
    if not penalties:
        settings = dataclasses.replace(settings, penalties=PenaltyConfig())
    loop = dataclasses.replace(plan.arc_loop, offload="offloaded" in side, checkpoint_minutes=1e9)
    discriminator = Discriminator(config, blocks_of(config, 13 / 16), "public_convnext")
    return Trainer(ArcTask(ContinuousDiT(config), discriminator, prompts, settings), loop, folder)


def public_pair(config: ContinuousDiTConfig, prompts: Prompts) -> tuple[Callable[[int], None], int]:
    """Returns the public trainer's pair of updates, a function of its number, and the number of its parameters."""
    generator, discriminator = ContinuousDiT(config), WholeDepthDiscriminator(config, blocks_of(config, 13 / 16))
    checkpoint_activations([generator, discriminator])
    public = PublicStep(generator, discriminator, None)
    material = ArcMaterial(prompts, ArcConfig(), seed=0)

    def update(pair: int) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            public.update((material.generator(2 * pair, 0, 1), material.discriminator(2 * pair + 1, 0, 1)))

    return update, sum(value.numel() for module in (generator, discriminator) for value in module.parameters())


def predicted(side: str, config: ContinuousDiTConfig, items: int, *, penalties: bool) -> dict[str, float]:
    """Returns the peak in GB that `--plan` predicts for the process, and what was there before the networks."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        # What the first steps of any size load.
        warm = trainer_of(side, SMALL, Prompts(SMALL, 1), Path(folder))  # type: ignore[arg-type]
        for _ in range(2):
            warm.one_step()
        del warm
    before = resident_bytes() / 1e9
    prompts = Prompts(config, items)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_trainer(trainer_of(side, config, prompts, Path(folder), penalties=penalties))
    return {"predicted_gb": before + plan.memory / 1e9, "before_gb": before}


def main() -> None:
    """Prints a line for each side, or measures one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arc_true_size", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a shrunk model")
    parser.add_argument("--width", type=int, default=TRUE.width, help="of the transformer, a multiple of 128")
    parser.add_argument("--items", type=int, default=2, help="clips of a batch")
    parser.add_argument("--penalties", action="store_true", help="with the published gradient penalties on our side")
    parser.add_argument("--side", choices=SIDES, help="measure this side only, in this process")
    parser.add_argument("--plan", action="store_true", help="print the memory that is predicted for the side instead")
    chosen = parser.parse_args()
    if chosen.side:
        config = SMALL if chosen.small else narrowed(chosen.width)
        found = (predicted if chosen.plan else measure)(chosen.side, config, chosen.items, penalties=chosen.penalties)
        print(json.dumps(found))
        return
    for side in SIDES[:-1] if chosen.plan else SIDES:
        command = [sys.executable, "-m", "benchmarks.arc_true_size", *sys.argv[1:], f"--side={side}"]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        print(f"{side}: {line}", flush=True)


if __name__ == "__main__":
    main()
