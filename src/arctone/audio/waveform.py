"""Sound as a value: samples and their sample rate, kept together."""

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

    Args: samples: [channels, samples], floating point, converted to float32; +-1 is full scale, more is kept.
    sample_rate: in Hz, 1 to 768,000.
    Raises: UsageError if the shape, the type or the rate is wrong or a sample is NaN or infinite.
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
        """The same rate with other samples, [channels, samples]."""
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
