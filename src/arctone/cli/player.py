"""Playing a sound file through a program that the machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from arctone.errors import UsageError

PLAYERS = {
    "afplay": ["afplay"],
    "pw-play": ["pw-play"],
    "paplay": ["paplay"],
    "ffplay": ["ffplay", "-nodisp", "-autoexit", "-loglevel", "error"],
    "mpv": ["mpv", "--no-video", "--really-quiet"],
    "play": ["play", "-q"],
    "aplay": ["aplay", "-q"],
}


def find_player() -> list[str]:
    """The command that plays a file. Raises: UsageError if the machine has none."""
    for name, command in PLAYERS.items():
        if shutil.which(name):
            return command
    raise UsageError(f"--play needs one of {', '.join(PLAYERS)}, but none of them is installed.")


def play(command: list[str], path: Path) -> None:
    """Play one file to its end. Raises: UsageError if the player fails."""
    finished = subprocess.run([*command, str(path)], check=False, capture_output=True, text=True)
    if finished.returncode:
        words = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"{command[0]} cannot play {path}: {words}.")
