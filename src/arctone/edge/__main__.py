"""`python -m arctone.edge MODEL "prompt" -o out.wav`: text in, WAV out, on numpy and LiteRT."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from arctone.audio.formats import rounded
from arctone.audio.waveform import Waveform
from arctone.edge.runner import Made, default_cache, run
from arctone.errors import ArctoneError, UsageError
from arctone.files.atomic import refuse_target, write_atomically
from arctone.inference.request import FIELDS, GenerationRequest, validate
from arctone.inference.request_fields import RequestField, as_written, draw_seed, option_names


def encode_wav(waveform: Waveform) -> bytes:
    """A WAV file of 16-bit samples, those that `arctone.audio.files.encode_audio` writes."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(waveform.num_channels)
        file.setsampwidth(2)
        file.setframerate(waveform.sample_rate)
        file.writeframes(rounded(waveform.samples.T, 16).astype("<i2").tobytes())
    return buffer.getvalue()


# What edits a sound needs a reader of sound files, and the model's encoder; several sounds need several names.
_LEFT_OUT = ("init_noise_level", "inpaint", "extend", "variations", "diverse", "near")
_INTERRUPTED, _MEMORY = 130, 5


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see python -m arctone.edge --help.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code: those of `arctone`."""
    try:
        _make(_parser().parse_args(arguments))
    except ArctoneError as problem:
        return _report_error(str(problem), problem.exit_code)
    except MemoryError:
        return _report_error("the memory that this process may use does not suffice; try a shorter sound.", _MEMORY)
    except KeyboardInterrupt:
        return _report_error("interrupted: nothing half-written is left behind.", _INTERRUPTED)
    return 0


def _make(options: argparse.Namespace) -> None:
    request = _request(options)
    output = Path(options.output)
    if output.suffix.lower() != ".wav":
        raise UsageError(
            f"--out must end in .wav, got {options.output}; other formats need arctone generate.", field="output"
        )
    refuse_target(output, force=options.force)
    cache = Path(options.cache) if options.cache else default_cache() if options.low_ram else None
    made = run(options.model, request, cache, options.low_ram)
    write_atomically(output, encode_wav(made.result.waveforms[0]), force=options.force)
    _report_result(made, output, options.report)


def _request(options: argparse.Namespace) -> GenerationRequest:
    written = {field.name: getattr(options, field.name) for field in _fields()}
    given = {field.name: as_written(written[field.name], field.kind) for field in _fields() if written[field.name]}
    request = GenerationRequest(prompt=options.prompt, **{"seed": draw_seed(), **given})
    validate(request)
    return request


def _report_result(made: Made, output: Path, report: str | None) -> None:
    for warning in made.result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if report is None:
        print(output)
        return
    text = json.dumps({"path": str(output), **made.report}, indent=2, ensure_ascii=False, allow_nan=False)
    if report == "-":
        print(text)
    else:
        print(output)
        write_atomically(report, f"{text}\n".encode(), force=True)


def _report_error(sentence: str, code: int) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return code


def _fields() -> list[RequestField]:
    return [field for field in FIELDS if not field.required and field.name not in _LEFT_OUT]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m arctone.edge", description=__doc__, allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="model folder, or the name of a bundled model")
    parser.add_argument("prompt", help="what the sound should be, in plain words")
    parser.add_argument(
        "-o", "--out", "--output", dest="output", default="out.wav", metavar="FILE", help="WAV file, 16 bit"
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace a file that exists")
    for field in _fields():
        parser.add_argument(*option_names(field), **_settings(field))
    parser.add_argument("--low-ram", action="store_true", help="one graph open at a time, packed weights on disk")
    parser.add_argument("--cache", metavar="FOLDER", help="of packed weights; default with --low-ram: the user's cache")
    parser.add_argument(
        "--report",
        nargs="?",
        const="-",
        metavar="FILE",
        help="times, memory, sizes as JSON, to a file or printed",
    )
    return parser


def _settings(field: RequestField) -> dict[str, Any]:
    text = field.help.replace("%", "%%")
    if field.kind is bool:
        return {"dest": field.name, "action": "store_true", "help": text}
    return {"dest": field.name, "metavar": "|".join(field.choices) or "VALUE", "help": f"{text} ({field.allowed})"}


def _hush() -> None:
    """Drop what the runtime prints while the process ends."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


if __name__ == "__main__":
    code = main()
    _hush()
    sys.exit(code)
