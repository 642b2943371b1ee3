"""How a sound is written to a file: rate, channels, sample format, trimmed ends, with or without its record."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from arctone.audio.files import FORMATS, encode_audio
from arctone.audio.formats import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from arctone.audio.waveform import Waveform, resample, to_mono
from arctone.errors import UsageError, one_of

CHANNELS = ("mono", "stereo")
# Names of sample formats by bits; 32 are floating point.
BIT_DEPTHS = {16: "pcm16", 24: "pcm24", 32: "float32"}
TRIM_DB = -60.0
_FADE_SECONDS = 0.005
# The first moment a ZIP file can state: the same sounds give the same file.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Delivery:
    """How files are written; None leaves the model's own.

    Args:
        sample_rate: In Hz.
        channels: "mono" (the mean of the channels) or "stereo".
        bit_depth: 16, 24 or 32 (floating point, WAV only).
        trim: Cut what lies below -60 dB of the peak off both ends, with fades of 5 ms.
        metadata: Write the record of the request into the file.

    Raises:
        UsageError: If a value is none of these.
    """

    sample_rate: int | None = None
    channels: str | None = None
    bit_depth: int | None = None
    trim: bool = False
    metadata: bool = True

    def __post_init__(self) -> None:
        rate = self.sample_rate
        if rate is not None and not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            allowed = f"a whole number from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
            raise UsageError(field="sample_rate", value=rate, allowed=allowed)
        if self.channels not in (None, *CHANNELS):
            raise UsageError(field="channels", value=self.channels, allowed=one_of(CHANNELS))
        if self.bit_depth is not None and self.bit_depth not in BIT_DEPTHS:
            raise UsageError(field="bit_depth", value=self.bit_depth, allowed=one_of(BIT_DEPTHS))

    def check(self, format: str) -> None:
        """Refuse a format that cannot hold these settings; call it before the sound is generated.

        Args:
            format: Name of one of `FORMATS`, such as "wav".

        Raises:
            UsageError: If the format has no such bit depth or sample rate.
        """
        if self.bit_depth is not None and BIT_DEPTHS[self.bit_depth] not in FORMATS[format].subtypes:
            bits = [str(bits) for bits, name in BIT_DEPTHS.items() if name in FORMATS[format].subtypes]
            allowed = f"{' or '.join(bits)} in a {format} file" if bits else f"left out for {format}, which is lossy"
            raise UsageError(field="bit_depth", value=self.bit_depth, allowed=allowed)
        if self.sample_rate is not None and format == "opus" and self.sample_rate != 48_000:
            raise UsageError(field="sample_rate", value=self.sample_rate, allowed="48000 in an opus file")
        if self.sample_rate is not None and format == "mp3" and self.sample_rate > 48_000:
            raise UsageError(field="sample_rate", value=self.sample_rate, allowed="at most 48000 in an mp3 file")

    def apply(self, waveform: Waveform, *, is_loop: bool = False) -> Waveform:
        """Convert a sound to this rate, these channels and edges.

        Args:
            waveform: The sound; where a setting is None, it is left as it is.
            is_loop: A loop is never trimmed, because its length is its tempo.

        Returns:
            The converted sound.
        """
        if self.trim and not is_loop:
            waveform = trimmed(waveform)
        if self.channels == "mono" and waveform.num_channels > 1:
            waveform = to_mono(waveform)
        if self.channels == "stereo" and waveform.num_channels == 1:
            waveform = Waveform(np.repeat(waveform.samples, 2, axis=0), waveform.sample_rate)
        if self.sample_rate is not None and self.sample_rate != waveform.sample_rate:
            waveform = resample(waveform, self.sample_rate)
        return waveform

    def encode(self, waveform: Waveform, format: str, metadata: dict[str, Any]) -> bytes:
        """Encode a sound with these settings.

        Args:
            waveform: The sound.
            format: One of the formats of `formats`, such as "wav".
            metadata: The record that the file carries.

        Returns:
            The bytes of a file.

        Raises:
            UsageError: If the format cannot hold the sound.
        """
        request = metadata.get("request")
        is_loop = isinstance(request, dict) and bool(request.get("loop"))
        subtype = None if self.bit_depth is None else BIT_DEPTHS[self.bit_depth]
        sound = self.apply(waveform, is_loop=is_loop)
        return encode_audio(sound, format, subtype=subtype, metadata=metadata if self.metadata else None)


def trimmed(waveform: Waveform, floor_db: float = TRIM_DB) -> Waveform:
    """The part between the first and the last sample above a level below the peak, with fades of 5 ms at its edges.

    Args:
        waveform: The sound; silence is returned as it is.
        floor_db: Level under the peak in dB, below 0.

    Returns:
        The part, at least one sample long.
    """
    level = np.abs(waveform.samples).max(axis=0)
    loud = np.flatnonzero(level > level.max(initial=0.0) * 10 ** (floor_db / 20))
    if len(loud) == 0:
        return waveform
    fade = round(_FADE_SECONDS * waveform.sample_rate)
    first, last = max(0, int(loud[0]) - fade), min(waveform.num_samples, int(loud[-1]) + 1 + fade)
    samples = waveform.samples[:, first:last].copy()
    ramp = np.linspace(0.0, 1.0, min(fade, samples.shape[1] // 2), endpoint=False, dtype=np.float32)
    if len(ramp) and first > 0:
        samples[:, : len(ramp)] *= ramp
    if len(ramp) and last < waveform.num_samples:
        samples[:, -len(ramp) :] *= ramp[::-1]
    return Waveform(samples, waveform.sample_rate)


def as_zip(files: Mapping[str, bytes]) -> bytes:
    """Pack files into a ZIP file; the same files give the same bytes.

    Args:
        files: Contents by file name. They are stored without compression.

    Returns:
        The bytes of the ZIP file.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()
