"""The training loop that every stage shares.

Everything random is a function of (seed, step): batches, noise, dropped captions. So a run that was interrupted and
resumed is the same run, bit for bit on one CPU, and several processes split one batch instead of drawing several.

A checkpoint is only ever replaced by weights whose next losses are finite, so a run that fails leaves its last good
state.
"""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from lightning_fabric import Fabric

from arctone.errors import ArctoneError, ModelError, UsageError
from arctone.files.atomic import file_atomically
from arctone.training.optim import Ema, OptimiserConfig, inverse_rate_factor, rate_factor
from arctone.training.parallel import (
    STRATEGIES,
    Part,
    checkpoint_activations,
    is_shardable,
    loss_scaler,
    open_fabric,
)
from arctone.training.task import Task

SCHEDULES = ("cosine", "inverse")
# A single bad batch may be skipped; a run of them means that the weights are lost.
MAX_SKIPPED_IN_A_ROW = 20
# Steps whose losses are looked at before a checkpoint is replaced; one bad batch among them proves nothing.
_PROBED_STEPS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig(OptimiserConfig):
    """How long, how fast and how often. Its optimiser settings hold for every role that `roles` does not name, or names
    with None.

    Attributes:
        total_steps: Steps in all, of all roles together.
        max_minutes: The run ends after this time; None for no limit.
        schedule: "cosine" (linear warm-up, then a cosine down to `rate_floor`) or "inverse" (the public trainer's).
        warmup_steps: Of the cosine schedule.
        rate_floor: Where the cosine ends, as a part of the full rate; 1 keeps the rate.
        ema_decay: Highest decay of the averaged weights, 0 to 1.
        ema_power: Exponent of the average's warm-up as in ema-pytorch; None for n / (10 + n).
        precision: Of the arithmetic, as Fabric names it.
        strategy: "ddp" or "fsdp", where torchrun started several processes: whole networks in each, or shards.
        checkpoint_activations: Whether blocks compute their hidden values again on the way back: less memory.
        offload: Whether moments and averages lie in a file next to the checkpoint between the steps that need them: the
            memory of one network's moments instead of all, and the same numbers.
        seed: Of weights, batches and noise.
        log_every: Steps between two lines of the log.
        checkpoint_every: Steps between two checkpoints.
        checkpoint_minutes: Longest time without one.
        demo_every: Steps between two demos; 0 = never.
        roles: Optimiser settings of single roles, by name.

    Raises:
        UsageError: For an unknown schedule or strategy.
    """

    total_steps: int
    max_minutes: float | None = None
    schedule: str = "cosine"
    warmup_steps: int = 100
    rate_floor: float = 0.02
    ema_decay: float = 0.999
    ema_power: float | None = None
    precision: str = "bf16-mixed"
    strategy: str = "ddp"
    checkpoint_activations: bool = False
    offload: bool = False
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 500
    checkpoint_minutes: float = 5.0
    demo_every: int = 0
    roles: Mapping[str, OptimiserConfig | None] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise UsageError(f"schedule: {self.schedule!r} is unknown, choose from {', '.join(SCHEDULES)}")
        if self.strategy not in STRATEGIES:
            raise UsageError(f"strategy: {self.strategy!r} is unknown, choose from {', '.join(STRATEGIES)}")

    def of_role(self, name: str) -> OptimiserConfig:
        """Returns the settings of a role's optimiser."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(OptimiserConfig)}
        return self.roles.get(name) or OptimiserConfig(**shared)

    def rate_factor(self, step: int) -> float:
        """Compute the factor of the learning rates.

        Args:
            step: From 0.

        Returns:
            0 to 1.
        """
        if self.schedule == "inverse":
            return inverse_rate_factor(step)
        return rate_factor(step, warmup_steps=self.warmup_steps, total_steps=self.total_steps, floor=self.rate_floor)


class NotFinite(ArctoneError):
    """Training ran away."""

    exit_code = 1


class Trainer:
    """Runs a task, with checkpoints in a folder.

    Args:
        task: The stage's networks, batches and losses.
        config: Length, rates and precision.
        folder: Of the checkpoint, the log and the demos; a run that is there already goes on.
        fabric: Devices and processes; None opens those that there are.

    Raises:
        UsageError: If the folder holds a run with another seed or other roles.
        ModelError: If its checkpoint is damaged.
    """

    def __init__(self, task: Task, config: LoopConfig, folder: Path, fabric: Fabric | None = None) -> None:
        self.task, self.config, self.folder = task, config, folder
        self.fabric = fabric or open_fabric(config)
        self.fabric.launch()
        if config.checkpoint_activations:
            checkpoint_activations([*task.roles.values()])
        is_sharded = config.strategy == "fsdp" and self.fabric.world_size > 1
        if is_sharded:
            check_can_shard(task, config)
        offload = folder if config.offload else None
        self.parts = {
            name: Part(
                task,
                module,
                config.of_role(name),
                self.fabric,
                is_sharded=is_sharded and is_shardable(module),
                offload=offload,
            )
            for name, module in task.roles.items()
        }
        for module in task.frozen:
            self.fabric.to_device(module.requires_grad_(False))
        self.module = next(iter(task.roles.values()))
        self.ema = Ema(self.module, config.ema_decay, config.ema_power, offload)
        self.step, self.skipped = 0, 0
        self._saved_at = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    @property
    def checkpoint(self) -> Path:
        """The file that a resumed run starts from."""
        return self.folder / "last.ckpt"

    def run(self, on_step: Callable[[int, dict[str, float]], None] | None = None) -> dict[str, float]:
        """Trains until the steps or the minutes are used up; returns the last logged means.

        Ctrl-C, or a request to end (SIGTERM), ends the run after the present step, with a checkpoint.

        Args:
            on_step: Called after each step with its number and the last logged means.

        Returns:
            Mean of each loss over the last logged steps.

        Raises:
            KeyboardInterrupt: If it was ended so.
            NotFinite: If the losses stay not finite; the checkpoint then holds the last good state.
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
                if self.config.demo_every and self.step % self.config.demo_every == 0:
                    self._demo()
        except NotFinite:
            raise
        except BaseException:
            self.save()
            raise
        self.save()
        return logged

    def one_step(self) -> dict[str, float]:
        """Updates one role once. Returns the losses; a step whose gradients are not finite changes nothing."""
        role = self.task.role_at(self.step)
        for name, part in self.parts.items():
            part.require_gradients(name == role)
        batch = self._batch(self.step)
        factor = self.config.rate_factor(self.step) * self.task.rate_scale(self.step)
        values = self.parts[role].backward(batch, self.step, factor)
        self._update(role, math.isfinite(values["gradient_norm"]) and math.isfinite(values["total"]))
        return values if len(self.parts) == 1 else {f"{role}/{name}": value for name, value in values.items()}

    def _batch(self, step: int) -> Any:
        return self.fabric.to_device(self.task.batch(step, self.fabric.global_rank, self.fabric.world_size))

    def _update(self, role: str, finite: bool) -> None:
        self.step += 1
        part = self.parts[role]
        if self._all_processes(finite):
            self.skipped = 0
            part.optimisers.step()
            if part.module is self.module:
                self.ema.update(self.module)
            return
        self.skipped += 1
        part.optimisers.zero_grad()
        if self.skipped >= MAX_SKIPPED_IN_A_ROW:
            raise NotFinite(self._sentence_of_failure())

    def _sentence_of_failure(self) -> str:
        first = self.step - self.skipped
        names = self.task.describe(first)
        batch = f" ({names})" if names else ""
        kept = f"{self.checkpoint} holds the last good state" if self.checkpoint.exists() else "nothing was kept"
        return (
            f"training: the loss was not finite for {self.skipped} steps up to step {self.step}, beginning with the "
            f"batch of step {first + 1}{batch}; {kept}, go on with a smaller rate"
        )

    def _ends(self, started: float, signals: StopSignals) -> bool:
        limit = self.config.max_minutes
        late = limit is not None and time.monotonic() - started > limit * 60
        # All processes of a run take the same number of steps: that of the first.
        return bool(self.fabric.broadcast(late or signals.is_asked))

    def _checkpoint_is_due(self) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        late = minutes > self.config.checkpoint_minutes
        return self.step % self.config.checkpoint_every == 0 or bool(self.fabric.broadcast(late))

    def _demo(self) -> None:
        state = self.ema.whole_state()
        if self.fabric.is_global_zero:
            self.task.demo(self.folder / "demos", state, self.step)

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

    def save(self) -> bool:
        """Replaces the checkpoint, whole or not at all, by the present state if its next losses are finite.

        Returns:
            Whether it was replaced.
        """
        self._saved_at = time.monotonic()
        if not self._is_sound():
            return False
        saved = {
            "step": self.step,
            "seed": self.config.seed,
            "ema": self.ema.state_dict(),
            "roles": {name: part.state_dict() for name, part in self.parts.items()},
        }
        scaler = loss_scaler(self.fabric)
        if scaler is not None:
            saved["scaler"] = scaler.state_dict()
        if self.fabric.is_global_zero:
            with file_atomically(self.checkpoint, force=True) as partial:
                torch.save(saved, partial)
        for part in self.parts.values():
            part.optimisers.rest()
        self.ema.rest()
        return True

    def _is_sound(self) -> bool:
        """Returns whether each role that the next steps update has a finite loss in one of them."""
        sound: dict[str, bool] = {}
        for step in range(self.step, self.step + _PROBED_STEPS):
            role = self.task.role_at(step)
            if not sound.get(role, False):
                sound[role] = self._all_processes(self._has_finite_loss(role, step))
        return all(sound.values())

    def _has_finite_loss(self, role: str, step: int) -> bool:
        try:
            return math.isfinite(self.parts[role].losses(self._batch(step), step)["total"])
        except Exception:
            # What a step raises is raised there; here it says only that nothing is known of the weights.
            return False

    def _all_processes(self, value: bool) -> bool:
        """Returns whether it is true in all processes."""
        if self.fabric.world_size == 1:
            return value
        found: Any = self.fabric.all_reduce(torch.tensor(float(value), device=self.fabric.device), reduce_op="sum")
        return float(found) == self.fabric.world_size

    def _load(self) -> None:
        if not self.checkpoint.exists():
            return
        saved = _read_checkpoint(self.checkpoint)
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
        scaler = loss_scaler(self.fabric)
        if scaler is not None and "scaler" in saved:
            scaler.load_state_dict(saved["scaler"])
        self.step = saved["step"]


