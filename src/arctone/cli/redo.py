"""`arctone redo`: a take made again from the record in its file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from arctone.audio.files import FORMATS, encode_audio
from arctone.audio.tags import read_metadata
from arctone.cli.options import LoraOption, parse_adapters, run_request
from arctone.cli.output import JsonOption, print_json, print_result, result_record
from arctone.cli.targets import targets, with_word
from arctone.errors import InputFileError, ModelError, UsageError
from arctone.files.atomic import write_atomically
from arctone.inference.load_options import EngineName, LoadOptions, PrecisionName
from arctone.inference.request import GenerationRequest, GenerationResult, from_metadata, source_from_metadata
from arctone.inference.source import source_record
from arctone.inference.source_file import SourceFile, read_source
from arctone.model_folder.folder import list_known_models
from arctone.version import __version__

EXAMPLES = """\b
Examples:
  arctone redo take.wav
  arctone redo take.wav -o again.flac
  arctone redo edited.wav --source hum.wav
  arctone redo take.wav --json

\b
With the same model, version and machine type the sound is the same, bit for bit. Where the model or the
version differs, or the new sound does, a warning says so."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES, no_args_is_help=True)
def redo(
    take: Annotated[Path, typer.Argument(help="A sound file that arctone made.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="PATH", help="File or folder. Default: NAME-redo next to the take."),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace files that exist.")] = False,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="NAME", help="Name or folder of a model. Default: the take's."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE", help="The sound that the take was edited from, if it was."),
    ] = None,
    lora: LoraOption = None,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Make a take again from what its file says about itself."""
    record = _record(take)
    request = _request(take, record)
    edited = _source(take, record, source)
    (path,) = targets(output or str(with_word(take, "redo")), request, None, force=force)
    adapters = parse_adapters(lora)
    _refuse_missing_adapters(take, record, len(adapters))
    name = model or _model(take, record)
    options = LoadOptions(engine=_engine(record), precision=_precision(record), adapters=adapters)
    result = run_request(request, name, options, quiet=quiet or json, source=edited)
    data = encode_audio(result.waveforms[0], path.suffix.lstrip(".").lower(), metadata=result.to_metadata(0))
    write_atomically(path, data, force=force)
    notes = _differences(record, result, _is_same(take, path, data))
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    if json:
        print_json({**result_record(result, [path]), "differences": notes})
    else:
        print_result(result, [path], quiet=quiet)


def _record(take: Path) -> dict[str, Any]:
    if not take.is_file():
        raise InputFileError(
            f"{take} {'is a folder' if take.is_dir() else 'does not exist'}, but a sound file is needed."
        )
    record = read_metadata(take)
    if record is None:
        raise InputFileError(f"{take} carries no record of arctone, so it cannot be made again.")
    return record


def _request(take: Path, record: Mapping[str, Any]) -> GenerationRequest:
    try:
        return from_metadata(record)
    except UsageError as problem:
        raise InputFileError(f"{take} carries a record that cannot be used: {problem}") from None


def _source(take: Path, record: Mapping[str, Any], path: Path | None) -> SourceFile | None:
    """The sound that the take was edited from, which must be the same as then."""
    try:
        wanted = source_from_metadata(record)
    except UsageError as problem:
        raise InputFileError(f"{take} carries a record that cannot be used: {problem}") from None
    if wanted is None:
        if path is not None:
            raise UsageError(f"--source is {path}, but {take} was made from text alone.", field="source")
        return None
    name = f", '{wanted.name}'" if wanted.name else ""
    if path is None:
        raise UsageError(f"{take} was edited from another sound{name}; give it with --source FILE.")
    found = read_source(path)
    if source_record(found.waveform, found.name).sha256 != wanted.sha256:
        raise InputFileError(f"{path} is not the sound that {take} was edited from{name}: its samples differ.")
    return found._replace(name=wanted.name)


def _model(take: Path, record: Mapping[str, Any]) -> str:
    name = str(record.get("model"))
    if name not in list_known_models():
        raise ModelError(f"{take} was made by the model '{name}', which is not bundled; give its folder with --model.")
    return name


def _refuse_missing_adapters(take: Path, record: Mapping[str, Any], given: int) -> None:
    """A record names adapters, but not where they lie."""
    used = record.get("adapters")
    if isinstance(used, list) and used and given == 0:
        named = ", ".join(f"{one.get('name')}:{one.get('strength')}" for one in used if isinstance(one, dict))
        raise ModelError(f"{take} was made with the adapters {named}; give their folders with --lora.")


def _engine(record: Mapping[str, Any]) -> EngineName:
    """The engine that made the take, where its record names one."""
    engine = record.get("engine")
    return "native" if engine == "native" else "torch" if engine == "torch" else "auto"


def _precision(record: Mapping[str, Any]) -> PrecisionName:
    """The precision that was asked for, where the record names one."""
    named: dict[Any, PrecisionName] = {"float32": "float32", "bfloat16": "bfloat16", "int8": "int8"}
    return named.get(record.get("precision"), "auto")


def _is_same(take: Path, path: Path, data: bytes) -> bool | None:
    """Whether the new file equals the take byte for byte; None where the formats differ."""
    endings = {file.suffix.lower() for file in (take, path)}
    if len(endings) > 1 or endings.pop().lstrip(".") not in FORMATS or take.resolve() == path.resolve():
        return None
    return take.read_bytes() == data


def _differences(record: Mapping[str, Any], result: GenerationResult, same: bool | None) -> list[str]:
    notes = []
    if record.get("model_hash") != result.model_hash:
        notes.append(f"the take was made by another model than this {result.model_name}, so the sound may differ.")
    if record.get("version") != __version__:
        notes.append(f"the take was made by arctone {record.get('version')}, this is {__version__}.")
    if same is False and not notes:
        notes.append("the new file differs from the take: another processor or library computes a little differently.")
    return notes
