"""Names of tensors in published files: for the DiT, both kinds of autoencoders and the number conditioners.

Weight norm (a direction v and a length g for each row) is folded on reading. On writing, v is the weight and g its
length, so that folding again gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from arctone.errors import ModelError
from arctone.model_folder.config import ContinuousDiTConfig, ModelConfig, OobleckConfig, SameConfig, of_type
from arctone.models.continuous_dit import ContinuousDiT, count_rotated_entries
from arctone.models.oobleck import Oobleck
from arctone.models.same import Same


class Place(NamedTuple):
    """A published tensor: its name without weight norm's endings, its shape, and whether it has weight norm."""

    name: str
    shape: tuple[int, ...]
    normed: bool = False


def renamed(name: str, names: Mapping[str, str]) -> str:
    """The name with its beginning (whole words) replaced."""
    for ours, theirs in names.items():
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name[len(ours) :]
    raise KeyError(name)


_FIXED = {
    "encoder.leave": "encoder.layers.2",
    "encoder.scale": "bottleneck.scaling_factor",
    "encoder.shift": "bottleneck.bias",
    # One number, which both halves need.
    "encoder.level": "bottleneck.running_std",
    "decoder.level": "bottleneck.running_std",
    "decoder.enter": "decoder.layers.1",
    "encoder.enter": "encoder.layers.0.mapping",
    "decoder.leave": "decoder.layers.3.mapping",
    "encoder.new_tokens": "encoder.layers.0.new_tokens",
    "decoder.new_tokens": "decoder.layers.3.new_tokens",
    "encoder.body.blocks": "encoder.layers.0.transformers",
    "decoder.body.blocks": "decoder.layers.3.transformers",
}
_SAME_BLOCK = {
    "attention_norm": "pre_norm",
    "attention": "self_attn",
    "attention_scale": "self_attn_scale.scale",
    "mlp_norm": "ff_norm",
    "mlp.enter": "ff.ff.0.proj",
    "mlp.leave": "ff.ff.2",
    "mlp_scale": "ff_scale.scale",
}


def same_places(config: SameConfig, prefix: str) -> tuple[dict[str, Place], dict[str, Tensor]]:
    """Our names with their places, and published buffers that never change. prefix: of every published name."""
    with torch.device("meta"):
        shapes = Same(config).state_dict()
    found = {name: Place(prefix + _name(name), tuple(value.shape), _normed(name)) for name, value in shapes.items()}
    rotated = config.head_size // 2
    rates = 1.0 / (10_000 ** (torch.arange(0, rotated, 2).float() / rotated))
    constants = {f"{prefix}bottleneck.noise_scaling_factor": torch.ones(1, 0, 1)}
    for half, layer, depth in (("encoder", 0, config.encoder_depth), ("decoder", 3, config.decoder_depth)):
        for index in range(depth):
            constants[f"{prefix}{half}.layers.{layer}.transformers.{index}.rope.inv_freq"] = rates.clone()
    return found, constants


def _normed(name: str) -> bool:
    return name in ("encoder.enter.weight", "decoder.leave.weight")


def _name(name: str) -> str:
    half, part, *rest = name.split(".")
    if part == "body":
        _, index, *inner = rest
        return f"{_FIXED[f'{half}.body.blocks']}.{index}.{renamed('.'.join(inner), _SAME_BLOCK)}"
    return renamed(name, _FIXED)


TRANSFORMER, AUTOENCODER, CONDITIONER = "model.model.", "pretransform.model.", "conditioner.conditioners."
MAX_NAMED = 5

