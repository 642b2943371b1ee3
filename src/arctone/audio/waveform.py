"""Waveforms: samples with their rate, checks, mono and stereo, resampling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.errors import UsageError

Samples = npt.NDArray[np.float32]

MAX_SAMPLE_RATE = 768_000


@dataclass(frozen=True, eq=False)
class Waveform:
    """Audio in the time domain.

    Args:
        samples: [channels, samples], floating point, converted to float32; +-1 is full scale, more is kept.
        sample_rate: In Hz, 1 to 768,000.

    Raises:
        UsageError: If the shape, the type or the rate is wrong or a sample is NaN or infinite.
    """

    samples: Samples
    sample_rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_rate", _checked_rate(self.sample_rate))
        object.__setattr__(self, "samples", _checked_samples(self.samples))

    @property
    def num_channels(self) -> int:
        """Number of channels, at least 1."""
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        """Number of samples in each channel."""
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate

    def with_samples(self, samples: npt.NDArray[Any]) -> "Waveform":
        """Return a waveform of the same rate with other samples.

        Args:
            samples: [channels, samples], see `Waveform`.

        Returns:
            The new waveform.
        """
        return Waveform(samples, self.sample_rate)


def _checked_rate(sample_rate: Any) -> int:
    whole = isinstance(sample_rate, int | np.integer) and not isinstance(sample_rate, bool)
    if not whole or not 1 <= sample_rate <= MAX_SAMPLE_RATE:
        raise UsageError(
            f"sample_rate must be a whole number from 1 to {MAX_SAMPLE_RATE} Hz, got {sample_rate!r}.",
            field="sample_rate",
        )
    return int(sample_rate)


def _checked_samples(samples: Any) -> Samples:
    if not isinstance(samples, np.ndarray) or not np.issubdtype(samples.dtype, np.floating):
        kind = getattr(samples, "dtype", type(samples).__name__)
        raise UsageError(f"samples must be a numpy array of floating point numbers, got {kind}.", field="samples")
    if samples.ndim != 2 or samples.shape[0] < 1:
        raise UsageError(f"samples must have shape [channels, samples], got {list(samples.shape)}.", field="samples")
    converted = np.ascontiguousarray(samples, dtype=np.float32)
    if not np.isfinite(converted).all():
        raise UsageError("samples must be finite numbers, but some are NaN or infinite.", field="samples")
    return converted


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """Resample a sound.

    Source: libsoxr, very high quality (linear phase, 28-bit).

    Args:
        waveform: The sound.
        sample_rate: In Hz.

    Returns:
        N * sample_rate / old rate samples per channel, rounded to the nearest whole number; the input itself if the
        rate is already right.

    Raises:
        UsageError: If the rate is no positive whole number.
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
    """Double a mono sound at equal level; a stereo sound stays as it is.

    Args:
        waveform: The sound.

    Returns:
        Two channels.

    Raises:
        UsageError: For more than two channels, because which of them is left is not known.
    """
    if waveform.num_channels == 2:
        return waveform
    if waveform.num_channels > 2:
        raise UsageError(f"the sound has {waveform.num_channels} channels, but only mono and stereo become stereo.")
    return waveform.with_samples(np.repeat(waveform.samples, 2, axis=0))


def conform(waveform: Waveform, sample_rate: int, num_channels: int) -> Waveform:
    """Bring a sound to the sample rate and number of channels that a model works with.

    Args:
        waveform: The sound.
        sample_rate: In Hz.
        num_channels: 1 or 2.

    Returns:
        The sound; the input itself if it fits already.

    Raises:
        UsageError: If num_channels is not 1 or 2, or the sound has more than two and stereo is wanted.
    """
    if num_channels not in (1, 2):
        raise UsageError(f"num_channels must be 1 or 2, got {num_channels!r}.", field="num_channels")
    folded = to_mono(waveform) if num_channels == 1 else to_stereo(waveform)
    return resample(folded, sample_rate)
