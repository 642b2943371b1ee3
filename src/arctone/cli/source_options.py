"""The sound that is edited, as the command line gets it: from one of three options, each of which says what for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from arctone.audio.files import read_audio
from arctone.audio.levels import is_constant
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError, UsageError
from arctone.request import MAX_DURATION_SECONDS

INIT, INPAINT, CONTINUE = "--init-audio", "--inpaint-audio", "--continue"


class SourceFile(NamedTuple):
    """A source that was read, and its file's name for the record."""

    waveform: Waveform
    name: str


class Given(NamedTuple):
    """What each of the options got."""

    init_audio: Path | None
    inpaint_audio: Path | None
    continue_audio: Path | None


def source_path(given: Given, options: dict[str, str]) -> Path | None:
    """The one file that is edited; None if there is none. With --continue, `extend` is added to the options.

    Raises: UsageError if two are given, or one whose companion is missing.
    """
    named = {INIT: given.init_audio, INPAINT: given.inpaint_audio, CONTINUE: given.continue_audio}
    found = {name: path for name, path in named.items() if path is not None}
    if len(found) > 1:
        raise UsageError(f"{' and '.join(found)} cannot be combined: only one sound is edited at a time.")
    if "inpaint" in options and INPAINT not in found:
        raise UsageError(f"--inpaint needs {INPAINT} FILE, the sound that is to be edited.")
    if INPAINT in found and "inpaint" not in options:
        raise UsageError(f"{INPAINT} needs --inpaint A:B, the part that is to be made anew.")
    if "init_noise_level" in options and not found:
        raise UsageError(f"--init-noise-level needs {INIT} FILE, the sound that is to be edited.")
    if CONTINUE in found:
        options["extend"] = "true"
    return next(iter(found.values()), None)


def read_source(path: Path) -> SourceFile:
    """Read the sound that is edited. Raises: InputFileError in one sentence for a file that holds none."""
    waveform = read_audio(path, max_seconds=MAX_DURATION_SECONDS, require_sound=True)
    if is_constant(waveform):
        raise InputFileError(f"{path} is silent: there is no sound above -70 dBFS in it.")
    return SourceFile(waveform, path.name)
