"""Closeness of captions and sounds in a joint space: is a sound what its caption says?

What is evaluated
    Prompt adherence, by an embedder with a side for words and a side for sounds. Cosines have no scale of their own:
    they are compared within one embedder only, next to those of real sounds and those of captions dealt at random.

Conventions
    Caption c belongs to sound `owners[c]`. `text_audio_score` is the mean cosine of caption and own sound.
    `recall_at_k` is the share of captions whose own sound is among the k nearest of all sounds; sounds with the same
    caption are no negatives, equal cosines count against. It falls as the number of sounds grows, so that number
    belongs to it. Intervals: bootstrap over captions.

Measures
    * :func:`scores`: cosine of each caption with its own sound
    * :func:`ranks`: place of the own sound among all, 1 being the nearest
    * :func:`score_unrelated`: mean cosine of captions with sounds that are not theirs
    * :func:`evaluate`: means with their intervals

References
    Y. Wu et al., "Large-scale contrastive language-audio pretraining", ICASSP 2023 (CLAP). A.-M. Oncescu et al., "Audio
    retrieval with natural language queries", Interspeech 2021 (recall at k).

Legend: C captions, N sounds, D size of the joint space.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, bootstrap
from arctone.evaluation.metrics.manifold import FloatArray, IntArray, as_points, same_size, unit_rows

PLACES = (1, 5)


def validate(
    text: npt.ArrayLike, audio: npt.ArrayLike, captions: Sequence[str], owners: npt.ArrayLike
) -> tuple[FloatArray, IntArray]:
    """Check the arguments and convert them.

    Args:
        text: Embeddings of captions, [C, D].
        audio: Embeddings of sounds, [N, D].
        captions: Texts, N of them.
        owners: Sound of each caption, [C].

    Returns:
        Cosines [C, N] and owners [C].

    Raises:
        ValueError: for bad shapes, or an owner that is no sound.
    """
    words, sounds = as_points("text", text), as_points("audio", audio)
    same_size(words, sounds)
    owned = np.asarray(owners)
    if len(captions) != len(words) or owned.shape != (len(words),):
        raise ValueError(
            f"there are {len(words)} texts, {len(captions)} captions and {owned.size} owners: not the same."
        )
    if owned.min() < 0 or owned.max() >= len(sounds):
        raise ValueError(f"owners must be from 0 to {len(sounds) - 1}, not {owned.min()} to {owned.max()}.")
    return unit_rows(words)[:, :-1] @ unit_rows(sounds)[:, :-1].T, owned


def scores(cosines: FloatArray, owners: IntArray) -> FloatArray:
    """Return the cosine of each caption with its own sound.

    Args:
        cosines: Of captions and sounds, [C, S].
        owners: Number of each caption's sound, [C].

    Returns:
        [C], -1 to 1.
    """
    return np.asarray(cosines[np.arange(len(owners)), owners])


def ranks(cosines: FloatArray, captions: Sequence[str], owners: IntArray) -> IntArray:
    """Return the rank of each caption's own sound among all sounds.

    Args:
        cosines: Of captions and sounds, [C, S].
        captions: Texts of the captions; sounds with an equal caption are not counted as wrong.
        owners: Number of each caption's sound, [C].

    Returns:
        [C], from 1.
    """
    negative = ~_same_caption(cosines.shape[1], captions, owners)
    return np.asarray(1 + (negative & (cosines >= scores(cosines, owners)[:, None])).sum(axis=1))


def score_unrelated(cosines: FloatArray, captions: Sequence[str], owners: IntArray) -> float | None:
    """Average the cosines of captions with sounds that are not theirs.

    Args:
        cosines: Of captions and sounds, [C, S].
        captions: Texts of the captions; sounds with an equal caption are not counted as wrong.
        owners: Number of each caption's sound, [C].

    Returns:
        -1 to 1; None if there is no such pair.
    """
    negative = ~_same_caption(cosines.shape[1], captions, owners)
    return float(cosines[negative].mean()) if negative.any() else None


def evaluate(
    text: npt.ArrayLike, audio: npt.ArrayLike, captions: Sequence[str], owners: npt.ArrayLike, seed: int = 0
) -> dict[str, Interval]:
    """Compute `text_audio_score`, `recall_at_1` and `recall_at_5` with their intervals.

    Args:
        text: [C, D].
        audio: [N, D].
        captions: C wordings.
        owners: [C], sound of each.
        seed: Of the random draws.

    Returns:
        Intervals by name.
    """
    cosines, owned = validate(text, audio, captions, owners)
    places = ranks(cosines, captions, owned)
    recalls = {f"recall_at_{k}": bootstrap((places <= k).astype(np.float64), seed=seed) for k in PLACES}
    return {"text_audio_score": bootstrap(scores(cosines, owned), seed=seed), **recalls}


def _same_caption(num_sounds: int, captions: Sequence[str], owners: IntArray) -> npt.NDArray[np.bool_]:
    """Whether a sound has the caption, [C, N]."""
    unique, numbers = np.unique(np.asarray(captions, dtype=object).astype(str), return_inverse=True)
    has = np.zeros((len(unique), num_sounds), bool)
    has[numbers, owners] = True
    return np.asarray(has[numbers])
