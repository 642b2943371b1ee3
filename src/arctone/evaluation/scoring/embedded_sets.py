"""A set of sounds as one embedder hears it.

Legend: N sounds, W windows of all of them, D size of the embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from arctone.audio.files import read_audio
from arctone.audio.resample import to_mono
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError
from arctone.evaluation.embedders.cache import EmbeddingCache, file_hash
from arctone.evaluation.embedders.protocol import Embedded, Embedder
from arctone.evaluation.metrics.class_divergence import probabilities
from arctone.evaluation.metrics.point_sets import FloatArray, IntArray
from arctone.evaluation.scoring.takes import Take

# Called with (done, total, stage).
Report = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """takes: N. sounds: their embeddings, in the same order."""

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
    """The takes that can be read, embedded, and a sentence for each that cannot. Raises: InputFileError if none can."""
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
    """The whole sound; more than two channels are mixed to one. Raises: InputFileError."""
    waveform = read_audio(take.path)
    return waveform if waveform.num_channels <= 2 else to_mono(waveform)


def _hash(take: Take) -> str:
    try:
        return file_hash(take.path)
    except OSError as problem:
        raise InputFileError(f"{take.path} cannot be read: {(problem.strerror or str(problem)).lower()}.") from None
