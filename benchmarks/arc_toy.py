"""ARC post-training where everything can be seen: eight modes in the plane, four for each of two prompts.

    python -m benchmarks.arc_toy

A small flow model is trained, then brought to few steps in several ways with the same number of updates. A mode counts
as found if at least a quarter of its fair share of a prompt's samples lies within three standard deviations of it.
Writes the counts to benchmarks/results and the picture to docs/figures/arc-toy.png (needs matplotlib).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from arctone.flow.samplers import euler, ping_pong
from arctone.flow.schedules import linear, log_snr
from arctone.models.conditions import Conditions
from arctone.models.discriminator import Scores
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.task import ArcTask
from arctone.training.flow import FlowConfig, FlowTask
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.network import guided_velocity
from arctone.training.optim import OptimiserConfig
from arctone.training.randomness import generator
from benchmarks import results

FIGURE = results.ROOT / "docs" / "figures" / "arc-toy.png"
RADIUS, SPREAD = 2.0, 0.1
MODES = torch.tensor([[RADIUS * math.cos(k * math.pi / 4), RADIUS * math.sin(k * math.pi / 4)] for k in range(8)])
WIDTH = 128


class Mixture:
    """Batches of points [B, 2, 1]; prompt 0 has the even modes, prompt 1 the odd ones."""

    def __init__(self, items: int) -> None:
        self.items = items

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        """See `training.flow.Batches`."""
        source = generator(5, step)
        prompts = self._prompts(step)
        modes = 2 * torch.randint(0, 4, (self.items,), generator=source) + prompts
        points = MODES[modes] + SPREAD * torch.randn(self.items, 2, generator=source)
        return conditions_of(prompts) | {
            "latents": points[:, :, None],
            "item": torch.arange(self.items),
            "num_items": torch.tensor(self.items),
        }

    def captions(self, step: int) -> list[str]:
        """See `arc_batches.CaptionedBatches`."""
        return [str(prompt) for prompt in self._prompts(step).tolist()]

    def prompts(self, step: int, items: Sequence[int]) -> dict[str, Tensor]:
        """See `arc_batches.CaptionedBatches`."""
        chosen = conditions_of(self._prompts(step)[torch.tensor([*items])])
        return {name: chosen[name] for name in ("text_tokens", "text_mask", "text_pooled", "bpm")}

    def _prompts(self, step: int) -> Tensor:
        return torch.randint(0, 2, (self.items,), generator=generator(6, step))


def conditions_of(prompts: Tensor) -> dict[str, Tensor]:
    """Tensors of Conditions for prompts [B], each 0 or 1."""
    items, one_hot = len(prompts), nn.functional.one_hot(prompts, 2).float()
    return {
        "text_tokens": one_hot[:, None],
        "text_mask": torch.ones(items, 1, dtype=torch.bool),
        "text_pooled": one_hot,
        "seconds": torch.ones(items),
        "bpm": torch.zeros(items),
        "frame_mask": torch.ones(items, 1, dtype=torch.bool),
    }


class Body(nn.Module):
    """Points at a level, with their prompt, to features [B, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (2 + 8 + 2, WIDTH, WIDTH, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in itertools.pairwise(sizes))

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """x: [B, 2, 1]; t: [B]."""
        angles = t[:, None] * math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0])
        h = torch.cat([x[:, :, 0], angles.sin(), angles.cos(), conditions.text_pooled], dim=1)
        for layer in self.layers:
            h = nn.functional.silu(layer(h))
        return h


class Velocity(nn.Module):
    """The flow model of the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.leave = Body(), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """See DiT.forward."""
        return self.leave(self.body(x, t, conditions))[:, :, None]


class Discriminator(nn.Module):
    """The discriminator: the flow model's body, or a new one, with a head."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1))

    def forward(self, x: Tensor, s: Tensor, conditions: Conditions) -> Scores:
        """See Discriminator.forward."""
        return Scores(self.head(self.body(x, s, conditions)), conditions.frame_mask)


class Budget(NamedTuple):
    """Steps of the flow model and of the post-training, and items in a batch."""

    flow_steps: int = 1500
    steps: int = 3000
    items: int = 128


class Way(NamedTuple):
    """A way to few steps: its settings, and whether it begins with the flow model or at random."""

    config: ArcConfig
    begins_with_flow: bool = True


PAPER = ArcConfig()
WAYS: dict[str, Way] = {
    "ARC": Way(PAPER),
    "ARC, sampler's levels": Way(ArcConfig(time_law="sampler")),
    "ARC without contrastive": Way(ArcConfig(contrastive_weight=0.0)),
    "plain GAN loss": Way(ArcConfig(loss="softplus", contrastive_weight=0.0)),
    # As GANs usually are: from noise alone, nothing trained before.
    "plain GAN from scratch": Way(
        ArcConfig(loss="softplus", contrastive_weight=0.0, time_law="sampler", step_counts=(1,)), False
    ),
}


def train_flow(budget: Budget, seed: int = 0) -> Velocity:
    """The averaged flow model."""
    torch.manual_seed(seed)
    task = FlowTask(Velocity(), Mixture(budget.items), FlowConfig(time_mean=0.0, time_std=1.2), seed)
    return _averaged(Trainer(task, loop(budget.flow_steps, rate=2e-3, rate_floor=0.02), Path(tempfile.mkdtemp())))


