"""Formats that sounds are sent in: names that clients use, media types, bytes."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from arctone.audio.files import FORMATS, encode_audio
from arctone.audio.resample import resample
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError

MEDIA_TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
}
FILE_FORMATS = tuple(FORMATS)
_RATES = {
    "wav": (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "pcm": (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "flac": (44_100, 48_000),
    "mp3": (22_050, 24_000, 44_100, 48_000),
    "ogg": (44_100, 48_000),
    "opus": (48_000,),
}
_BITRATES = ("mp3", "opus")


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
    """A format that files are kept in. Raises: UsageError with the known ones."""
    if name not in FILE_FORMATS:
        raise UsageError(f"format must be one of {', '.join(FILE_FORMATS)}, got {name[:40]!r}.")
    return name


def output_format(name: str, parameter: str = "output_format") -> OutputFormat:
    """The format of a name such as "mp3", "pcm_16000" or "mp3_44100_128". Raises: UsageError with the known ones."""
    if not re.fullmatch(OUTPUT_PATTERN, name):
        raise UsageError(
            f"{parameter} must be wav, flac, mp3, ogg, opus or pcm, with a sample rate (pcm_16000, mp3_44100_128) or "
            f"without, got {name[:40]!r}."
        )
    codec, _, rest = name.partition("_")
    rate, _, bitrate = rest.partition("_")
    warning = f"{codec} is written at a variable bitrate; {bitrate} kbit/s is not kept to." if bitrate else None
    return OutputFormat(codec, int(rate) if rate else None, warning)


def output_names() -> list[str]:
    """All names without a bitrate, for the API's description."""
    return [*MEDIA_TYPES, *(f"{codec}_{rate}" for codec, rates in _RATES.items() for rate in rates)]


def encoded(waveform: Waveform, wanted: OutputFormat, record: dict[str, Any]) -> bytes:
    """The bytes that are sent. Called off the event loop. Raw samples: 16-bit little-endian, interleaved."""
    if wanted.sample_rate is not None and wanted.sample_rate != waveform.sample_rate:
        waveform = resample(waveform, wanted.sample_rate)
    if wanted.codec != "pcm":
        return encode_audio(waveform, wanted.codec, metadata=record)
    scaled = np.clip(np.rint(waveform.samples.T.astype(np.float64) * 2**15), -(2**15), 2**15 - 1)
    return scaled.astype("<i2").tobytes()
