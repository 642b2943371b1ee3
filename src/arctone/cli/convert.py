"""`arctone convert`: published checkpoints to model folders, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from arctone.errors import UsageError

EXAMPLES = """\b
Examples:
  arctone convert stable-audio-open-small/ sao-small/ --text t5-base/
  arctone convert stabilityai/stable-audio-open-small sao-small/ --text google-t5/t5-base
  arctone convert sao-small/ published/ --back
  arctone generate "rain on a tin roof" -m sao-small/

\b
Of a .ckpt nothing but tensors is read; a file that asks for code to be run is refused."""

Precision = Literal["float32", "bfloat16", "float16"]

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES, no_args_is_help=True)
def convert(
    source: Annotated[str, typer.Argument(help="Folder of the checkpoint, or its name on the hub (owner/model).")],
    out: Annotated[Path, typer.Argument(help="The new folder.")],
    text: Annotated[
        str | None,
        typer.Option(
            "--text", metavar="NAME", help="Folder or hub name of the T5 or T5Gemma that the model reads prompts with."
        ),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision", metavar="NAME", help="float32, bfloat16 (half the memory, fast on new CPUs), float16."
        ),
    ] = "float32",
    name: Annotated[str, typer.Option("--name", help="The model's name. Default: that of the new folder.")] = "",
    back: Annotated[bool, typer.Option("--back", help="Write the published layout from a model folder.")] = False,
    token: Annotated[str | None, typer.Option("--token", help="Of the hub; default HF_TOKEN.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use only what the hub's cache holds.")] = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace a folder that exists.")] = False,
) -> None:
    """Turn a published checkpoint into a model folder, or back."""
    if back:
        if text is not None:
            raise UsageError(
                f"--text {text} cannot be combined with --back: the published layout holds no text encoder."
            )
        from arctone.checkpoints.published.convert import publish

        publish(Path(source), out, force=force)
        print(f"wrote {out} in the published layout")
        return
    if out.exists() and not force:
        raise UsageError(f"{out} already exists; it is replaced only with --force.")
    from arctone.checkpoints.published import hub

    folder = hub.find(source, token=token, offline=offline)
    words = None if text is None else hub.find(text, token=token, offline=offline)
    # Only now, because it brings torch: nothing heavy is imported where the hub already says no.
    from arctone.checkpoints.published import convert as published

    config = published.convert(folder, out, words, name=name or out.resolve().name, precision=precision, force=force)
    print(f"wrote {out}: sounds of up to {config.dit.max_seconds:g} s at {config.sample_rate} Hz, {precision}")
