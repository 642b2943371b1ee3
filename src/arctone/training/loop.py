"""The training loop that every stage shares.

Everything random is a function of (seed, step): batches, noise, dropped captions. So a run that was interrupted and
resumed is the same run, bit for bit on one CPU, and several processes split one batch instead of drawing several.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from arctone.errors import ArctoneError, UsageError
from arctone.files.atomic import file_atomically
from arctone.training.ema import Ema
from arctone.training.optimisers import OptimiserConfig, Optimisers, rate_factor
from arctone.training.stop_signals import StopSignals


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig(OptimiserConfig):
    """How long, how fast and how often. Its optimiser settings hold for every role that `roles` does not name, or names
    with None.
    """

    total_steps: int
    max_minutes: float | None = None
    warmup_steps: int = 100
    # Where the cosine that follows the warm-up ends, as a part of the full rate; 1 keeps the rate.
    rate_floor: float = 0.02
    ema_decay: float = 0.999
    precision: str = "bf16-mixed"
    seed: int = 0
    log_every: int = 20
    # A checkpoint after so many steps, and after so many minutes without one.
    checkpoint_every: int = 500
    checkpoint_minutes: float = 5.0
    demo_every: int = 0
    roles: Mapping[str, OptimiserConfig | None] = dataclasses.field(default_factory=dict)

    def of_role(self, name: str) -> OptimiserConfig:
        """Settings of a role's optimiser."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(OptimiserConfig)}
        return self.roles.get(name) or OptimiserConfig(**shared)


class Task(Protocol):
    """One stage of training: its networks (roles), their batches and their losses.

    Each step updates one role. The first role is the one that is averaged, kept and listened to.
    """

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """What is trained, by name."""

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """What the losses need besides and nothing trains."""

    def role_at(self, step: int) -> str:
        """The role that a step updates."""

    def rate_scale(self, step: int) -> float:
        """What the step's learning rates are multiplied by, besides the schedule."""

    def batch(self, step: int, rank: int, world_size: int) -> Any:
        """This process's part of the batch of a step."""

    def losses(self, module: nn.Module, batch: Any, step: int) -> dict[str, Tensor]:
        """Named scalars for the role of this step, whose network is `module`; `total` is minimised.

        Only its parameters require gradients; other roles may be used, and gradients pass through them.
        """

    def demo(self, folder: Path, state: dict[str, Tensor], step: int) -> None:
        """Write audio that lets a person hear the present state."""


class Parts(list[Any]):
    """A batch in several parts, whose losses add up to its own: gradients of one part at a time need less memory."""


class SteadyRate:
    """What a task says that leaves the learning rates to the schedule."""

    def rate_scale(self, step: int) -> float:
        """See `Task`."""
        return 1.0


