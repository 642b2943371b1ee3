"""The sound that is edited, as the command line gets it: from one of three options, each of which says what for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from arctone.errors import UsageError

INIT, INPAINT, CONTINUE = "--init-audio", "--inpaint-audio", "--continue"


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
