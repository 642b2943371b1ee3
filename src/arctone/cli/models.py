"""`arctone models`: the models at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from arctone.cli.report import print_json
from arctone.cli.tables import print_rows
from arctone.model_folder import BUNDLED, folder_hash, known_models, read_model_config

EXAMPLES = """\b
Examples:
  arctone models
  arctone models --json
  arctone generate "rain" --model path/to/my-model"""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES)
def models(json: Annotated[bool, typer.Option("--json", help="Report on standard output as JSON.")] = False) -> None:
    """List the models at hand."""
    records = [model_record(BUNDLED / name) for name in known_models()]
    if json:
        print_json(records)
    else:
        head = ["name", "longest", "steps", "size", "where"]
        print_rows([head, *([_cell(record, name) for name in head] for record in records)])


def model_record(folder: Path, *, whole: bool = False) -> dict[str, Any]:
    """Facts of a model: name, place, size, limits and defaults; with `whole` also its hash and its entire config.

    Raises: ModelError if the folder holds no model.
    """
    config = read_model_config(folder)
    record: dict[str, Any] = {
        "name": config.name,
        "folder": str(folder),
        "size_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "max_duration_seconds": config.dit.max_seconds,
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "defaults": msgspec.to_builtins(config.sampling),
    }
    return {**record, "hash": folder_hash(folder), "config": msgspec.to_builtins(config)} if whole else record


def _cell(record: dict[str, Any], column: str) -> str:
    cells: dict[str, str] = {
        "name": record["name"],
        "longest": f"{record['max_duration_seconds']:.2f} s",
        "steps": str(record["defaults"]["steps"]),
        "size": f"{record['size_bytes'] / 1e6:.1f} MB",
        "where": record["folder"],
    }
    return cells[column]
