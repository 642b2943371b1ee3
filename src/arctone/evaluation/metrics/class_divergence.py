"""Divergence of class probabilities, clip by clip: does a generated sound contain what its reference contains?

What is evaluated
    Meaning, as a classifier of sounds hears it. Pairs are compared: the sound generated for a caption and the real
    sound that the caption describes.

Conventions
    A clip's logits are averaged over its windows, then a softmax makes them probabilities, also where the classifier
    was trained with sigmoids. The divergence is KL(generated || reference) in nats, with 1e-6 added to the reference,
    as stable-audio-metrics has it, so that two equal clips give almost 0. Intervals: bootstrap over pairs.

Measures
    * :func:`probabilities`: of a clip from the logits of its windows
    * :func:`divergences`: of each pair
    * :func:`evaluate`: mean with its interval

References
    K. Koutini et al., "Efficient training of audio transformers with patchout", Interspeech 2022 (PaSST, the usual
    classifier). Z. Evans et al., "Stable Audio Open", arXiv 2407.14358, and Stability-AI/stable-audio-metrics
    (settings).

Legend: N pairs, W windows, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arctone.evaluation.metrics.intervals import Interval, bootstrap

FloatArray = npt.NDArray[np.float64]
REFERENCE_FLOOR = 1e-6


def validate(reference: npt.ArrayLike, generated: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check the arguments and convert them.

    Args:
        reference: Class probabilities of real sounds, [N, K].
        generated: Those of generated sounds, one for each real one, [N, K].

    Returns:
        Both as [N, K].

    Raises:
        ValueError: unless both are equally many distributions over the same classes.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (reference, generated))
    if first.ndim != 2 or first.shape != second.shape or first.size == 0:
        shapes = f"{list(first.shape)} and {list(second.shape)}"
        raise ValueError(f"the probabilities have the shapes {shapes}, but both must be [pairs, classes].")
    for name, values in (("reference", first), ("generated", second)):
        if not np.isfinite(values).all() or (values < 0).any() or np.abs(values.sum(axis=1) - 1).max() > 1e-4:
            raise ValueError(f"{name} must hold probabilities that are 0 or more and sum to 1 in each row.")
    return first, second


def probabilities(logits: npt.ArrayLike) -> FloatArray:
    """Average the logits over the windows, then apply softmax.

    Args:
        logits: [W, K].

    Returns:
        [K].

    Raises:
        ValueError: for another shape or no window.
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"logits have the shape {list(values.shape)}, but must be finite numbers of [windows, classes]."
        )
    mean = values.mean(axis=0)
    exponentials = np.exp(mean - mean.max())
    return np.asarray(exponentials / exponentials.sum())


def divergences(reference: npt.ArrayLike, generated: npt.ArrayLike) -> FloatArray:
    """Compute KL(generated || reference) of each pair in nats.

    Args:
        reference: Class probabilities of real sounds, [N, K].
        generated: Those of generated sounds, one for each real one, [N, K].

    Returns:
        [N].

    Raises:
        ValueError: see `validate`.
    """
    first, second = validate(reference, generated)
    ratio = np.log(np.where(second > 0, second, 1.0)) - np.log(first + REFERENCE_FLOOR)
    return np.asarray((second * ratio).sum(axis=1))


def evaluate(reference: npt.ArrayLike, generated: npt.ArrayLike, seed: int = 0) -> dict[str, Interval]:
    """Compute `class_divergence`: mean over the pairs with its interval.

    Args:
        reference: Class probabilities of real sounds, [N, K].
        generated: Those of generated sounds, one for each real one, [N, K].
        seed: Of the random draws.

    Returns:
        Intervals by name.

    Raises:
        ValueError: see `validate`.
    """
    return {"class_divergence": bootstrap(divergences(reference, generated), seed=seed)}
