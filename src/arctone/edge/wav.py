"""WAV files by the standard library alone."""

from __future__ import annotations

import io
import wave

from arctone.audio.pcm import rounded
from arctone.audio.waveform import Waveform


def encode_wav(waveform: Waveform) -> bytes:
    """A WAV file of 16-bit samples, those that `arctone.audio.files.encode_audio` writes."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(waveform.num_channels)
        file.setsampwidth(2)
        file.setframerate(waveform.sample_rate)
        file.writeframes(rounded(waveform.samples.T, 16).astype("<i2").tobytes())
    return buffer.getvalue()
