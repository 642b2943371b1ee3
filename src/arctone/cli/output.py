"""Print what a command produced: files and rows on stdout, the summary on stderr, or all of it as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arctone.errors import one_line
from arctone.inference.request import GenerationResult


def print_pairs(pairs: Mapping[str, str]) -> None:
    """One line for each name and value."""
    print_rows([[one_line(name), one_line(value)] for name, value in pairs.items()])


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Lines of columns, each as wide as its longest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(record: Any) -> None:
    """One indented JSON document on standard output."""
    print(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False))


def result_record(result: GenerationResult, paths: list[Path]) -> dict[str, Any]:
    """A result as JSON-ready values."""
    files = [
        {"path": str(path), "seed": seed, "duration_seconds": waveform.duration_seconds}
        for path, seed, waveform in zip(paths, result.seeds, result.waveforms, strict=True)
    ]
    record = result.to_metadata(0)
    record["request"]["variations"] = len(files)
    times = {stage: round(value, 3) for stage, value in result.timings_ms.items()}
    return {"files": files, **record, "timings_ms": times, "warnings": list(result.warnings)}


def print_result(result: GenerationResult, paths: list[Path], *, quiet: bool) -> None:
    """Paths on stdout, one a line; seeds, time and warnings on stderr. Warnings are printed even if quiet."""
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for path in dict.fromkeys(paths):
        print(path)
    if not quiet:
        print(_summary(result), file=sys.stderr)


def _summary(result: GenerationResult) -> str:
    seconds = result.waveforms[0].duration_seconds
    count = len(result.seeds)
    sounds = f"{count} sounds of {seconds:.2f} s" if count > 1 else f"{seconds:.2f} s of sound"
    seeds = f"seeds {result.seeds[0]} to {result.seeds[-1]}" if count > 1 else f"seed {result.seeds[0]}"
    return f"{sounds} in {took_ms(result) / 1000:.2f} s ({result.model_name}, {seeds})"


def took_ms(result: GenerationResult) -> float:
    """Milliseconds of the whole generation, loading included."""
    return result.timings_ms.get("total") or sum(result.timings_ms.values())
