"""`arctone models`: the available models, and those that can be fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from arctone.cli.convert import Precision
from arctone.cli.output import JsonOption, print_json, print_rows, waiting
from arctone.errors import ModelError
from arctone.model_folder.catalogue import CATALOGUE, Fetchable, fetchable
from arctone.model_folder.folder import (
    HASHES,
    check_hashes,
    find_model,
    find_pulled_folder,
    folder_hash,
    list_known_models,
    read_model_config,
)

EXAMPLES = """\b
Examples:
  arctone models
  arctone models --json
  arctone models licence stable-audio-open-small
  arctone models pull stable-audio-open-small
  arctone models verify spark
  arctone generate "rain" --model path/to/my-model"""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def models(
    context: typer.Context,
    json: JsonOption = False,
) -> None:
    """List the available models; the commands fetch, check and explain them."""
    if context.invoked_subcommand is not None:
        return
    records = [model_record(find_model(name)) for name in list_known_models()]
    if json:
        print_json(records)
        return
    head = ["name", "longest", "steps", "size", "where"]
    print_rows([head, *([_cell(record, name) for name in head] for record in records)])
    rest = [entry for entry in CATALOGUE if entry.name not in list_known_models()]
    if rest:
        print("\nto be fetched with `arctone models pull NAME`:")
        print_rows([[entry.name, entry.summary, entry.licence] for entry in rest])


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A model that `arctone models` lists as fetchable.")],
    text: Annotated[
        str | None, typer.Option("--text", metavar="NAME", help="Another folder or place of its text encoder.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="Another folder or place of the checkpoint.")
    ] = None,
    precision: Annotated[Precision, typer.Option("--precision", help="Of the weights.")] = "float32",
    token: Annotated[str | None, typer.Option("--token", help="Of the hub; default HF_TOKEN.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use only what the hub's cache holds.")] = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="Fetch again.")] = False,
) -> None:
    """Fetch a published model and convert it; afterwards its name works everywhere."""
    from arctone.checkpoints.published import hub
    from arctone.checkpoints.published.source import find_text_folder

    entry = fetchable(name)
    _explain(entry)
    out = find_pulled_folder() / entry.name
    if not out.exists() or force:
        folder = hub.find(source or entry.place, token=token, offline=offline, base=entry.base)
        words = None
        if text or find_text_folder(folder) is None:
            words = hub.find(text or entry.text, token=token, offline=offline)
        from arctone.checkpoints.published import convert as published

        with waiting("converting"):
            published.convert(folder, out, words, name=entry.name, precision=precision, base=entry.base, force=force)
    print(f"{entry.name} is in {out}")


@app.command()
def verify(name: Annotated[str, typer.Argument(help="Name or folder of a model.")]) -> None:
    """Check every file of a model against the hashes it was written with."""
    folder = find_model(name)
    read_model_config(folder)
    if not (folder / HASHES).is_file():
        raise ModelError(f"{folder} has no {HASHES}, so it cannot be verified.")
    check_hashes(folder)
    print(f"{folder} is whole; its hash is {folder_hash(folder)}")


@app.command()
def licence(
    name: Annotated[str, typer.Argument(help="Name or folder of a model, available or to be fetched.")],
) -> None:
    """Show the licence of a model, with its text where the model is available."""
    for entry in CATALOGUE:
        if entry.name == name:
            _explain(entry)
    if name in list_known_models() or Path(name).is_dir():
        folder = find_model(name)
        texts = licence_files(folder)
        print("\n\n".join(text.read_text() for text in texts) if texts else f"{folder} holds no licence text.")
    elif name not in {entry.name for entry in CATALOGUE}:
        fetchable(name)


def licence_files(folder: Path) -> list[Path]:
    """This function lists the licence texts of a model: its own, and that of its text encoder."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith("licen"))


def _explain(entry: Fetchable) -> None:
    print(f"{entry.name}: {entry.summary}\nfrom https://huggingface.co/{entry.place}")
    print(f"licence: {entry.licence}. {entry.terms}\ntext encoder: {entry.text}, {entry.text_licence}\n")


def model_record(folder: Path, *, whole: bool = False) -> dict[str, Any]:
    """Collect the facts of a model: name, place, size, limits and defaults.

    Args:
        folder: The folder of the model.
        whole: Also its hash and its entire config.

    Returns:
        JSON-ready values by name.

    Raises:
        ModelError: If the folder holds no model.
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
