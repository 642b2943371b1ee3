"""`arctone lora`: adapters after their training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arctone.cli.options import parse_adapters
from arctone.cli.output import waiting

app = typer.Typer(
    no_args_is_help=True, help="Adapters: merge them into a model, adopt one of another program, look at one."
)


@app.command()
def merge(
    lora: Annotated[
        list[str],
        typer.Argument(metavar="PATH[:STRENGTH]...", help="Adapter folders, each with its strength: 1 if not given"),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new model's folder")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name or folder of the model they belong to")] = "spark",
) -> None:
    """Write a model that holds the adapters for good; exported, it runs without torch.

    Example: arctone lora merge runs/mylora:0.8 --model spark --out runs/mine
    """
    from arctone.checkpoints.lora import merge as merge_adapters
    from arctone.model_folder.folder import find_model

    with waiting("merging"):
        merge_adapters(find_model(model), parse_adapters(lora), out)
    typer.echo(out)


@app.command()
def adopt(
    adapter: Annotated[
        Path, typer.Argument(help="Folder that peft wrote, or LoRA file of Stable Audio 3 (.safetensors, .ckpt)")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new adapter's folder")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name or folder of the model it was trained for")],
) -> None:
    """Take over an adapter of another program: after this, --lora reads it.

    Example: arctone lora adopt downloads/peft-adapter --model sao-small --out runs/adopted
    """
    from arctone.checkpoints.adoption import adopt as adopt_adapter
    from arctone.model_folder.folder import find_model

    with waiting("reading the adapter"):
        count = adopt_adapter(adapter, find_model(model), out)
    typer.echo(f"{out}: {count} layers")


@app.command()
def show(folder: Annotated[Path, typer.Argument(help="Adapter folder")]) -> None:
    """Say what an adapter changes, and which model it belongs to.

    Example: arctone lora show runs/mylora
    """
    from arctone.checkpoints.lora import load_adapter

    adapter = load_adapter(folder)
    numbers = sum(down.numel() + up.numel() for down, up in adapter.pairs.values())
    rank = next(iter(adapter.pairs.values()))[0].shape[0] if adapter.pairs else 0
    typer.echo(f"adapter   {adapter.name}")
    typer.echo(f"model     {adapter.origin.base_name} (weights {adapter.origin.base_hash[:12]})")
    typer.echo(f"rank      {rank}, scale {adapter.scale:g}, {len(adapter.pairs)} layers, {numbers} numbers")
    typer.echo(f"trained   {adapter.origin.steps} steps")
