"""The program `arctone`: its commands, imported when one is chosen, and how failures end."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as built

from arctone.errors import ArctoneError, install_hint, one_line
from arctone.version import __version__


@dataclass(frozen=True)
class Entry:
    """Where a command lives (a module with a Typer called `app`), and its line in the list of commands."""

    module: str
    summary: str


class LazyGroup(TyperGroup):
    """Commands of `entries` by name, in that order. Listing them imports nothing."""

    entries: ClassVar[dict[str, Entry]] = {}
    _is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command itself, or while the help page is being written a line that stands for it."""
        if cmd_name not in self.entries:
            return None
        if self._is_listing:
            return TyperCommand(cmd_name, help=self.entries[cmd_name].summary)
        return self.load(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names. An unknown one is refused with the nearest known."""
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.entries, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(self.entries)}."
            ctx.fail(f"no command is called '{args[0]}'; {hint}")
        return super().resolve_command(ctx, args)

    def load(self, name: str) -> Any:
        """Import the module of a command and build it; all commands have plain help pages."""
        app: typer.Typer = import_module(self.entries[name].module).app
        command = built(app)
        command.name = name
        # Completion is installed for the whole program, not for one command.
        command.params = [option for option in command.params if not str(option.name).endswith("_completion")]
        _make_plain(command)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help page, from the summaries."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False


def _make_plain(command: Any) -> None:
    command.rich_markup_mode = None
    for below in getattr(command, "commands", {}).values():
        _make_plain(below)


DEBUG_VARIABLE = "ARCTONE_DEBUG"
UNEXPECTED, MEMORY, INTERRUPTED = 1, 5, 130

# Which optional set of packages brings a module that may be missing.
EXTRAS = {
    "ai_edge_quantizer": "export",
    "av": "media",
    "jinja2": "report",
    "lightning_fabric": "train",
    "litert_torch": "export",
    "mcp": "mcp",
    "multipart": "serve",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "prometheus_client": "serve",
    "pyarrow": "parquet",
    "python_multipart": "serve",
    "huggingface_hub": "hub",
    "safetensors": "train",
    "starlette": "serve",
    "tensorboard": "train",
    "torch": "train",
    "uvicorn": "serve",
    "webdataset": "shards",
}


def exit_code_of(work: Callable[[], object]) -> int:
    """Run the work; print the sentence of an error. Returns the process's exit code."""
    try:
        code = work()
        sys.stdout.flush()
        if code == INTERRUPTED:  # Typer has caught the KeyboardInterrupt
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except typer.Exit as stop:
        return int(stop.exit_code)
    except BrokenPipeError:
        # The reader went away (`| head`): silence, also from the flush at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as problem:
        if _is_help(problem):
            print(getattr(problem, "message", ""))
            return 0
        if os.environ.get(DEBUG_VARIABLE) == "1":
            traceback.print_exc()
        sentence, code = explained(problem)
        print(sentence, file=sys.stderr)
        return code


def explained(problem: BaseException) -> tuple[str, int]:
    """The sentence and the exit code of an error."""
    if isinstance(problem, KeyboardInterrupt | typer.Abort):
        return "interrupted: nothing half-written is left behind.", INTERRUPTED
    if isinstance(problem, ArctoneError):
        return f"error: {one_line(_ended(str(problem)))}", problem.exit_code
    if isinstance(problem, typer.TyperException):
        return _usage_sentence(problem), int(getattr(problem, "exit_code", 2))
    if isinstance(problem, MemoryError):
        return "error: the memory that this process may use does not suffice; try a shorter sound.", MEMORY
    if isinstance(problem, ModuleNotFoundError) and _root(problem) in EXTRAS:
        extra = EXTRAS[_root(problem)]
        return f"error: this needs {_root(problem)}, which is not installed: {install_hint(extra)}.", 2
    if isinstance(problem, OSError) and problem.filename is not None and problem.strerror:
        # Even asking whether a path exists fails for names that no system has, or in folders that others own.
        return f"error: {one_line(_ended(f'{problem.strerror.lower()}: {problem.filename}'))}", 2
    return _unexpected(problem), UNEXPECTED


def _root(problem: ModuleNotFoundError) -> str:
    return (problem.name or "").partition(".")[0]


def _is_help(problem: BaseException) -> bool:
    """Whether a command was given without anything else, which asks for its help page."""
    return type(problem).__name__ == "NoArgsIsHelpError"


def _usage_sentence(problem: typer.TyperException) -> str:
    message = getattr(problem, "format_message", lambda: str(problem))()
    context = getattr(problem, "ctx", None)
    command = context.command_path if context is not None else "arctone"
    return f"error: {one_line(_ended(' '.join(message.split())))} See {command} --help."


def _unexpected(problem: BaseException) -> str:
    what = one_line(" ".join(f"{type(problem).__name__}: {problem}".split()))
    return f"error: unexpected {_ended(what)} {DEBUG_VARIABLE}=1 shows where it happened."


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else sentence + "."


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
        "pick": Entry("arctone.cli.pick", "Rounds of takes: keep some, and the next round is drawn nearer to them."),
        "info": Entry("arctone.cli.info", "Show what a sound file or a model says about itself."),
        "serve": Entry("arctone.cli.serve", "Serve sound: a page for people, an API for programs."),
        "mcp": Entry("arctone.cli.mcp", "Serve sound to assistants over the Model Context Protocol."),
        "models": Entry("arctone.cli.models", "List the available models; the commands fetch, check and explain them."),
        "convert": Entry("arctone.cli.convert", "Turn a published checkpoint into a model folder, or back."),
        "doctor": Entry("arctone.cli.doctor", "Check that everything works on this machine."),
        "bench": Entry("arctone.cli.bench", "Measure how fast this machine makes sound."),
        "listen": Entry("arctone.cli.listen", "Blind listening tests: build one, collect answers, analyse them."),
        "eval": Entry("arctone.cli.eval", "Score sounds, of any system, against real sounds and captions."),
        "data": Entry("arctone.cli.data", "Training data: check it, render it to files, encode it into latents."),
        "train": Entry(
            "arctone.cli.train", "Train models: the autoencoder, then the flow on its latents, then fewer steps."
        ),
        "lora": Entry(
            "arctone.cli.lora", "Adapters: merge them into a model, adopt one of another program, look at one."
        ),
        "export": Entry(
            "arctone.cli.export", "From trained weights to a model folder that needs no torch, or to a web page."
        ),
        "reproduce": Entry(
            "arctone.cli.reproduce", "Train a flow, ARC, its baselines and its ablations, measure all, write a report."
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


# Other names of options, for every command.
_SYNONYMS = {"--output": "--out"}


def _renamed(words: Sequence[str]) -> list[str]:
    """Replace other names of options by their own; what follows `--` is no option.

    >>> _renamed(["generate", "rain", "--output=a.wav", "--", "--output"])
    ['generate', 'rain', '--out=a.wav', '--', '--output']
    """
    num_options = words.index("--") if "--" in words else len(words)
    parts = [word.partition("=") for word in words[:num_options]]
    return [*(_SYNONYMS.get(name, name) + sign + value for name, sign, value in parts), *words[num_options:]]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    words = _renamed(sys.argv[1:] if arguments is None else arguments)
    return exit_code_of(lambda: app(args=words, prog_name="arctone", standalone_mode=False))


def main() -> None:
    """Entry point of the program."""
    for stream in (sys.stdout, sys.stderr):
        # A prompt in letters that the terminal does not know must not end in an encoding error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
