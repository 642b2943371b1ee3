"""Sets of embeddings that metrics compare, and the prompts they belong to.

Legend: N sounds, W windows of all of them, D size of the embedding, K classes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import arctone
from arctone.audio.files import read_audio
from arctone.audio.waveform import Waveform, to_mono
from arctone.data.sound import ClipSource
from arctone.data.sources import open_source
from arctone.errors import InputFileError, UsageError
from arctone.evaluation.embedders.protocol import Embedded, Embedder, EmbeddingCache, file_hash
from arctone.evaluation.metrics.class_divergence import probabilities
from arctone.evaluation.metrics.manifold import FloatArray, IntArray
from arctone.evaluation.scoring.takes import Take, Wanted
from arctone.inference.engine import Model


class Asked(NamedTuple):
    """What a model is asked for.

    Args:
        clips: Of the source, whose captions are asked.
        wanted: The sounds to make.
    """

    model: Model
    source: ClipSource
    clips: list[int]
    wanted: list[Wanted]


def asked(model: str, source: str, num_prompts: int, num_takes: int, first_seed: int, threads: int | None) -> Asked:
    """Open both and choose the prompts.

    Raises what arctone.load, open_source and choose raise.
    """
    loaded, opened = arctone.load(model, threads=threads), open_source(source)
    chosen = choose(opened, num_prompts, loaded.config.dit.max_seconds)
    return Asked(loaded, opened, chosen, wanted_of(opened, chosen, num_takes, first_seed))


def wanted_of(source: ClipSource, chosen: list[int], num_takes: int, first_seed: int) -> list[Wanted]:
    """Takes of the first caption of each clip; the first take has the clip's name, so that it is its partner."""
    found = []
    for number, clip in enumerate(chosen):
        info = source.info(clip)
        for take in range(num_takes):
            name = f"{info.id}-take-{take + 1}" if take else info.id
            seed = first_seed + number * num_takes + take
            found.append(Wanted(name, info.caption, round(info.duration_seconds, 3), seed))
    return found


def choose(source: ClipSource, count: int, max_seconds: float) -> list[int]:
    """Choose clips whose captions become prompts: of the test split where there is one, the categories taking turns.

    The order is random but always the same, so more prompts keep the fewer ones.

    Args:
        source: Source of clips.
        count: The most clips.
        max_seconds: Longer clips and clips without a caption are left out.

    Returns:
        Numbers of clips.

    Raises:
        UsageError: if none is left.
    """
    infos = {number: source.info(number) for number in range(len(source))}
    usable = {n: info for n, info in infos.items() if info.caption and info.duration_seconds <= max_seconds}
    held_out = {n: info for n, info in usable.items() if info.split == "test"}
    groups: dict[str, list[int]] = defaultdict(list)
    chosen = held_out or usable
    for number in sorted(chosen, key=lambda n: hashlib.sha256(chosen[n].id.encode()).digest()):
        groups[chosen[number].category].append(number)
    if not groups:
        raise UsageError(f"the source has no captioned clip of at most {max_seconds:g} seconds.")
    depth = max(map(len, groups.values()))
    turns = [groups[name][turn] for turn in range(depth) for name in sorted(groups) if turn < len(groups[name])]
    return turns[:count]


# Called with (done, total, stage).
Report = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """Embeddings of one set of sounds.

    Args:
        takes: N.
        sounds: Their embeddings, in the same order.
    """

    takes: tuple[Take, ...]
    sounds: tuple[Embedded, ...]

    def __len__(self) -> int:
        return len(self.takes)

    @cached_property
    def pooled(self) -> FloatArray:
        """One row a sound, [N, D]."""
        return np.stack([sound.pooled for sound in self.sounds]).astype(np.float64)

    @cached_property
    def windows(self) -> FloatArray:
        """One row a window, [W, D]."""
        return np.concatenate([sound.windows for sound in self.sounds]).astype(np.float64)

    @cached_property
    def owners(self) -> IntArray:
        """Sound of each window, [W]."""
        return np.repeat(np.arange(len(self)), [len(sound.windows) for sound in self.sounds])

    @cached_property
    def probabilities(self) -> FloatArray | None:
        """Class probabilities of each sound, [N, K]; None if the embedder has no classes."""
        logits = [sound.logits for sound in self.sounds]
        return None if any(one is None for one in logits) else np.stack([probabilities(one) for one in logits])  # type: ignore[arg-type]

    @property
    def prompts(self) -> list[str]:
        """First caption of each sound."""
        return [take.prompt for take in self.takes]

    def part(self, indices: Iterable[int] | npt.NDArray[np.intp]) -> EmbeddedSet:
        """Some of the sounds, in the order of the indices."""
        chosen = [int(index) for index in indices]
        return EmbeddedSet(tuple(self.takes[i] for i in chosen), tuple(self.sounds[i] for i in chosen))


def embed_takes(
    takes: Sequence[Take], embedder: Embedder, cache: EmbeddingCache, report: Report, about: str
) -> tuple[EmbeddedSet, list[str]]:
    """Embed the takes that can be read.

    Args:
        takes: Sounds of the set.
        embedder: Which embedder.
        cache: Stored embeddings.
        report: Called with (done, total, stage).
        about: Name of the set, for the stage.

    Returns:
        The set, and a sentence for each take that cannot be read.

    Raises:
        InputFileError: if none can.
    """
    kept, sounds, problems = [], [], []
    for number, take in enumerate(takes):
        report(number, len(takes), f"{about}, {embedder.name}")
        try:
            sounds.append(cache.embedded(embedder, _hash(take), lambda take=take: read_sound(take)))  # type: ignore[misc]
            kept.append(take)
        except InputFileError as problem:
            problems.append(str(problem))
    report(len(takes), len(takes), f"{about}, {embedder.name}")
    if not kept:
        raise InputFileError(f"none of the {len(takes)} sounds can be read; the first problem: {problems[0]}")
    return EmbeddedSet(tuple(kept), tuple(sounds)), problems


def read_sound(take: Take) -> Waveform:
    """Read a whole sound; more than two channels are mixed to one.

    Args:
        take: Sound to read.

    Returns:
        The sound.

    Raises:
        InputFileError: if a file cannot be read.
    """
    waveform = read_audio(take.path)
    return waveform if waveform.num_channels <= 2 else to_mono(waveform)


def _hash(take: Take) -> str:
    try:
        return file_hash(take.path)
    except OSError as problem:
        raise InputFileError(f"{take.path} cannot be read: {(problem.strerror or str(problem)).lower()}.") from None
