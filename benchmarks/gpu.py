"""Everything that needs a GPU, in one go: CUDA tests, latency of both sizes, an ARC pair at true size, training.

    make gpu                               # on a GPU, about twenty minutes
    python -m benchmarks.gpu --small       # the same steps at small size, on a CPU too

Each step is a process of its own; one that fails is reported and the others go on. Results are printed as JSON lines
and written to benchmarks/results/gpu.jsonl, or to the file of --out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.model_folder.config import ContinuousDiTConfig, DiTConfig, TransformerConfig
from arctone.models.conditions import Conditions
from arctone.models.discriminator import Discriminator, blocks_of
from arctone.training.arc.config import PenaltyConfig
from arctone.training.arc.task import ArcTask
from arctone.training.loop import Trainer
from arctone.training.network import guided_velocity, new_network
from arctone.training.recipes import paper
from benchmarks.arc_update import Prompts
from benchmarks.results import ROOT

BUNDLED = DiTConfig(width=256, depth=8, heads=4, mlp_width=704)
PUBLISHED = ContinuousDiTConfig()
SMALL_BUNDLED = DiTConfig(width=32, depth=1, heads=2, mlp_width=32, text_width=16, latent_channels=8, max_frames=64)
SMALL = ContinuousDiTConfig(
    width=64, depth=2, heads=2, context_width=64, global_width=64, text_width=16, latent_channels=8, max_frames=64
)
STEPS = ("tests", "latency", "pair", "train")
Found = dict[str, float | str]


def run_tests(small: bool) -> Found:
    """Runs the tests of the training loop and, on CUDA, those that need it."""
    chosen = ["tests/training/test_loop.py", "-k", "loss_falls"] if small else ["tests", "-k", "cuda or gpu or fused"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *chosen], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {"exit_code": done.returncode, "last_line": (done.stdout.splitlines() or [""])[-1]}


@torch.inference_mode()
def time_latency(small: bool) -> Found:
    """Times eight steps of both sizes on a whole window, the median of several runs after a warm-up."""
    device = _device()
    sizes = {"bundled": SMALL_BUNDLED if small else BUNDLED, "published": SMALL if small else PUBLISHED}
    found: Found = {"device": _name(device)}
    for title, config in sizes.items():
        network = new_network(config, 0).to(device).eval()
        batch = {name: value.to(device) for name, value in _prompts(config, 1).batch(0, 0, 1).items()}
        velocity = guided_velocity(network, Conditions.of(batch), 1.0)
        times: list[float] = []
        for _ in range(3 if small else 12):
            noise = torch.randn(batch["latents"].shape, device=device)
            _wait(device)
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16):
                for _ in SAMPLERS["ping_pong"](
                    velocity, noise, sampler_times("ping_pong", 8, 1.0), lambda _, drawn=noise: drawn
                ):
                    pass
            _wait(device)
            times.append(time.perf_counter() - started)
        found[f"{title}_ms"] = 1000 * sorted(times[1:])[len(times[1:]) // 2]
    return found


def time_pair(small: bool) -> Found:
    """Times a generator and a discriminator update of the recipe `paper`, with and without penalties."""
    found: Found = {}
    for title, penalties in (("paper", True), ("without_penalties", False)):
        with tempfile.TemporaryDirectory() as folder:
            trainer = _arc_trainer(small, Path(folder), penalties=penalties)
            device = trainer.fabric.device
            trainer.one_step()
            trainer.one_step()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            _wait(device)
            started = time.perf_counter()
            for _ in range(2 if small else 6):
                trainer.one_step()
            _wait(device)
            seconds = (time.perf_counter() - started) / (1 if small else 3)
            found[f"{title}_pairs_per_second"] = 1 / seconds
            if device.type == "cuda":
                found[f"{title}_peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def train_for_a_while(small: bool) -> Found:
    """Trains with the recipe `paper` for two minutes, a few steps at small size, through a checkpoint and back."""
    with tempfile.TemporaryDirectory() as folder:
        steps, minutes = (4, 1.0) if small else (100_000, 2.0)
        trainer = _arc_trainer(small, Path(folder), penalties=True, total_steps=steps, max_minutes=minutes)
        trainer.run()
        again = _arc_trainer(small, Path(folder), penalties=True, total_steps=steps, max_minutes=minutes)
        finite = all(bool(torch.isfinite(value).all()) for value in again.ema.state.values())
        return {"steps": trainer.step, "resumed_at": again.step, "finite": str(finite)}


def _arc_trainer(
    small: bool, folder: Path, *, penalties: bool, total_steps: int = 100, max_minutes: float | None = None
) -> Trainer:
    config, plan = SMALL if small else PUBLISHED, paper()
    settings = dataclasses.replace(plan.arc, micro_items=2 if small else 8)
    if not penalties:
        settings = dataclasses.replace(settings, penalties=PenaltyConfig())
    loop = dataclasses.replace(plan.arc_loop, total_steps=total_steps, max_minutes=max_minutes)
    num_blocks = blocks_of(config, settings.discriminator.block_share)
    discriminator = Discriminator(config, num_blocks, settings.discriminator.head)
    prompts = _prompts(config, 2 if small else 16)
    return Trainer(ArcTask(new_network(config, 0), discriminator, prompts, settings), loop, folder)


def _prompts(config: TransformerConfig, items: int) -> Prompts:
    return Prompts(config, items, 8 if config.text_width < 100 else 64)  # type: ignore[arg-type]


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


PARTS: dict[str, Callable[[bool], Found]] = {
    "tests": run_tests,
    "latency": time_latency,
    "pair": time_pair,
    "train": train_for_a_while,
}


def main() -> int:
    """Runs all steps, or one in this process; returns how many failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--small", action="store_true", help="small sizes, on a CPU too")
    parser.add_argument("--only", choices=STEPS, help="this step alone, in this process")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.jsonl")
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps({"step": chosen.only, **PARTS[chosen.only](chosen.small)}), flush=True)
        return 0
    failed, lines = 0, []
    for step in STEPS:
        command = [sys.executable, "-m", "benchmarks.gpu", "--only", step, *(["--small"] if chosen.small else [])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
        line = (done.stdout.splitlines() or [""])[-1]
        if done.returncode:
            failed += 1
            line = json.dumps({"step": step, "failed": (done.stderr.splitlines() or [""])[-1]})
        print(line, flush=True)
        lines.append(line)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text("\n".join(lines) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
