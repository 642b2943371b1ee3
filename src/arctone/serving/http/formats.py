"""Formats that the API sends, by parameter and Accept header; limits on requests."""

from __future__ import annotations

import importlib.util
import io
import re
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import soundfile
from msgspec import Meta, Struct

from arctone.audio.files import FORMATS, encode_audio
from arctone.audio.waveform import Waveform, resample, to_mono
from arctone.errors import UsageError

_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The upper bounds of one server; seconds are wall-clock time unless the name says audio or duration.

    Raises:
        UsageError: From `checked` in one sentence that names the limit.
    """

    max_queue: _Count = 32
    """Jobs that wait; one more is answered with 429."""
    max_batch: _Count = 1
    """Compatible jobs that one worker advances together, step by step."""
    max_body_bytes: _Count = 32 * 2**20
    max_json_bytes: _Count = 64 * 2**10
    max_audio_seconds: _Seconds = 300.0
    """Of an uploaded sound, counted while it is decoded."""
    max_waiting_audio_bytes: _Count = 160 * 2**20
    """Decoded uploads that all unfinished jobs together may hold; reserved before decoding."""
    max_arriving_bytes: _Count = 2**30
    """Bodies of all open requests together; one more byte is answered with 503."""
    max_steps: _Count = 200
    max_variations: _Count = 16
    max_duration_seconds: _Seconds = 300.0
    max_total_seconds: _Seconds = 600.0
    """Of all variations of one request together."""
    job_timeout_seconds: _Seconds = 300.0
    """From acceptance to result."""
    header_timeout_seconds: _Seconds = 10.0
    """From connecting to the end of the request's headers."""
    body_timeout_seconds: _Seconds = 60.0
    send_timeout_seconds: _Seconds = 30.0
    """How long a client may leave unread what is sent to it; slower than 1,000 bytes a second counts as not reading."""
    max_connections: _Count = 1_000
    """Open at the same time; on one more, everything but /health and /ready is answered with 503."""
    drain_seconds: _Seconds = 30.0
    """How long a stop signal lets accepted jobs go on."""
    retention_seconds: _Seconds = 3600.0
    """How long a finished job and its takes are kept."""
    retention_jobs: _Count = 200
    retention_bytes: _Count = 512 * 2**20
    """Takes on disk, all formats together."""

    def checked(self) -> Limits:
        """The same limits, their own ranges checked."""
        try:
            msgspec.convert(msgspec.to_builtins(self), Limits)
        except msgspec.ValidationError as problem:
            raise UsageError(f"limits cannot be used: {str(problem).lower()}.", field="limits") from None
        return self

    def published(self) -> dict[str, Any]:
        """JSON-ready, for clients."""
        return dict(msgspec.to_builtins(self))


