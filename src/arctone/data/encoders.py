"""The encoders of a model folder as plain functions on numpy arrays, each with the hash of its weights.

B batch, C channels of the latents, N audio samples, T latent frames, L text tokens, D text width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.func import functional_call

from arctone.audio.spectral.features import features
from arctone.checkpoints.folder import encoder_hash, load_autoencoder, load_config
from arctone.checkpoints.text import find_text_folder, load_text_encoder, text_hash
from arctone.data.captions import TextEncoder
from arctone.data.encode import Encoder
from arctone.errors import UsageError
from arctone.model_folder.config import TextConfig, of_type
from arctone.model_folder.tokenizer import Tokenizer

Array = npt.NDArray[Any]
PRECISIONS = ("32-true", "bf16-mixed")


class AudioEncoding(NamedTuple):
    """encode: float32 [B, 2, N] to latents [B, C, N / hop_length]. hash: SHA-256 of the weights."""

    encode: Encoder
    hash: str
    hop_length: int
    sample_rate: int


class TextEncoding(NamedTuple):
    """encode: captions to a list of (tokens [L, D], pooled [D]). hash: SHA-256 of the weights."""

    encode: TextEncoder
    hash: str


def open_autoencoder(folder: str | Path, precision: str = "32-true") -> AudioEncoding:
    """The encoder half of a trained model's autoencoder.

    Args: precision: "32-true", or "bf16-mixed" for matrix products in bfloat16: twice as fast on CPUs that have them,
    latents off by about 0.5 % of their deviation.
    Raises: UsageError for another precision, ModelError if the folder has no autoencoder.
    """
    folder = Path(folder)
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be {' or '.join(PRECISIONS)}, got {precision!r}.", field="precision")
    config, module = load_config(folder), load_autoencoder(folder)

    @torch.inference_mode()
    def encode(audio: Array) -> Array:
        rows = torch.from_numpy(np.stack([features(one) for one in audio]))  # [B, F, 4 T]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            latents: Array = module.encoder(rows).float().numpy()
        return latents

    return AudioEncoding(encode, encoder_hash(folder), config.hop_length, config.sample_rate)


def open_text_encoder(folder: str | Path) -> TextEncoding:
    """The text encoder of a model folder, or the installed all-MiniLM-L6-v2. Raises: ModelError if there is neither."""
    return text_encoding(find_text_folder(Path(folder)), of_type(load_config(Path(folder)).text, TextConfig))


def text_encoding(found: Path, config: TextConfig) -> TextEncoding:
    """The text encoder in a folder that find_text_folder gave. Raises: ModelError."""
    module, tokenizer = load_text_encoder(found, config), Tokenizer(found, config.max_tokens)

    @torch.inference_mode()
    def encode(captions: list[str]) -> list[tuple[Array, Array]]:
        encoded = [tokenizer.encode(caption) for caption in captions]
        longest = max(int(one.mask.sum()) for one in encoded)
        ids = torch.from_numpy(np.stack([one.ids[:longest] for one in encoded]))
        mask = np.stack([one.mask[:longest] for one in encoded])
        # The module has a fixed length; most captions fill a quarter of it, and padding changes nothing but the time.
        positions = {"positions": module.positions[:longest]}
        tokens, pooled = functional_call(module, positions, (ids, torch.from_numpy(mask.astype(np.float32))))
        return [(rows[real].numpy(), one.numpy()) for rows, real, one in zip(tokens, mask, pooled, strict=True)]

    return TextEncoding(encode, text_hash(found))


def use_threads(num_threads: int) -> None:
    """CPU threads that the encoders of this process use."""
    torch.set_num_threads(num_threads)
