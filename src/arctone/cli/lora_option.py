"""`--lora PATH[:STRENGTH]`: adapters that are laid over a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from arctone.errors import UsageError

LoraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="PATH[:STRENGTH]",
        help="Adapter folder of arctone train lora, and how strong: 1 as trained (if not given), 0 not at all. "
        "Repeatable. Needs torch.",
    ),
]


def adapters_of(options: Sequence[str] | None) -> list[tuple[Path, float]]:
    """Folders and strengths. Raises: UsageError for an empty path or a strength that is no finite number."""
    return [_adapter(option) for option in options or ()]


def _adapter(option: str) -> tuple[Path, float]:
    path, colon, text = option.rpartition(":")
    # A folder may have a colon in its name, and a Windows path has one after the drive.
    if not colon or Path(option).expanduser().is_dir() or "/" in text or "\\" in text:
        path, text = option, "1"
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not path or not math.isfinite(strength):
        raise UsageError(f"lora: {option!r} must be PATH or PATH:STRENGTH with a finite number, such as runs/mine:0.8")
    return Path(path).expanduser(), strength
