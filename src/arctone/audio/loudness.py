"""How loud a sound is, and how loud it shall be. A constant offset (DC) is left as it is."""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.errors import UsageError

Floats = npt.NDArray[np.floating[Any]]
Complex = npt.NDArray[np.complexfloating[Any, Any]]

_STANDARD_RATE = 48_000
_BLOCK_SECONDS = 0.4
_HOPS_PER_BLOCK = 4
_PIECE_SECONDS = 0.1

_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773


def block_powers(waveform: Waveform) -> Floats:
    """Measure the weighted power of each 400 ms block, 75 % overlapped (ITU-R BS.1770-4, annex 1).

    Args:
        waveform: The sound. One shorter than a block is one block; one without samples has none.

    Returns:
        Mean squares summed over channels, [blocks].
    """
    if waveform.num_samples == 0:
        return np.zeros(0)
    sums = sum(_hop_sums(channel.astype(np.float64), waveform.sample_rate) for channel in waveform.samples)
    return np.asarray(sums)


def weighted(samples: Floats, sample_rate: int) -> Floats:
    """Filter one channel with both filters of the K-weighting (ITU-R BS.1770-4).

    Args:
        samples: One channel, [samples].
        sample_rate: In Hz.

    Returns:
        The filtered channel, [samples].
    """
    size = 1 << int(_PIECE_SECONDS * sample_rate).bit_length()
    num_pieces = -(-len(samples) // size)
    pieces = np.pad(samples, (0, num_pieces * size - len(samples))).reshape(num_pieces, size)
    frequency_hz = np.arange(size + 1) * (sample_rate / (2 * size))
    rung = np.fft.irfft(np.fft.rfft(pieces, 2 * size) * response(frequency_hz, sample_rate), 2 * size)
    rung[1:, :size] += rung[:-1, size:]
    return np.asarray(rung[:, :size].ravel()[: len(samples)])


def response(frequency_hz: Floats, sample_rate: int) -> Complex:
    """Compute the frequency response of the K-weighting.

    Args:
        frequency_hz: Frequencies from 0 to half the sample rate.
        sample_rate: In Hz.

    Returns:
        Complex gains, same shape as `frequency_hz`.
    """
    delay = np.exp(-2j * np.pi * frequency_hz / sample_rate)
    return np.asarray(_biquad(_shelf(sample_rate), delay) * _biquad(_high_pass(sample_rate), delay))


def _hop_sums(samples: Floats, sample_rate: int) -> Floats:
    power = weighted(samples, sample_rate) ** 2
    hop = round(_BLOCK_SECONDS / _HOPS_PER_BLOCK * sample_rate)
    num_hops = len(power) // hop if hop else 0
    if num_hops < _HOPS_PER_BLOCK:
        return np.asarray([power.mean()])
    hops = power[: num_hops * hop].reshape(num_hops, hop).mean(axis=1)
    return np.convolve(hops, np.full(_HOPS_PER_BLOCK, 1 / _HOPS_PER_BLOCK), mode="valid")


def _biquad(coefficients: tuple[Floats, Floats], delay: Complex) -> Complex:
    b, a = coefficients
    return np.asarray((b[0] + b[1] * delay + b[2] * delay**2) / (a[0] + a[1] * delay + a[2] * delay**2))


def _shelf(sample_rate: int) -> tuple[Floats, Floats]:
    k = math.tan(math.pi * _SHELF_HZ / sample_rate)
    high = 10 ** (_SHELF_DB / 20)
    band = high**0.4996667741545416
    b = np.array([high + band * k / _SHELF_Q + k * k, 2 * (k * k - high), high - band * k / _SHELF_Q + k * k])
    return b, np.array([1 + k / _SHELF_Q + k * k, 2 * (k * k - 1), 1 - k / _SHELF_Q + k * k])


def _high_pass(sample_rate: int) -> tuple[Floats, Floats]:
    # The standard's numerator at 48 kHz is (1, -2, 1) over a denominator brought to 1: a gain of 0.04 dB, kept here.
    gain = _high_pass_denominator(_STANDARD_RATE)[0]
    return gain * np.array([1.0, -2.0, 1.0]), _high_pass_denominator(sample_rate)


def _high_pass_denominator(sample_rate: int) -> Floats:
    k = math.tan(math.pi * _HIGH_PASS_HZ / sample_rate)
    return np.array([1 + k / _HIGH_PASS_Q + k * k, 2 * (k * k - 1), 1 - k / _HIGH_PASS_Q + k * k])


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
    """Measure the peak.

    Args:
        waveform: The sound.

    Returns:
        Highest absolute sample in dBFS, 0 = full scale; -inf without a sample other than zero.
    """
    # Not of np.abs: a copy of a long sound is as large as the sound.
    highest, lowest = waveform.samples.max(initial=0.0), waveform.samples.min(initial=0.0)
    return _decibels(float(max(highest, -lowest)))


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
    samples = waveform.samples
    return int(np.count_nonzero(samples > 1.0) + np.count_nonzero(samples < -1.0))


def over_warning(waveform: Waveform, name: str) -> str:
    """Describe how much of a sound lies beyond full scale, without a full stop.

    Args:
        waveform: The sound.
        name: Its name in the sentence.

    Returns:
        The words; "" if nothing lies there.
    """
    count = num_over(waveform)
    if not count:
        return ""
    return f"{name} has {count} samples beyond full scale (peak {peak_db(waveform):+.1f} dBFS)"


def loudness_lufs(waveform: Waveform) -> float:
    """Measure the integrated loudness (ITU-R BS.1770-4, annex 1).

    Args:
        waveform: The sound, mono or stereo; channels count alike. One shorter than a 400 ms block is one block.

    Returns:
        Loudness in LUFS, gated; -inf if no block passes the gates.
    """
    powers = block_powers(waveform)
    loud = powers[_lufs(powers) > _ABSOLUTE_GATE_LUFS]
    if loud.size == 0:
        return -math.inf
    gate = float(_lufs(loud.mean())) + _RELATIVE_GATE_LU
    return float(_lufs(loud[_lufs(loud) > gate].mean()))


def with_gain(waveform: Waveform, gain_db: float, *, in_place: bool = False) -> Waveform:
    """Make a sound louder or softer.

    Args:
        waveform: The sound.
        gain_db: Above 0 for louder; 0 gives the input itself.
        in_place: Whether the input's own samples are changed, which saves a copy as large as the sound.

    Returns:
        The sound.
    """
    if gain_db == 0:
        return waveform
    gain = np.float32(10 ** (gain_db / 20))
    if in_place:
        np.multiply(waveform.samples, gain, out=waveform.samples)
        return waveform
    return waveform.with_samples(waveform.samples * gain)


def normalize_peak(waveform: Waveform, target_db: float = PEAK_TARGET_DB) -> Waveform:
    """Scale a sound to a peak.

    Args:
        waveform: The sound; a silent one is returned as it is.
        target_db: Peak in dBFS, 0 = full scale.

    Returns:
        The scaled sound.
    """
    return level(waveform, "peak", peak_target_db=target_db).waveform


def level(
    waveform: Waveform,
    policy: Policy,
    *,
    peak_target_db: float = PEAK_TARGET_DB,
    loudness_target_lufs: float = LOUDNESS_TARGET_LUFS,
    in_place: bool = False,
) -> Levelled:
    """Bring a sound to its level.

    Args:
        waveform: The sound.
        policy: "peak" (highest sample at peak_target_db), "loudness" (integrated loudness at loudness_target_lufs, or
            as near as the peak target lets it come, which the warning says), or "off" (the input itself).
        peak_target_db: Highest sample, dB of full scale.
        loudness_target_lufs: Integrated loudness, LUFS.
        in_place: Whether the input's own samples are changed.

    Returns:
        The sound, the gain and a warning.

    Raises:
        UsageError: For another policy.
    """
    if policy not in ("peak", "loudness", "off"):
        raise UsageError(f"normalize must be peak, loudness or off, got {policy!r}.", field="normalize")
    if policy == "off":
        return Levelled(waveform, 0.0, "")
    if is_silent(waveform):
        return Levelled(waveform, 0.0, f"The sound is silent (below {SILENCE_DB:g} dBFS) and was not made louder.")
    room_db = peak_target_db - peak_db(waveform)
    if policy == "peak":
        return Levelled(with_gain(waveform, room_db, in_place=in_place), room_db, "")
    return _to_loudness(waveform, loudness_target_lufs, room_db, in_place)


def fade(waveform: Waveform, in_seconds: float = 0.0, out_seconds: float = 0.0) -> Waveform:
    """Fade the ends with raised cosines; the very first and last samples become 0.

    Args:
        waveform: The sound.
        in_seconds: Length of the fade at the beginning: 0 (no fade) up to the length of the sound.
        out_seconds: The same at the end.

    Returns:
        The faded sound.

    Raises:
        UsageError: If a fade is negative, not finite or longer than the sound.
    """
    samples = waveform.samples.copy()
    head = _num_faded(waveform, in_seconds, "in_seconds")
    tail = _num_faded(waveform, out_seconds, "out_seconds")
    samples[:, :head] *= _rise(head)
    samples[:, waveform.num_samples - tail :] *= _rise(tail)[::-1]
    return waveform.with_samples(samples)


def _to_loudness(waveform: Waveform, target_lufs: float, room_db: float, in_place: bool) -> Levelled:
    loudness = loudness_lufs(waveform)
    if math.isinf(loudness):
        return Levelled(waveform, 0.0, "The sound is too soft for a loudness to be measured and was left as it is.")
    wanted_db = target_lufs - loudness
    gain_db = min(wanted_db, room_db)
    reached = loudness + gain_db
    short = f"The loudness is {reached:.1f} instead of {target_lufs:g} LUFS, because the peaks have no more room."
    levelled = with_gain(waveform, gain_db, in_place=in_place)
    return Levelled(levelled, gain_db, short if gain_db < wanted_db - 0.05 else "")


def _num_faded(waveform: Waveform, seconds: float, name: str) -> int:
    if not 0 <= seconds <= waveform.duration_seconds:
        raise UsageError(
            f"{name} must be from 0 to the sound's {waveform.duration_seconds:g} seconds, got {seconds!r}.", field=name
        )
    return round(seconds * waveform.sample_rate)


def _rise(num_samples: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (0.5 - 0.5 * np.cos(np.pi * np.arange(num_samples) / max(1, num_samples))).astype(np.float32)


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


def _lufs(power: Any) -> Any:
    """Loudness of a weighted power, a number or an array of them."""
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-300))
