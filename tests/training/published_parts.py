"""Shrunk published models with random weights, and sounds of their length encoded by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from arctone.checkpoints.published.convert import convert
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.encoders import open_autoencoder, open_text_encoder
from arctone.data.sources import open_source
from tests.checkpoints.published_folders import KINDS_3, published_folder, t5_folder

CAPTIONS = ("rain", "a low tone", "a high tone", "noise", "two tones", "wind")


def converted_model(kind: str, folder: Path) -> Path:
    """A model folder of ours, converted from random weights in the published layout."""
    published = published_folder(kind, folder / "as-published")
    text = None if kind in KINDS_3 else t5_folder(folder / "t5-base")
    convert(published, folder / "model", text, name=kind)
    return folder / "model"


def write_sounds(folder: Path, number: int = 6) -> Path:
    """Tones of 0.2 to 0.45 seconds, each with a caption."""
    folder.mkdir(parents=True)
    for item in range(number):
        time = np.arange(int(44_100 * (0.2 + 0.05 * item))) / 44_100
        tone = 0.4 * np.sin(2 * np.pi * (200 + 90 * item) * time)
        soundfile.write(folder / f"{item}.wav", np.stack([tone, 0.5 * tone], 1), 44_100)
        (folder / f"{item}.txt").write_text(CAPTIONS[item % len(CAPTIONS)])
    return folder


def encode_with(model: Path, sounds: Path, folder: Path) -> Path:
    """Latents of the sounds, and their captions, by a model's own encoders."""
    audio, text = open_autoencoder(model), open_text_encoder(model)
    settings = EncodeSettings(hop_length=audio.hop_length, frames_multiple=4, num_workers=0)
    encode_corpus(
        open_source(str(sounds)), audio.encode, text.encode, folder,
        autoencoder_hash=audio.hash, text_encoder_hash=text.hash, settings=settings,
    )  # fmt: skip
    return folder