MEDIA_TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
    "aac": "audio/aac",
    "ulaw": "audio/basic",
    "alaw": "audio/x-alaw-basic",
}
FILE_FORMATS = tuple(FORMATS)
_RATES = {
    "wav": (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "pcm": (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "flac": (44_100, 48_000),
    "mp3": (22_050, 24_000, 44_100, 48_000),
    "ogg": (44_100, 48_000),
    "opus": (48_000,),
    "aac": (44_100, 48_000),
    "ulaw": (8_000,),
    "alaw": (8_000,),
}
# Telephone codecs: raw samples of 8 bits at 8 kHz, mono.
_TELEPHONE = {"ulaw": "ULAW", "alaw": "ALAW"}
_BITRATES = ("mp3", "opus", "aac")


def _pattern(codec: str) -> str:
    bitrate = r"(_\d{2,3})?" if codec in _BITRATES else ""
    return f"{codec}(_({'|'.join(map(str, _RATES[codec]))}){bitrate})?"


# What names of output formats look like, for JSON schema.
OUTPUT_PATTERN = f"^({'|'.join(_pattern(codec) for codec in MEDIA_TYPES)})$"


class OutputFormat(NamedTuple):
    """A codec, its sample rate in Hz (None = the model's), and what cannot be met exactly."""

    codec: str
    sample_rate: int | None
    warning: str | None

    @property
    def media_type(self) -> str:
        """For the Content-Type header; raw samples state their rate there, because nothing else does."""
        return MEDIA_TYPES[self.codec]


def file_format(name: str) -> str:
    """Check the name of a format that files are kept in.

    Args:
        name: Such as "wav".

    Returns:
        The name.

    Raises:
        UsageError: With the known names.
    """
    if name not in FILE_FORMATS:
        raise UsageError(f"format must be one of {', '.join(FILE_FORMATS)}, got {name[:40]!r}.", field="format")
    return name


def output_format(name: str, parameter: str = "output_format") -> OutputFormat:
    """Parse the name of a format such as "mp3", "pcm_16000" or "mp3_44100_128".

    Args:
        name: The name.
        parameter: Of the request, for errors.

    Returns:
        The format.

    Raises:
        UsageError: With the known names.
    """
    if not re.fullmatch(OUTPUT_PATTERN, name):
        raise UsageError(
            f"{parameter} must be {', '.join(MEDIA_TYPES)}, with a sample rate (pcm_16000, mp3_44100_128) or without, "
            f"got {name[:40]!r}.",
            field=parameter,
        )
    codec, _, rest = name.partition("_")
    rate, _, bitrate = rest.partition("_")
    warning = f"{codec} is written at a variable bitrate; {bitrate} kbit/s is not kept to." if bitrate else None
    if codec == "aac":
        _refuse_without_pyav(parameter)
    usual = _RATES[codec][0] if codec in _TELEPHONE else None
    return OutputFormat(codec, int(rate) if rate else usual, warning)


def output_names() -> list[str]:
    """All names without a bitrate, for the API's description."""
    return [*MEDIA_TYPES, *(f"{codec}_{rate}" for codec, rates in _RATES.items() for rate in rates)]


def encoded(waveform: Waveform, wanted: OutputFormat, record: dict[str, Any]) -> bytes:
    """The bytes that are sent. Called off the event loop. Raw samples: 16-bit little-endian, interleaved."""
    if wanted.sample_rate is not None and wanted.sample_rate != waveform.sample_rate:
        waveform = resample(waveform, wanted.sample_rate)
    if wanted.codec in _TELEPHONE:
        return _telephone(to_mono(waveform), _TELEPHONE[wanted.codec])
    if wanted.codec == "aac":
        return _aac(waveform)
    if wanted.codec != "pcm":
        return encode_audio(waveform, wanted.codec, metadata=record)
    scaled = np.clip(np.rint(waveform.samples.T.astype(np.float64) * 2**15), -(2**15), 2**15 - 1)
    return scaled.astype("<i2").tobytes()


def _telephone(waveform: Waveform, subtype: str) -> bytes:
    """ITU-T G.711 samples without a header."""
    buffer = io.BytesIO()
    frames = np.clip(waveform.samples.T, -1.0, 1.0)
    soundfile.write(buffer, frames, waveform.sample_rate, subtype, format="RAW")
    return buffer.getvalue()


def _refuse_without_pyav(parameter: str) -> None:
    if importlib.util.find_spec("av") is None:
        raise UsageError(
            f"{parameter} aac needs PyAV, which is not installed on this server; mp3 and opus need nothing.",
            field=parameter,
        )


def _aac(waveform: Waveform) -> bytes:
    """AAC in an ADTS stream, through PyAV."""
    import av

    buffer = io.BytesIO()
    layout = "mono" if waveform.num_channels == 1 else "stereo"
    with av.open(buffer, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=waveform.sample_rate, layout=layout)
        samples = np.ascontiguousarray(waveform.samples)
        for start in range(0, waveform.num_samples, 1024):
            frame = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], format="fltp", layout=layout)
            frame.sample_rate, frame.pts = waveform.sample_rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
