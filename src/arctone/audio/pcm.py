"""Whole-number samples, the one way in which this project rounds them."""

import numpy as np
import numpy.typing as npt


def rounded(frames: npt.NDArray[np.float32], num_bits: int) -> npt.NDArray[np.float64]:
    """Samples in steps of 2^(1 - num_bits), to the nearest, without dither; they stop at full scale."""
    full_scale = 2.0 ** (num_bits - 1)
    scaled = np.rint(frames.astype(np.float64) * full_scale)
    return np.clip(scaled, -full_scale, full_scale - 1)
