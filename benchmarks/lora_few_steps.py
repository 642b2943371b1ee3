"""Tuning a model of few steps where everything can be seen: the plane of `arc_toy`, with all modes moved.

    python -m benchmarks.lora_few_steps

A flow model of eight modes is brought to few steps by ARC. Then come other data: the same modes, moved by five of their
spreads. An adapter is trained on the flow with the flow objective, and its change of weights is added to the ARC model;
the same training on the ARC model itself stands next to it. Counted is what lies on the moved modes.
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from arctone.models.lora import LoraConfig, low_rank_pairs
from arctone.training.flow import FlowConfig
from arctone.training.loop import Trainer
from arctone.training.lora import LoraTask
from benchmarks import arc_toy, results
from benchmarks.arc_toy import Budget, Mixture, Velocity
from benchmarks.results import JSON

MOVED = torch.tensor([0.4, 0.3])
LORA = LoraConfig(rank=8, alpha=8.0, target_modules=("layers.0", "layers.1", "layers.2", "leave"))
STRENGTHS = (0.5, 1.0)
STEP_COUNTS = (1, 2, 8)
FLOW_STEPS = 50

Weights = dict[str, Tensor]


class MovedMixture(Mixture):
    """The mixture with all its points moved."""

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        """See `training.flow.Batches`."""
        batch = super().batch(step, rank, world_size)
        return batch | {"latents": batch["latents"] + MOVED[None, :, None]}


def change_of(base: Velocity, steps: int, items: int, seed: int = 0) -> Weights:
    """What an adapter, trained on the moved points by the flow objective, adds to each weight."""
    flow = FlowConfig(time_mean=0.0, time_std=1.2)
    task = LoraTask(base, MovedMixture(items), LORA, flow, seed)
    trainer = Trainer(task, arc_toy.loop(steps, rate=5e-3, rate_floor=0.02), Path(tempfile.mkdtemp()))
    trainer.run()
    return {f"{name}.weight": LORA.scale * up @ down for name, (down, up) in low_rank_pairs(trainer.ema.state).items()}


def changed(base: Velocity, change: Weights, strength: float) -> Velocity:
    """A copy of a model with a part of a change of its weights."""
    module = copy.deepcopy(base)
    state = module.state_dict()
    module.load_state_dict(state | {name: state[name] + strength * value for name, value in change.items()})
    return module


def compare(budget: Budget, tuning_steps: int, seed: int, items: int = 4000) -> list[JSON]:
    """Rows of one run: way, steps, what lies on the modes of its data."""
    flow = arc_toy.train_flow(budget, seed)
    fast = arc_toy.post_train(flow, arc_toy.WAYS["ARC"], budget, seed)
    through_flow = change_of(copy.deepcopy(flow), tuning_steps, budget.items, seed)
    directly = change_of(copy.deepcopy(fast), tuning_steps, budget.items, seed)
    rows = [
        _row("flow, untuned, on the old modes", flow, FLOW_STEPS, items, old=True, flow=True),
        _row("flow, tuned", changed(flow, through_flow, 1.0), FLOW_STEPS, items, flow=True),
    ]
    for count in STEP_COUNTS:
        rows.append(_row("ARC, untuned, on the old modes", fast, count, items, old=True))
        rows += [
            _row(f"ARC + {strength:g} of the flow's change", changed(fast, through_flow, strength), count, items)
            for strength in STRENGTHS
        ]
        rows.append(_row("ARC, trained on the flow objective", changed(fast, directly, 1.0), count, items))
    return rows


def _row(way: str, model: Velocity, steps: int, items: int, *, old: bool = False, flow: bool = False) -> JSON:
    points = arc_toy.sample(model, steps, items, flow=flow)
    return {"way": way, "steps": steps, **arc_toy.mode_counts(points if old else points - MOVED)}


def rows_of(runs: Sequence[Sequence[JSON]]) -> list[JSON]:
    """The runs' rows put together: modes of each run, means of the shares."""
    return [
        {
            "way": same[0]["way"],
            "steps": same[0]["steps"],
            "modes": [row["modes"] for row in same],
            "on_mode": round(mean(row["on_mode"] for row in same), 3),
        }
        for same in zip(*runs, strict=True)
    ]


def block(result: JSON) -> str:
    """The table as Markdown."""
    head = ["way", "steps", "modes found of 8, by run", "on a mode of the prompt"]
    rows = sorted(result["rows"], key=lambda row: -row["steps"])
    body = [
        [row["way"], str(row["steps"]), ", ".join(map(str, row["modes"])), f"{100 * row['on_mode']:.0f} %"]
        for row in rows
    ]
    return results.table(head, body) + "\n\n" + results.footer(result)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, count, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lora_few_steps", description=__doc__)
    parser.add_argument("--flow-steps", type=int, default=Budget().flow_steps)
    parser.add_argument("--steps", type=int, default=Budget().steps, help="updates of ARC")
    parser.add_argument("--tuning-steps", type=int, default=800)
    parser.add_argument("--items", type=int, default=Budget().items, help="points in a batch")
    parser.add_argument("--runs", type=int, default=2, help="repetitions with other seeds")
    options = parser.parse_args(arguments)
    budget = Budget(options.flow_steps, options.steps, options.items)
    runs = [compare(budget, options.tuning_steps, seed) for seed in range(options.runs)]
    settings: dict[str, Any] = {**vars(options), "moved": round(math.hypot(*MOVED.tolist()), 2), "rank": LORA.rank}
    print(results.write("lora_few_steps", settings, {"rows": rows_of(runs)}))


if __name__ == "__main__":
    main()
