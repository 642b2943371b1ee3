"""Convert a published model to a model folder, its text encoder and licence files included."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors.torch import save_file
from torch import Tensor

from arctone.checkpoints.published import diffusers as diffusers_layout
from arctone.checkpoints.published import t5 as t5_folder
from arctone.checkpoints.published import t5gemma as t5gemma_folder
from arctone.checkpoints.published.source import (
    MODEL_CONFIG,
    Source,
    find_source,
    find_text_folder,
    has_average,
    licence_files,
    named_as_published,
    unwrapped,
)
from arctone.checkpoints.published.stable_audio_3 import with_noise
from arctone.checkpoints.published.stable_audio_open import build_published_config, is_third, read_published
from arctone.checkpoints.published.t5 import tokenizer_file
from arctone.checkpoints.published.tensor_names import account, from_published, table, to_published
from arctone.checkpoints.tensor_files import read_tensors, read_text_weights, read_weights
from arctone.errors import InputFileError, ModelError, UsageError
from arctone.files.atomic import folder_atomically, refuse_folder
from arctone.files.strict_json import write_config
from arctone.files.text import parse_json, read_bytes
from arctone.model_folder.config import ModelConfig, SameConfig, T5Config, T5GemmaConfig, TextEncoderConfig, of_type
from arctone.model_folder.folder import CONFIG, read_model_config, write_hashes
from arctone.model_folder.tokenizer import FILE_NAME
from arctone.models.continuous_dit import EXACT_PARTS


def text_config(folder: Path, wanted: TextEncoderConfig) -> T5Config | T5GemmaConfig:
    """Read the sizes of the text encoder in a folder.

    Args:
        folder: The folder of a T5 or T5Gemma.
        wanted: The type, width and number of tokens that the model needs.

    Returns:
        The sizes, for as many tokens as `wanted` has.

    Raises:
        ModelError: If there is none, or it is not of the type that is wanted, or not so wide.
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

    Returns:
        Tensors by name.

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


WEIGHTS = "model.safetensors"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Published(NamedTuple):
    """A published checkpoint: the model it describes, its tensors by their published names, and its place.

    text: tensors of a text encoder that lies in the same file, by its own names. has_average: whether the file also
    holds the moving average of the weights.
    """

    config: ModelConfig
    state: Mapping[str, Tensor]
    source: Source
    text: dict[str, Tensor]
    has_average: bool


def read(place: Path, name: str, *, base: bool = False, config: Path | None = None, ema: bool = False) -> Published:
    """This function opens a published checkpoint and accounts for every tensor.

    Args:
        place: A folder in the layout of stable-audio-tools, stable-audio-3 or diffusers, or a weights file.
        name: The model's name.
        base: Whether the base model in the same folder is meant.
        config: The config, where it is not named after the weights.
        ema: Whether a training checkpoint's moving average is taken.

    Returns:
        The config, the weights and their origin.

    Raises:
        ModelError: In one sentence, what is missing, unknown or damaged.
    """
    source = find_source(place, base=base, config=config)
    if source.config is None:
        described, state = diffusers_layout.read(source.folder, name)
    else:
        described, state = read_published(source.config, name), read_weights(source.weights)
    names = table(described)
    inner = unwrapped(state, str(source.weights), ema=ema)
    third = source.config is not None and is_third(source.config)
    tensors, text = named_as_published(inner, names, is_third=third)
    account(tensors, names, str(source.weights))
    return Published(described, tensors, source, text, has_average(state))


