"""LoRA adapter files: read, write, apply to a model, merge into its weights.

Which weights an adapter was trained on stands in the header of its weights file, as their SHA-256, so that it is never
laid over others.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from arctone.checkpoints.folder import DIT, FLOW, has_flow, load_config, load_state, part_hash, save_part
from arctone.checkpoints.text import copy_autoencoder, copy_text
from arctone.errors import ModelError, UsageError
from arctone.files.atomic import folder_atomically, refuse_folder, write_atomically
from arctone.files.strict_json import read_config, write_config
from arctone.files.text import parse_typed
from arctone.models.lora import LoraConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_OWN = "arctone"

T = TypeVar("T", int, float)
Pairs = dict[str, tuple[Tensor, Tensor]]


class AdapterConfig(msgspec.Struct, frozen=True):
    """The keys of peft's LoraConfig that matter here; others that it writes are read over."""

    r: int
    lora_alpha: float
    target_modules: list[str] | str | None = None
    lora_dropout: float = 0.0
    peft_type: str = "LORA"
    task_type: str | None = None
    bias: str = "none"
    fan_in_fan_out: bool = False
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    modules_to_save: list[str] | None = None
    base_model_name_or_path: str | None = None
    inference_mode: bool = True


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an adapter was trained on. base_hash: SHA-256 of the transformer's weights. steps: updates it was given."""

    base_name: str
    base_hash: str
    steps: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter that was read.

    pairs: (down [rank, in], up [out, rank]) by layer. digest: SHA-256 of its weights file.
    """

    name: str
    scale: float
    pairs: Pairs
    origin: Origin
    digest: str


def save_adapter(folder: Path, pairs: Mapping[str, tuple[Tensor, Tensor]], config: LoraConfig, origin: Origin) -> None:
    """Write an adapter; its weights come last, so that the folder is complete once they exist.

    Args:
        folder: Folder of the adapter; it is created if it is missing.
        pairs: Down [rank, inputs] and up [outputs, rank] by name of the layer.
        config: Rank, alpha and targets.
        origin: The model that it was trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = AdapterConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=[*config.target_modules],
        base_model_name_or_path=origin.base_name,
    )
    tensors = {
        f"{_PREFIX}{name}{ending}": value.detach().float().cpu().contiguous()
        for name, pair in pairs.items()
        for ending, value in zip((_DOWN, _UP), pair, strict=True)
    }
    metadata = {"format": "pt", _OWN: msgspec.json.encode(origin).decode()}
    write_config(folder / CONFIG, described)
    write_atomically(folder / WEIGHTS, save(tensors, metadata), force=True)


