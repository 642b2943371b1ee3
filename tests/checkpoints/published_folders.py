"""Checkpoints in the published layout, from what was recorded of the public program, with random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from arctone.checkpoints.published import t5gemma as t5gemma_folder
from arctone.checkpoints.published.stable_audio_open import read_published
from arctone.checkpoints.published.t5 import places, t5_config
from arctone.checkpoints.published.tensor_names import table
from benchmarks.parity.shapes import KINDS, drawn
from benchmarks.parity.shapes_3 import KINDS_3

RECORDED = Path(__file__).parent / "reference"
ALL_KINDS = (*KINDS, *KINDS_3)
__all__ = ["ALL_KINDS", "KINDS", "KINDS_3", "RECORDED", "published_folder", "recorded", "t5_folder", "tensors"]


def recorded(kind: str) -> dict[str, np.ndarray]:
    """What the public program computed."""
    with np.load(RECORDED / f"{kind}.npz") as file:
        return dict(file)


def tensors(kind: str, folder: Path) -> dict[str, Tensor]:
    """The published state, by the recorded names and shapes. folder: with its model_config.json."""
    shapes = json.loads((RECORDED / f"{kind}.json").read_text())["shapes"]
    constants = table(read_published(folder / "model_config.json", kind)).constants
    return {
        name: constants[name] if name in constants else torch.from_numpy(drawn(name, tuple(shape)))
        for name, shape in shapes.items()
    }


def published_folder(kind: str, folder: Path) -> Path:
    """A folder with model_config.json and model.safetensors; of Stable Audio 3 also with its text encoder."""
    folder.mkdir(parents=True)
    config = json.loads((RECORDED / f"{kind}.json").read_text())["config"]
    (folder / "model_config.json").write_text(json.dumps(config))
    save_file(tensors(kind, folder), folder / "model.safetensors")
    if kind in KINDS_3:
        t5gemma_folder_of(folder / "t5gemma-b-b-ul2")
    return folder


def t5gemma_folder_of(folder: Path) -> Path:
    """A folder with a T5Gemma encoder of a few thousand weights."""
    folder.mkdir(parents=True)
    shutil.copyfile(RECORDED / "t5gemma.json", folder / "config.json")
    shutil.copyfile(RECORDED / "t5gemma-tokenizer.json", folder / "tokenizer.json")
    wanted = t5gemma_folder.places(t5gemma_folder.t5gemma_config(folder, 12)).values()
    # The weights were drawn from the names that they have in the encoder alone.
    state = {f"encoder.{p.name}": torch.from_numpy(drawn(f"encoder.{p.name}", p.shape)) for p in wanted}
    save_file(state, folder / "model.safetensors")
    return folder


def t5_folder(folder: Path) -> Path:
    """A folder with a T5 of a few thousand weights."""
    folder.mkdir(parents=True)
    shutil.copyfile(RECORDED / "t5.json", folder / "config.json")
    shutil.copyfile(RECORDED / "tokenizer.json", folder / "tokenizer.json")
    wanted = places(t5_config(folder, 12)).values()
    save_file({p.name: torch.from_numpy(drawn(p.name, p.shape)) for p in wanted}, folder / "model.safetensors")
    return folder
