"""Answers of earlier runs, so that a measurement resumes: one line of JSON for each sound and question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arctone.audio.waveform import Waveform

JSON = dict[str, Any]


class StoredAnswers:
    """A file of answers by key; lines are added at once, a line that was cut short by an interruption is left out.

    Args: path: created with its folder at the first answer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers = dict(_read(path))

    def recall(self, key: str, measure: Callable[[], JSON]) -> JSON:
        """The stored answer, or that of `measure`, which is stored."""
        if key not in self._answers:
            self._answers[key] = measure()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write("\n" + json.dumps([key, self._answers[key]]) + "\n")
        return self._answers[key]


def fingerprint(*parts: Waveform | Path | str) -> str:
    """One name for sounds, files and words: their common SHA-256, shortened."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_bytes(part) + b"\0")
    return digest.hexdigest()[:24]


def _bytes(part: Waveform | Path | str) -> bytes:
    if isinstance(part, Waveform):
        return part.samples.tobytes()
    return part.read_bytes() if isinstance(part, Path) else part.encode()


def _read(path: Path) -> list[tuple[str, JSON]]:
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            key, answer = json.loads(line)
        except ValueError:
            continue
        found.append((key, answer))
    return found
