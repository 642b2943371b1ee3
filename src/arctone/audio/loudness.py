"""How loud a sound is, and how loud it shall be. A constant offset (DC) is left as it is."""

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from arctone.audio.kweighting import block_powers
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError

Policy = Literal["peak", "loudness", "off"]

PEAK_TARGET_DB = -1.0
LOUDNESS_TARGET_LUFS = -14.0
SILENCE_DB = -70.0
_BLOCK_SAMPLES = 262_144

_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0


class Levelled(NamedTuple):
    """A sound at its new level, the gain it got (dB), and what could not be met, in words ("" if all was)."""

    waveform: Waveform
    gain_db: float
    warning: str


def peak_db(waveform: Waveform) -> float:
    """Highest sample in dBFS (0 = full scale); -inf if there is none above zero."""
    return _decibels(float(np.abs(waveform.samples).max(initial=0.0)))


def is_silent(waveform: Waveform) -> bool:
    """Whether the peak is below -70 dBFS: such a sound is never made louder."""
    return peak_db(waveform) < SILENCE_DB


def is_constant(waveform: Waveform) -> bool:
    """Whether nothing moves in a sound: apart from a constant offset it is silent."""
    means = waveform.samples.mean(axis=1, keepdims=True)
    # Block by block, because a copy of a long sound is as large as the sound.
    for start in range(0, waveform.num_samples, _BLOCK_SAMPLES):
        moving = waveform.samples[:, start : start + _BLOCK_SAMPLES] - means
        if _decibels(float(np.abs(moving).max(initial=0.0))) >= SILENCE_DB:
            return False
    return True


def num_over(waveform: Waveform) -> int:
    """Number of samples beyond full scale, which a file of whole numbers would clip."""
    return int(np.count_nonzero(np.abs(waveform.samples) > 1.0))


def loudness_lufs(waveform: Waveform) -> float:
    """Integrated loudness in LUFS, gated; -inf if nothing passes the gates.

    Mono and stereo channels count alike. Sounds shorter than one 400 ms block are measured as one block.
    Source: ITU-R BS.1770-4, annex 1.
    """
    powers = block_powers(waveform)
    loud = powers[_lufs(powers) > _ABSOLUTE_GATE_LUFS]
    if loud.size == 0:
        return -math.inf
    gate = float(_lufs(loud.mean())) + _RELATIVE_GATE_LU
    return float(_lufs(loud[_lufs(loud) > gate].mean()))


def with_gain(waveform: Waveform, gain_db: float) -> Waveform:
    """The same sound louder (above 0 dB) or softer; 0 gives the input itself."""
    if gain_db == 0:
        return waveform
    return waveform.with_samples(waveform.samples * np.float32(10 ** (gain_db / 20)))


def normalize_peak(waveform: Waveform, target_db: float = PEAK_TARGET_DB) -> Waveform:
    """The same sound with its highest sample at target_db dBFS; silence stays as it is."""
    return level(waveform, "peak", peak_target_db=target_db).waveform


def level(
    waveform: Waveform,
    policy: Policy,
    *,
    peak_target_db: float = PEAK_TARGET_DB,
    loudness_target_lufs: float = LOUDNESS_TARGET_LUFS,
) -> Levelled:
    """Bring a sound to its level.

    Args: policy: "peak" (highest sample at peak_target_db), "loudness" (integrated loudness at loudness_target_lufs,
    or as near as the peak target lets it come, which is said in the warning), or "off" (the input itself).
    Raises: UsageError for another policy.
    """
    if policy not in ("peak", "loudness", "off"):
        raise UsageError(f"normalize must be peak, loudness or off, got {policy!r}.")
    if policy == "off":
        return Levelled(waveform, 0.0, "")
    if is_silent(waveform):
        return Levelled(waveform, 0.0, f"The sound is silent (below {SILENCE_DB:g} dBFS) and was not made louder.")
    room_db = peak_target_db - peak_db(waveform)
    if policy == "peak":
        return Levelled(with_gain(waveform, room_db), room_db, "")
    return _to_loudness(waveform, loudness_target_lufs, room_db)


def fade(waveform: Waveform, in_seconds: float = 0.0, out_seconds: float = 0.0) -> Waveform:
    """Raised-cosine fades at the ends; the very first and last samples become 0.

    Args: in_seconds, out_seconds: 0 (no fade) up to the length of the sound.
    Raises: UsageError if a fade is negative, not finite or longer than the sound.
    """
    samples = waveform.samples.copy()
    head = _num_faded(waveform, in_seconds, "in_seconds")
    tail = _num_faded(waveform, out_seconds, "out_seconds")
    samples[:, :head] *= _rise(head)
    samples[:, waveform.num_samples - tail :] *= _rise(tail)[::-1]
    return waveform.with_samples(samples)


def _to_loudness(waveform: Waveform, target_lufs: float, room_db: float) -> Levelled:
    loudness = loudness_lufs(waveform)
    if math.isinf(loudness):
        return Levelled(waveform, 0.0, "The sound is too soft for a loudness to be measured and was left as it is.")
    wanted_db = target_lufs - loudness
    gain_db = min(wanted_db, room_db)
    reached = loudness + gain_db
    short = f"The loudness is {reached:.1f} instead of {target_lufs:g} LUFS, because the peaks have no more room."
    return Levelled(with_gain(waveform, gain_db), gain_db, short if gain_db < wanted_db - 0.05 else "")


def _num_faded(waveform: Waveform, seconds: float, name: str) -> int:
    if not 0 <= seconds <= waveform.duration_seconds:
        raise UsageError(
            f"{name} must be from 0 to the sound's {waveform.duration_seconds:g} seconds, got {seconds!r}."
        )
    return round(seconds * waveform.sample_rate)


def _rise(num_samples: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (0.5 - 0.5 * np.cos(np.pi * np.arange(num_samples) / max(1, num_samples))).astype(np.float32)


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


def _lufs(power: Any) -> Any:
    """Loudness of a weighted power, a number or an array of them."""
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-300))
