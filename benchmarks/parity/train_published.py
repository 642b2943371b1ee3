"""Every stage of training on a shrunk stable-audio-open-small, from the public program's file and back into it.

    PYTHONPATH=src:.:stable-audio-tools python -m benchmarks.parity.train_published

The public program builds the base model with random weights and saves it. Here it is converted, sounds are encoded by
its own encoders, and four runs train it: flow (200 steps), ARC with the recipes `paper` and `paper-rollout`, and an
adapter. Each run is made three times: whole, killed between two checkpoints (SIGKILL) and resumed, and by two
processes. What came out is written in the published layout, loaded strictly by the public program, and both make a
sound from the same noise. Models of one and of two processes are compared by their latents from the same noise:
weights whose true gradient is zero, such as biases of keys, follow rounding under Adam and change nothing. Rates are
higher than in the recipes, so that few steps move the weights. Needs the public program (see reference.py); writes
benchmarks/results/published_training.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from arctone.checkpoints.lora import merge
from arctone.checkpoints.published.convert import convert, publish
from arctone.training.loop import Trainer
from arctone.training.lora import TuneStage, fine_tuning
from arctone.training.post_training import ArcStage
from arctone.training.recipes import Recipe, recipe
from arctone.training.stages import FlowStage, Stage, run_stage
from benchmarks.parity.answers import relative_error
from benchmarks.results import JSON, footer, read, write

NAME = "published_training"
RUNS = {"flow": 200, "arc, paper": 12, "arc, paper-rollout": 12, "adapter": 60}
"""Steps of each run."""
KILLED_AT = 0.55
"""A killed run ends after this part of its steps, between two checkpoints."""
SAMPLED_STEPS, FRAMES = 8, 16
RATES = {"flow": 2e-3, "arc": 1e-4, "adapter": 1e-3}
MakeStage = Callable[[Path], Stage]


def changed_recipe(name: str, stage: str, steps: int) -> Recipe:
    """Returns a recipe of n steps in 32 bit, with a rate that moves the weights, and batches of a few clips.

    Args:
        name: Of the recipe.
        stage: "flow" or "arc".
        steps: Of the loop.
    """
    plan = recipe(name)
    loop = dataclasses.replace(getattr(plan, f"{stage}_loop"), **_loop(stage, steps), schedule="cosine")
    roles = {role: own and dataclasses.replace(own, rate=RATES[stage]) for role, own in loop.roles.items()}
    loops: dict[str, Any] = {f"{stage}_loop": dataclasses.replace(loop, roles=roles)}
    sizes: dict[str, Any] = {f"{stage}_batch_frames": 6 * FRAMES}
    parts: dict[str, Any] = {stage: dataclasses.replace(getattr(plan, stage), micro_items=2)}
    return dataclasses.replace(plan, **loops, **sizes, **parts)


def _loop(stage: str, steps: int) -> dict[str, Any]:
    every = max(steps // 4, 1)
    return {
        "total_steps": steps, "rate": RATES[stage], "precision": "32-true", "log_every": 1, "checkpoint_every": every,
    }  # fmt: skip


def stages_of(base: Path, latents: Path) -> dict[str, MakeStage]:
    """Returns what makes the stage of each run, given the folder it writes.

    Args:
        base: Converted model.
        latents: Of its own encoders.
    """
    tuning = fine_tuning()
    tuning = dataclasses.replace(
        tuning,
        loop=dataclasses.replace(tuning.loop, **_loop("adapter", RUNS["adapter"])),
        lora=dataclasses.replace(tuning.lora, rank=4, alpha=4.0),
        batch_frames=6 * FRAMES,
    )
    flow = changed_recipe("paper", "flow", RUNS["flow"])
    # Levels spread evenly over the batch, so that the curve shows learning instead of which levels were drawn.
    flow = dataclasses.replace(flow, flow=dataclasses.replace(flow.flow, even_times=True))
    found: dict[str, MakeStage] = {"flow": lambda out: FlowStage(flow, latents, out, base, new_weights=True)}
    for name in ("paper", "paper-rollout"):
        plan = changed_recipe(name, "arc", RUNS[f"arc, {name}"])
        found[f"arc, {name}"] = lambda out, plan=plan: ArcStage(plan, latents, out, base)  # type: ignore[misc]
    found["adapter"] = lambda out: TuneStage(tuning, base, latents, out)
    return found


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    """Returns all weights and averages of a trainer, copied.

    Args:
        trainer: Of any stage.
    """
    found = {f"average.{name}": value.clone() for name, value in trainer.ema.state.items()}
    for role, part in trainer.parts.items():
        found |= {f"{role}.{name}": value.detach().clone() for name, value in part.module.state_dict().items()}
    return found


def run_killed(stage: Stage, stop_at: int) -> None:
    """Trains a stage in a process that is killed after n steps, without a chance to save anything.

    Args:
        stage: What is trained.
        stop_at: Steps.
    """

    def kill(step: int, _: dict[str, float]) -> None:
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if _exit_status(_forked(lambda: run_stage(stage, lambda trainer: trainer.run(kill)))) != -signal.SIGKILL:
        raise RuntimeError("the process was not killed")


def run_by_two(make: MakeStage, out: Path) -> None:
    """Trains a stage in two processes that share its batches, as torchrun would start them.

    Args:
        make: Makes the stage.
        out: What it writes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def work(rank: int) -> None:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "two",
        }  # fmt: skip
        run_stage(make(out))

    workers = [_forked(lambda rank=rank: work(rank)) for rank in range(2)]  # type: ignore[misc]
    codes = [_exit_status(worker) for worker in workers]
    if any(codes):
        raise RuntimeError(f"{out.name}: one of two processes failed")


