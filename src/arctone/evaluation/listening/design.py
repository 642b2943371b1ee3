"""Design of a listening test: dimensions, anchors, trials and the key that tells which system made which sound."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from arctone.errors import InputFileError
from arctone.evaluation.listening.choice import SCALES, Choice, Dimension
from arctone.evaluation.listening.stimuli import Joined, Sound, shortest
from arctone.files.strict_json import read_config

Kind = Literal["page", "webmushra"]

FORMAT_VERSION: Final = 1
REFERENCE = "reference"
LOW_ANCHOR, MID_ANCHOR = "anchor35", "anchor70"
ANCHOR_HZ = {LOW_ANCHOR: 3500.0, MID_ANCHOR: 7000.0}
RESERVED = (REFERENCE, *ANCHOR_HZ)


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is rated once.

    Args:
        trial: Opaque name of a trial or page.
        stimulus: What is rated there, "" if there is only one thing.
        system: Its name, or reference, anchor35, anchor70.
        prompt: Number in the key's list.
        occasion: 1, or 2 for a repeat.
    """

    trial: str
    stimulus: str
    dimension: Dimension
    system: str
    prompt: int
    occasion: int = 1
    is_practice: bool = False


class StimulusRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a sound file comes from.

    Args:
        files: Clips of the system, from its folder on. gain_db: what each was raised by.
    """

    name: str
    system: str
    prompt: str
    files: tuple[str, ...]
    gains_db: tuple[float, ...]
    duration_seconds: float


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that undoes the blinding.

    Args:
        limits: Lowest and highest answer of each dimension.
    """

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
    """Read a key.json, or the one of a test folder.

    Args:
        path: File or folder that holds the key.

    Returns:
        The key.

    Raises:
        InputFileError: in one sentence.
    """
    path = Path(path)
    return read_config(path / "key" / "key.json" if path.is_dir() else path, Key, error=InputFileError)


@dataclass(frozen=True)
class Presentation:
    """A test laid out.

    Args:
        questions: All that may be answered.
        texts: Files of the listeners' folder by path.
        stimuli: Sound files by path.
        volume_path: Where the noise for the volume goes.
        limits: Lowest and highest answer.
        heard_seconds: What a listener hears in all, each sound once.
        num_ratings: By one listener, with practice and repeats.
    """

    questions: tuple[Question, ...]
    texts: dict[str, bytes]
    stimuli: dict[str, Sound | Joined]
    volume_path: str
    limits: dict[Dimension, tuple[int, int]]
    heard_seconds: float
    num_ratings: int


_LENGTH = 12


class Blinding:
    """Opaque names drawn from a secret.

    Args:
        seed: The secret; the same seed gives the same names. Whoever knows it can undo the blinding, so it is kept in
            the key file only.
    """

    def __init__(self, seed: int) -> None:
        self._secret = hashlib.sha256(f"arctone listening test {seed}".encode()).digest()

    def name(self, kind: str, *parts: object) -> str:
        """`kind`, a letter, and 12 hexadecimal digits; names of other parts differ. The letter keeps a name from
        being read as a number, by YAML for one.

        >>> Blinding(7).name("s", "mine", 0) == Blinding(7).name("s", "mine", 0) != Blinding(8).name("s", "mine", 0)
        True
        """
        message = "\0".join([kind, *map(str, parts)]).encode("utf-8", "surrogateescape")
        return kind + hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:_LENGTH]


@dataclass(frozen=True)
class Cell:
    """A condition on a prompt, and what is heard of it: one sound, or several for diversity."""

    dimension: Dimension
    system: str
    prompt: str
    sounds: tuple[Sound, ...]


@dataclass(frozen=True)
class Design:
    """What a test consists of, whoever presents it.

    Args:
        conditions: By dimension, names of systems, reference and anchors.
        cells: By (dimension, condition, prompt), also of the practice prompt.
    """

    choice: Choice
    blinding: Blinding
    seed: int
    title: str
    num_repeats: int
    systems: tuple[str, ...]
    conditions: dict[Dimension, tuple[str, ...]]
    cells: dict[tuple[Dimension, str, str], Cell]

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Those that are asked, in the order of the scales."""
        return tuple(self.conditions)

    def sounds(self) -> list[Sound]:
        """All sounds once, in the order of their opaque names, so that not even the files' times tell anything."""
        found = {sound.name: sound for cell in self.cells.values() for sound in cell.sounds}
        return [found[name] for name in sorted(found)]

    def draw(self, purpose: int) -> np.random.Generator:
        """A source of random numbers of its own for each purpose."""
        return np.random.default_rng([self.seed, purpose])


def make_design(
    choice: Choice,
    systems: Sequence[str],
    dimensions: Sequence[Dimension],
    *,
    seed: int,
    title: str,
    num_repeats: int,
    num_anchors: int,
) -> Design:
    """Lay out all conditions.

    Args:
        choice: Prompts and clips.
        systems: Names of the systems.
        dimensions: Names of what listeners rate.
        seed: Of the random draws.
        title: Of the test.
        num_repeats: Questions that are asked twice.
        num_anchors: 0 to 2; the low-passed references that are rated for quality if there are references.

    Returns:
        Trials and questions.

    Raises:
        InputFileError: if a clip is too short.
    """
    blinding = Blinding(seed)
    extra = (REFERENCE,) if choice.references else ()
    anchors = (LOW_ANCHOR, MID_ANCHOR)[:num_anchors] if choice.references else ()
    more = {"diversity": (), "quality": (*extra, *anchors), "adherence": extra}
    conditions = {name: (*systems, *more[name]) for name in SCALES if name in dimensions}
    cells = {
        (dimension, condition, prompt): Cell(
            dimension, condition, prompt, _sounds(choice, blinding, dimension, condition, prompt)
        )
        for dimension, names in conditions.items()
        for prompt in dict.fromkeys((*choice.prompts, choice.practice))
        for condition in names
    }
    return Design(choice, blinding, seed, title, num_repeats, tuple(systems), conditions, cells)


def _sounds(choice: Choice, blinding: Blinding, dimension: Dimension, condition: str, prompt: str) -> tuple[Sound, ...]:
    of_systems = [clips for (_, of), clips in choice.clips.items() if of == prompt]
    real = [choice.references[prompt]] if prompt in choice.references else []
    num_samples = shortest([clip for clips in of_systems for clip in clips] + real)
    clips = tuple(real) if condition in (REFERENCE, *ANCHOR_HZ) else choice.clips[condition, prompt]
    return tuple(
        Sound(blinding.name("s", condition, prompt, number), clip, num_samples, ANCHOR_HZ.get(condition))
        for number, clip in enumerate(clips if dimension == "diversity" else clips[:1])
    )
