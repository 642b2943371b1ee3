"""The key of a test: what every answer is about. It stays with whoever runs the test."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from arctone.errors import InputFileError
from arctone.evaluation.listening.scales import Dimension
from arctone.files.strict_json import read_config

Kind = Literal["page", "webmushra"]

FORMAT_VERSION: Final = 1
REFERENCE = "reference"
LOW_ANCHOR, MID_ANCHOR = "anchor35", "anchor70"
ANCHOR_HZ = {LOW_ANCHOR: 3500.0, MID_ANCHOR: 7000.0}
RESERVED = (REFERENCE, *ANCHOR_HZ)


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is rated once.

    trial: opaque name of a trial or page. stimulus: what is rated there, "" if there is only one thing. system: its
    name, or reference, anchor35, anchor70. prompt: number in the key's list. occasion: 1, or 2 for a repeat.
    """

    trial: str
    stimulus: str
    dimension: Dimension
    system: str
    prompt: int
    occasion: int = 1
    is_practice: bool = False


class StimulusRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a sound file comes from. files: clips of the system, from its folder on. gain_db: what each was raised
    by."""

    name: str
    system: str
    prompt: str
    files: tuple[str, ...]
    gains_db: tuple[float, ...]
    duration_seconds: float


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that undoes the blinding. limits: lowest and highest answer of each dimension."""

    format_version: Literal[1]
    arctone: str
    test: str
    kind: Kind
    title: str
    seed: int
    systems: tuple[str, ...]
    has_reference: bool
    prompts: tuple[str, ...]
    limits: dict[Dimension, tuple[int, int]]
    loudness_lufs: float
    questions: tuple[Question, ...]
    stimuli: tuple[StimulusRecord, ...]

    def by_trial(self) -> dict[tuple[str, str], Question]:
        """Questions by (trial, stimulus)."""
        return {(question.trial, question.stimulus): question for question in self.questions}


def read_key(path: str | Path) -> Key:
    """Read a key.json, or the one of a test folder. Raises: InputFileError in one sentence."""
    path = Path(path)
    return read_config(path / "key" / "key.json" if path.is_dir() else path, Key, error=InputFileError)
