"""Conditional diversity: how different are several sounds for one and the same prompt?

What is evaluated
    Variety that the prompt leaves open. A model that answers each prompt with one sound scores 0 however varied its
    prompts are. High is not good by itself: noise is diverse.

Conventions
    Distance is 1 - cosine of audio embeddings, 0 to 2; averaged over the pairs of a prompt, then over prompts. Prompts
    with one clip say nothing and are left out. With CLAP embeddings this is the CCDS of the ARC paper; other embeddings
    are named. The number of clips a prompt does not change the expected value. Intervals: bootstrap over prompts.

Measures
    * :func:`prompt_diversities`: of each prompt with at least two clips
    * :func:`evaluate`: mean with its interval

References
    Z. Novack et al., "Fast text-to-audio generation with adversarial post-training", arXiv 2505.08175 (CCDS).

Legend: N clips, D size of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, bootstrap
from arctone.evaluation.metrics.manifold import FloatArray, as_points, unit_rows


def validate(audio: npt.ArrayLike, prompts: Sequence[str]) -> FloatArray:
    """Check the arguments and convert them.

    Args:
        audio: Embeddings of sounds, [N, D].
        prompts: Prompt of each sound, N of them.

    Returns:
        [N, D].

    Raises:
        ValueError: for bad shapes, or if no prompt has two clips.
    """
    points = as_points("audio", audio)
    if len(points) != len(prompts):
        raise ValueError(f"there are {len(points)} clips, but {len(prompts)} prompts.")
    if len(set(prompts)) == len(prompts):
        raise ValueError("every prompt has one clip only, but diversity needs several clips for a prompt.")
    return points


def prompt_diversities(audio: npt.ArrayLike, prompts: Sequence[str]) -> dict[str, float]:
    """Compute the mean pairwise cosine distance of each prompt that has several clips.

    Args:
        audio: Embeddings of sounds, [N, D].
        prompts: Prompt of each sound, N of them.

    Returns:
        Distance by prompt, 0 to 2.

    Raises:
        ValueError: see `validate`.
    """
    units = unit_rows(validate(audio, prompts))
    rows: dict[str, list[int]] = {}
    for row, prompt in enumerate(prompts):
        rows.setdefault(prompt, []).append(row)
    return {prompt: _mean_distance(units[own]) for prompt, own in rows.items() if len(own) > 1}


def evaluate(audio: npt.ArrayLike, prompts: Sequence[str], seed: int = 0) -> dict[str, Interval]:
    """Compute `conditional_diversity` with its interval over prompts.

    Args:
        audio: Embeddings of sounds, [N, D].
        prompts: Prompt of each sound, N of them.
        seed: Of the random draws.

    Returns:
        Intervals by name.

    Raises:
        ValueError: see `validate`.
    """
    return {"conditional_diversity": bootstrap(list(prompt_diversities(audio, prompts).values()), seed=seed)}


def _mean_distance(units: FloatArray) -> float:
    count = len(units)
    # The products of all pairs sum to the square of the sum, less the diagonal.
    cosines = (np.square(units.sum(axis=0)).sum() - np.square(units).sum()) / (count * (count - 1))
    return float(max(1.0 - cosines, 0.0))
