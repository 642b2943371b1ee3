"""What can go wrong, sorted by who can mend it; the command line turns each kind into an exit code.

A message is one sentence that names the parameter, its value and what is allowed. Programs read `field`, `value` and
`allowed`; nothing looks for them in the sentence.
"""

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Final

_MAX_SHOWN, _MAX_SENTENCE = 60, 2_000


class _NotGiven:
    def __repr__(self) -> str:
        return "not given"


NOT_GIVEN: Final = _NotGiven()


class ArctoneError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: One sentence; "" makes it from the other arguments.
        field: The parameter, key or part at fault.
        value: What it was.
        allowed: What it must be, to follow "must be".

    >>> str(UsageError(field="num_steps", value=0, allowed="a whole number from 1 to 200"))
    'num_steps must be a whole number from 1 to 200, got 0.'
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str = "", *, field: str | None = None, value: Any = NOT_GIVEN, allowed: str | None = None
    ) -> None:
        super().__init__(one_line(message or _sentence(field, value, allowed)))
        self.field, self.value, self.allowed = field, value, allowed


class UsageError(ArctoneError, ValueError):
    """An argument, an option or a request that cannot be met."""

    exit_code = 2


class InputFileError(ArctoneError):
    """A file the user gave cannot be read as what it should be."""

    exit_code = 3


class TooLongError(InputFileError):
    """A sound is longer than what is read."""


class ModelError(ArctoneError):
    """A model is missing, damaged or does not fit."""

    exit_code = 4


class MemoryLimitError(ArctoneError):
    """The work would need more memory than there is or was granted."""

    exit_code = 5


class Cancelled(ArctoneError):
    """The user or a client stopped the work."""

    exit_code = 130


def one_line(text: str) -> str:
    """Text in one line without control characters: nothing in a name or a prompt can steer a terminal or hide a line.

    >>> one_line("a\\x1b[2J.wav\\nholds nothing.")
    'a?[2J.wav holds nothing.'
    """
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else " " if sign.isspace() else "?" for sign in text)
    return text if len(text) <= _MAX_SENTENCE else f"{text[: _MAX_SENTENCE - 4]}...."


def one_of(names: Any) -> str:
    """The phrase for a choice, to follow "must be".

    >>> one_of(["wav", "flac"])
    'one of wav, flac'
    """
    return f"one of {', '.join(map(str, names))}"


def shown(value: Any) -> str:
    """A value as a sentence shows it: one line of at most 60 characters, without control characters."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to spell out whole numbers of thousands of digits
        text = "a number of thousands of digits"
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def _sentence(field: str | None, value: Any, allowed: str | None) -> str:
    found = "" if value is NOT_GIVEN else f", got {shown(value)}"
    return f"{field or 'the input'} must be {allowed or 'something else'}{found}."


def install_hint(extra: str) -> str:
    """The command that adds one of the optional sets of packages, as this copy of the program was installed.

    From a clone it is the clone with the extra; elsewhere the packages by name, because arctone itself is on no index.
    """
    clone = clone_folder()
    if clone is not None:
        return f'{_shown(Path(sys.executable))} -m pip install -e "{_shown(clone)}[{extra}]"'
    packages = " ".join(f'"{name}"' if set(name) & set("<>=*!") else name for name in packages_of(extra))
    if "pipx" in Path(sys.prefix).parts:
        return f"pipx inject arctone {packages}"
    return f"{_shown(Path(sys.executable))} -m pip install {packages}"


def clone_folder() -> Path | None:
    """The clone that the program runs from; None if it was installed from a wheel."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() and (folder / "src").is_dir() else None


def packages_of(extra: str) -> list[str]:
    """Requirements of an optional set, those of the sets it builds on included; the set's name if it is unknown."""
    try:
        requirements = metadata.requires("arctone") or []
    except metadata.PackageNotFoundError:
        requirements = []
    found: dict[str, None] = {}
    waiting, seen = [extra], {extra}
    while waiting:
        name = waiting.pop()
        for requirement in requirements:
            package, _, marker = requirement.partition(";")
            if not re.search(rf"extra\s*==\s*['\"]{re.escape(name)}['\"]", marker):
                continue
            own = re.fullmatch(r"arctone\[([^\]]+)\]", package.strip())
            if own:
                more = [each.strip() for each in own[1].split(",")]
                waiting += [each for each in more if each not in seen]
                seen.update(more)
            else:
                found[package.strip().replace(" ", "")] = None
    return sorted(found) or [extra]


def _shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    path = path if path.is_absolute() else Path.cwd() / path
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
