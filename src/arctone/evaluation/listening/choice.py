"""Choose the sounds of a listening test: scales, inventory of systems, prompts."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from arctone.audio.tags import prompt_of, read_metadata
from arctone.audio.waveform import Waveform
from arctone.data.file_source import FileSource
from arctone.data.folder import read_manifest
from arctone.data.sources import open_source
from arctone.errors import InputFileError, UsageError

Dimension = Literal["diversity", "quality", "adherence"]

NUM_POINTS = 5


@dataclass(frozen=True)
class Scale:
    """A question with five answers.

    Args:
        words: From 1 to 5.
        shows_prompt: Whether the listener reads the description.
    """

    name: str
    question: str
    advice: str
    words: tuple[str, str, str, str, str]
    shows_prompt: bool


SCALES: dict[Dimension, Scale] = {
    "diversity": Scale(
        "Diversity",
        "How different are these sounds from each other?",
        "All of them were made for the same description. Judge only how much they differ, not how good they are.",
        ("Nearly identical", "Slightly different", "Moderately different", "Very different", "Entirely different"),
        True,
    ),
    "quality": Scale(
        "Quality",
        "How good is the quality of this sound?",
        "Listen for noise, roughness, dullness and other faults. It does not matter what the sound is.",
        ("Bad", "Poor", "Fair", "Good", "Excellent"),
        False,
    ),
    "adherence": Scale(
        "Match",
        "How well does this sound match the description?",
        "Judge only whether you hear what the description says, not how good it sounds.",
        ("Not at all", "Slightly", "Partly", "Mostly", "Completely"),
        True,
    ),
}


Captions = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip of a system.

    Args:
        name: Its file from the folder on.
        prompts: What it sounds, the main wording first.
    """

    name: str
    prompts: tuple[str, ...]
    source: FileSource
    index: int

    @property
    def num_samples(self) -> int:
        """Length per channel at 44.1 kHz."""
        return round(self.source.info(self.index).duration_seconds * 44_100)

    def waveform(self) -> Waveform:
        """Read the sound.

        Returns:
            Stereo, 44.1 kHz.

        Raises:
            InputFileError: if the file cannot be decoded.
        """
        return self.source.waveform(self.index)


def read_clips(spec: str | Path, captions: Captions | None = None) -> list[Clip]:
    """List the clips of a folder, a manifest or shards, in the order of their names.

    A clip's prompt is its caption in `captions`, else in a .txt or .json file next to it or in the manifest, else the
    prompt that arctone wrote into the file. Of a file longer than 11.89 s the first window is taken.

    Args:
        spec: NAME=PLACE, a folder or a manifest.
        captions: Caption by file name; None = those stored with the sounds.

    Returns:
        The clips.

    Raises:
        InputFileError: if nothing is there, a file cannot be read, or a clip has no caption.
    """
    source = open_source(spec)
    if not isinstance(source, FileSource):
        raise UsageError(f"{spec} is no collection of sound files: name a folder, a manifest or .tar shards.")
    if source.problems:
        raise InputFileError(source.problems[0])
    base = Path(spec) if Path(spec).is_dir() else Path(spec).parent
    return [_clip(source, index, base, captions) for index in range(len(source)) if source.place(index)[1] == 0]


def by_prompt(clips: list[Clip], *, all_wordings: bool = False) -> dict[str, list[Clip]]:
    """Clips by prompt. all_wordings: a clip with several captions stands under each of them."""
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        for prompt in clip.prompts if all_wordings else clip.prompts[:1]:
            found.setdefault(prompt, []).append(clip)
    return found


