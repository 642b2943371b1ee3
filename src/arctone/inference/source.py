"""The sound that is edited: check, convert to the model's rate and channels, record, cut or pad, encode."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from arctone.audio.loudness import is_constant, over_warning
from arctone.audio.regions import fade_gains
from arctone.audio.waveform import Samples, Waveform, conform, to_mono
from arctone.errors import UsageError
from arctone.inference.backends.base import Backend, Floats
from arctone.inference.request import MAX_DURATION_SECONDS, SourceRecord
from arctone.model_folder.config import ModelConfig

# Latent frames on each side that an encoder reads besides those that are kept: more than its convolutions reach.
CONTEXT_FRAMES = 16


def check_source(source: Waveform) -> None:
    """Refuse a source that cannot be edited: an empty one, one that is too long, silence or a constant.

    Args:
        source: The sound.

    Raises:
        UsageError: In one sentence that says why.
    """
    if source.num_samples == 0:
        raise UsageError("the source holds no samples.", field="audio")
    if source.duration_seconds > MAX_DURATION_SECONDS:
        seconds = source.duration_seconds
        raise UsageError(
            f"the source is {seconds:.1f} seconds long, but at most {MAX_DURATION_SECONDS:g} are edited.", field="audio"
        )
    if is_constant(source):
        raise UsageError("the source is silent: there is no sound above -70 dBFS in it.", field="audio")


def source_record(source: Waveform, name: str) -> SourceRecord:
    """Describe a source for the record of a sound.

    Args:
        source: The sound.
        name: Name of its file.

    Returns:
        The description; its hash is of samples, rate and shape, so that any lossless copy has it too.
    """
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
    """A source as the model takes it, its entry in the record, and the warning for the user."""

    waveform: Waveform
    record: SourceRecord
    warning: str

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.waveform.duration_seconds


def open_source(source: Waveform, name: str, config: ModelConfig) -> Source:
    """Bring a source to the model's rate and channels; of more than two channels the mean is taken, with a warning.

    Args:
        source: The sound.
        name: Its name, for the record.
        config: Of the model.

    Returns:
        The source at the model's rate and channels.

    Raises:
        UsageError: For a sound that cannot be edited.
    """
    check_source(source)
    many = source.num_channels > 2
    waveform = conform(to_mono(source) if many else source, config.sample_rate, config.channels)
    return Source(waveform, source_record(source, name), source_warning(waveform, source.num_channels))


def source_warning(waveform: Waveform, num_channels: int) -> str:
    """Build the warning about a source; "" where there is nothing to say.

    Args:
        waveform: as the model takes it.
        num_channels: of the source itself.

    Returns:
        The sentences.
    """
    many = f"The source has {num_channels} channels; their mean is edited." if num_channels > 2 else ""
    over = over_warning(waveform, "The source")
    return " ".join(part for part in (many, f"{over}." if over else "") if part)


def with_length(samples: Samples, num_samples: int) -> Samples:
    """Cut a sound, or fill it up with silence, to a number of samples.

    Args:
        samples: [channels, N].
        num_samples: of the result.

    Returns:
        Samples, [channels, num_samples]; a view of the input where nothing is filled up.
    """
    cut = samples[:, :num_samples]
    missing = num_samples - cut.shape[1]
    return np.pad(cut, ((0, 0), (0, missing))) if missing else cut


def encode_samples(backend: Backend, samples: Samples, hop_length: int, max_frames: int) -> Floats:
    """Encode a whole sound, with a model whose encoder takes a limited length.

    Args:
        backend: encodes.
        samples: [channels, N].
        hop_length: audio samples per latent frame.
        max_frames: the longest that is encoded at a time; longer sounds go in pieces that overlap.

    Returns:
        Latents, [C, ceil(N / hop_length)].
    """
    num_frames = -(-samples.shape[1] // hop_length)
    if num_frames <= max_frames:
        return backend.encode(samples)
    context = min(CONTEXT_FRAMES, max_frames // 4)
    pieces = []
    for first in range(0, num_frames, max_frames - 2 * context):
        begin = max(0, first - context)
        end = min(num_frames, first + max_frames - context)
        latents = backend.encode(samples[:, begin * hop_length : end * hop_length])
        kept = min(num_frames, first + max_frames - 2 * context) - first
        pieces.append(latents[:, first - begin : first - begin + kept])
    return np.concatenate(pieces, axis=1)


def mirrored(samples: Samples, spans: Sequence[tuple[int, int]]) -> Samples:
    """Fill gaps of a sound with the mirror images of what lies next to them.

    Encoders look beyond a frame: whatever stands in a gap colours the latents next to it. Silence there would condition
    the model on an end, and what is to be replaced would condition it on itself.

    Args:
        samples: [channels, N].
        spans: the gaps, [first, end) in samples, in order.

    Returns:
        Samples, [channels, N].
    """
    out = samples.copy()
    ends, starts = [0, *(end for _, end in spans)], [*(first for first, _ in spans[1:]), samples.shape[1]]
    for (first, end), last_end, next_first in zip(spans, ends, starts, strict=False):
        length = end - first
        left = _mirror(samples[:, max(last_end, first - length) : first][:, ::-1], length)
        right = _mirror(samples[:, end : min(next_first, end + length)][:, ::-1], length, from_end=True)
        if left is not None and right is not None:
            down, up = fade_gains(length)
            out[:, first:end] = left * down + right * up
        else:
            out[:, first:end] = left if left is not None else 0.0 if right is None else right
    return out


def _mirror(image: Samples, length: int, *, from_end: bool = False) -> Samples | None:
    """Lengthen an image by reflecting it to and fro; None if it is empty."""
    if image.shape[1] == 0:
        return None
    missing = (length - image.shape[1], 0) if from_end else (0, length - image.shape[1])
    return np.pad(image, ((0, 0), missing), mode="symmetric")
