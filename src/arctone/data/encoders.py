"""The encoders of a model folder as plain functions on numpy arrays, each with the hash of its weights.

B batch, C channels of the latents, N audio samples, T latent frames, L text tokens, D text width.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call

from arctone.audio.spectral.features import features
from arctone.checkpoints.folder import encoder_hash, load_autoencoder, load_config
from arctone.checkpoints.parts import ENCODER, TEXT, openers
from arctone.checkpoints.text import (
    file_hash,
    find_text_folder,
    has_graphs_alone,
    is_minilm,
    load_text_encoder,
    text_hash,
)
from arctone.data.encode import Encoder
from arctone.data.latent_files import TextEncoder
from arctone.errors import UsageError
from arctone.model_folder.config import ModelConfig, OobleckConfig, SpectralConfig, TextConfig
from arctone.model_folder.folder import TEXT as TEXT_GRAPH
from arctone.model_folder.tokenizer import Tokenizer

Array = npt.NDArray[Any]
PRECISIONS = ("32-true", "bf16-mixed")


class AudioEncoding(NamedTuple):
    """An autoencoder as encoding needs it.

    Args:
        encode: Float32 [B, 2, N] to latents [B, C, N / hop_length].
        hash: SHA-256 of the weights.
    """

    encode: Encoder
    hash: str
    hop_length: int
    sample_rate: int


class TextEncoding(NamedTuple):
    """A text encoder as encoding needs it.

    Args:
        encode: Captions to a list of (tokens [L, D], pooled [D]).
        hash: SHA-256 of the weights.
    """

    encode: TextEncoder
    hash: str


def open_autoencoder(folder: str | Path, precision: str = "32-true") -> AudioEncoding:
    """Open the encoder half of a trained model's autoencoder.

    Args:
        folder: Model folder.
        precision: "32-true", or "bf16-mixed" for matrix products in bfloat16: twice as fast on CPUs that have them,
            latents off by about 0.5 % of their deviation.

    Returns:
        The encoder and the hash of its weights.

    Raises:
        UsageError: for another precision.
        ModelError: if the folder has no autoencoder.
    """
    folder = Path(folder)
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be {' or '.join(PRECISIONS)}, got {precision!r}.", field="precision")
    config = load_config(folder)
    latents_of = _latents_of(folder, config)

    @torch.inference_mode()
    def encode(audio: Array) -> Array:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            latents: Array = latents_of(audio).float().numpy()
        return latents

    return AudioEncoding(encode, encoder_hash(folder), config.hop_length, config.sample_rate)


def _latents_of(folder: Path, config: ModelConfig) -> Callable[[Array], Tensor]:
    """Returns the function from samples [B, 2, N] to latents [B, C, T], by the type of the autoencoder."""
    kind = config.autoencoder
    if isinstance(kind, SpectralConfig):
        encoder = load_autoencoder(folder).encoder
        return lambda audio: encoder(torch.from_numpy(np.stack([features(one) for one in audio])))  # [B, F, 4 T]
    module = openers(folder, config, only=(ENCODER,))[ENCODER]().float()
    if isinstance(kind, OobleckConfig):
        # Of the encoder's normal distribution the mean is taken, so that encoding is repeatable.
        return lambda audio: module(torch.from_numpy(audio))[0] / kind.scale
    return lambda audio: module(torch.from_numpy(audio))


def open_text_encoder(folder: str | Path) -> TextEncoding:
    """Open the text encoder of a model folder, or the installed all-MiniLM-L6-v2 where the model has that one.

    Args:
        folder: Model folder.

    Returns:
        The encoder and the hash of its weights.

    Raises:
        ModelError: if there is neither.
    """
    folder = Path(folder)
    config = load_config(folder)
    if not isinstance(config.text, TextConfig):
        return _words_encoding(folder, config)
    if has_graphs_alone(folder) and not is_minilm(config.text):
        module = openers(folder, config, only=(TEXT,))[TEXT]()
        return _encoding(module, Tokenizer(folder, config.text.max_tokens), file_hash(folder / TEXT_GRAPH))
    return text_encoding(find_text_folder(folder), config.text)


def text_encoding(found: Path, config: TextConfig) -> TextEncoding:
    """Open the text encoder in a folder that find_text_folder gave.

    Args:
        found: Folder of the text encoder.
        config: Sizes of the text.

    Returns:
        The encoder and the hash of its weights.

    Raises:
        ModelError: if a part is missing or damaged.
    """
    return _encoding(load_text_encoder(found, config), Tokenizer(found, config.max_tokens), text_hash(found))


def _encoding(module: nn.Module, tokenizer: Tokenizer, weights_hash: str) -> TextEncoding:
    @torch.inference_mode()
    def encode(captions: list[str]) -> list[tuple[Array, Array]]:
        encoded = [tokenizer.encode(caption) for caption in captions]
        longest = max(int(one.mask.sum()) for one in encoded)
        ids = torch.from_numpy(np.stack([one.ids[:longest] for one in encoded]))
        mask = np.stack([one.mask[:longest] for one in encoded])
        # The module has a fixed length; most captions fill a quarter of it, and padding changes nothing but the time.
        positions = {"positions": module.get_parameter("positions")[:longest]}
        tokens, pooled = functional_call(module, positions, (ids, torch.from_numpy(mask.astype(np.float32))))
        return [(rows[real].numpy(), one.numpy()) for rows, real, one in zip(tokens, mask, pooled, strict=True)]

    return TextEncoding(encode, weights_hash)


def _words_encoding(folder: Path, config: ModelConfig) -> TextEncoding:
    """Returns a T5 or T5Gemma as it lies in a model folder; captions are padded to the longest of them alone."""
    module, tokenizer = openers(folder, config, only=(TEXT,))[TEXT]().float(), Tokenizer(folder, config.text.max_tokens)

    @torch.inference_mode()
    def encode(captions: list[str]) -> list[tuple[Array, Array]]:
        encoded = [tokenizer.encode(caption) for caption in captions]
        longest = max(int(one.mask.sum()) for one in encoded)
        ids = torch.from_numpy(np.stack([one.ids[:longest] for one in encoded]))
        mask = np.stack([one.mask[:longest] for one in encoded])
        tokens, pooled = module(ids, torch.from_numpy(mask.astype(np.float32)))
        rows = zip(tokens.float(), mask, pooled.float(), strict=True)
        return [(states[real].numpy(), one.numpy()) for states, real, one in rows]

    return TextEncoding(encode, text_hash(folder))


def use_threads(num_threads: int) -> None:
    """CPU threads that the encoders of this process use."""
    torch.set_num_threads(num_threads)
