"""A tiny corpus made on the spot, and encoders with answers that are known in advance."""

from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.data.sound import ClipInfo
from arctone.errors import InputFileError

Array = npt.NDArray[Any]
RATE = 44_100
HOP = 2048
SPLITS = ("train", "train", "train", "valid", "test")


class ToneSource:
    """Clip i is a constant of level (i + 1) / 100 on the left and its negative on the right, 0.1 to 1.2 s long."""

    def __init__(self, num_clips: int = 20, broken: tuple[int, ...] = ()) -> None:
        self.num_clips = num_clips
        self.broken = broken

    def __len__(self) -> int:
        return self.num_clips

    def num_samples(self, index: int) -> int:
        return 4410 + (index * 7919) % 48_000

    def info(self, index: int) -> ClipInfo:
        if not 0 <= index < self.num_clips:
            raise IndexError(index)
        captions = () if index % 7 == 6 else (f"tone {index}", f"a hum, number {index}", "a tone")
        return ClipInfo(
            id=f"tone-{index:03d}",
            caption=captions[0] if captions else "",
            captions=captions,
            duration_seconds=self.num_samples(index) / RATE,
            bpm=100.0 + index if index % 2 else None,
            category="tones",
            split=SPLITS[index % 5],
            licence="CC0-1.0",
            source="made",
        )

    def waveform(self, index: int) -> Waveform:
        if index in self.broken:
            raise InputFileError(f"clip {index} is broken.")
        level = (index + 1) / 100
        samples = np.full((2, self.num_samples(index)), level, np.float32)
        samples[1] *= -1
        return Waveform(samples, RATE)


def frame_means(audio: Array) -> Array:
    """[B, 2, N] to [B, 3, N / 2048]: mean of each channel and mean square, exact for constants."""
    frames = audio.reshape(audio.shape[0], 2, -1, HOP).astype(np.float64)
    means = frames.mean(axis=3)
    return np.concatenate([means, (frames**2).mean(axis=(1, 3))[:, None]], axis=1)


def letters(captions: list[str]) -> list[tuple[Array, Array]]:
    """One token a letter: [code / 128, position]; pooled: their mean."""
    tokens = [np.array([[ord(c) / 128, i] for i, c in enumerate(caption)], np.float32) for caption in captions]
    return [(rows, rows.mean(axis=0)) for rows in tokens]
