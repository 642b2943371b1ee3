"""What went wrong, in one sentence on stderr, and the exit code that belongs to it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import typer

from arctone.errors import ArctoneError

DEBUG_VARIABLE = "ARCTONE_DEBUG"
UNEXPECTED, MEMORY, INTERRUPTED = 1, 5, 130

# Which optional set of packages brings a module that may be missing.
EXTRAS = {
    "ai_edge_quantizer": "export",
    "jinja2": "report",
    "lightning_fabric": "train",
    "litert_torch": "export",
    "multipart": "serve",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "huggingface_hub": "hub",
    "safetensors": "train",
    "starlette": "serve",
    "tensorboard": "train",
    "torch": "train",
    "uvicorn": "serve",
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
        return f"error: {_ended(str(problem))}", problem.exit_code
    if isinstance(problem, typer.TyperException):
        return _usage_sentence(problem), int(getattr(problem, "exit_code", 2))
    if isinstance(problem, MemoryError):
        return "error: the memory that this process may use does not suffice; try a shorter sound.", MEMORY
    if isinstance(problem, ModuleNotFoundError) and _root(problem) in EXTRAS:
        extra = EXTRAS[_root(problem)]
        return f'error: this needs {_root(problem)}, which is not installed: pip install "arctone[{extra}]".', 2
    return _unexpected(problem), UNEXPECTED


def _root(problem: ModuleNotFoundError) -> str:
    return (problem.name or "").partition(".")[0]


def _usage_sentence(problem: typer.TyperException) -> str:
    message = getattr(problem, "format_message", lambda: str(problem))()
    context = getattr(problem, "ctx", None)
    command = context.command_path if context is not None else "arctone"
    return f"error: {_ended(' '.join(message.split()))} See {command} --help."


def _unexpected(problem: BaseException) -> str:
    what = " ".join(f"{type(problem).__name__}: {problem}".split())
    return f"error: unexpected {_ended(what)} {DEBUG_VARIABLE}=1 shows where it happened."


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else sentence + "."
