"""`arctone mcp`: tools for assistants, over standard input and output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  arctone mcp
  arctone mcp --output-folder ~/Sounds --model spark

\b
An assistant starts it: its configuration names the command `arctone` with the argument `mcp`.
Tools: generate_sound, edit_sound, list_sounds, list_models."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES)
def mcp(
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", metavar="NAME", help="Name or folder of a model; repeatable. Default: spark."),
    ] = None,
    output_folder: Annotated[
        Path, typer.Option("-o", "--output-folder", metavar="FOLDER", help="Folder of the files that are written.")
    ] = Path("arctone-sounds"),
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: all that may be used.")
    ] = None,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Longest sound, in seconds.")] = 300.0,
) -> None:
    """Serve sound to assistants over the Model Context Protocol.

    It is spoken over standard input and output.
    """
    import arctone
    from arctone.serving.http.formats import Limits
    from arctone.serving.mcp import build_server

    limits = Limits(max_duration_seconds=max_seconds).checked()
    loaded = [arctone.load(name, threads=threads) for name in dict.fromkeys(model or ["spark"])]
    engines = {one.name: one.engine for one in loaded}
    build_server(engines, output_folder.expanduser(), limits).run("stdio")
