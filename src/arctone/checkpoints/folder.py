"""A model's training weights on disk: config.json and one safetensors file per part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from arctone.checkpoints.weights_map import MAP, load_from_graphs, part_state
from arctone.errors import ModelError, UsageError
from arctone.files.atomic import file_atomically
from arctone.files.strict_json import read_config, write_config
from arctone.model_folder.config import DiTConfig, ModelConfig, SpectralConfig, of_type
from arctone.models.dit import DiT
from arctone.models.spectral import SpectralAutoencoder

AUTOENCODER, DIT = "autoencoder", "dit"
# Of a post-trained model: the transformer it was made from. Adapters are trained on it.
FLOW = "flow"
FLOW_GRAPH = f"{FLOW}.tflite"
M = TypeVar("M", bound=nn.Module)


def save_part(folder: Path, part: str, state: dict[str, Tensor], config: ModelConfig) -> None:
    """Write one part's weights and the model's config, atomically.

    Args:
        folder: Folder of the model; it is created if it is missing.
        part: Name of the part, such as DIT.
        state: Tensors by name.
        config: The model's config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with file_atomically(folder / f"{part}.safetensors", force=True) as partial:
        save_file({name: value.detach().contiguous() for name, value in state.items()}, partial)
    write_config(folder / "config.json", config)


def load_config(folder: Path) -> ModelConfig:
    """Read the config of a model.

    Args:
        folder: The folder of a model.

    Returns:
        The config.

    Raises:
        ModelError: If it is missing or wrong.
    """
    return read_config(folder / "config.json", ModelConfig)


def load_autoencoder(folder: Path) -> SpectralAutoencoder:
    """Load the autoencoder of a model.

    Args:
        folder: The folder of a model.

    Returns:
        The autoencoder in evaluation mode.

    Raises:
        ModelError: If a file is missing, damaged or does not fit the config.
    """
    return _filled(SpectralAutoencoder(of_type(load_config(folder).autoencoder, SpectralConfig)), folder, AUTOENCODER)


def load_dit(folder: Path, part: str = DIT) -> DiT:
    """Load the diffusion transformer of a model.

    Args:
        folder: The folder of a model.
        part: DIT, the model's own, or FLOW, the one that a post-trained model was made from.

    Returns:
        The transformer in evaluation mode.

    Raises:
        ModelError: If a file is missing, damaged or does not fit the config.
    """
    return _filled(DiT(of_type(load_config(folder).dit, DiTConfig)), folder, part)


def part_hash(folder: Path, part: str) -> str:
    """Compute the hash of a part's weights.

    Args:
        folder: Folder of a model.
        part: Name of the part, such as DIT.

    Returns:
        SHA-256 in hex of the weights file; of a shipped folder, of the file that its graphs would be written to.

    Raises:
        ModelError: If the weights are missing or damaged.
    """
    if has_part_in_graphs(folder, part):
        return hashlib.sha256(save(load_state(folder, part))).hexdigest()
    return hashlib.sha256(_file(folder, part).read_bytes()).hexdigest()


def encoder_hash(folder: Path) -> str:
    """Compute the hash that identifies the latents of a model: that of its encoder, without its decoder.

    Args:
        folder: Folder of a model.

    Returns:
        SHA-256 in hex of the encoder's tensors.

    Raises:
        ModelError: If the weights are missing or damaged.
    """
    state = load_state(folder, AUTOENCODER)
    halves = {name: value.contiguous() for name, value in state.items() if name.startswith("encoder.")}
    return hashlib.sha256(save(halves)).hexdigest()


def has_part_in_graphs(folder: Path, part: str) -> bool:
    """Whether a part must be read from the graphs of a shipped folder."""
    return not (folder / f"{part}.safetensors").is_file() and (folder / MAP).is_file()


def has_flow(folder: Path) -> bool:
    """Whether a post-trained model's folder also holds the flow model it was made from."""
    return (folder / f"{FLOW}.safetensors").is_file() or (folder / FLOW_GRAPH).is_file()


def flow_part(folder: Path) -> str:
    """Choose the part of a model that is a flow model: its transformer, or the one that a post-trained one was made
    from.

    Args:
        folder: The folder of a model.

    Returns:
        DIT or FLOW.

    Raises:
        UsageError: If a post-trained model's folder holds no flow model.
    """
    if not load_config(folder).sampling.post_trained:
        return DIT
    if not has_flow(folder):
        raise UsageError(
            f"model: {folder} is post-trained and holds no {FLOW}.safetensors, the flow model it was made from; name "
            "that model",
            field="model",
        )
    return FLOW


def _file(folder: Path, part: str) -> Path:
    path = folder / f"{part}.safetensors"
    if not path.is_file():
        raise ModelError(f"model: {folder} has no {path.name}; train this part first", field="model")
    return path


def load_state(folder: Path, part: str) -> dict[str, Tensor]:
    """Read a part's weights, from its safetensors file or, in a shipped folder, from the graphs.

    Args:
        folder: The folder of a model.
        part: Such as DIT.

    Returns:
        Tensors by name.

    Raises:
        ModelError: If there are none, or they are damaged.
    """
    if has_part_in_graphs(folder, part):
        return part_state(load_from_graphs(folder), part)
    path = _file(folder, part)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"model: {path} is not a whole safetensors file ({error})", field="model") from error


def _filled(module: M, folder: Path, part: str) -> M:
    fill(module, load_state(folder, part), str(folder))
    return module.eval().requires_grad_(False)


def fill(module: nn.Module, state: dict[str, Tensor], origin: str, *, assign: bool = False) -> None:
    """Load weights into a module strictly.

    Args:
        module: The module.
        state: Tensors by name.
        origin: What the weights are called in errors.
        assign: The module takes the tensors themselves, no copies.

    Raises:
        ModelError: With the name of a tensor that is missing, unknown, mis-shaped or not finite.
    """
    wanted = module.state_dict()
    for name in wanted.keys() | state.keys():
        if name not in state:
            raise ModelError(f"model: {origin} lacks the tensor {name}", field="model")
        if name not in wanted:
            raise ModelError(f"model: {origin} has the unknown tensor {name}", field="model")
        if state[name].shape != wanted[name].shape:
            raise ModelError(
                f"model: {origin}: {name} has shape {list(state[name].shape)}, not {list(wanted[name].shape)}",
                field="model",
            )
        if not torch.isfinite(state[name].float()).all():
            raise ModelError(f"model: {origin}: {name} has values that are not finite", field="model")
    module.load_state_dict(state, assign=assign)
