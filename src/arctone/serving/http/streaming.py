"""Sounds that are sent while they are made: their level, their bytes, and the response."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import NamedTuple

import numpy as np

from arctone.audio.files import encode_audio
from arctone.audio.formats import rounded
from arctone.audio.regions import fade_edges
from arctone.audio.tags import chunks
from arctone.audio.waveform import Samples, Waveform
from arctone.errors import UsageError
from arctone.inference.request import to_metadata
from arctone.inference.resolution import resolve_request
from arctone.model_folder.config import ModelConfig
from arctone.serving.http.adapters import ServedEngine
from arctone.serving.http.formats import OutputFormat
from arctone.serving.http.jobs import Job
from arctone.serving.http.workers import cancelled_error

STREAMED = ("wav", "pcm")
# The peak of the first part, and what no later part may exceed, in dBFS.
FIRST_PEAK_DB, HIGHEST_PEAK_DB = -6.0, -1.0
# How long the level takes to fall where a part would exceed the highest peak.
_FALL_SECONDS = 0.1


def check_format(wanted: OutputFormat, config: ModelConfig) -> None:
    """Refuse formats that cannot be written before the whole sound is known.

    Args:
        wanted: the format of the answer.
        config: of the model.

    Raises:
        UsageError: if it is none of STREAMED, or of another rate.
    """
    own_rate = wanted.sample_rate in (None, config.sample_rate)
    if wanted.codec not in STREAMED or not own_rate:
        raise UsageError(
            f"stream must be false or not given, except for wav and pcm at {config.sample_rate} Hz.", field="stream"
        )


class RunningLevel:
    """The level of a sound whose later parts are not known yet.

    The first part that is not silent gets a peak of -6 dBFS. Its gain stays; it falls where a later part would exceed
    -1 dBFS, before the first sample that does, and never rises.

    Args:
        policy: normalize of the request; "off" leaves the sound as it is.
        sample_rate: in Hz.
    """

    def __init__(self, policy: str, sample_rate: int) -> None:
        self._is_off = policy == "off"
        self._fall = max(1, round(_FALL_SECONDS * sample_rate))
        self._gain: float | None = None

    def apply(self, samples: Samples) -> Samples:
        """Return the next part at its level, [channels, samples]."""
        peak = float(np.abs(samples).max(initial=0.0))
        if self._is_off or peak == 0.0:
            return samples
        if self._gain is None:
            self._gain = 10 ** (FIRST_PEAK_DB / 20) / peak
        before, most = self._gain, 10 ** (HIGHEST_PEAK_DB / 20)
        if peak * before <= most:
            return samples * np.float32(before)
        self._gain = most / peak
        first_over = int(np.argmax(np.abs(samples).max(axis=0) * before > most))
        fall = min(self._fall, first_over)
        gains = np.full(samples.shape[1], self._gain, np.float32)
        gains[: first_over - fall] = before
        gains[first_over - fall : first_over] = np.linspace(before, self._gain, fall, endpoint=False)
        return samples * gains


class Frame(NamedTuple):
    """What surrounds the samples of a file, how many there are per channel, and warnings known beforehand."""

    head: bytes
    tail: bytes
    num_samples: int
    warnings: tuple[str, ...]


def frame_of(job: Job, engine: ServedEngine, codec: str) -> Frame:
    """Everything of a file but its samples. Called off the event loop.

    Args:
        job: with its resolved request.
        engine: that makes the sound.
        codec: "wav" or "pcm".

    Returns:
        The frame.
    """
    config = engine.config
    resolved = resolve_request(job.request, config, has_flow=engine.has_flow, source=None, threads=None)
    count = max(1, round(float(resolved.request.duration_seconds or 0.0) * config.sample_rate))
    if codec == "pcm":
        return Frame(b"", b"", count, tuple(resolved.warnings))
    record = to_metadata(resolved.request, model_name=config.name, model_hash=engine.model_hash, engine=engine.name) | {
        "streamed": True
    }
    silence = Waveform(np.zeros((config.channels, count), np.float32), config.sample_rate)
    data = encode_audio(silence, "wav", metadata=record)
    offset, size = next((at, size) for name, at, size in chunks(io.BytesIO(data)) if name == b"data")
    return Frame(data[:offset], data[offset + size :], count, tuple(resolved.warnings))


async def wait_for_part(job: Job) -> None:
    """Return once a part of the sound is there, or the job is final."""
    while not job.parts and not job.is_final:
        await job.changed.wait()


async def stream_bytes(job: Job, frame: Frame, sample_rate: int) -> AsyncIterator[bytes]:
    """Give the bytes of the answer as the sound is made; of one window, once it is made.

    Args:
        job: that makes it.
        frame: of the file.
        sample_rate: in Hz.

    Yields:
        Bytes.

    Raises:
        ApiError: the sound was not finished; the connection then breaks, because a shorter answer must not look whole.
    """
    level, first = RunningLevel(job.request.normalize or "peak", sample_rate), 0
    yield frame.head
    while first < frame.num_samples:
        await wait_for_part(job)
        if job.parts:
            samples = job.parts.popleft()
            first += samples.shape[1]
            is_first, is_last = first == samples.shape[1], first >= frame.num_samples
            fade_edges(samples, sample_rate, at_start=is_first, at_end=is_last)
            samples = await asyncio.to_thread(level.apply, samples)
        elif job.state == "done" and job.result is not None and first == 0:
            samples, first = job.result.waveforms[0].samples, frame.num_samples
        else:
            raise job.error or cancelled_error()
        yield await asyncio.to_thread(_as_pcm, samples)
    yield frame.tail


def _as_pcm(samples: Samples) -> bytes:
    """16-bit samples, little-endian, interleaved."""
    return rounded(samples.T, 16).astype("<i2").tobytes()
