"""`arctone generate`: text in, sound files out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from arctone.audio.delivery import Delivery, as_zip
from arctone.cli.batch import BatchConfig, RayOption, batch_folder, generate_batch
from arctone.cli.options import (
    CompiledOption,
    DeviceOption,
    EngineOption,
    LoraOption,
    ModelOption,
    PrecisionOption,
    option_values,
    parse_adapters,
    request_from,
    run_request,
    with_request_options,
)
from arctone.cli.output import JsonOption, print_json, print_result, result_record
from arctone.cli.targets import STDOUT, targets
from arctone.errors import UsageError
from arctone.files.atomic import refuse_target, write_atomically
from arctone.inference.load_options import LoadOptions
from arctone.inference.request import MAX_PROMPT_LENGTH, GenerationRequest, GenerationResult
from arctone.inference.request_fields import draw_seed
from arctone.inference.source_file import read_source
from arctone.serving.batch import Report, read_lines

INIT, INPAINT, CONTINUE = "--init-audio", "--inpaint-audio", "--continue"


class Given(NamedTuple):
    """What each of the options got."""

    init_audio: Path | None
    inpaint_audio: Path | None
    continue_audio: Path | None


def source_path(given: Given, options: dict[str, str]) -> Path | None:
    """Find the one file that is edited. With --continue, `extend` is added to the options.

    Args:
        given: Files of the command line.
        options: Fields of the request, as written.

    Returns:
        The file; None if there is none.

    Raises:
        UsageError: If two are given, or one whose companion is missing.
    """
    named = {INIT: given.init_audio, INPAINT: given.inpaint_audio, CONTINUE: given.continue_audio}
    found = {name: path for name, path in named.items() if path is not None}
    if len(found) > 1:
        raise UsageError(f"{' and '.join(found)} cannot be combined: only one sound is edited at a time.")
    if "inpaint" in options and INPAINT not in found:
        raise UsageError(f"--inpaint needs {INPAINT} FILE, the sound that is to be edited.", field="inpaint")
    if INPAINT in found and "inpaint" not in options:
        raise UsageError(f"{INPAINT} needs --inpaint A:B, the part that is to be generated again.")
    if "init_noise_level" in options and not found:
        raise UsageError(
            f"--init-noise-level needs {INIT} FILE, the sound that is to be edited.", field="init_noise_level"
        )
    if CONTINUE in found:
        options["extend"] = "true"
    return next(iter(found.values()), None)


PLAYERS = {
    "afplay": ["afplay"],
    "pw-play": ["pw-play"],
    "paplay": ["paplay"],
    "ffplay": ["ffplay", "-nodisp", "-autoexit", "-loglevel", "error"],
    "mpv": ["mpv", "--no-video", "--really-quiet"],
    "play": ["play", "-q"],
    "aplay": ["aplay", "-q"],
}


def find_player() -> list[str]:
    """Find the command that plays a file.

    Returns:
        The command without the file.

    Raises:
        UsageError: If the machine has none.
    """
    for name, command in PLAYERS.items():
        if shutil.which(name):
            return command
    raise UsageError(f"--play needs one of {', '.join(PLAYERS)}, but none of them is installed.", field="play")


def play_file(command: list[str], path: Path) -> None:
    """Play one file to its end.

    Args:
        command: As find_player returns it.
        path: The file.

    Raises:
        UsageError: If the player fails.
    """
    finished = subprocess.run([*command, str(path)], check=False, capture_output=True, text=True)
    if finished.returncode:
        words = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"{command[0]} cannot play {path}: {words}.")


EXAMPLES = """\b
Examples:
  arctone generate "rain on a tin roof" -d 8
  arctone generate "funky drum loop, 120 BPM" -d 8 --bpm 120 -n 4 -o "loop-{n}.wav"
  arctone generate "glass breaking" -n 8 --diverse
  arctone generate "glass breaking" --near 4:0.3 -n 4
  arctone generate "a dark pad in C minor" -s 7 --steps 50 --cfg-scale 6 -o pad.flac
  arctone generate "a church organ" --init-audio hum.wav --init-noise-level 0.8
  arctone generate "a dog barking" --inpaint-audio street.flac --inpaint 2:3.5 -o edited.flac
  arctone generate "rain on a tin roof" --continue rain.wav -d 20
  arctone generate "techno loop" --loop --bpm 128 --bars 4
  arctone generate --batch prompts.jsonl -o sounds/ -d 4
  arctone generate --batch prompts.jsonl -o /shared/sounds --ray auto
  echo "a dog barking" | arctone generate - -o - > dog.wav
  arctone generate "crackling fire" --json

