"""Counter-based noise: a sound's randomness depends on its own seed and on nothing else."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from arctone.errors import UsageError

MAX_SEED = 2**63 - 1


def item_noise(seed: int, step: int, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Standard normal noise of one item at one step.

    The frames are drawn one after another and then transposed, so that a longer clip begins with the noise of a
    shorter one; batch, engine and order of calls play no part.

    Args:
        seed: 0 to 2**63 - 1.
        step: 0 for the initial noise, i for the re-noising after step i.
        shape: (C, T), latent channels and frames.

    Returns:
        Standard normal noise, float32, [C, T].

    Raises:
        UsageError: if seed or step is out of range.

    Source: Philox4x64, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed must be from 0 to {MAX_SEED}, got {seed}.", field="seed")
    if not 0 <= step <= MAX_SEED:
        raise UsageError(f"step must not be negative, got {step}.", field="step")
    num_channels, num_frames = shape
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, step], dtype=np.uint64)))
    frames = generator.standard_normal((num_frames, num_channels), dtype=np.float32)
    return np.ascontiguousarray(frames.T)


def mixed_noise(weights: Mapping[int, float], step: int, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Mix the noise of several seeds; where the squares of the weights sum to 1 it is standard normal again.

    Args:
        weights: By seed.
        step: See `item_noise`.
        shape: (C, T), latent channels and frames.

    Returns:
        The sum of the seeds' noise times their weights, float32, [C, T].
    """
    total = np.zeros(shape, np.float32)
    for seed, weight in weights.items():
        total += np.float32(weight) * item_noise(seed, step, shape)
    return total
