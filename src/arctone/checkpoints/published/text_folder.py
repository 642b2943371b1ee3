"""The text encoder of a published folder, whichever it is."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from arctone.checkpoints.published import t5 as t5_folder
from arctone.checkpoints.published import t5gemma as t5gemma_folder
from arctone.checkpoints.tensor_files import read_text_weights
from arctone.errors import InputFileError, ModelError
from arctone.files.text import parse_json, read_bytes
from arctone.model_folder.config import T5Config, T5GemmaConfig, TextEncoderConfig, of_type


def text_config(folder: Path, wanted: TextEncoderConfig) -> T5Config | T5GemmaConfig:
    """The sizes of the encoder in a folder, for as many tokens as `wanted` has.

    Raises: ModelError if there is none, or it is not of the type that is wanted, or not so wide.
    """
    is_gemma = _model_type(folder) == t5gemma_folder.MODEL_TYPE
    if is_gemma != isinstance(wanted, T5GemmaConfig):
        kind, other = ("T5Gemma", "a T5") if isinstance(wanted, T5GemmaConfig) else ("T5", "a T5Gemma")
        raise ModelError(f"{folder} holds {other}, but the model reads prompts with {kind}.")
    read = t5gemma_folder.t5gemma_config if is_gemma else t5_folder.t5_config
    found = read(folder, wanted.max_tokens)
    if found.width != wanted.width:
        raise ModelError(f"{folder} is {found.width} wide, but the model reads text {wanted.width} wide.")
    return found


def text_state(
    folder: Path, config: T5Config | T5GemmaConfig, inside: dict[str, Tensor] | None = None, origin: Path | None = None
) -> dict[str, Tensor]:
    """This function gives a text encoder's weights by our names, mapped.

    Args:
        folder: Of the encoder.
        config: Its sizes.
        inside: Its tensors where they lie in the checkpoint itself; they are taken instead of those of the folder.
        origin: The checkpoint, for errors.

    Raises:
        ModelError: The sentence names every tensor that does not fit.
    """
    is_gemma = isinstance(config, T5GemmaConfig)
    published, path = (
        (inside, origin or folder) if inside else read_text_weights(folder, "T5Gemma" if is_gemma else "T5")
    )
    if isinstance(config, T5GemmaConfig):
        return t5gemma_folder.t5gemma_state(published, path, config)
    return t5_folder.t5_state(published, path, of_type(config, T5Config))


def _model_type(folder: Path) -> str:
    try:
        return str(parse_json(read_bytes(folder / "config.json")).get("model_type", ""))
    except (InputFileError, ValueError, AttributeError):
        return ""  # what is wrong with it is said where it is read
