"""Text that users bring: captions, tables, lists."""

from __future__ import annotations

from pathlib import Path

from arctone.errors import InputFileError


def read_text(path: Path) -> str:
    """A file's text, with or without a byte order mark.

    Raises: InputFileError if it is missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputFileError(f"{path} does not exist.") from None
    except UnicodeDecodeError as problem:
        raise InputFileError(f"{path} is not UTF-8 text: the byte at {problem.start} fits no character.") from None
    except OSError as problem:
        raise InputFileError(f"{path} cannot be read: {(problem.strerror or str(problem)).lower()}.") from None