def check_can_shard(task: Task, config: LoopConfig) -> None:
    """Refuses tasks whose networks cannot be sharded: processes must call each equally often, and only as a whole.

    Args:
        task: What is trained.
        config: Of the loop.

    Raises:
        UsageError: The sentence gives the reason.
    """
    reason = getattr(task, "shards_refused", "only flow, ARC and distillation, which train on latents, can do that")
    if config.precision == "16-mixed":
        reason = "its gradients are not scaled for precision 16-mixed, use bf16-mixed"
    elif config.offload:
        reason = "each process then keeps its part of the moments in memory, set offload=false"
    if reason:
        raise UsageError(f"strategy: 'fsdp' shards networks over processes; {reason}")


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    # What is read of a damaged file decides which of many errors torch raises.
    except Exception as problem:
        reason = str(problem).splitlines()[0][:120] if str(problem) else type(problem).__name__
        raise ModelError(
            f"out: {path} is damaged ({reason}); delete it to begin this stage again, or put a copy in its place"
        ) from None
    if not isinstance(saved, dict) or not {"step", "seed", "ema"} <= saved.keys():
        raise ModelError(f"out: {path} is no checkpoint of arctone; move it away to begin this stage here")
    return saved


class StopSignals:
    """A context that remembers Ctrl-C or a request to end, to act on it between two steps.

    A step changes everything or nothing. The second signal has the effect it would have had without this. In other
    threads than the main one, which receives no signals, nothing is changed.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.is_asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in self._NUMBERS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.is_asked = True
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())


class _Means:
    """Means between two log lines; a value is averaged over the steps that had it, and in which it was finite."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def add(self, row: dict[str, float]) -> None:
        self.rows.append({name: value for name, value in row.items() if math.isfinite(value)})

    def take(self) -> dict[str, float]:
        rows, self.rows = self.rows, []
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row[name] for row in rows if name in row] for name in names}
        return {name: sum(column) / len(column) for name, column in columns.items()}


def progress_rows(path: Path) -> Iterator[dict[str, float]]:
    """Read the rows of a log.

    Args:
        path: A log.jsonl.

    Yields:
        Numbers by name, one dictionary a row.
    """
    with path.open() as file:
        for line in file:
            yield json.loads(line)
