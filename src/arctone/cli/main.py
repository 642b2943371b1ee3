"""The program `arctone`. Nothing heavy is imported before a command is chosen."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, ClassVar

import typer

from arctone.cli.failures import exit_code_of
from arctone.cli.lazy import Entry, LazyGroup
from arctone.version import __version__

EXAMPLES = """\b
Examples:
  arctone generate "rain on a tin roof" -d 8
  arctone generate "funky drum loop, 120 BPM" -d 8 -n 4 -o "loop-{n}.wav"
  arctone redo loop-2.wav -o again.wav
  arctone doctor

\b
Exit codes: 0 done, 1 unexpected error, 2 usage, 3 input file, 4 model, 5 memory, 130 interrupted."""


class Commands(LazyGroup):
    """All commands of the program."""

    entries: ClassVar[dict[str, Entry]] = {
        "generate": Entry("arctone.cli.generate", "Make sound from text."),
        "redo": Entry("arctone.cli.redo", "Make a take again from what its file says about itself."),
        "info": Entry("arctone.cli.info", "Show what a sound file or a model says about itself."),
        "serve": Entry("arctone.cli.serve", "Serve sound: a page for people, an API for programs."),
        "models": Entry("arctone.cli.models", "List the models at hand; the commands fetch, check and explain them."),
        "convert": Entry("arctone.cli.convert", "Turn a published checkpoint into a model folder, or back."),
        "doctor": Entry("arctone.cli.doctor", "Check that everything works on this machine."),
        "bench": Entry("arctone.cli.bench", "Measure how fast this machine makes sound."),
        "listen": Entry("arctone.cli.listen", "Blind listening tests: build one, collect answers, analyse them."),
        "eval": Entry("arctone.cli.eval", "Score sounds, of any system, against real sounds and captions."),
        "data": Entry("arctone.cli.data", "Training data: check it, render it to files, encode it into latents."),
        "train": Entry(
            "arctone.cli.train", "Train models: the autoencoder, then the flow on its latents, then fewer steps."
        ),
        "lora": Entry("arctone.cli.lora", "Adapters of arctone train lora: merge them into a model, look at one."),
        "export": Entry("arctone.cli.export", "From trained weights to a model folder that needs no torch."),
        "reproduce": Entry(
            "arctone.cli.reproduce", "Train a flow, ARC, its rivals and its ablations, measure all, write a report."
        ),
    }


app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=True, no_args_is_help=True, epilog=EXAMPLES)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"arctone {__version__}")
        raise typer.Exit


@app.callback()
def arctone(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Text to audio in the blink of an eye, on the machine you have."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code_of(lambda: app(args=words, prog_name="arctone", standalone_mode=False))


def main() -> None:
    """Entry point of the program."""
    for stream in (sys.stdout, sys.stderr):
        # A prompt in letters that the terminal does not know must not end in an encoding error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
