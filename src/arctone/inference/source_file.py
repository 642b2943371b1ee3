"""The sound that is edited, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from arctone.audio.files import read_audio
from arctone.audio.loudness import is_constant
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError
from arctone.inference.request import MAX_DURATION_SECONDS


class SourceFile(NamedTuple):
    """A source that was read, and its file's name for the record."""

    waveform: Waveform
    name: str


def read_source(path: Path) -> SourceFile:
    """Read the source audio of an edit.

    Args:
        path: The sound file.

    Returns:
        The sound and its name.

    Raises:
        InputFileError: If the file holds no sound.
    """
    waveform = read_audio(path, max_seconds=MAX_DURATION_SECONDS, require_sound=True)
    if is_constant(waveform):
        raise InputFileError(f"{path} is silent: there is no sound above -70 dBFS in it.")
    return SourceFile(waveform, path.name)