_DIT = {
    "enter_residual": "preprocess_conv",
    "leave_residual": "postprocess_conv",
    "enter": "transformer.project_in",
    "leave": "transformer.project_out",
    "time.rates": "timestep_features.weight",
    "time.mlp": "to_timestep_embed",
    "context": "to_cond_embed",
    "global_vector": "to_global_embed",
    "memory": "transformer.memory_tokens",
    "modulate": "transformer.global_cond_embedder",
}
_BLOCK = {
    "self_norm.weight": "pre_norm.gamma",
    "self_attention": "self_attn",
    "cross_norm.weight": "cross_attend_norm.gamma",
    "cross_attention": "cross_attn",
    "mlp_norm.weight": "ff_norm.gamma",
    "mlp.enter": "ff.ff.0.proj",
    "mlp.leave": "ff.ff.2",
    "modulation": "to_scale_shift_gate",
    "known": "to_local_embed",
}
_NUMBER = {"rates": "embedder.embedding.0.weights", "project": "embedder.embedding.1"}
_PADDING = f"{CONDITIONER}prompt.padding_embedding"
_UNIT = {"snake_1": "layers.0", "wide": "layers.1", "snake_2": "layers.2", "pointwise": "layers.3"}
# Published with a further axis of length 1.
_COLUMNS = ("enter_residual.weight", "leave_residual.weight", "time.rates")


class Table(NamedTuple):
    """tensors: for each of our parts, our name to its place. constants: published buffers that never change."""

    tensors: dict[str, dict[str, Place]]
    constants: dict[str, Tensor]


def table(config: ModelConfig) -> Table:
    """List all tensors of a model.

    Args:
        config: Of the model.

    Returns:
        Places of the tensors by part.

    Raises:
        ModelError: If its types are not those of published models.
    """
    dit = of_type(config.dit, ContinuousDiTConfig)
    with torch.device("meta"):
        shapes = ContinuousDiT(dit).state_dict()
    places = {name: _dit_place(name, tuple(value.shape)) for name, value in shapes.items()}
    if isinstance(config.autoencoder, SameConfig):
        autoencoder, more = same_places(config.autoencoder, AUTOENCODER)
    else:
        autoencoder, more = _oobleck_places(of_type(config.autoencoder, OobleckConfig)), {}
    return Table({"dit": places, "autoencoder": autoencoder}, _constants(dit) | more)


def _oobleck_places(config: OobleckConfig) -> dict[str, Place]:
    with torch.device("meta"):
        shapes = Oobleck(config).state_dict()
    depth = len(config.strides)
    return {
        name: Place(AUTOENCODER + _autoencoder_name(name, depth), tuple(value.shape), value.ndim == 3)
        for name, value in shapes.items()
    }


def _dit_place(name: str, shape: tuple[int, ...]) -> Place:
    head, _, rest = name.partition(".")
    if head == "padding":
        return Place(_PADDING, shape)
    if head == "numbers":
        number, _, inner = rest.partition(".")
        return Place(f"{CONDITIONER}{number}.{renamed(inner, _NUMBER)}", shape)
    if head == "blocks":
        index, _, inner = rest.partition(".")
        return Place(f"{TRANSFORMER}transformer.layers.{index}.{renamed(inner, _BLOCK)}", shape)
    return Place(TRANSFORMER + renamed(name, _DIT), (*shape, 1) if name in _COLUMNS else shape)


def _autoencoder_name(name: str, depth: int) -> str:
    half, head, *rest = name.split(".")
    fixed = {"enter": 0, "snake": depth + 1, "leave": depth + 2}
    if head in fixed:
        return ".".join([half, "layers", str(fixed[head]), *rest])
    block, inner, *rest = rest
    first, snake, step = (0, 3, 4) if half == "encoder" else (2, 0, 1)
    start = f"{half}.layers.{int(block) + 1}.layers"
    if inner == "units":
        unit, *rest = rest
        return f"{start}.{first + int(unit)}.{renamed('.'.join(rest), _UNIT)}"
    return ".".join([start, str(snake if inner == "snake" else step), *rest])


def _constants(dit: ContinuousDiTConfig) -> dict[str, Tensor]:
    rotated = count_rotated_entries(dit)
    rates = 1.0 / (10_000 ** (torch.arange(0, rotated, 2).float() / rotated))
    found = {f"{TRANSFORMER}transformer.rotary_pos_emb.inv_freq": rates}
    for index in range(dit.depth if dit.norm == "layer" else 0):
        for norm in ("pre_norm", "cross_attend_norm", "ff_norm"):
            found[f"{TRANSFORMER}transformer.layers.{index}.{norm}.beta"] = torch.zeros(dit.width)
    return found


