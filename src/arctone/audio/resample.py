"""Another sample rate or another number of channels."""

import numpy as np

from arctone.audio.waveform import Waveform
from arctone.errors import UsageError


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """The same sound at another sample rate.

    Args: sample_rate: in Hz. Returns: N * sample_rate / old rate samples per channel, rounded to the nearest
    whole number; the input itself if the rate is already right.
    Raises: UsageError if the rate is no positive whole number.
    Source: libsoxr, very high quality (linear phase, 28-bit).
    """
    if sample_rate == waveform.sample_rate:
        return waveform
    if waveform.num_samples == 0:
        return Waveform(waveform.samples, sample_rate)
    rate = Waveform(waveform.samples, sample_rate).sample_rate  # refuses what is no rate
    import soxr  # here, because generation from text alone resamples nothing, and edge devices go without it

    frames = soxr.resample(waveform.samples.T, waveform.sample_rate, rate, quality="VHQ")
    return Waveform(frames.T, rate)


def to_mono(waveform: Waveform) -> Waveform:
    """One channel: the mean of all."""
    if waveform.num_channels == 1:
        return waveform
    return waveform.with_samples(waveform.samples.mean(axis=0, keepdims=True))


def to_stereo(waveform: Waveform) -> Waveform:
    """Two channels: mono is doubled at equal level; of three or more, refused.

    Raises: UsageError for more than two channels, because which of them is left is not known.
    """
    if waveform.num_channels == 2:
        return waveform
    if waveform.num_channels > 2:
        raise UsageError(f"the sound has {waveform.num_channels} channels, but only mono and stereo become stereo.")
    return waveform.with_samples(np.repeat(waveform.samples, 2, axis=0))


def conform(waveform: Waveform, sample_rate: int, num_channels: int) -> Waveform:
    """The same sound at the sample rate (Hz) and number of channels (1 or 2) that a model works with.

    Raises: UsageError if num_channels is not 1 or 2, or the sound has more than two and stereo is wanted.
    """
    if num_channels not in (1, 2):
        raise UsageError(f"num_channels must be 1 or 2, got {num_channels!r}.", field="num_channels")
    folded = to_mono(waveform) if num_channels == 1 else to_stereo(waveform)
    return resample(folded, sample_rate)
