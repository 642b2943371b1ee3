"""How many sounds are silent.

What is measured: the share of sounds whose highest sample lies below -70 dBFS before they are levelled, or whose
loudest 50 ms lie 60 dB below full scale: nothing that anybody could hear at an ordinary volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arctone.audio.loudness import is_silent
from arctone.audio.waveform import Waveform

_WINDOW_SECONDS, _LOUD_DB = 0.05, -60.0


def sounds_silent(waveform: Waveform) -> bool:
    """Return whether a sound is silent.

    Args:
        waveform: One sound.

    Returns:
        True = silent.
    """
    if is_silent(waveform):
        return True
    window = max(1, min(waveform.num_samples, round(_WINDOW_SECONDS * waveform.sample_rate)))
    whole = waveform.samples[:, : waveform.num_samples // window * window].astype(np.float64)
    power = np.mean(whole.reshape(len(whole), -1, window) ** 2, axis=(0, 2))
    return bool(10 * np.log10(power.max() + 1e-12) < _LOUD_DB)


def evaluate(sounds: Sequence[Waveform]) -> tuple[float, float, float]:
    """Return the share of silent sounds with its 95 % interval after Wilson.

    Args:
        sounds: At least one.

    Returns:
        Share, lower and upper end, 0 to 1.

    Raises:
        ValueError: If there is none.
    """
    if not sounds:
        raise ValueError("a share needs at least 1 sound, got 0.")
    return wilson(sum(map(sounds_silent, sounds)), len(sounds))


def wilson(count: int, total: int) -> tuple[float, float, float]:
    """Return a share and its 95 % interval; that of 0 of 1,000 reaches to 0.4 %.

    Args:
        count: Of those that count.
        total: Of all, at least 1.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Returns:
        Share, lower and upper end, 0 to 1.
    """
    z, share = 1.959964, count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    reach = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return share, max(0.0, float(centre - reach)), min(1.0, float(centre + reach))
