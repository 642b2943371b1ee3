"""Sounds that clients send: decoded block by block, counted in samples while it happens, never trusted."""

from __future__ import annotations

from typing import IO

import numpy as np
import soundfile

from arctone.audio.sndfile import reason
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError, UsageError
from arctone.inference.source import check_source
from arctone.serving.http.errors import ApiError
from arctone.serving.http.limits import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, Limits

_BLOCK_FRAMES = 65_536
CONTAINERS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF", "MPEG")


def decoded(file: IO[bytes], limits: Limits) -> Waveform:
    """The sound in an uploaded file. Called off the event loop.

    What the header announces (length, rate) is only used to refuse; memory grows with what is really decoded, and
    decoding ends at the first sample too many.
    Raises: InputFileError if it is no sound; ApiError 413 if it is too long or UsageError if it cannot be edited.
    """
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            _check_shape(sound)
            samples = _blocks(sound, limits)
            rate = int(sound.samplerate)
    except (soundfile.LibsndfileError, RuntimeError) as problem:
        raise InputFileError(f"audio is not a sound file that can be read: {reason(problem)}.") from None
    return _checked(samples, rate)


def _check_shape(sound: soundfile.SoundFile) -> None:
    if sound.format not in CONTAINERS:
        raise InputFileError(f"audio is a {sound.format} file, but WAV, FLAC, OGG, Opus, MP3 and AIFF are read.")
    if not 1 <= sound.channels <= MAX_CHANNELS:
        raise InputFileError(f"audio has {sound.channels} channels, but at most {MAX_CHANNELS} are read.")
    # A forged rate would make resampling, not decoding, fill the memory.
    if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
        raise InputFileError(
            f"audio has a sample rate of {sound.samplerate} Hz, but {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} are read."
        )


def _blocks(sound: soundfile.SoundFile, limits: Limits) -> np.ndarray:
    most = int(limits.max_audio_seconds * sound.samplerate)
    blocks: list[np.ndarray] = []
    num_frames = 0
    while True:
        block = sound.read(min(_BLOCK_FRAMES, most + 1 - num_frames), dtype="float32", always_2d=True)
        num_frames += len(block)
        if num_frames > most:
            raise ApiError(
                413,
                "too_large",
                f"audio is longer than the {limits.max_audio_seconds:g} seconds that are read.",
                "audio",
            )
        if len(block) == 0:
            break
        blocks.append(block.T)
    if not blocks:
        raise InputFileError("audio holds no samples.")
    return np.concatenate(blocks, axis=1)


def _checked(samples: np.ndarray, rate: int) -> Waveform:
    try:
        waveform = Waveform(samples, rate)
        check_source(waveform)
    except UsageError as problem:
        raise InputFileError(f"audio cannot be used: {problem}") from None
    return waveform
