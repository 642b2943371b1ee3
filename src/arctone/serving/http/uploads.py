"""Uploaded sounds: memory is reserved before decoding, and they are resampled block by block while they are decoded.

A header's length and rate are only used to refuse and to reserve; decoding ends at the first sample too many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from arctone.audio import formats as ogg
from arctone.audio import tags as riff
from arctone.audio.formats import check_container, check_shape, reason, too_long
from arctone.audio.media import is_media, media_shape, open_media
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError, TooLongError, UsageError
from arctone.inference.request import SourceRecord
from arctone.inference.source import Source, check_source, source_warning
from arctone.model_folder.config import ModelConfig
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import Limits

_BLOCK_FRAMES = 65_536
_UNKNOWN_LENGTH = 2**62
# A resampler may give some samples more than the ratio of the rates says.
_SPARE_SAMPLES = 64
# What uploads are called in errors.
_NAME = "audio"
# By how much a track may announce more than its samples: the silence that encoders add.
_PADDING_SECONDS = 1.0

Block = npt.NDArray[np.float32]


class UploadMemory:
    """Bytes that decoded uploads may hold together. Used on the event loop's thread only.

    Args:
        max_bytes: of all unfinished jobs and running decoders together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    def reserve(self, num_bytes: int) -> None:
        """Set memory aside.

        Args:
            num_bytes: How much.

        Raises:
            ApiError: 429 if it is full.
        """
        if self.num_bytes + num_bytes > self._max_bytes:
            raise ApiError(
                429,
                "queue_full",
                "the sounds that wait to be edited fill the memory set aside for them; try again later.",
                headers={"Retry-After": "5"},
            )
        self.num_bytes += num_bytes

    def release(self, num_bytes: int) -> None:
        """Give memory back."""
        self.num_bytes -= num_bytes


class Shape(NamedTuple):
    """Shape of an uploaded file: sample rate in Hz, channels, samples per channel."""

    sample_rate: int
    num_channels: int
    num_samples: int

    def num_bytes(self, config: ModelConfig) -> int:
        """Memory of the sound at the model's rate and channels, in float32."""
        return 4 * config.channels * _capacity(self, config)


def read_shape(file: IO[bytes], limits: Limits) -> Shape:
    """Read the shape of an uploaded sound; a length that is not announced is counted. Called off the event loop.

    Args:
        file: The upload, at its start.
        limits: Of this server.

    Returns:
        Rate, channels and length.

    Raises:
        InputFileError: It is no sound that is read; TooLongError if it is too long.
    """
    seconds = limits.max_audio_seconds
    if _is_media(file):
        return Shape(*media_shape(file, _NAME, seconds))
    with _open(file) as sound:
        rate, channels, num_samples = int(sound.samplerate), int(sound.channels), int(sound.frames)
        most = check_shape(_NAME, rate, channels, num_samples if num_samples < _UNKNOWN_LENGTH else 0, seconds)
        if num_samples >= _UNKNOWN_LENGTH:
            num_samples = sum(len(block) for block in _blocks(sound, most + 1))
        if num_samples > most:
            raise too_long(_NAME, most / rate)
        return Shape(rate, channels, num_samples)


def read_upload(file: IO[bytes], shape: Shape, config: ModelConfig) -> Source:
    """Read the sound in an uploaded file. Called off the event loop.

    Args:
        file: The upload.
        shape: Its shape from `read_shape`, for which memory was reserved.
        config: Of the model that edits the sound.

    Returns:
        The sound at the model's rate and channels.

    Raises:
        InputFileError: It is no sound, is cut off, or cannot be edited.
    """
    if shape.num_samples == 0:
        raise InputFileError("audio holds no samples.")
    digest = _digest(shape)
    with _decoded(file, shape) as blocks:
        samples, count = _decode(blocks, shape, config, digest)
    if count < shape.num_samples or _is_cut(file):
        raise _cut_off()
    for channel in range(1, shape.num_channels):
        # The record's hash takes one channel after the other, and the file holds them interleaved.
        with _decoded(file, shape) as blocks:
            for block in blocks:
                digest.update(np.ascontiguousarray(block[:, channel], "<f4").data)
    record = SourceRecord(
        sha256=digest.hexdigest(),
        name="",
        sample_rate=shape.sample_rate,
        num_channels=shape.num_channels,
        num_samples=shape.num_samples,
    )
    waveform = _checked(samples, config.sample_rate)
    return Source(waveform, record, source_warning(waveform, shape.num_channels))


