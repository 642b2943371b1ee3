"""Opus as a yardstick: a waveform through opusenc and opusdec, or through ffmpeg, and back in step with the
original.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arctone.audio.files import read_audio, write_audio
from arctone.audio.waveform import Waveform

# Pre-skip and resampling are undone by the decoder; what is left stays far below this.
MAX_DELAY = 2048


@dataclass(frozen=True)
class OpusTrip:
    """waveform: as long as the original. bits_per_second: of the file. delay: samples removed. seconds of both
    halves.
    """

    waveform: Waveform
    bits_per_second: float
    delay: int
    encode_seconds: float
    decode_seconds: float


def available() -> bool:
    """Whether one of the two programs is installed."""
    return shutil.which("ffmpeg") is not None or _has_opus_tools()


def version() -> str:
    """First line of what the encoder says about itself."""
    command = ["opusenc", "--version"] if _has_opus_tools() else ["ffmpeg", "-version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def round_trip(waveform: Waveform, kilobits_per_second: int) -> OpusTrip:
    """Encode and decode. Raises: subprocess.CalledProcessError if a program fails."""
    with tempfile.TemporaryDirectory() as folder:
        source, packed, decoded = (Path(folder) / name for name in ("source.wav", "packed.opus", "decoded.wav"))
        write_audio(source, waveform, subtype="pcm24")
        encode_seconds = _timed(_encode_command(source, packed, kilobits_per_second))
        decode_seconds = _timed(_decode_command(packed, decoded, waveform.sample_rate))
        bits = 8 * packed.stat().st_size / waveform.duration_seconds
        back, delay = aligned(read_audio(decoded), waveform)
    return OpusTrip(back, bits, delay, encode_seconds, decode_seconds)


def aligned(decoded: Waveform, original: Waveform) -> tuple[Waveform, int]:
    """The decoded sound moved to where it correlates best with the original, and cut or filled to its length.

    Returns: the waveform and the delay that was removed, -2048 to 2048 samples.
    """
    length = original.num_samples
    fitted = np.zeros((original.num_channels, length + 2 * MAX_DELAY), np.float32)
    kept = min(decoded.num_samples, length + MAX_DELAY)
    fitted[:, MAX_DELAY : MAX_DELAY + kept] = decoded.samples[:, :kept]
    size = 1 << int(np.ceil(np.log2(fitted.shape[1] + length)))
    spectrum = np.fft.rfft(fitted, size) * np.fft.rfft(original.samples, size).conj()
    correlation = np.fft.irfft(spectrum.sum(axis=0), size)[: 2 * MAX_DELAY + 1]
    start = int(correlation.argmax()) if correlation.any() else MAX_DELAY
    return original.with_samples(fitted[:, start : start + length]), start - MAX_DELAY


def _has_opus_tools() -> bool:
    return shutil.which("opusenc") is not None and shutil.which("opusdec") is not None


def _encode_command(source: Path, packed: Path, rate: int) -> list[str]:
    if _has_opus_tools():
        # Constrained: with free variable rate, short percussive sounds get almost twice the bits that were asked for.
        options = ["--quiet", "--cvbr", "--padding", "0", "--bitrate", str(rate)]
        return ["opusenc", *options, str(source), str(packed)]
    options = ["-c:a", "libopus", "-vbr", "constrained", "-b:a", f"{rate}k"]
    return ["ffmpeg", "-loglevel", "error", "-i", str(source), *options, str(packed)]


def _decode_command(packed: Path, decoded: Path, sample_rate: int) -> list[str]:
    if _has_opus_tools():
        return ["opusdec", "--quiet", "--float", "--rate", str(sample_rate), str(packed), str(decoded)]
    return ["ffmpeg", "-loglevel", "error", "-i", str(packed), "-ar", str(sample_rate), str(decoded)]


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start