def list_expected_shapes(names: Table) -> dict[str, tuple[int, ...]]:
    """Every tensor of the published file with its shape."""
    found = {name: tuple(value.shape) for name, value in names.constants.items()}
    for places in names.tensors.values():
        for place in places.values():
            if place.normed:
                found[f"{place.name}_g"] = (place.shape[0], 1, 1)
                found[f"{place.name}_v"] = place.shape
            else:
                found[place.name] = place.shape
    return found


def account(state: Mapping[str, Tensor], names: Table, origin: str) -> None:
    """Compare a published file with what the model needs, tensor by tensor.

    Args:
        state: Tensors of the file by name.
        names: What the model needs.
        origin: What the file is called in errors.

    Raises:
        ModelError: With the name of every tensor (up to five of a kind) that is missing, unknown, mis-shaped, not
            finite or not the constant it has to be.
    """
    _account_shapes(state, list_expected_shapes(names), origin)
    other = [
        name
        for name, value in names.constants.items()
        if not torch.allclose(state[name].float(), value, rtol=1e-2, atol=1e-6)
    ]
    if other:
        raise ModelError(f"{origin} has other values than this version can use in {_listed(other)}.")


def account_part(state: Mapping[str, Tensor], places: Mapping[str, Place], origin: str) -> None:
    """Compare a file that holds one part, without weight norm and constants, with what the part needs.

    Args:
        state: Tensors of the file by name.
        places: What the part needs.
        origin: What the file is called in errors.

    Raises:
        ModelError: As `account`.
    """
    _account_shapes(state, {place.name: place.shape for place in places.values()}, origin)


def _account_shapes(state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], origin: str) -> None:
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    misshaped = [
        f"{name} has the shape {list(state[name].shape)}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    kinds = (("lacks ", missing), ("has the unknown ", unknown), ("has a tensor of another shape: ", misshaped))
    problems = [start + _listed(found) for start, found in kinds if found]
    if problems:
        raise ModelError(f"{origin} does not fit its config: it {'; it '.join(problems)}.")
    broken = [name for name, value in state.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise ModelError(f"{origin} has values that are not finite in {_listed(broken)}.")


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + rest


def from_published(state: Mapping[str, Tensor], places: Mapping[str, Place]) -> dict[str, Tensor]:
    """One part of ours from an accounted published state; tensors are made as they are asked for."""
    found: dict[str, Tensor] = {}
    read: set[str] = set()
    for name, place in places.items():
        value = _read(state, place).reshape(_own_shape(name, place))
        # What two of our tensors share has one place in the published file, but files of ours hold it twice.
        found[name] = value.clone() if place.name in read else value
        read.add(place.name)
    return found


def _read(state: Mapping[str, Tensor], place: Place) -> Tensor:
    if not place.normed:
        return state[place.name]
    return folded(state[f"{place.name}_g"], state[f"{place.name}_v"])


def _own_shape(name: str, place: Place) -> tuple[int, ...]:
    return place.shape[:-1] if name in _COLUMNS else place.shape


def to_published(parts: Mapping[str, Mapping[str, Tensor]], names: Table) -> dict[str, Tensor]:
    """The published state from all of our parts."""
    found = dict(names.constants)
    for part, places in names.tensors.items():
        for name, place in places.items():
            value = parts[part][name]
            if place.normed:
                found[f"{place.name}_g"], found[f"{place.name}_v"] = row_lengths(value), value
            else:
                found[place.name] = value.reshape(place.shape)
    return {name: value.contiguous() for name, value in found.items()}


def folded(length: Tensor, direction: Tensor) -> Tensor:
    """The weight that weight norm describes; exactly `direction` if `length` is its row_lengths."""
    return direction * (length / row_lengths(direction))


def row_lengths(weight: Tensor) -> Tensor:
    """Euclidean length of each row, [rows, 1, 1]; summed in float64, so that the order of summing leaves no trace."""
    lengths: Tensor = torch.linalg.vector_norm(weight.double(), dim=(1, 2), keepdim=True)
    return lengths.to(weight.dtype)
