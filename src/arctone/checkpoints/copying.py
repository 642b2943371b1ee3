"""Parts of one model folder put into another, from safetensors files or out of the graphs of a shipped folder."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from arctone.checkpoints.folder import AUTOENCODER, load_config, load_state, save_part
from arctone.checkpoints.text import OWN, find_text_folder, load_text_encoder
from arctone.checkpoints.weights_map import MAP, load_from_graphs, part_state
from arctone.files.atomic import file_atomically, write_atomically
from arctone.files.strict_json import write_config
from arctone.model_folder.config import ModelConfig, TextConfig, of_type
from arctone.model_folder.tokenizer import FILE_NAME


def copy_autoencoder(given: Path, folder: Path, config: ModelConfig | None = None) -> None:
    """Write a model's autoencoder into a folder that has none yet, with the model's config or the one that is given.

    Raises: ModelError if the model has no autoencoder.
    """
    if not (folder / f"{AUTOENCODER}.safetensors").exists():
        save_part(folder, AUTOENCODER, load_state(given, AUTOENCODER), config or load_config(given))
    elif not (folder / "config.json").exists():
        write_config(folder / "config.json", config or load_config(given))


def copy_text(given: Path, folder: Path) -> None:
    """Write a model's text encoder and tokenizer, or the installed all-MiniLM-L6-v2, where the folder has none yet.

    Raises: ModelError if there is neither.
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
    Args: config: None = the model's. Raises: ModelError if the model has no autoencoder.
    """
    copy_autoencoder(given, folder, config)
    if has_text(given):
        copy_text(given, folder)