class OneRole(SteadyRate):
    """What a task with a single network, `module`, need not say."""

    module: nn.Module
    frozen: Sequence[nn.Module] = ()

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """See `Task`."""
        return {"model": self.module}

    def role_at(self, step: int) -> str:
        """See `Task`."""
        return "model"


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
        self.parts = {
            name: _Part(task, module, config.of_role(name), self.fabric) for name, module in task.roles.items()
        }
        for module in task.frozen:
            self.fabric.to_device(module.requires_grad_(False))
        self.module = next(iter(task.roles.values()))
        self.ema = Ema(self.module, config.ema_decay)
        self.step, self.skipped = 0, 0
        self._saved_at = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    @property
    def checkpoint(self) -> Path:
        """The file that a resumed run starts from."""
        return self.folder / "last.ckpt"

    def run(self, on_step: Callable[[int, dict[str, float]], None] | None = None) -> dict[str, float]:
        """Train until the steps or the minutes are used up; returns the last logged means.

        Ctrl-C, or a request to end (SIGTERM), ends the run after the step that it is at, with a checkpoint.
        Raises: KeyboardInterrupt if it was ended so.
        """
        with StopSignals() as signals:
            logged = self._run(on_step, signals)
        if signals.is_asked:
            raise KeyboardInterrupt
        return logged

    def _run(self, on_step: Callable[[int, dict[str, float]], None] | None, signals: StopSignals) -> dict[str, float]:
        started, means = time.monotonic(), _Means()
        logged: dict[str, float] = {}
        try:
            while self.step < self.config.total_steps and not self._ends(started, signals):
                means.add(self.one_step())
                if self.step % self.config.log_every == 0:
                    logged = means.take()
                    self._log(logged, time.monotonic() - started)
                if on_step is not None:
                    on_step(self.step, logged)
                if self._checkpoint_is_due():
                    self.save()
                if self.config.demo_every and self.step % self.config.demo_every == 0 and self.fabric.is_global_zero:
                    self.task.demo(self.folder / "demos", self.ema.state, self.step)
        finally:
            self.save()
        return logged

    def one_step(self) -> dict[str, float]:
        """One update of one role. Returns the losses; a step whose gradients are not finite changes nothing."""
        role = self.task.role_at(self.step)
        for name, part in self.parts.items():
            part.require_gradients(name == role)
        batch = self.fabric.to_device(self.task.batch(self.step, self.fabric.global_rank, self.fabric.world_size))
        values = self.parts[role].backward(batch, self.step, self._rate_factor())
        self._update(role, math.isfinite(values["gradient_norm"]) and math.isfinite(values["total"]))
        return values if len(self.parts) == 1 else {f"{role}/{name}": value for name, value in values.items()}

    def _rate_factor(self) -> float:
        config = self.config
        factor = rate_factor(
            self.step, warmup_steps=config.warmup_steps, total_steps=config.total_steps, floor=config.rate_floor
        )
        return factor * self.task.rate_scale(self.step)

    def _update(self, role: str, finite: bool) -> None:
        self.step += 1
        part = self.parts[role]
        if finite:
            self.skipped = 0
            part.optimisers.step()
            if part.module is self.module:
                self.ema.update(self.module)
            return
        self.skipped += 1
        part.optimisers.zero_grad()
        if self.skipped >= MAX_SKIPPED_IN_A_ROW:
            raise NotFinite(
                f"training: the loss was not finite for {self.skipped} steps up to step {self.step}; "
                f"{self.checkpoint} holds the weights, restart with a smaller learning rate"
            )

    def _ends(self, started: float, signals: StopSignals) -> bool:
        limit = self.config.max_minutes
        late = limit is not None and time.monotonic() - started > limit * 60
        # All processes of a run take the same number of steps: that of the first.
        return bool(self.fabric.broadcast(late or signals.is_asked))

    def _checkpoint_is_due(self) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        return self.step % self.config.checkpoint_every == 0 or minutes > self.config.checkpoint_minutes

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
        self._saved_at = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        saved = {
            "step": self.step,
            "seed": self.config.seed,
            "ema": self.ema.state_dict(),
            "roles": {name: part.state_dict() for name, part in self.parts.items()},
        }
        with file_atomically(self.checkpoint, force=True) as partial:
            torch.save(saved, partial)

    def _load(self) -> None:
        if not self.checkpoint.exists():
            return
        saved = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        if saved["seed"] != self.config.seed:
            raise UsageError(
                f"seed: {self.config.seed} differs from {saved['seed']}, which {self.checkpoint} was begun with"
            )
        # A run begun before there were roles has one network at the top.
        roles = saved.get("roles") or {"model": saved}
        if roles.keys() != self.parts.keys():
            raise UsageError(f"out: {self.checkpoint} trains {', '.join(roles)}, not {', '.join(self.parts)}")
        for name, part in self.parts.items():
            part.load_state_dict(roles[name])
        self.ema.load_state_dict(saved["ema"])
        self.step = saved["step"]


class _Part:
    """A role's network with its optimisers."""

    def __init__(self, task: Task, module: nn.Module, config: OptimiserConfig, fabric: Fabric) -> None:
        self.module, self.config, self._fabric = module, config, fabric
        self.optimisers = Optimisers(module, config)
        # What DDP and autocast see: the losses run inside, so that gradients are averaged once, and only this role's.
        self._losses = fabric.setup_module(_Losses(task, module))
        self._trained = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def require_gradients(self, wanted: bool) -> None:
        """Whether the trained parameters collect gradients."""
        for parameter in self._trained:
            parameter.requires_grad_(wanted)

    def backward(self, batch: Any, step: int, factor: float) -> dict[str, float]:
        """Gradients of the losses, clipped; returns the losses and the norm before clipping."""
        self.optimisers.set_rate(factor)
        parts = batch if isinstance(batch, Parts) else [batch]
        values: dict[str, float] = {}
        for number, part in enumerate(parts, start=1):
            # Processes exchange gradients once, with the last part.
            waits = number < len(parts) and self._fabric.world_size > 1
            with self._fabric.no_backward_sync(self._losses, enabled=waits):
                losses = self._losses(_Whole(part), step)
                self._fabric.backward(losses["total"])
            values = {name: values.get(name, 0.0) + float(value.detach()) for name, value in losses.items()}
        norm = nn.utils.clip_grad_norm_(self._trained, self.config.gradient_clip)
        return values | {"gradient_norm": float(norm)}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue."""
        return {"module": self.module.state_dict(), "optimisers": self.optimisers.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from saved weights and moments."""
        self.module.load_state_dict(saved["module"])
        self.optimisers.load_state_dict(saved["optimisers"])


class _Losses(nn.Module):
    """A role's losses as a module's forward pass."""

    def __init__(self, task: Task, module: nn.Module) -> None:
        super().__init__()
        self.inner = module
        self._task = [task]

    def forward(self, batch: _Whole, step: int) -> dict[str, Tensor]:
        return self._task[0].losses(self.inner, batch.content, step)


class _Whole:
    """A batch as Fabric shall not see it: at mixed precision it would round levels, lengths and latents to 16 bit."""

    def __init__(self, content: Any) -> None:
        self.content = content


class _Means:
    """Means between two log lines; a value is averaged over the steps that had it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def add(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def take(self) -> dict[str, float]:
        rows, self.rows = self.rows, []
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row[name] for row in rows if name in row] for name in names}
        return {name: sum(column) / len(column) for name, column in columns.items()}


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
