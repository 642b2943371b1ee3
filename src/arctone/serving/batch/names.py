"""Names of the files of a batch, safe on every system."""

from __future__ import annotations

import re

from arctone.errors import UsageError

_SLUG_LENGTH = 40
# Every common file system takes 255 bytes; the number of a variation and the ending need some of them.
MAX_NAME_BYTES = 240
_ID = re.compile(r"\w[\w. +-]*")
# Windows keeps these for devices, whatever their ending.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
ALLOWED_ID = (
    f"a file name without its ending: letters, digits, spaces and . + - _, at most {MAX_NAME_BYTES} bytes, no dot or "
    "space at its end, no name of a Windows device"
)


def slug(prompt: str) -> str:
    """A prompt as a file name: lower-case words joined by hyphens, at most 40 characters, never empty.

    >>> slug("Funky drum loop, 120 BPM!")
    'funky-drum-loop-120-bpm'
    """
    words = re.findall(r"\w+", prompt.lower())
    text = ""
    for word in words:
        if len(text) + len(word) + 1 > _SLUG_LENGTH:
            break
        text = f"{text}-{word}" if text else word
    return text or "sound"


def check_id(value: object) -> str:
    """An id as the name of its file. Raises: UsageError if some system could not have a file of that name.

    >>> check_id("door 3")
    'door 3'
    """
    fits = isinstance(value, str) and _ID.fullmatch(value) and len(value.encode(errors="replace")) <= MAX_NAME_BYTES
    if not fits or value.endswith((".", " ")) or value.partition(".")[0].strip().lower() in _DEVICES:  # type: ignore[attr-defined]
        raise UsageError(field="id", value=value, allowed=ALLOWED_ID)
    return str(value)
