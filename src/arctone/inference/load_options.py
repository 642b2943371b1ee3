"""How a model is opened: the same options for generate, serve, batches, the edge runner and the benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints

from msgspec import Meta, Struct, structs

from arctone.errors import UsageError

EngineName = Literal["auto", "native", "torch"]
PrecisionName = Literal["auto", "float32", "bfloat16", "int8"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]


class LoadOptions(Struct, frozen=True, kw_only=True):
    """How a model is opened.

    Args:
        engine: "native" (no torch needed), "torch", or "auto": native where the folder has graphs.
        threads: CPU threads of requests that state none; None = all that the process may use.
        device: of the torch engine; "auto" = CUDA where there is some.
        precision: what the torch engine computes in: "auto" = that of the folder's files, "float32", "bfloat16" (models
            converted from published ones) or "int8" (the transformer's large layers; see docs/checkpoints.md). The
            native engine's graphs have theirs, so any but "auto" means the torch engine.
        compiled: whether the torch engine's transformer and decoder are compiled: minutes once, and on CPUs with a
            compiler.
        adapters: folders that `arctone train lora` wrote, each with its strength (1 = as trained); what they change
            adds up. They need the torch engine.
        low_ram: whether the native engine keeps one graph open at a time: less memory, and each graph is opened again
            for each sound.
        weights_cache: folder for the native engine's packed weights (faster starts, less memory); None = none is kept.
    """

    engine: Annotated[EngineName, Meta(description="auto, native (needs no torch) or torch.")] = "auto"
    threads: int | None = None
    device: Annotated[DeviceName, Meta(description="Of the torch engine: auto, cpu, cuda or mps.")] = "auto"
    precision: Annotated[
        PrecisionName,
        Meta(description="Of the torch engine: auto (that of the model's files), float32, bfloat16 or int8."),
    ] = "auto"
    compiled: Annotated[
        bool, Meta(description="Compile for the torch engine: minutes once, then faster, most on CUDA.")
    ] = False
    adapters: tuple[tuple[Path, float], ...] = ()
    low_ram: bool = False
    weights_cache: Path | None = None

    def checked(self) -> LoadOptions:
        """Return the same options with the engine that they need.

        Returns:
            The options.

        Raises:
            UsageError: For an unknown engine, or options that do not go together.
        """
        if self.engine not in get_args(EngineName):
            raise UsageError(
                f"engine must be one of {', '.join(get_args(EngineName))}, got {self.engine!r}.", field="engine"
            )
        if self._torch_reason and self.engine == "native":
            raise UsageError(
                f"{self._torch_reason} is for the torch engine: the native engine runs on the CPU, and its graphs have "
                "their precision from export."
            )
        if self.adapters and self.engine == "native":
            raise UsageError(
                "lora: the native engine runs no adapters; use the torch engine, or merge them into a model "
                "(arctone lora merge) and export that.",
                field="lora",
            )
        needs_torch = bool(self._torch_reason or self.adapters)
        return structs.replace(self, engine="torch") if needs_torch and self.engine == "auto" else self

    @property
    def _torch_reason(self) -> str:
        """What the native engine cannot do, in words; empty if it can do all."""
        if self.precision != "auto":
            return f"precision {self.precision!r}"
        if self.device not in ("auto", "cpu"):
            return f"device {self.device!r}"
        return "compiled" if self.compiled else ""


def help_of(field: str) -> str:
    """Return what the command line says about an option."""
    annotation = get_type_hints(LoadOptions, include_extras=True)[field]
    return str(next(part.description for part in get_args(annotation) if isinstance(part, Meta)))


def usable_threads() -> int:
    """CPU threads this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