def post_train(flow: Velocity, way: Way, budget: Budget, seed: int = 0) -> Velocity:
    """The averaged generator after `budget.steps` updates of generator and discriminator together."""
    torch.manual_seed(seed)
    start = copy.deepcopy(flow) if way.begins_with_flow else Velocity()
    discriminator = Discriminator(copy.deepcopy(start.body) if way.begins_with_flow else Body())
    task = ArcTask(start, discriminator, Mixture(budget.items), way.config, seed=seed)
    settings = loop(budget.steps, rate=3e-4, rate_floor=1.0, roles={"discriminator": OptimiserConfig(rate=1e-3)})
    return _averaged(Trainer(task, settings, Path(tempfile.mkdtemp())))


@torch.no_grad()
def sample(model: Velocity, num_steps: int, items: int, *, flow: bool = False) -> Tensor:
    """Points [items, 2], one prompt after the other in turn; by Euler for a flow, else by ping-pong."""
    conditions = Conditions.of(conditions_of(torch.arange(items) % 2))
    start = torch.randn(items, 2, 1, generator=generator(11))
    sampler, times = (euler, linear(num_steps)) if flow else (ping_pong, log_snr(num_steps))
    velocity_fn = guided_velocity(model, conditions, 1.0)
    steps = sampler(velocity_fn, start, times, lambda index: torch.randn(start.shape, generator=generator(12, index)))
    return [*steps][-1].x[:, :, 0]


def mode_counts(points: Tensor) -> dict[str, float]:
    """modes: found of 8. on_mode: share of points within 3 SPREAD of a mode of their prompt. wrong_prompt: of the
    other prompt's.
    """
    near = torch.cdist(points, MODES) < 3 * SPREAD
    prompts = torch.arange(len(points)) % 2
    mine = (torch.arange(8) % 2)[None] == prompts[:, None]
    fair = len(points) / 8
    return {
        "modes": int(((near & mine).sum(0) >= fair / 4).sum()),
        "on_mode": round(float((near & mine).any(1).float().mean()), 3),
        "wrong_prompt": round(float((near & ~mine).any(1).float().mean()), 3),
    }


def compare(budget: Budget, seed: int, items: int = 4000) -> dict[str, Tensor]:
    """Points [items, 2] of the flow model and of every way, by its name and number of steps."""
    flow = train_flow(budget, seed)
    clouds = {f"flow, {_steps(count)}": sample(flow, count, items, flow=True) for count in (50, 2, 1)}
    for name, way in WAYS.items():
        model = post_train(flow, way, budget, seed)
        clouds |= {f"{name}, {_steps(count)}": sample(model, count, items) for count in (8, 2, 1)}
    return clouds


def rows_of(runs: Sequence[dict[str, Tensor]]) -> list[dict[str, Any]]:
    """For each cloud its name, the modes found in each run, and the means of the shares."""
    rows = []
    for name in runs[0]:
        verdicts = [mode_counts(clouds[name]) for clouds in runs]
        shares = {key: round(mean(one[key] for one in verdicts), 3) for key in ("on_mode", "wrong_prompt")}
        rows.append({"name": name, "modes": [int(one["modes"]) for one in verdicts], **shares})
    return rows


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def draw(clouds: dict[str, Tensor], path: Path) -> None:
    """One panel for each cloud of many steps or one, prompts in two colours."""
    clouds = {name: points for name, points in clouds.items() if not name.endswith(" 2 steps")}
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 4, figsize=(10, 7.8), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, points) in zip(axes.flat, clouds.items(), strict=False):
        colours = ["#1f77b4" if item % 2 == 0 else "#d95f02" for item in range(1000)]
        axis.scatter(*points[:1000].T.numpy(), s=2, c=colours, linewidths=0)
        axis.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal")
        axis.set_title(name, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, count, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arc_toy", description=__doc__)
    parser.add_argument("--flow-steps", type=int, default=Budget().flow_steps)
    parser.add_argument("--steps", type=int, default=Budget().steps)
    parser.add_argument("--items", type=int, default=Budget().items, help="points in a batch")
    parser.add_argument("--runs", type=int, default=3, help="repetitions with other seeds; the first is drawn")
    options = parser.parse_args(arguments)
    budget = Budget(options.flow_steps, options.steps, options.items)
    runs = [compare(budget, seed) for seed in range(options.runs)]
    draw(runs[0], FIGURE)
    print(results.write("arc_toy", vars(options), {"rows": rows_of(runs)}))


def loop(steps: int, **changes: Any) -> LoopConfig:
    """How the networks of the plane are trained."""
    quiet = {"precision": "32-true", "log_every": steps, "checkpoint_every": steps + 1, "warmup_steps": 20}
    return LoopConfig(total_steps=steps, weight_decay=0.0, ema_decay=0.99, **quiet, **changes)


def _averaged(trainer: Trainer) -> Velocity:
    trainer.run()
    model = Velocity()
    model.load_state_dict(trainer.ema.state)
    return model.eval()


if __name__ == "__main__":
    main()