def load_adapter(folder: Path) -> Adapter:
    """Read an adapter's folder.

    Args:
        folder: The folder of an adapter.

    Returns:
        The adapter.

    Raises:
        ModelError: If it is none, is damaged, needs more than low-rank matrices, or names no base.
    """
    config, tensors, metadata = _read_files(folder)
    path = folder / WEIGHTS
    return Adapter(
        name=folder.resolve().name,
        scale=config.lora_alpha / config.r,
        pairs=_pairs(path, tensors, config),
        origin=_origin(path, metadata),
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def read_peft(folder: Path) -> Pairs:
    """This function reads the matrices of a folder that peft wrote, each with its scale in the second.

    Args:
        folder: The folder.

    Returns:
        Both matrices by the name of the layer.

    Raises:
        ModelError: It is no adapter, is damaged, or needs more than low-rank matrices.
    """
    config, tensors, _ = _read_files(folder)
    scale = config.lora_alpha / config.r
    return {layer: (down, scale * up) for layer, (down, up) in _pairs(folder / WEIGHTS, tensors, config).items()}


def _read_files(folder: Path) -> tuple[AdapterConfig, dict[str, Tensor], dict[str, str]]:
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} holds no adapter: {CONFIG} and {WEIGHTS} are needed.")
    config = read_config(folder / CONFIG, AdapterConfig)
    _refuse_other_kinds(folder, config)
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            return config, {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as problem:
        raise ModelError(f"{path} is not a whole safetensors file: {str(problem).rstrip('.')}.") from None


def applied(
    state: Mapping[str, Tensor], adapters: Iterable[tuple[Adapter, float]], *, origin: str
) -> dict[str, Tensor]:
    """Add adapters to a network's weights, each at its strength.

    Args:
        state: Weights by name.
        adapters: Adapters with their strengths; several on one layer add up.
        origin: What the weights are called in errors.

    Returns:
        Weights by name.

    Raises:
        ModelError: For a layer that the network does not have or has in another shape.
        UsageError: For a strength that is no number.
    """
    changed = dict(state)
    for adapter, strength in adapters:
        if not math.isfinite(strength):
            raise UsageError(
                f"lora: the strength of {adapter.name} is {strength}, but it must be a finite number.", field="lora"
            )
        for layer, (down, up) in adapter.pairs.items():
            name = f"{layer}.weight"
            shape = (up.shape[0], down.shape[1])
            if name not in changed or tuple(changed[name].shape) != shape:
                raise ModelError(f"the adapter {adapter.name} changes {layer} {list(shape)}, which {origin} has not.")
            weight = changed[name]
            # In double precision, so that the order of several adapters does not show.
            delta = (adapter.scale * strength) * (up.double() @ down.double())
            changed[name] = (weight.double() + delta.to(weight.device)).to(weight.dtype)
    return changed


def refuse_other_base(adapter: Adapter, folder: Path) -> None:
    """Refuse an adapter that was trained on another model.

    Args:
        adapter: The adapter.
        folder: Folder of the model.

    Raises:
        ModelError: Unless it was trained on this model, or on the flow model that this one was made from.
    """
    wanted = adapter.origin.base_hash
    parts = [DIT, *([FLOW] if has_flow(folder) else [])]
    # The cheapest first: a part's hash may mean reading it out of the graphs.
    if wanted != load_config(folder).flow_hash and all(wanted != part_hash(folder, part) for part in parts):
        raise ModelError(
            f"the adapter {adapter.name} was trained on other weights ({adapter.origin.base_name}, "
            f"{adapter.origin.base_hash[:12]}) than those of {folder}: train it again on this model."
        )


def _refuse_other_kinds(folder: Path, config: AdapterConfig) -> None:
    beyond = {
        "peft_type": config.peft_type != "LORA",
        "bias": config.bias != "none",
        "fan_in_fan_out": config.fan_in_fan_out,
        "use_dora": config.use_dora,
        "modules_to_save": bool(config.modules_to_save),
    }
    for name, is_used in beyond.items():
        if is_used:
            raise ModelError(f"{folder / CONFIG}: {name} is {getattr(config, name)!r}, which arctone cannot apply.")
    if config.r < 1:
        raise ModelError(f"{folder / CONFIG}: r is {config.r}, but it must be 1 or more.")


def _pairs(path: Path, tensors: Mapping[str, Tensor], config: AdapterConfig) -> Pairs:
    """The matrices by layer, so scaled that the adapter's one scale holds for all of them."""
    pairs: Pairs = {}
    for name, value in tensors.items():
        layer = name.removeprefix(_PREFIX).removesuffix(_DOWN).removesuffix(_UP)
        if not name.startswith(_PREFIX) or not name.endswith((_DOWN, _UP)):
            raise ModelError(f"{path} holds {name}, which is no part of a LoRA.")
        if not value.isfinite().all():
            raise ModelError(f"{path}: {name} has values that are not finite.")
        down, up = (tensors.get(f"{_PREFIX}{layer}{ending}") for ending in (_DOWN, _UP))
        if down is None or up is None:
            raise ModelError(f"{path} holds only one of the two matrices of {layer}.")
        rank = _pattern(config.rank_pattern, layer, config.r)
        if rank < 1 or down.shape[0] != rank or up.shape[1] != rank:
            raise ModelError(f"{path}: the matrices of {layer} are not of rank {rank}, which {CONFIG} states.")
        alpha = _pattern(config.alpha_pattern, layer, config.lora_alpha)
        size = math.sqrt(rank) if config.use_rslora else rank
        further = alpha / size / (config.lora_alpha / config.r)
        pairs[layer] = (down, up if further == 1 else up * further)
    return pairs


def _pattern(patterns: Mapping[str, T], layer: str, usual: T) -> T:
    """The value of the first pattern that fits a layer's name or its end, as peft reads them."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", layer)), usual)


def _origin(path: Path, metadata: Mapping[str, str]) -> Origin:
    try:
        return parse_typed(metadata[_OWN], Origin)
    except (KeyError, ValueError):
        raise ModelError(
            f"{path} does not say which weights the adapter was trained on; name its model with arctone lora adopt."
        ) from None


_LICENCE_FILES = ("LICENSE", "NOTICE", "licence")


def merge(model: Path, adapters: Sequence[tuple[Path, float]], out: Path) -> None:
    """Write a model's folder with adapters merged into its transformer, each at its strength.

    Args:
        model: The folder of a model.
        adapters: Folders of adapters with their strengths.
        out: Appears whole or not at all. It can be generated from with the torch engine, and exported.

    Raises:
        UsageError: If `out` exists or no adapter is given.
        ModelError: If an adapter belongs to other weights.
    """
    refuse_folder(out, "model")
    if not adapters:
        raise UsageError("lora: at least one adapter is needed to merge", field="lora")
    config = load_config(model)
    laid = [(load_adapter(folder), strength) for folder, strength in adapters]
    for adapter, _ in laid:
        refuse_other_base(adapter, model)
    names = "+".join([config.name, *dict.fromkeys(adapter.name for adapter, _ in laid)])
    # The flow model that a post-trained one was made from does not hold the adapters, so it is not carried over.
    merged = msgspec.structs.replace(config, name=names, flow_hash="")
    state = applied(load_state(model, DIT), laid, origin=str(model))
    with folder_atomically(out, "model") as folder:
        copy_autoencoder(model, folder, merged)
        copy_text(model, folder)
        save_part(folder, DIT, state, merged)
        for name in _LICENCE_FILES:
            if (model / name).is_file():
                shutil.copyfile(model / name, folder / name)
