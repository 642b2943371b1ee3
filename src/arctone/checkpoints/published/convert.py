"""Published checkpoints to model folders of ours, and back."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors.torch import save_file
from torch import Tensor

from arctone.checkpoints.published import diffusers as diffusers_layout
from arctone.checkpoints.published.stable_audio_3 import text_folder_name, with_noise
from arctone.checkpoints.published.stable_audio_open import is_third, published_config, read_published
from arctone.checkpoints.published.t5 import tokenizer_file
from arctone.checkpoints.published.tensor_names import account, from_published, settled, table, to_published
from arctone.checkpoints.published.text_folder import text_config, text_state
from arctone.checkpoints.tensor_files import read_checkpoint, read_tensors
from arctone.errors import ModelError, UsageError
from arctone.files.strict_json import write_config
from arctone.model_folder.config import ModelConfig, SameConfig
from arctone.model_folder.folder import CONFIG, read_model_config, write_hashes
from arctone.model_folder.tokenizer import FILE_NAME
from arctone.models.continuous_dit import EXACT_PARTS

MODEL_CONFIG, SAFETENSORS, CHECKPOINT = "model_config.json", "model.safetensors", "model.ckpt"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Texts that belong to the weights go with them.
_TEXTS = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "NOTICE", "README.md", "card.md")


class Published(NamedTuple):
    """A published checkpoint: the model it describes, its tensors by their published names, and its place."""

    config: ModelConfig
    state: Mapping[str, Tensor]
    origin: str


def read(folder: Path, name: str) -> Published:
    """Open a published checkpoint, in the layout of stable-audio-tools or of diffusers, and account for every tensor.

    Args: folder: with model_config.json beside model.safetensors or model.ckpt, or with model_index.json. name: the
    model's name. Raises: ModelError in one sentence.
    """
    if (folder / MODEL_CONFIG).is_file():
        config = read_published(folder / MODEL_CONFIG, name)
        path = _weights(folder)
        state = read_tensors(path) if path.name == SAFETENSORS else read_checkpoint(path)
    elif (folder / diffusers_layout.INDEX).is_file():
        config, state = diffusers_layout.read(folder, name)
        path = folder
    else:
        raise ModelError(
            f"{folder} is no published model: neither {MODEL_CONFIG} nor {diffusers_layout.INDEX} is there."
        )
    names = table(config)
    if is_third(folder / MODEL_CONFIG):
        state = settled(state, names)
    account(state, names, str(path))
    return Published(config, state, str(path))


def _weights(folder: Path) -> Path:
    for name in (SAFETENSORS, CHECKPOINT):
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder} has a {MODEL_CONFIG}, but neither {SAFETENSORS} nor {CHECKPOINT}.")


def convert(
    source: Path,
    out: Path,
    text: Path | None,
    *,
    name: str = "",
    precision: str = "float32",
    noise: bool = False,
    force: bool = False,
) -> ModelConfig:
    """Make a model folder of a published checkpoint and its text encoder; it appears whole or not at all.

    Args: source: see `read`. out: the new folder. text: folder of the T5 or T5Gemma; None = the one that came with
    the checkpoint: text_encoder in the layout of diffusers, the folder that its config names in Stable Audio 3.
    name: the model's name; the source folder's if empty. precision: of the weights, and so of the arithmetic:
    float32, bfloat16 or float16. Parts that lose too much stay in float32. force: replace a folder.
    Returns: the new folder's config. Raises: ModelError; UsageError for an unknown precision or a target that exists.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    published = read(source, name or source.resolve().name)
    words = _text_folder(source, text)
    sizes = text_config(words, published.config.text)
    config = msgspec.structs.replace(published.config, text=sizes)
    if noise:
        if not isinstance(config.autoencoder, SameConfig):
            raise UsageError(f"noise is for autoencoders of the type 'same'; {source} has another, which adds none.")
        autoencoder = with_noise(config.autoencoder, source / MODEL_CONFIG)
        config = msgspec.structs.replace(config, autoencoder=autoencoder)
    with new_folder(out, force=force) as folder:
        dtype = PRECISIONS[precision]
        for part, places in table(config).tensors.items():
            _save(_cast(from_published(published.state, places), dtype, part), folder / f"{part}.safetensors")
        _save(_cast(text_state(words, sizes), dtype, "text"), folder / "text.safetensors")
        shutil.copyfile(tokenizer_file(_tokenizer_folder(source, words)), folder / FILE_NAME)
        _copy_texts(source, folder)
        write_config(folder / CONFIG, config)
        write_hashes(folder)
    return config


def publish(folder: Path, out: Path, *, force: bool = False) -> None:
    """Write a model folder in the published layout: model_config.json and model.safetensors, without the text encoder.

    Raises: ModelError if its types are not those of published models, or a part is damaged; UsageError if `out` exists.
    """
    config = read_model_config(folder)
    names = table(config)
    parts = {part: read_tensors(folder / f"{part}.safetensors") for part in names.tensors}
    with new_folder(out, force=force) as target:
        _save(to_published(parts, names), target / SAFETENSORS)
        kept = folder / MODEL_CONFIG
        content = kept.read_text() if kept.is_file() else json.dumps(published_config(config), indent=2) + "\n"
        (target / MODEL_CONFIG).write_text(content)


@contextmanager
def new_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """A folder to fill, which becomes `out` at the end; nothing is left of it if the work fails."""
    if out.exists() and not force:
        raise UsageError(f"{out} already exists; it is replaced only with force.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as partial:
        folder = Path(partial) / "new"
        folder.mkdir()
        yield folder
        if out.exists():
            out.rename(Path(partial) / "old")
        folder.rename(out)


def _cast(state: Mapping[str, Tensor], dtype: torch.dtype, part: str) -> dict[str, Tensor]:
    exact = EXACT_PARTS if part == "dit" else ()
    types = {name: torch.float32 if name.startswith(exact) and exact else dtype for name in state}
    cast = {name: value.to(types[name]).contiguous() for name, value in state.items()}
    lost = [name for name, value in cast.items() if not torch.isfinite(value).all()]
    if lost:
        raise ModelError(f"{lost[0]} has values beyond the range of {dtype}; use another precision.")
    return cast


def _save(state: dict[str, Tensor], path: Path) -> None:
    """safetensors writes files that only their owner may read; a model is no secret among the users of a machine."""
    save_file(state, path)
    path.chmod(0o644)


def _text_folder(source: Path, text: Path | None) -> Path:
    if text is not None:
        return text
    third, wanted = is_third(source / MODEL_CONFIG), "t5-base"
    beside = source / "text_encoder"
    if third:
        wanted = "t5gemma-b-b-ul2"
        beside = source / (text_folder_name(source / MODEL_CONFIG) or "text_encoder")
    if beside.is_dir():
        return beside
    raise ModelError(f"{source} holds no text encoder, as published; name the folder of {wanted} with --text.")


def _tokenizer_folder(source: Path, words: Path) -> Path:
    """Beside the T5, or where diffusers keeps it."""
    beside = source / "tokenizer"
    return beside if not (words / FILE_NAME).is_file() and beside.is_dir() else words


def _copy_texts(source: Path, folder: Path) -> None:
    for name in (MODEL_CONFIG, *_TEXTS):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
