"""Tensors from files of others: safetensors, or a checkpoint of torch of which nothing but tensors is believed."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from arctone.errors import ModelError
from arctone.files.text import parse_json, read_bytes

INDEX = ".index.json"
POINTER = b"version https://git-lfs.github.com/spec"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, mapped: nothing is copied. Raises: ModelError in one sentence."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as problem:
        raise ModelError(f"{path} is not a whole safetensors file: {_reason(path, problem)}.") from None


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a .ckpt or .bin file, under "state_dict" if there is one. No code in the file is run.

    Raises: ModelError in one sentence if it is damaged, or if it would have to run code.
    """
    try:
        content = _loaded(path)
    except Exception as problem:  # torch and pickle pass on whatever a damaged file makes them meet
        raise ModelError(f"{path} is not a whole checkpoint of tensors alone: {_reason(path, problem)}.") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds other things than named tensors, so it is no checkpoint that can be read.")
    return {str(name): value for name, value in state.items()}


def read_weights(path: Path) -> dict[str, Tensor]:
    """This function reads all tensors of a file of any kind: safetensors, a checkpoint of torch, or an index of shards.

    Raises:
        ModelError: The file or a shard is missing or damaged, or would have to run code.
    """
    if path.name.endswith(INDEX):
        return _read_shards(path)
    return read_tensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)


def _read_shards(path: Path) -> dict[str, Tensor]:
    places = _shard_places(path)
    found: dict[str, Tensor] = {}
    for file in dict.fromkeys(places.values()):
        if not (path.parent / file).is_file():
            raise ModelError(f"{path} names the shard {file}, which is not there.")
        found.update(read_weights(path.parent / file))
    missing = [name for name in places if name not in found]
    if missing:
        raise ModelError(f"{path} names {missing[0]} in {places[missing[0]]}, which does not hold it.")
    return found


def _shard_places(path: Path) -> dict[str, str]:
    try:
        places: dict[str, str] = parse_json(read_bytes(path, error=ModelError))["weight_map"]
    except (ModelError, ValueError, KeyError, TypeError):
        raise ModelError(f"{path} is no index of shards: it has no weight_map.") from None
    plain = isinstance(places, dict) and all(
        isinstance(file, str) and Path(file).name == file for file in places.values()
    )
    if not plain or any(file.endswith(INDEX) for file in places.values()):
        raise ModelError(f"{path} is no index of shards: weight_map must give a file beside it for each tensor.")
    return dict(places)


def _loaded(path: Path) -> Any:
    """Only tensors and plain containers are built; anything else that the pickle asks for is refused by torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks on old files would follow a sentence that says all
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as problem:
            if "mmap" not in str(problem):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)


def _reason(path: Path, problem: Exception) -> str:
    if _is_pointer(path):
        return "it is only the pointer of a file in git-lfs; get the file itself"
    if isinstance(problem, pickle.UnpicklingError):
        return "it asks for code to be run, which is never done"
    first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    return first.rstrip(".")


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False


def read_text_weights(folder: Path, kind: str) -> tuple[dict[str, Tensor], Path]:
    """The tensors of a published text encoder, and the file they lie in. kind: what it is, for people.

    Raises: ModelError if the folder holds no file that encoders are published in, or a damaged one.
    """
    names = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
    for name in names:
        if (folder / name).is_file():
            return read_weights(folder / name), folder / name
    raise ModelError(f"{folder} holds no {kind}: neither model.safetensors nor pytorch_model.bin is there.")