\b
The same seed gives the same file, byte for byte, with the same model, version and machine type."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES, no_args_is_help=True)
@with_request_options
def generate(
    options: dict[str, Any],
    prompt: Annotated[
        str | None, typer.Argument(help="What the sound should be, in plain words; - reads it from standard input.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="File, folder, or .zip for all sounds; {n} and {seed} in names are filled in; - is standard output. "
            "Default: a name made of the prompt and the seed.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace files that exist.")] = False,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="wav, flac, ogg, opus or mp3. Default: by the ending."),
    ] = None,
    model: ModelOption = "spark",
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compiled: CompiledOption = False,
    init_audio: Annotated[
        Path | None,
        typer.Option(INIT, metavar="FILE", help="Sound that the result is made from; see --init-noise-level."),
    ] = None,
    inpaint_audio: Annotated[
        Path | None,
        typer.Option(INPAINT, metavar="FILE", help="Sound whose parts named by --inpaint are generated again."),
    ] = None,
    continue_audio: Annotated[
        Path | None, typer.Option(CONTINUE, metavar="FILE", help="Sound that is continued up to --duration in all.")
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            "--batch",
            metavar="FILE",
            help="Make every line of a JSONL file instead: objects with the fields of a request, and if wanted id (the "
            "file's name) and source (a sound to edit). -o is the folder. What is there already is passed over.",
        ),
    ] = None,
    ray: RayOption = None,
    lora: LoraOption = None,
    sample_rate: Annotated[
        int | None, typer.Option("--sample-rate", metavar="HZ", help="Of the files. Default: the model's.")
    ] = None,
    channels: Annotated[
        str | None, typer.Option("--channels", metavar="NAME", help="mono or stereo. Default: the model's.")
    ] = None,
    bit_depth: Annotated[
        int | None,
        typer.Option("--bit-depth", metavar="BITS", help="16, 24, or 32 (floating point, WAV only). Default: 16."),
    ] = None,
    trim: Annotated[
        bool, typer.Option("--trim", help="Cut silence (60 dB below the peak) off both ends, with fades of 5 ms.")
    ] = False,
    metadata: Annotated[
        bool, typer.Option("--metadata/--no-metadata", help="Write the request into the file, so that redo works.")
    ] = True,
    play: Annotated[bool, typer.Option("--play", help="Play the sounds when they are done.")] = False,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Make sound from text."""
    how = LoadOptions(
        engine=engine, device=device, precision=precision, compiled=compiled, adapters=parse_adapters(lora)
    )
    delivery = Delivery(sample_rate, channels, bit_depth, trim, metadata)
    if batch is not None:
        _refuse_with_batch(bool(prompt or play or init_audio or inpaint_audio or continue_audio), delivery)
        config = BatchConfig(model, how, ray)
        raise typer.Exit(_batch(batch, options, output, format, config, force=force, json=json, quiet=quiet))
    if ray is not None:
        raise UsageError("--ray makes the lines of a batch, so it needs --batch FILE.")
    if prompt is None:
        raise UsageError("prompt is missing: say what the sound should be, or give --batch FILE.", field="prompt")
    to_stdout = output == STDOUT
    if to_stdout and (json or play):
        raise UsageError(
            f"--{'json' if json else 'play'} cannot be combined with -o -: standard output carries the sound."
        )
    edited = source_path(Given(init_audio, inpaint_audio, continue_audio), options)
    request = _with_seed(request_from(_text(prompt), options))
    archive = archive_of(output, force=force, play=play)
    pattern = archive_names(archive, format) if archive else output
    replaces = force or archive is not None
    paths = targets(pattern, request, format, force=replaces)
    delivery.check(format or (paths[0].suffix.lstrip(".").lower() if paths else "wav"))
    source = read_source(edited) if edited else None
    play_command = find_player() if play else None
    result = run_request(request, model, how, quiet=quiet or json, source=source)
    if to_stdout:
        sys.stdout.buffer.write(delivery.encode(result.waveforms[0], format or "wav", result.to_metadata(0)))
        sys.stdout.buffer.flush()
    else:
        paths = targets(pattern, request, format, force=replaces, seeds=result.seeds) if request.diverse else paths
        paths = save(result, paths, format, delivery, archive, force=force)
    _tell(result, paths, json=json, quiet=quiet)
    for path in paths if play_command else ():
        play_file(play_command or [], path)


def _refuse_with_batch(has_request: bool, delivery: Delivery) -> None:
    if has_request:
        raise UsageError(
            "--batch takes prompts and sources from its lines, and plays nothing; leave the rest out.", field="batch"
        )
    if delivery != Delivery():
        raise UsageError(
            "--sample-rate, --channels, --bit-depth, --trim and --no-metadata are not for batches, whose files are "
            "read again to see what is done; leave them out.",
            field="batch",
        )


def _batch(
    path: Path,
    options: dict[str, Any],
    output: str | None,
    format: str | None,
    how: BatchConfig,
    *,
    force: bool,
    json: bool,
    quiet: bool,
) -> int:
    """Make the lines of a file; returns the exit code."""
    report = Report()
    folder, ending = batch_folder(output, format)
    values = option_values(options)
    lines = read_lines(path, values, folder, ending, report)
    generate_batch(lines, how, values.get("threads"), report, force=force, quiet=quiet or json)
    if json:
        print_json(report.to_json())
    for sentence in report.sentences():
        print(sentence, file=sys.stderr)
    return report.exit_code


def save(
    result: GenerationResult,
    paths: list[Path],
    format: str | None,
    delivery: Delivery,
    archive: Path | None = None,
    *,
    force: bool,
) -> list[Path]:
    """Write every sound with its record, or all into one ZIP file.

    Args:
        result: The sounds.
        paths: One for each sound.
        format: Of the files; None = by the ending of each path.
        delivery: Settings of the files.
        archive: The ZIP file; None = single files.
        force: Replace existing files.

    Returns:
        The path of each sound.
    """
    if archive is not None:
        files = {path.name: encoded for path, encoded in encode_files(result, paths, format, delivery)}
        write_atomically(archive, as_zip(files), force=force)
        return [archive] * len(paths)
    for path, data in encode_files(result, paths, format, delivery):
        write_atomically(path, data, force=force)
    return paths


def encode_files(
    result: GenerationResult, paths: list[Path], format: str | None, delivery: Delivery
) -> Iterator[tuple[Path, bytes]]:
    """The files of a result, one after another."""
    for item, (path, waveform) in enumerate(zip(paths, result.waveforms, strict=True)):
        name = format or path.suffix.lstrip(".").lower()
        yield path, delivery.encode(waveform, name, result.to_metadata(item))


def archive_of(output: str | None, *, force: bool, play: bool) -> Path | None:
    """Find the ZIP file that the output names.

    Args:
        output: Of `-o`.
        force: Replace an existing file.
        play: Whether the sounds are to be played.

    Returns:
        The file; None if the output is none.

    Raises:
        UsageError: If it cannot be written or played.
    """
    if output is None or not output.lower().endswith(".zip") or Path(output).is_dir():
        return None
    if play:
        raise UsageError("--play cannot be combined with a ZIP file as output.", field="play")
    refuse_target(Path(output), force=force)
    return Path(output)


def archive_names(archive: Path, format: str | None) -> str:
    """The pattern of the names inside a ZIP file: its own name, the seed, the format."""
    return str(archive.parent / f"{archive.stem}-{{seed}}.{format or 'wav'}")


def _tell(result: GenerationResult, paths: list[Path], *, json: bool, quiet: bool) -> None:
    if json:
        print_json(result_record(result, paths))
    else:
        print_result(result, paths, quiet=quiet)


def _text(prompt: str) -> str:
    """The prompt, from standard input if it is "-"; reading stops soon after the longest prompt allowed."""
    if prompt != "-":
        return prompt
    data = sys.stdin.buffer.read(8 * MAX_PROMPT_LENGTH)
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        raise UsageError("prompt from standard input must be UTF-8 text, but it is not.") from None


def _with_seed(request: GenerationRequest) -> GenerationRequest:
    """The seed is drawn here, because file names may hold it."""
    if request.seed is not None:
        return request
    return msgspec.structs.replace(request, seed=draw_seed())
