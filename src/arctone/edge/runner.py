"""Run one request on a small device and report what it took, memory included."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from arctone.inference.load_options import LoadOptions
from arctone.inference.loading import load_model
from arctone.inference.request import GenerationRequest, GenerationResult

_STATUS = Path("/proc/self/status")
_FIELDS = {"peak": "VmHWM", "resident": "VmRSS", "anonymous": "RssAnon", "mapped_files": "RssFile"}


def memory(status: Path = _STATUS) -> dict[str, float]:
    """peak: most that was ever resident. resident: now; of it anonymous, which nothing but ending gives back, and
    mapped_files, which the kernel can drop. Empty where there is no /proc.
    """
    try:
        text = status.read_text()
    except OSError:
        return {}
    found = {name: re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE) for name, field in _FIELDS.items()}
    return {name: round(int(match[1]) * 1024 / 1e6, 1) for name, match in found.items() if match}


class AnonymousPeak:
    """The most anonymous memory while a block of code runs, which the kernel does not keep: asked for every few ms.

    After the block `megabytes` holds it; 0 where there is no /proc.
    """

    _INTERVAL_SECONDS = 0.005

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> AnonymousPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.megabytes = max(self.megabytes, memory().get("anonymous", 0.0))
            if self._done.wait(self._INTERVAL_SECONDS):
                return


class Made(NamedTuple):
    """The sounds, and what they took: see `report`."""

    result: GenerationResult
    report: dict[str, Any]


def run(folder: str, request: GenerationRequest, cache: Path | None, low_ram: bool) -> Made:
    """Generate the sounds of a request.

    Args:
        folder: A model folder, or the name of a bundled model.
        request: The request.
        cache: For packed weights; None = none are kept.
        low_ram: One graph is open at a time.

    Returns:
        The result and the report.

    Raises:
        ArctoneError: As `arctone.load` and `Engine.generate` raise.
    """
    options = LoadOptions(engine="native", threads=request.threads, weights_cache=cache, low_ram=low_ram)
    begin = time.perf_counter()
    model = load_model(folder, options)
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
