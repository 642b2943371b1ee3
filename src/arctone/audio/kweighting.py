"""The ear's weighting for loudness: a shelf for the head and a high-pass, applied exactly in the frequency domain.

Both filters' responses die away within milliseconds, so pieces of a tenth of a second or more, each transformed at
twice its length and overlapped, equal the recursion to the last bits, without a loop over samples and without scipy.
Source: ITU-R BS.1770-4, annex 1; its 48 kHz coefficients restated for any rate as in De Man 2014, "Evaluation of
implementations of the EBU R128 loudness measurement".
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform

Floats = npt.NDArray[np.floating[Any]]
Complex = npt.NDArray[np.complexfloating[Any, Any]]

_STANDARD_RATE = 48_000
_BLOCK_SECONDS = 0.4
_HOPS_PER_BLOCK = 4
_PIECE_SECONDS = 0.1

_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773


def block_powers(waveform: Waveform) -> Floats:
    """Weighted power of each 400 ms block, 75 % overlapped, summed over channels: [blocks].

    A sound shorter than a block is one block; one without samples has none.
    """
    if waveform.num_samples == 0:
        return np.zeros(0)
    sums = sum(_hop_sums(channel.astype(np.float64), waveform.sample_rate) for channel in waveform.samples)
    return np.asarray(sums)


def weighted(samples: Floats, sample_rate: int) -> Floats:
    """One channel, [samples], through both filters; same length."""
    size = 1 << int(_PIECE_SECONDS * sample_rate).bit_length()
    num_pieces = -(-len(samples) // size)
    pieces = np.pad(samples, (0, num_pieces * size - len(samples))).reshape(num_pieces, size)
    frequency_hz = np.arange(size + 1) * (sample_rate / (2 * size))
    rung = np.fft.irfft(np.fft.rfft(pieces, 2 * size) * response(frequency_hz, sample_rate), 2 * size)
    rung[1:, :size] += rung[:-1, size:]
    return np.asarray(rung[:, :size].ravel()[: len(samples)])


def response(frequency_hz: Floats, sample_rate: int) -> Complex:
    """Complex gain of both filters at frequencies up to half the sample rate."""
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
    # The standard's numerator at 48 kHz is (1, -2, 1) beside a denominator brought to 1: a gain of 0.04 dB, kept here.
    gain = _high_pass_denominator(_STANDARD_RATE)[0]
    return gain * np.array([1.0, -2.0, 1.0]), _high_pass_denominator(sample_rate)


def _high_pass_denominator(sample_rate: int) -> Floats:
    k = math.tan(math.pi * _HIGH_PASS_HZ / sample_rate)
    return np.array([1 + k / _HIGH_PASS_Q + k * k, 2 * (k * k - 1), 1 - k / _HIGH_PASS_Q + k * k])
