"""Adapters of other programs, adopted once: written in our layout for the model that they belong to.

peft's folders do not say which weights they were trained on, and their layers may have the names of the published
network. Stable Audio 3 writes one file of matrices with its settings in the header; of its kinds, "lora" and "lora-xs"
are low-rank sums and are read, the others rescale whole weights and are refused by name.

Source: Hu et al. 2021 (LoRA); Bałazy et al. 2024, "LoRA-XS" (arXiv 2405.17604).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from arctone.checkpoints.folder import DIT, FLOW, has_flow, load_config, load_state, part_hash
from arctone.checkpoints.lora import CONFIG, Origin, Pairs, read_peft, save_adapter
from arctone.checkpoints.published.tensor_names import table
from arctone.checkpoints.tensor_files import read_checkpoint
from arctone.errors import ModelError, UsageError
from arctone.model_folder.config import ContinuousDiTConfig, ModelConfig
from arctone.models.lora import LoraConfig

_PARAMETRIZED = ".parametrizations.weight.0."
# What stands before a layer's name in the published model, where an adapter leaves it out.
_PREFIXES = ("", "model.", "model.model.", "conditioner.")
_LOW_RANK = ("lora", "lora-xs")


def adopt(source: Path, model: Path, out: Path) -> int:
    """This function writes an adapter of another program as one of the model's.

    Args:
        source: A folder that peft wrote, or a file of Stable Audio 3's LoRA training.
        model: The model it is for. That it was trained on it cannot be checked, only that it fits.
        out: The new folder.

    Returns:
        How many layers it changes.

    Raises:
        UsageError: `out` exists.
        ModelError: The adapter is damaged, of another kind, or does not fit the model.
    """
    if out.exists():
        raise UsageError(f"out: {out} already exists; choose another folder")
    config = load_config(model)
    part = FLOW if has_flow(model) else DIT
    weights = load_state(model, part)
    if source.is_dir():
        pairs = {_own_name(name, weights, config, source): pair for name, pair in read_peft(source).items()}
    elif source.is_file():
        pairs = _read_third(source, weights, config)
    else:
        raise ModelError(f"{source} is neither a folder with {CONFIG} nor a LoRA file.")
    _require_fit(pairs, weights, source, model)
    # The scale is in the matrices already, so that layers may have ranks and scales of their own.
    rank = max(down.shape[0] for down, _ in pairs.values())
    padded = {name: _padded(pair, rank) for name, pair in pairs.items()}
    origin = Origin(config.name, part_hash(model, part))
    save_adapter(out, padded, LoraConfig(rank=rank, alpha=float(rank), target_modules=tuple(padded)), origin)
    return len(padded)


def _padded(pair: tuple[Tensor, Tensor], rank: int) -> tuple[Tensor, Tensor]:
    down, up = pair
    missing = rank - down.shape[0]
    return torch.nn.functional.pad(down, (0, 0, 0, missing)), torch.nn.functional.pad(up, (0, missing))


def _own_name(layer: str, weights: Mapping[str, Tensor], config: ModelConfig, source: Path) -> str:
    """Our name of a layer, which may come under ours or under the published one."""
    if f"{layer}.weight" in weights:
        return layer
    if isinstance(config.dit, ContinuousDiTConfig):
        places = {place.name: name for name, place in table(config).tensors[DIT].items()}
        for prefix in _PREFIXES:
            found = places.get(f"{prefix}{layer}.weight")
            if found is not None:
                return found.removesuffix(".weight")
    raise ModelError(f"{source} changes the layer {layer}, which {config.name} has not.")


def _require_fit(pairs: Pairs, weights: Mapping[str, Tensor], source: Path, model: Path) -> None:
    if not pairs:
        raise ModelError(f"{source} changes no layer.")
    for layer, (down, up) in pairs.items():
        shape, wanted = (up.shape[0], down.shape[1]), tuple(weights[f"{layer}.weight"].shape)
        if shape != wanted:
            raise ModelError(f"{source} changes {layer} {list(shape)}, but in {model} it is {list(wanted)}.")
        if not (down.isfinite().all() and up.isfinite().all()):
            raise ModelError(f"{source}: the matrices of {layer} have values that are not finite.")


def _read_third(path: Path, weights: Mapping[str, Tensor], config: ModelConfig) -> Pairs:
    """The layers of a file of Stable Audio 3, scaled; as its loader reads them."""
    tensors, settings = _third_tensors(path)
    kind = str(settings.get("adapter_type", "lora"))
    if kind not in _LOW_RANK:
        raise ModelError(
            f"{path}: adapter_type is {kind!r}, which rescales whole weights; read are {' and '.join(_LOW_RANK)}."
        )
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        layer, found, ending = name.partition(_PARAMETRIZED)
        if not found:
            raise ModelError(f"{path} holds {name}, which is no part of a LoRA.")
        layers.setdefault(layer, {})[ending] = value.float()
    pairs: Pairs = {}
    for layer, parts in layers.items():
        own = _own_name(layer, weights, config, path)
        down, up = _matrices(path, layer, kind, parts, weights[f"{own}.weight"])
        rank = int(settings.get("rank", down.shape[0]))
        pairs[own] = down, up * (float(settings.get("alpha", rank)) / rank)
    return pairs


def _matrices(path: Path, layer: str, kind: str, parts: Mapping[str, Tensor], weight: Tensor) -> tuple[Tensor, Tensor]:
    wanted = {"lora_A", "lora_B"} if kind == "lora" else {"M_xs"}
    if set(parts) != wanted:
        held, needed = ", ".join(sorted(parts)), ", ".join(sorted(wanted))
        raise ModelError(f"{path} holds {held} for {layer}, but {kind} needs {needed}.")
    if kind == "lora":
        return parts["lora_A"], parts["lora_B"]
    # The frozen bases are the weight's first singular vectors; the largest entry of each left one is positive.
    core = parts["M_xs"]
    left, _, right = torch.linalg.svd(weight.float(), full_matrices=False)
    signs = left[left.abs().argmax(dim=0), torch.arange(left.shape[1])].sign()
    signs[signs == 0] = 1
    rank = core.shape[0]
    return right[:rank] * signs[:rank, None], (left[:, :rank] * signs[:rank]) @ core


def _third_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if path.suffix != ".safetensors":
        return read_checkpoint(path), {}
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            settings = json.loads((file.metadata() or {}).get("lora_config", "{}"))
    except (SafetensorError, OSError, ValueError) as problem:
        raise ModelError(f"{path} is not a whole safetensors file: {str(problem).rstrip('.')}.") from None
    if not isinstance(settings, dict):
        raise ModelError(f"{path}: lora_config in its header is no object.")
    return tensors, settings
