"""Which sounds are read: formats, rates, channels and lengths, in one place for every face of the program."""

from __future__ import annotations

from dataclasses import dataclass

from arctone.errors import InputFileError

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_CHANNELS = 8
MAX_SECONDS = 600.0
# All channels together: 480 MB as float32, which is 600 seconds of stereo at 96 kHz.
MAX_VALUES = 120_000_000


@dataclass(frozen=True)
class ReadFormat:
    """A format that is read. name: for people. suffixes: of its files. is_media: read through PyAV, the extra media."""

    name: str
    suffixes: tuple[str, ...]
    is_media: bool = False


READ_FORMATS = (
    ReadFormat("WAV", (".wav", ".wave")),
    ReadFormat("FLAC", (".flac",)),
    ReadFormat("OGG", (".ogg", ".oga")),
    ReadFormat("Opus", (".opus",)),
    ReadFormat("MP3", (".mp3",)),
    ReadFormat("AIFF", (".aif", ".aiff", ".aifc")),
    ReadFormat("M4A", (".m4a", ".m4b", ".mp4", ".mov", ".3gp"), is_media=True),
    ReadFormat("AAC", (".aac",), is_media=True),
    ReadFormat("WebM", (".webm", ".mkv", ".mka"), is_media=True),
    ReadFormat("CAF", (".caf",), is_media=True),
    ReadFormat("WMA", (".wma",), is_media=True),
)
SOUND_SUFFIXES = frozenset(suffix for each in READ_FORMATS if not each.is_media for suffix in each.suffixes)
MEDIA_SUFFIXES = frozenset(suffix for each in READ_FORMATS if each.is_media for suffix in each.suffixes)


def format_names() -> str:
    """The formats as a sentence lists them.

    >>> format_names()
    'WAV, FLAC, OGG, Opus, MP3, AIFF, M4A, AAC, WebM, CAF and WMA'
    """
    *most, last = (each.name for each in READ_FORMATS)
    return f"{', '.join(most)} and {last}"


def check_shape(name: str, sample_rate: int, num_channels: int, num_samples: int, max_seconds: float) -> int:
    """How many samples per channel may be read; ask before anything is decoded.

    Args:
        name: What the sound is called in errors.
        sample_rate: As the file announces it, in Hz.
        num_channels: As the file announces it.
        num_samples: Announced length per channel; 0 if it is unknown.
        max_seconds: Longest sound.

    Raises:
        InputFileError: If the announced rate, channels or length are beyond what is read.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise InputFileError(
            f"{name} has a sample rate of {sample_rate} Hz, but {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are read."
        )
    if not 1 <= num_channels <= MAX_CHANNELS:
        raise InputFileError(f"{name} has {num_channels} channels, but 1 to {MAX_CHANNELS} are read.")
    if num_samples > max_seconds * sample_rate:
        seconds = num_samples / sample_rate
        raise InputFileError(f"{name} is {seconds:.1f} seconds long, but at most {max_seconds:g} are read.")
    if num_samples * num_channels > MAX_VALUES:
        raise InputFileError(
            f"{name} has {num_samples * num_channels / 1e6:.0f} million values in {num_channels} channels at "
            f"{sample_rate} Hz, but at most {MAX_VALUES // 1_000_000} million are read."
        )
    return int(min(max_seconds * sample_rate, MAX_VALUES // num_channels))
