"""One request on a small device, with a report of what it took."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from arctone.edge.memory import AnonymousPeak, memory
from arctone.inference.engine import load
from arctone.inference.request import GenerationRequest, GenerationResult


class Made(NamedTuple):
    """The sounds, and what they took: see `report`."""

    result: GenerationResult
    report: dict[str, Any]


def run(folder: str, request: GenerationRequest, cache: Path | None, low_ram: bool) -> Made:
    """Make the sounds of a request.

    Args: folder: a model folder, or the name of a bundled model. cache: for packed weights; None = none are kept.
    low_ram: one graph is open at a time.
    Raises: what `arctone.load` and `Engine.generate` raise.
    """
    begin = time.perf_counter()
    model = load(folder, "native", request.threads, cache, low_ram=low_ram)
    opened_ms = 1000 * (time.perf_counter() - begin)
    with AnonymousPeak() as anonymous:
        result = model.engine.generate(request)
    used = {**memory(), "anonymous_peak": anonymous.megabytes}
    timings = {"opening": opened_ms, **result.timings_ms}
    return Made(result, report(result, timings, used, model.folder, cache))


def report(
    result: GenerationResult,
    timings_ms: dict[str, float],
    memory_mb: dict[str, float],
    folder: Path,
    cache: Path | None,
) -> dict[str, Any]:
    """What a run took, as JSON-ready values: milliseconds by stage, memory and sizes in MB, the request as resolved."""
    sizes = {path.name: _megabytes(path) for path in sorted(folder.iterdir()) if path.is_file()}
    used = list(cache.glob("*.xnnpack")) if cache is not None and cache.is_dir() else []
    return {
        "model": result.model_name,
        "model_hash": result.model_hash,
        "seeds": list(result.seeds),
        "audio_seconds": round(result.waveforms[0].duration_seconds, 4),
        "steps": result.request.steps,
        "sampler": result.request.sampler,
        "threads": result.request.threads,
        "timings_ms": {stage: round(value, 1) for stage, value in timings_ms.items()},
        "memory_mb": memory_mb,
        "folder_mb": {**sizes, "all": round(sum(sizes.values()), 3)},
        "cache_mb": round(sum(_megabytes(path) for path in used), 3),
        "warnings": list(result.warnings),
    }


def default_cache() -> Path:
    """Where packed weights are kept if nothing is said."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arctone" / "weights"


def _megabytes(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 3)
