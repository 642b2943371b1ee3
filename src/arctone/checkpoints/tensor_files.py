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

POINTER = b"version https://git-lfs.github.com/spec"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, mapped: nothing is copied. Raises: ModelError in one sentence."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as problem:
        raise ModelError(f"{path} is not a whole safetensors file: {_reason(path, problem)}.") from None


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a .ckpt or .bin file, under "state_dict" if there is one. No code in the file is run.

    Raises: ModelError in one sentence if it is damaged, or if it would have to run code.
    """
    try:
        content = _loaded(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as problem:
        raise ModelError(f"{path} is not a whole checkpoint of tensors alone: {_reason(path, problem)}.") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds other things than named tensors, so it is no checkpoint that can be read.")
    return {str(name): value for name, value in state.items()}


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

    Raises: ModelError if the folder holds neither of the two files that encoders are published in, or a damaged one.
    """
    path = folder / "model.safetensors"
    if path.is_file():
        return read_tensors(path), path
    path = folder / "pytorch_model.bin"
    if path.is_file():
        return read_checkpoint(path), path
    raise ModelError(f"{folder} holds no {kind}: neither model.safetensors nor pytorch_model.bin is there.")