@contextmanager
def _decoded(file: IO[bytes], shape: Shape) -> Iterator[Iterator[Block]]:
    """The sound as [samples, channels] blocks."""
    if _is_media(file):
        seconds = (shape.num_samples + 1) / shape.sample_rate + _PADDING_SECONDS
        try:
            with open_media(file, _NAME, seconds) as track:
                yield (np.ascontiguousarray(part.T) for part in track.parts)
        except TooLongError:
            raise _cut_off() from None
    else:
        with _open(file) as sound:
            yield _blocks(sound, shape.num_samples)


def _decode(blocks: Iterator[Block], shape: Shape, config: ModelConfig, digest: hashlib._Hash) -> tuple[Block, int]:
    """Samples [channels, samples] at the model's rate, and the number of samples per channel that the file held."""
    channels = config.channels
    resampler = None
    if shape.sample_rate != config.sample_rate:
        resampler = soxr.ResampleStream(shape.sample_rate, config.sample_rate, channels, "float32", "VHQ")
    capacity = _capacity(shape, config)
    buffer = np.empty((channels, capacity), np.float32)
    count = written = 0
    for block in blocks:
        count += len(block)
        digest.update(np.ascontiguousarray(block[:, 0], "<f4").data)
        part = _with_channels(block, channels)
        if resampler is not None:
            part = resampler.resample_chunk(part, last=count == shape.num_samples)
        part = part[: capacity - written]
        buffer[:, written : written + len(part)] = part.T
        written += len(part)
    return _compact(buffer, min(written, _num_resampled(shape, config))), count


def _compact(buffer: Block, num_samples: int) -> Block:
    """The first samples of each channel, moved together within the same memory."""
    channels, capacity = buffer.shape
    flat = buffer.reshape(-1)
    for channel in range(1, channels):
        flat[channel * num_samples : (channel + 1) * num_samples] = flat[
            channel * capacity : channel * capacity + num_samples
        ]
    return flat[: channels * num_samples].reshape(channels, num_samples)


def _with_channels(block: Block, channels: int) -> Block:
    """[samples, channels] of a block as a model needs them; of more than two channels the mean is taken."""
    if block.shape[1] > 2:
        block = np.asarray(block.mean(axis=1, keepdims=True), np.float32)
    if block.shape[1] == channels:
        return block
    if channels == 1:
        return np.asarray(block.mean(axis=1, keepdims=True), np.float32)
    return np.repeat(block, 2, axis=1)


def _num_resampled(shape: Shape, config: ModelConfig) -> int:
    if shape.sample_rate == config.sample_rate:
        return shape.num_samples
    return round(shape.num_samples * config.sample_rate / shape.sample_rate)


def _capacity(shape: Shape, config: ModelConfig) -> int:
    return _num_resampled(shape, config) + _SPARE_SAMPLES


def _digest(shape: Shape) -> hashlib._Hash:
    """Beginning of the hash that `arctone.inference.source.source_record` takes."""
    return hashlib.sha256(f"{shape.sample_rate} {shape.num_channels} {shape.num_samples} ".encode())


def _is_media(file: IO[bytes]) -> bool:
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    return is_media(head)


def _open(file: IO[bytes]) -> soundfile.SoundFile:
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, RuntimeError) as problem:
        raise InputFileError(f"audio is not a sound file that can be read: {reason(problem)}.") from None
    try:
        check_container(_NAME, sound.format)
    except InputFileError:
        sound.close()
        raise
    return sound


def _blocks(sound: soundfile.SoundFile, most: int) -> Iterator[Block]:
    """[samples, channels] blocks of at most `most` samples in all."""
    left = most
    try:
        while left > 0:
            block = sound.read(min(_BLOCK_FRAMES, left), dtype="float32", always_2d=True)
            if len(block) == 0:
                return
            left -= len(block)
            yield block
    except (soundfile.LibsndfileError, RuntimeError) as problem:
        raise InputFileError(f"audio is not a sound file that can be read: {reason(problem)}.") from None


def _is_cut(file: IO[bytes]) -> bool:
    if _is_media(file):
        return False  # a file that ends early is refused, or decodes to what is there
    with _open(file) as sound:
        container = sound.format
    file.seek(0)
    if container in ("WAV", "WAVEX"):
        return riff.is_cut(file)
    if container == "AIFF":
        return riff.is_form_cut(file)
    return container == "OGG" and ogg.is_cut(file)


def _cut_off() -> InputFileError:
    return InputFileError("audio is cut off: it ends before the length that it announces.")


def _checked(samples: Block, rate: int) -> Waveform:
    try:
        waveform = Waveform(samples, rate)
        check_source(waveform)
    except UsageError as problem:
        raise InputFileError(f"audio cannot be used: {problem}") from None
    return waveform
