"""What can go wrong, sorted by who can mend it; the command line turns each kind into an exit code.

A message is one sentence that names the parameter, its value and what is allowed. Programs read `field`, `value` and
`allowed`; nothing looks for them in the sentence.
"""

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
