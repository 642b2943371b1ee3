"""Bytes, text and JSON that others wrote, read within bounds; whatever a file holds, an error is one sentence."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from arctone.errors import ArctoneError, InputFileError, one_line

T = TypeVar("T")

MAX_TEXT_BYTES = 256_000_000
MAX_DEPTH = 64
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Text(NamedTuple):
    """A file's text and the encoding that it was read in."""

    content: str
    encoding: str


def read_bytes(path: Path, *, max_bytes: int = MAX_TEXT_BYTES, error: type[ArctoneError] = InputFileError) -> bytes:
    """Read a regular file whole.

    Args:
        path: The file; pipes and devices are refused, because reading them may never end.
        max_bytes: Larger files are refused before they are read.
        error: The kind to raise.

    Returns:
        The content.

    Raises:
        ArctoneError: Of the kind `error`, if the file is missing, unreadable, too large or not regular.
    """
    try:
        about = os.stat(path)
        if stat.S_ISREG(about.st_mode) and about.st_size <= max_bytes:
            with open(path, "rb") as file:
                return file.read(max_bytes)
    except FileNotFoundError:
        raise error(f"{path} does not exist.") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read: {(getattr(problem, 'strerror', None) or str(problem)).lower()}.") from None
    if stat.S_ISDIR(about.st_mode):
        raise error(f"{path} is a folder, but a file is needed.")
    if not stat.S_ISREG(about.st_mode):
        raise error(f"{path} is no regular file.")
    raise error(f"{path} has {about.st_size / 1e6:.1f} MB, but at most {max_bytes / 1e6:g} MB are read.")


def read_text(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a text file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Args:
        path: The file; only regular ones are read.
        max_bytes: Larger files are refused before they are read.

    Returns:
        The text.

    Raises:
        InputFileError: If it is missing, unreadable, too large or in another encoding.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    try:
        return _marked(data)[0]
    except UnicodeDecodeError as problem:
        raise InputFileError(f"{path} is not UTF-8 text: the byte at {problem.start} fits no character.") from None


def read_any_text(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> Text:
    """Read a text file as `read_text` does, or in Windows-1252, in which old programs write.

    Args:
        path: The file; only regular ones are read.
        max_bytes: Larger files are refused before they are read.

    Returns:
        The text and its encoding.

    Raises:
        InputFileError: If it is missing, unreadable, too large or no text.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    try:
        return _marked(data)
    except UnicodeDecodeError:
        if b"\0" in data:
            raise InputFileError(f"{path} is not text.") from None
        return Text(data.decode("cp1252", "replace"), "Windows-1252")


def parse_json(data: bytes | str) -> Any:
    """Parse JSON that anybody may have written.

    Args:
        data: The JSON; bytes are UTF-8.

    Returns:
        The value.

    Raises:
        ValueError: With a reason in a few words, if it is not valid or nested more than 64 deep.
    """
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    except (msgspec.DecodeError, UnicodeError) as problem:
        raise ValueError(_lower_first(str(problem))) from None
    if _is_deep(value):
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return value


def parse_typed(data: bytes | str, kind: type[T]) -> T:
    """Parse JSON into a type that msgspec can build; unknown nesting is bounded as in `parse_json`.

    Args:
        data: The JSON; bytes are UTF-8.
        kind: The type to build.

    Returns:
        The value, of that type.

    Raises:
        ValueError: With a reason in a few words.
    """
    parse_json(data)
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as problem:
        raise ValueError(_lower_first(str(problem))) from None


def has_huge_number(value: Any) -> bool:
    """Whether parsed JSON holds a whole number of more than 64 bits, which arithmetic with floats cannot take."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, int) and abs(item) >= 2**64:
            return True
        if isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item
    return False


def printable(text: str) -> str:
    """Text in one line without control characters; see `errors.one_line`."""
    return one_line(text)


def _marked(data: bytes) -> Text:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return Text(data.decode(encoding), encoding)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return False
        inside = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [item for items in inside for item in items if isinstance(item, dict | list)]
    return True


def _lower_first(text: str) -> str:
    return (text if text[1:2].isupper() else text[:1].lower() + text[1:]).rstrip(".")
