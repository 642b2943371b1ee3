"""The training loop that every stage shares.

Everything random is a function of (seed, step): batches, noise, dropped captions. So a run that was interrupted and
resumed is the same run, bit for bit on one CPU, and several processes split one batch instead of drawing several.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from arctone.errors import ArctoneError, UsageError
from arctone.training.ema import Ema
from arctone.training.optimisers import Optimisers, rate_factor


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How long, how fast and how often."""

    total_steps: int
    max_minutes: float | None = None
    rate: float = 1e-3
    matrix_rate: float = 0.0
    weight_decay: float = 0.01
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    precision: str = "bf16-mixed"
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 500
    demo_every: int = 0


class Task(Protocol):
    """One stage of training: a module, its batches and its loss."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    def batch(self, step: int, rank: int, world_size: int) -> Any:
        """This process's part of the batch of a step."""

    def losses(self, module: nn.Module, batch: Any, step: int) -> dict[str, Tensor]:
        """Named scalars; `total` is minimised."""

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write audio that lets a person hear the present state."""


class NotFinite(ArctoneError):
    """Training ran away."""

    exit_code = 1


# A single bad batch may be skipped; a run of them means that the weights are lost.
MAX_SKIPPED_IN_A_ROW = 20


class Trainer:
    """Runs a task, with checkpoints in a folder."""

    def __init__(self, task: Task, config: LoopConfig, folder: Path, fabric: Fabric | None = None) -> None:
        self.task, self.config, self.folder = task, config, folder
        self.fabric = fabric or Fabric(accelerator="auto", devices=1, precision=config.precision)  # type: ignore[arg-type]
        self.fabric.launch()
        self.optimisers = Optimisers(
            task.module, matrix_rate=config.matrix_rate, rate=config.rate, weight_decay=config.weight_decay
        )
        # The module is what DDP and autocast see; its losses run inside, so that gradients are averaged once.
        self.module = self.fabric.setup_module(_Losses(task))
        self.ema = Ema(task.module, config.ema_decay)
        self.step, self.skipped = 0, 0
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    @property
    def checkpoint(self) -> Path:
        """The file that a resumed run starts from."""
        return self.folder / "last.ckpt"

    def run(self, on_step: Callable[[int, dict[str, float]], None] | None = None) -> dict[str, float]:
        """Train until the steps or the minutes are used up; returns the last logged means."""
        started, means = time.monotonic(), _Means()
        logged: dict[str, float] = {}
        try:
            while self.step < self.config.total_steps and not self._late(started):
                means.add(self.one_step())
                if self.step % self.config.log_every == 0:
                    logged = means.take()
                    self._log(logged, time.monotonic() - started)
                if on_step is not None:
                    on_step(self.step, logged)
                if self.step % self.config.checkpoint_every == 0:
                    self.save()
                if self.config.demo_every and self.step % self.config.demo_every == 0 and self.fabric.is_global_zero:
                    self.task.demo(self.folder / "demos", self.ema.state, self.step)
        finally:
            self.save()
        return logged

    def one_step(self) -> dict[str, float]:
        """One update. Returns the losses; a step whose gradients are not finite changes nothing."""
        batch = self.task.batch(self.step, self.fabric.global_rank, self.fabric.world_size)
        self.optimisers.set_rate(
            rate_factor(self.step, warmup_steps=self.config.warmup_steps, total_steps=self.config.total_steps)
        )
        losses = self.module(batch, self.step)
        self.fabric.backward(losses["total"])
        norm = nn.utils.clip_grad_norm_(self.task.module.parameters(), self.config.gradient_clip)
        values = {name: float(value.detach()) for name, value in losses.items()} | {"gradient_norm": float(norm)}
        self._update(math.isfinite(values["gradient_norm"]) and math.isfinite(values["total"]))
        return values

    def _update(self, finite: bool) -> None:
        self.step += 1
        if finite:
            self.skipped = 0
            self.optimisers.step()
            self.ema.update(self.task.module)
            return
        self.skipped += 1
        self.optimisers.zero_grad()
        if self.skipped >= MAX_SKIPPED_IN_A_ROW:
            raise NotFinite(
                f"training: the loss was not finite for {self.skipped} steps up to step {self.step}; "
                f"{self.checkpoint} holds the weights, restart with a smaller learning rate"
            )

    def _late(self, started: float) -> bool:
        limit = self.config.max_minutes
        late = limit is not None and time.monotonic() - started > limit * 60
        return bool(self.fabric.broadcast(late))

    def _log(self, values: dict[str, float], seconds: float) -> None:
        if not self.fabric.is_global_zero:
            return
        record = {"step": self.step, "seconds": round(seconds, 2), **values}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in values.items():
            self._writer().add_scalar(name, value, self.step)

    def _writer(self) -> Any:
        if not hasattr(self, "_tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._tensorboard = SummaryWriter(str(self.folder))  # type: ignore[no-untyped-call]
        return self._tensorboard

    def save(self) -> None:
        """Write the checkpoint atomically."""
        if not self.fabric.is_global_zero:
            return
        saved = {
            "step": self.step,
            "seed": self.config.seed,
            "module": self.task.module.state_dict(),
            "ema": self.ema.state_dict(),
            "optimisers": self.optimisers.state_dict(),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(saved, partial)
        partial.replace(self.checkpoint)

    def _load(self) -> None:
        if not self.checkpoint.exists():
            return
        saved = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        if saved["seed"] != self.config.seed:
            raise UsageError(
                f"seed: {self.config.seed} differs from {saved['seed']}, which {self.checkpoint} was begun with"
            )
        self.task.module.load_state_dict(saved["module"])
        self.ema.load_state_dict(saved["ema"])
        self.optimisers.load_state_dict(saved["optimisers"])
        self.step = saved["step"]


class _Losses(nn.Module):
    """The task's losses as a module's forward pass."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.inner = task.module
        self._task = [task]

    def forward(self, batch: Any, step: int) -> dict[str, Tensor]:
        return self._task[0].losses(self.inner, batch, step)


class _Means:
    """Running means between two log lines."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def add(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def take(self) -> dict[str, float]:
        rows, self.rows = self.rows, []
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}


def share(items: int, rank: int, world_size: int) -> slice:
    """The part of a global batch that a process works on. Raises: UsageError if it cannot be split evenly."""
    if items % world_size:
        raise UsageError(f"batch: {items} items cannot be shared by {world_size} processes")
    size = items // world_size
    return slice(rank * size, (rank + 1) * size)


def generator(*key: int) -> torch.Generator:
    """Random source of a (seed, step, purpose) key."""
    mixed = 0
    for part in key:
        mixed = (mixed * 1_000_003 + part + 1) % (2**63)
    return torch.Generator().manual_seed(mixed)


def progress_rows(path: Path) -> Iterator[dict[str, float]]:
    """Rows of a log.jsonl."""
    with path.open() as file:
        for line in file:
            yield json.loads(line)
