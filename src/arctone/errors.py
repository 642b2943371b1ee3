"""What can go wrong, sorted by whose turn it is; the command line turns each kind into an exit code.

A message is one sentence that names the parameter, its value and what is allowed.
"""

from typing import ClassVar


class ArctoneError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code: ClassVar[int] = 1


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
