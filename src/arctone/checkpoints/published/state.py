"""The tensors of a published checkpoint under the names of the published model, whatever program wrote them.

Lightning puts `diffusion.` before every name, and the moving average (EMA) beside it; weight norm has two forms of
names, or is folded; constant buffers may be left out; the text encoder may lie in the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from arctone.checkpoints.published.tensor_names import CONDITIONER, Table, expected_shapes, row_lengths
from arctone.errors import ModelError

LIGHTNING = "diffusion."
AVERAGE = "diffusion_ema.ema_model."
# The average is of the network alone, whose names begin so in the model.
_NETWORK = "model."
TEXT = f"{CONDITIONER}prompt.model."
# Both forms of weight norm: torch's newer names, and those that are published.
_NORMS = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}


class Tensors(NamedTuple):
    """state: by published name. text: of a text encoder in the same file, by its own names; often empty."""

    state: dict[str, Tensor]
    text: dict[str, Tensor]


def unwrapped(state: Mapping[str, Tensor], origin: str, *, ema: bool = False) -> dict[str, Tensor]:
    """This function removes what a training program lays around a model.

    Args:
        state: All tensors of the file.
        origin: The file, for errors.
        ema: Whether the moving average of the network's weights is taken instead of the weights themselves.

    Returns:
        The model's tensors; optimiser, losses and discriminator of a training checkpoint are left out.

    Raises:
        ModelError: The average is wanted and not there.
    """
    inner = {name.removeprefix(LIGHTNING): value for name, value in state.items() if name.startswith(LIGHTNING)}
    found = inner or dict(state)
    if not ema:
        return found
    average = {
        _NETWORK + name.removeprefix(AVERAGE): value for name, value in state.items() if name.startswith(AVERAGE)
    }
    if not average:
        raise ModelError(f"{origin} holds no moving average of the weights ({AVERAGE}...); leave --ema out.")
    return {**found, **average}


def has_average(state: Mapping[str, Tensor]) -> bool:
    """Whether a training checkpoint also holds the moving average of its weights."""
    return any(name.startswith(AVERAGE) for name in state)


def named_as_published(state: Mapping[str, Tensor], names: Table, *, is_third: bool = False) -> Tensors:
    """This function brings the tensors of a model to the names and forms of `names`.

    Args:
        state: A model's tensors.
        names: What the model needs.
        is_third: Whether names may have one part too many, as the public loader of Stable Audio 3 reads them.
    """
    text = {name.removeprefix(TEXT): value for name, value in state.items() if name.startswith(TEXT)}
    rest = {_in_old_form(name): value for name, value in state.items() if not name.startswith(TEXT)}
    wanted = expected_shapes(names)
    if is_third:
        rest = _shortened(rest, wanted)
    return Tensors(_completed(_unfolded(rest, names), names), text)


def _in_old_form(name: str) -> str:
    for new, old in _NORMS.items():
        if name.endswith(new):
            return name.removesuffix(new) + old
    return name


def _unfolded(state: dict[str, Tensor], names: Table) -> dict[str, Tensor]:
    """Weights without weight norm get one that changes nothing."""
    found = dict(state)
    for places in names.tensors.values():
        for place in places.values():
            whole = found.get(place.name) if place.normed else None
            if whole is not None and f"{place.name}_v" not in found and whole.ndim == len(place.shape):
                del found[place.name]
                found[f"{place.name}_g"], found[f"{place.name}_v"] = row_lengths(whole), whole
    return found


def _completed(state: dict[str, Tensor], names: Table) -> dict[str, Tensor]:
    """Constant buffers follow from the sizes, so a file may leave them out."""
    return {**{name: value for name, value in names.constants.items() if name not in state}, **state}


def _shortened(state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Names with one part too many, because a part has one more module around it, are brought to those wanted."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        words = name.split(".")
        shorter = (".".join(words[:index] + words[index + 1 :]) for index in range(1, len(words)))
        settled = name if name in wanted else next((each for each in shorter if each in wanted), name)
        found[name if settled in state else settled] = value
    return found