def read_captions(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Captions by name, for clips that go without: a manifest whose `path` is a clip's file from its folder on.

    The ending of `path` does not count, so that one list serves the .wav of one system and the .mp3 of another.

    Args:
        path: Table of names and captions.

    Returns:
        Captions by name.

    Raises:
        InputFileError: if the list or one of its rows cannot be used.
    """
    rows, problems = read_manifest(Path(path))
    if problems:
        raise InputFileError(problems[0])
    return {_stem(row.path): wordings for _, row in rows if (wordings := row.wordings())}


def _clip(source: FileSource, index: int, base: Path, captions: Captions | None) -> Clip:
    place, _ = source.place(index)
    info = source.info(index)
    name = Path(os.path.relpath(place.path, base)).as_posix() if place.size is None else info.id
    wordings = (captions or {}).get(_stem(name)) or info.captions
    if not wordings and place.size is None:
        stated = prompt_of(read_metadata(place.path) or {})
        wordings = (stated,) if stated else ()
    if not wordings:
        raise InputFileError(
            f"{place.name} has no caption: put one into a .txt file of the same name, or give a list with --captions."
        )
    return Clip(name, tuple(" ".join(text.split()) for text in wordings), source, index)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


DEFAULT_PROMPTS = 8
DEFAULT_CLIPS = 3

ByPrompt = Mapping[str, Sequence[Clip]]


@dataclass(frozen=True)
class Choice:
    """What was drawn.

    Args:
        prompts: Those that are judged.
        practice: Another one, or a judged one if there is no other.
        clips: By (system, prompt), those of the diversity question; the first is the one of quality and adherence.
        references: By prompt.
    """

    prompts: tuple[str, ...]
    practice: str
    clips: dict[tuple[str, str], tuple[Clip, ...]]
    references: dict[str, Clip]
    warnings: tuple[str, ...]


def choose(
    systems: Mapping[str, ByPrompt],
    references: ByPrompt | None,
    dimensions: Sequence[Dimension],
    *,
    num_prompts: int | None,
    clips_per_prompt: int | None,
    seed: int,
) -> Choice:
    """Draw prompts that all systems share, and clips of them.

    Args:
        systems: By name, each its clips by prompt.
        references: Real sounds by prompt, or None.
        dimensions: Names of what listeners rate.
        num_prompts: None for 8, or as many as there are.
        clips_per_prompt: None for 3, or as many as all systems have of some prompt.
        seed: Of the random draws.

    Returns:
        Prompts, clips and remarks.

    Raises:
        UsageError: in one sentence if the systems share too little.
    """
    shared = sorted(set.intersection(*(set(clips) for clips in systems.values())))
    if not shared:
        raise UsageError(f"the systems {_listed(list(systems))} share no prompt: their captions must be equal.")
    if references is not None:
        shared = [prompt for prompt in shared if prompt in references]
        if not shared:
            raise UsageError(
                "reference has no sound for any prompt that the systems share: their captions must be equal.",
                field="reference",
            )
    fewest = {prompt: min(len(clips[prompt]) for clips in systems.values()) for prompt in shared}
    count = _num_clips(fewest, dimensions, clips_per_prompt)
    rng = np.random.default_rng(seed)
    usable = [str(prompt) for prompt in rng.permutation([prompt for prompt in shared if fewest[prompt] >= count])]
    wanted = _num_prompts(usable, num_prompts, count)
    clips = {
        (name, prompt): _drawn(clips[prompt], count, rng)
        for name, clips in sorted(systems.items())
        for prompt in usable[: wanted + 1]
    }
    real = {prompt: _drawn(references[prompt], 1, rng)[0] for prompt in usable[: wanted + 1]} if references else {}
    practice = usable[wanted] if len(usable) > wanted else usable[0]
    return Choice(tuple(usable[:wanted]), practice, clips, real, _warnings(usable, wanted, num_prompts))


def _num_clips(fewest: Mapping[str, int], dimensions: Sequence[Dimension], asked: int | None) -> int:
    most = max(fewest.values())
    if "diversity" not in dimensions:
        return 1
    count = min(DEFAULT_CLIPS, most) if asked is None else asked
    if count < 2:
        found = (
            f"clips_per_prompt is {asked}" if asked is not None else "no shared prompt has two clips of every system"
        )
        raise UsageError(
            f"diversity needs at least 2 clips of a prompt, but {found}; leave that dimension out or add clips.",
            field="diversity",
        )
    if count > most:
        raise UsageError(
            f"clips_per_prompt is {count}, but no shared prompt has more than {most} clips of every system.",
            field="clips_per_prompt",
        )
    return count


def _num_prompts(usable: Sequence[str], asked: int | None, count: int) -> int:
    if asked is not None and asked > len(usable):
        raise UsageError(
            f"prompts is {asked}, but only {len(usable)} are shared by all systems with {count} or more clips of each.",
            field="prompts",
        )
    return min(asked or DEFAULT_PROMPTS, len(usable))


def _warnings(usable: Sequence[str], wanted: int, asked: int | None) -> tuple[str, ...]:
    found = []
    if asked is None and wanted < DEFAULT_PROMPTS:
        found.append(f"Only {wanted} prompts are shared, so conclusions about other prompts will be weak.")
    if len(usable) == wanted:
        found.append("Practice uses a prompt that is judged later, because no other is shared.")
    return tuple(found)


def _drawn(clips: Sequence[Clip], count: int, rng: np.random.Generator) -> tuple[Clip, ...]:
    return tuple(clips[int(number)] for number in rng.permutation(len(clips))[:count])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
