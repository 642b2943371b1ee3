"""The sound that is edited: checked, brought to the model's rate and channels, cut or filled up, remembered."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from arctone.audio.loudness import is_constant
from arctone.audio.resample import conform, to_mono
from arctone.audio.waveform import Samples, Waveform
from arctone.errors import UsageError
from arctone.inference.request import MAX_DURATION_SECONDS, SourceRecord
from arctone.model_folder.config import ModelConfig


def check_source(source: Waveform) -> None:
    """Refuse what cannot be edited: nothing, too much, silence or a constant. Raises: UsageError in one sentence."""
    if source.num_samples == 0:
        raise UsageError("the source holds no samples.")
    if source.duration_seconds > MAX_DURATION_SECONDS:
        seconds = source.duration_seconds
        raise UsageError(f"the source is {seconds:.1f} seconds long, but at most {MAX_DURATION_SECONDS:g} are edited.")
    if is_constant(source):
        raise UsageError("the source is silent: there is no sound above -70 dBFS in it.")


def source_record(source: Waveform, name: str) -> SourceRecord:
    """What a record says of a source; its hash is of samples, rate and shape, so that any lossless copy has it too."""
    head = f"{source.sample_rate} {source.num_channels} {source.num_samples} ".encode()
    digest = hashlib.sha256(head + source.samples.astype("<f4").tobytes()).hexdigest()
    return SourceRecord(
        sha256=digest,
        name=name,
        sample_rate=source.sample_rate,
        num_channels=source.num_channels,
        num_samples=source.num_samples,
    )


class Source(NamedTuple):
    """A source as the model takes it, and what the record and the user are told of it."""

    waveform: Waveform
    record: SourceRecord
    warning: str

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.waveform.duration_seconds


def opened(source: Waveform, name: str, config: ModelConfig) -> Source:
    """A source at the model's rate and channels; of more than two channels the mean is taken, with a warning.

    Raises: UsageError for a sound that cannot be edited.
    """
    check_source(source)
    many = source.num_channels > 2
    warning = f"The source has {source.num_channels} channels; their mean is edited." if many else ""
    waveform = conform(to_mono(source) if many else source, config.sample_rate, config.channels)
    return Source(waveform, source_record(source, name), warning)


def with_length(samples: Samples, num_samples: int) -> Samples:
    """[channels, N] cut, or filled up with silence, to a number of samples."""
    cut = samples[:, :num_samples]
    return np.pad(cut, ((0, 0), (0, num_samples - cut.shape[1])))
