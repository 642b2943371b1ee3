"""`arctone pick`: rounds of takes; keep some, and the next round is drawn nearer to them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from arctone.audio.files import FORMATS, encode_audio
from arctone.cli.options import (
    EngineOption,
    ModelOption,
    PrecisionOption,
    open_model,
    request_from,
    with_request_options,
)
from arctone.cli.output import JsonOption, finished, print_json
from arctone.errors import InputFileError, UsageError
from arctone.files.atomic import refuse_target, write_atomically
from arctone.files.text import read_bytes
from arctone.inference.load_options import LoadOptions
from arctone.inference.picks import Picks, begin, dump_picks, keep, parse_picks
from arctone.inference.request_fields import draw_seed

if TYPE_CHECKING:
    from arctone.inference.engine import Model

STATE = "picks.json"
NONE = "none"
_TAKES = 8

app = typer.Typer(no_args_is_help=True, help="Rounds of takes: keep some, and the next round is drawn nearer to them.")

FolderOption = Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Of the takes and picks.json; new.")]
FormatOption = Annotated[str, typer.Option("--format", metavar="NAME", help="wav, flac, ogg, opus or mp3.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")]


@app.command("begin", no_args_is_help=True)
@with_request_options
def begin_command(
    options: dict[str, Any],
    prompt: Annotated[str, typer.Argument(help="What the sound should be, in plain words.")],
    out: FolderOption,
    model: ModelOption = "spark",
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    format: FormatOption = "wav",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw the first round: 8 takes of a prompt, or as many as --variations says.

    Example: arctone pick begin "glass breaking" -d 2 -o glass
    """
    request = request_from(prompt, {"variations": _TAKES, **options})
    if request.seed is None:
        request = msgspec.structs.replace(request, seed=draw_seed())
    picks = begin(request, model)
    _refuse_existing(out)
    _draw(picks, [1], out, LoadOptions(engine=engine, precision=precision), format, json=json, quiet=quiet)


@app.command("next", no_args_is_help=True)
def next_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of pick begin.")],
    kept: Annotated[
        str, typer.Option("--keep", metavar="NUMBERS", help='Takes of the last round: "2", "2,5", or none.')
    ],
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    format: FormatOption = "wav",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Keep takes of the last round, and draw the next one nearer to them.

    Example: arctone pick next glass --keep 2,5
    """
    picks = keep(_read(folder / STATE), parse_numbers(kept))
    number = len(picks.rounds)
    _draw(picks, [number], folder, LoadOptions(engine=engine, precision=precision), format, json=json, quiet=quiet)


@app.command("replay", no_args_is_help=True)
def replay_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A picks.json.")],
    out: FolderOption,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Name or folder. Default: that of the file.")
    ] = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    format: FormatOption = "wav",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make all rounds of a file again, in another folder that can be gone on with.

    Example: arctone pick replay glass/picks.json -o again
    """
    picks = _read(file)
    if model is not None:
        picks = msgspec.structs.replace(picks, model=model)
    _refuse_existing(out)
    numbers = range(1, len(picks.rounds) + 1)
    _draw(picks, numbers, out, LoadOptions(engine=engine, precision=precision), format, json=json, quiet=quiet)


def parse_numbers(text: str) -> tuple[int, ...]:
    """Read the numbers of kept takes.

    >>> parse_numbers("2, 5"), parse_numbers("none")
    ((2, 5), ())

    Args:
        text: Numbers with commas, or "none".

    Returns:
        The numbers.

    Raises:
        UsageError: For anything else.
    """
    if text.strip().lower() == NONE:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
        raise UsageError(field="keep", value=text, allowed='numbers of takes such as "2" or "2,5", or none')
    return tuple(map(int, parts))


def _read(path: Path) -> Picks:
    data = read_bytes(path)
    try:
        return parse_picks(data)
    except UsageError as problem:
        raise InputFileError(f"{path}: {problem}") from None


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} already exists and is not an empty folder; name a new one with --out.", field="out")


def _draw(
    picks: Picks, numbers: Sequence[int], folder: Path, how: LoadOptions, format: str, *, json: bool, quiet: bool
) -> None:
    """Generate the takes of rounds, then write them and the state: nothing is written if one fails."""
    if format not in FORMATS:
        raise UsageError(field="format", value=format, allowed=f"one of {', '.join(FORMATS)}")
    paths = [folder / f"round-{n}-{m + 1}.{format}" for n in numbers for m in range(len(picks.rounds[n - 1].takes))]
    for path in paths if folder.exists() else ():
        refuse_target(path)
    files = _encode(picks, numbers, open_model(picks.model, how), format, quiet=quiet or json)
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in zip(paths, files, strict=True):
        write_atomically(path, data)
    write_atomically(folder / STATE, dump_picks(picks), force=True)
    _tell(picks, paths, json=json)


def _encode(picks: Picks, numbers: Sequence[int], model: Model, format: str, *, quiet: bool) -> list[bytes]:
    files: list[bytes] = []
    for request in (request for number in numbers for request in picks.requests(number)):
        result = finished(model.engine.stream(request), 1, quiet=quiet)
        for warning in result.warnings if not files else ():
            print(f"warning: {warning}", file=sys.stderr)
        files.append(encode_audio(result.waveforms[0], format, metadata=result.to_metadata(0)))
    return files


def _tell(picks: Picks, paths: Sequence[Path], *, json: bool) -> None:
    if json:
        print_json({"files": [str(path) for path in paths], "picks": msgspec.to_builtins(picks)})
        return
    for path in paths:
        print(path)