def _forked(work: Callable[[], object]) -> int:
    """Returns the process that does some work and ends; forked, because starting Python again takes seconds."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return process


def _exit_status(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def measure(run: str, make: MakeStage, base: Path, reference: Any, folder: Path) -> JSON:
    """Returns what is true of one run.

    Args:
        run: One of RUNS.
        make: Makes its stage.
        base: Converted model.
        reference: The public program.
        folder: Empty.
    """
    steps, losses = RUNS[run], list[float]()
    whole = run_stage(
        make(folder / "whole"), lambda trainer: trainer.run(lambda _, means: losses.append(means.get("total", 0.0)))
    )
    weights = weights_of(whole)
    run_killed(make(folder / "killed"), round(KILLED_AT * steps))
    stage = make(folder / "killed")
    resumed = stage.trainer()
    begun_at = resumed.step
    resumed.run()
    same = all(torch.equal(value, weights[key]) for key, value in weights_of(resumed).items())
    run_by_two(make, folder / "two")
    models = {name: _model(run, base, folder / name) for name in ("whole", "two")}
    return {
        "steps": steps,
        "loss": [_mean(losses[: len(losses) // 8]), _mean(losses[-len(losses) // 8 :])] if run == "flow" else None,
        "killed_after": round(KILLED_AT * steps),
        "resumed_at": begun_at,
        "bit_equal": same,
        **_compare_sounds(run, models, base, reference, folder / "published"),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _model(run: str, base: Path, folder: Path) -> Path:
    """The model that a run left; an adapter is merged into its own."""
    if run != "adapter":
        return folder
    merged = folder.with_name(f"{folder.name}-merged")
    merge(base, [(folder, 1.0)], merged)
    return merged


def _compare_sounds(run: str, models: dict[str, Path], base: Path, reference: Any, folder: Path) -> dict[str, float]:
    """Relative differences of latents and sound in the public program, and how far training moved the weights."""
    from benchmarks.parity.reference import Theirs
    from benchmarks.parity.true_sizes import Ours

    before, after = load_file(base / "dit.safetensors"), load_file(models["whole"] / "dit.safetensors")
    moved = max(relative_error(after[name].numpy(), value.numpy()) for name, value in before.items())
    publish(models["whole"], folder)
    reference.load(folder)
    theirs = Theirs("small" if run.startswith("arc") else "small-base", reference)
    ours, shape = Ours(models["whole"]), (reference.model.io_channels, FRAMES)
    latents = ours.sampled(SAMPLED_STEPS, shape), theirs.sampled(SAMPLED_STEPS, shape)
    by_two = Ours(models["two"]).sampled(SAMPLED_STEPS, shape)
    sounds = ours.decode(latents[0]), reference.decode(latents[1])
    return {
        "two_processes": relative_error(by_two, latents[0]),
        "moved": moved,
        "latents": relative_error(*latents),
        "sound": relative_error(*sounds),
    }


def block(result: JSON) -> str:
    """Returns the table of docs/checkpoints.md.

    Args:
        result: As it was written.
    """
    head = ["run", "steps", "loss", "killed and resumed", "two processes", "weights moved", "8 steps", "sound"]
    rows = []
    for run, found in result["runs"].items():
        loss = f"{found['loss'][0]:.2f} to {found['loss'][1]:.2f}" if found["loss"] else "–"
        verdict = "bit-equal" if found["bit_equal"] else "not equal"
        resumed = f"{found['killed_after']}, from {found['resumed_at']}: {verdict}"
        numbers = [f"{found[key]:.1e}" for key in ("two_processes", "moved", "latents", "sound")]
        rows.append([run, str(found["steps"]), loss, resumed, *numbers])
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join([*lines, "", footer(result)])


def main() -> int:
    """Returns 0 if every run resumes to the bit, the loss falls, and all that is compared agrees to 1e-4."""
    from benchmarks.parity.reference import Reference
    from tests.training.published_parts import encode_with, write_sounds

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", choices=(*RUNS, []), help="all if none is given")
    chosen = parser.parse_args().runs or list(RUNS)
    torch.set_num_threads(1)
    found: dict[str, JSON] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reference = Reference("small-base", folder / "public", shrunken=True)
        convert(folder / "public", folder / "base", folder / "public" / "t5-base", name="small-base")
        latents = encode_with(folder / "base", write_sounds(folder / "sounds"), folder / "latents")
        for run, make in stages_of(folder / "base", latents).items():
            if run in chosen:
                found[run] = measure(run, make, folder / "base", reference, folder / run.replace(", ", "-"))
                print(run, json.dumps(found[run]), flush=True)
    # What was measured before and not now is kept.
    kept = (read(NAME) or {}).get("runs", {}) | found
    path = write(NAME, {"frames": FRAMES, "sampled_steps": SAMPLED_STEPS}, {"runs": kept})
    print(block(json.loads(path.read_text())))
    return 0 if all(map(_holds, found.values())) else 1


def _holds(run: JSON) -> bool:
    falls = run["loss"] is None or run["loss"][1] < run["loss"][0]
    return falls and run["bit_equal"] and max(run["two_processes"], run["latents"], run["sound"]) <= 1e-4


if __name__ == "__main__":
    raise SystemExit(main())
