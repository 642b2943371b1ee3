"""`arctone convert`: published checkpoints to model folders, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from arctone.cli.output import waiting
from arctone.errors import UsageError

EXAMPLES = """\b
Examples:
  arctone convert stable-audio-open-small/ sao-small/ --text t5-base/
  arctone convert stabilityai/stable-audio-open-small sao-small/ --text google-t5/t5-base
  arctone convert stable-audio-open-small/ sao-base/ --base --text t5-base/
  arctone convert run/last.ckpt tuned/ --config model_config.json --ema --text t5-base/
  arctone convert sao-small/ published/ --back
  arctone generate "rain on a tin roof" -m sao-small/

\b
Of a .ckpt nothing but tensors is read; a file that asks for code to be run is refused."""

Precision = Literal["float32", "bfloat16", "float16"]

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES, no_args_is_help=True)
def convert(
    source: Annotated[
        str, typer.Argument(help="Folder of the checkpoint, its weights file, or its name on the hub (owner/model).")
    ],
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
    base: Annotated[
        bool,
        typer.Option("--base", help="Take the base model of the folder: base_model.* with base_model_config.json."),
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The model_config.json, if it lies elsewhere.")
    ] = None,
    ema: Annotated[
        bool, typer.Option("--ema", help="Of a training checkpoint, take the moving average of the weights.")
    ] = False,
    noise: Annotated[
        bool, typer.Option("--noise", help="Stable Audio 3: add the noise that the public decoder adds.")
    ] = False,
    back: Annotated[bool, typer.Option("--back", help="Write the published layout from a model folder.")] = False,
    token: Annotated[str | None, typer.Option("--token", help="Of the hub; default HF_TOKEN.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use only what the hub's cache holds.")] = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace a folder that exists.")] = False,
) -> None:
    """Turn a published checkpoint into a model folder, or back."""
    if back:
        given = {"--text": text, "--base": base, "--config": config, "--ema": ema, "--noise": noise}
        for option, value in given.items():
            if value:
                raise UsageError(f"{option} cannot be combined with --back: it concerns how a published model is read.")
        from arctone.checkpoints.published.convert import publish

        with waiting("writing the published layout"):
            publish(Path(source), out, force=force)
        print(f"wrote {out} in the published layout")
        return
    if out.exists() and not force:
        raise UsageError(f"{out} already exists; it is replaced only with --force.")
    from arctone.checkpoints.published import hub

    place = hub.find(source, token=token, offline=offline, base=base)
    words = None if text is None else hub.find(text, token=token, offline=offline)
    # Only now, because it brings torch: nothing heavy is imported where the hub already says no.
    from arctone.checkpoints.published import convert as published

    with waiting("converting"):
        made = published.convert(
            place,
            out,
            words,
            name=name or out.resolve().name,
            precision=precision,
            base=base,
            config=config,
            ema=ema,
            noise=noise,
            force=force,
        )
    print(f"wrote {out}: sounds of up to {made.dit.max_seconds:g} s at {made.sample_rate} Hz, {precision}")