def convert(
    source: Path,
    out: Path,
    text: Path | None,
    *,
    name: str = "",
    precision: str = "float32",
    base: bool = False,
    config: Path | None = None,
    ema: bool = False,
    noise: bool = False,
    force: bool = False,
) -> ModelConfig:
    """This function makes a model folder of a published checkpoint and its text encoder, whole or not at all.

    Args:
        source: See `read`.
        out: The new folder.
        text: Folder of the T5 or T5Gemma; None = the one next to the checkpoint.
        name: The model's name; that of the source if empty.
        precision: Of the weights, and so of the arithmetic: float32, bfloat16 or float16. Parts that lose too much stay
            in float32.
        base: See `read`.
        config: See `read`.
        ema: See `read`.
        noise: Whether the autoencoder adds the noise that the public program adds.
        force: Replace a folder.

    Returns:
        The new folder's config.

    Raises:
        ModelError: The checkpoint or the encoder is damaged or of another kind.
        UsageError: The precision is unknown, the target exists, or a model has no such noise.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.", field="precision")
    refuse_folder(out, "model", force=force)
    published = read(
        source, name or (source.resolve().name if source.is_dir() else source.stem), base=base, config=config, ema=ema
    )
    found = published.source
    words = _text_folder(found, published.config, text)
    sizes = text_config(words, published.config.text)
    made = msgspec.structs.replace(published.config, text=sizes)
    if noise:
        made = msgspec.structs.replace(made, autoencoder=_noisy(published))
    with folder_atomically(out, "model", force=force) as folder:
        dtype = PRECISIONS[precision]
        for part, places in table(made).tensors.items():
            save_file(_cast(from_published(published.state, places), dtype, part), folder / f"{part}.safetensors")
        state = text_state(words, sizes, published.text, found.weights)
        save_file(_cast(state, dtype, "text"), folder / "text.safetensors")
        shutil.copyfile(tokenizer_file(_tokenizer_folder(found.folder, words)), folder / FILE_NAME)
        _copy_licences(found, words, folder)
        write_config(folder / CONFIG, made)
        write_hashes(folder)
    return made


def _noisy(published: Published) -> SameConfig:
    autoencoder, config = published.config.autoencoder, published.source.config
    if not isinstance(autoencoder, SameConfig) or config is None:
        raise UsageError(
            f"noise: the autoencoder of {published.source.folder} adds none; only the type 'same' does.", field="noise"
        )
    return with_noise(autoencoder, config)


def publish(folder: Path, out: Path, *, force: bool = False) -> None:
    """This function writes a model folder in the published layout: model_config.json and model.safetensors.

    Args:
        folder: The model folder.
        out: The new folder.
        force: Replace a folder that arctone published before.

    Raises:
        ModelError: The model's types are not those of published models, or a part is damaged.
        UsageError: `out` exists.
    """
    refuse_folder(out, "published model", force=force)
    config = read_model_config(folder)
    names = table(config)
    parts = {part: read_tensors(folder / f"{part}.safetensors") for part in names.tensors}
    with folder_atomically(out, "published model", force=force) as target:
        save_file(to_published(parts, names), target / WEIGHTS)
        (target / MODEL_CONFIG).write_text(_config_text(folder, config))
        for file in licence_files(folder):
            shutil.copyfile(file, target / file.name)


def _config_text(folder: Path, config: ModelConfig) -> str:
    """The config that the model was published with, as long as it still describes it; else one of our own."""
    kept = folder / MODEL_CONFIG
    if kept.is_file():
        published = read_published(kept, config.name)
        if published.dit == config.dit and table(published).tensors == table(config).tensors:
            return kept.read_text()
    return json.dumps(build_published_config(config), indent=2) + "\n"


def _cast(state: Mapping[str, Tensor], dtype: torch.dtype, part: str) -> dict[str, Tensor]:
    exact = EXACT_PARTS if part == "dit" else ()
    types = {name: torch.float32 if name.startswith(exact) and exact else dtype for name in state}
    cast = {name: value.to(types[name]).contiguous() for name, value in state.items()}
    lost = [name for name, value in cast.items() if not torch.isfinite(value).all()]
    if lost:
        raise ModelError(f"{lost[0]} has values beyond the range of {dtype}; use another precision.")
    return cast


def _text_folder(source: Source, config: ModelConfig, text: Path | None) -> Path:
    found = text or find_text_folder(source.folder, source.config)
    if found is not None:
        return found
    wanted = "t5gemma-b-b-ul2" if isinstance(config.text, T5GemmaConfig) else "t5-base"
    raise ModelError(f"{source.folder} holds no text encoder, as published; name the folder of {wanted} with --text.")


def _tokenizer_folder(source: Path, words: Path) -> Path:
    """Next to the T5, or where diffusers keeps it."""
    own = source / "tokenizer"
    return own if not (words / FILE_NAME).is_file() and own.is_dir() else words


def _copy_licences(source: Source, words: Path, folder: Path) -> None:
    """Licences of the text encoder keep their names, unless the checkpoint has a file of that name, too."""
    if source.config is not None:
        shutil.copyfile(source.config, folder / MODEL_CONFIG)
    for file in licence_files(source.folder):
        shutil.copyfile(file, folder / file.name)
    for file in licence_files(words) if words.resolve() != source.folder.resolve() else ():
        if file.name != "README.md":
            target = folder / file.name
            shutil.copyfile(file, target if not target.exists() else folder / f"{file.stem}_TEXT{file.suffix}")
