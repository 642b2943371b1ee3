"""Low-rank adapters of the linear layers of a frozen network.

    y = W x + b + (alpha / rank) up(down(dropout(x))),   down: [rank, in], up: [out, rank]

`up` begins at zero, so an untrained adapter changes nothing; trained, it equals the weight W + (alpha / rank) up down,
and needs no layer of its own after training.
Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from arctone.errors import UsageError

# The matrices of a DiT's blocks: attention to itself and to the text, and the feed-forward network.
BLOCK_MATRICES = ("to_q", "to_kv", "to_out", "mlp.enter", "mlp.leave")


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Size of an adapter.

    alpha: the change is scaled by alpha / rank, so that another rank needs no other learning rate. dropout: of the
    adapter's input, 0 to below 1. target_modules: layers whose name is one of these or ends with a dot and one of them.

    Raises:
        UsageError: For a value that has no meaning.
    """

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] = BLOCK_MATRICES

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UsageError(f"rank: {self.rank} is not possible, it must be 1 or more", field="rank")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise UsageError(f"alpha: {self.alpha:g} is not possible, it must be a number above 0", field="alpha")
        if not 0 <= self.dropout < 1:
            raise UsageError(
                f"dropout: {self.dropout:g} is not possible, it must be 0 or more and below 1", field="dropout"
            )

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied with."""
        return self.alpha / self.rank


class LowRank(nn.Module):
    """What an adapter adds to one linear layer."""

    def __init__(self, layer: nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        self.scale = config.scale
        self.dropout = nn.Dropout(config.dropout)
        # A new linear layer is uniform within 1 / sqrt(in), as the public implementations begin.
        self.down = nn.Linear(layer.in_features, config.rank, bias=False)
        self.up = nn.Linear(config.rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        return self.scale * self.up(self.down(self.dropout(x)))


class Adapted(nn.Module):
    """A frozen network with an adapter. Only the adapter is its state; the network itself stays as it is.

    Args:
        base: The network.
        config: Of the adapter.

    Raises:
        UsageError: If a target is no linear layer of the network.
    """

    def __init__(self, base: nn.Module, config: LoraConfig) -> None:
        super().__init__()
        self._base = [base]
        self._layers = target_layers(base, config.target_modules)
        # Names of submodules may hold no dot.
        self.pairs = nn.ModuleDict(
            {name.replace(".", "/"): LowRank(layer, config) for name, layer in self._layers.items()}
        )

    def forward(self, *arguments: Any) -> Tensor:
        """What the network gives with the adapter added to its layers."""
        handles = [
            layer.register_forward_hook(_adding(self.pairs[name.replace(".", "/")]))
            for name, layer in self._layers.items()
        ]
        try:
            return self._base[0](*arguments)
        finally:
            for handle in handles:
                handle.remove()


def target_layers(base: nn.Module, targets: tuple[str, ...]) -> dict[str, nn.Linear]:
    """Find the linear layers that the targets name, in the network's order.

    Args:
        base: The network.
        targets: Names of layers, or endings of their names.

    Returns:
        Layers by name.

    Raises:
        UsageError: That names a target without a layer, and the layers there are.
    """
    linear = {name: module for name, module in base.named_modules() if isinstance(module, nn.Linear)}
    for target in targets:
        if not any(_is_named(name, target) for name in linear):
            known = sorted({".".join(name.split(".")[-2:]) for name in linear})
            raise UsageError(
                f"target: {target!r} is no linear layer of the model; layers are {', '.join(known)}", field="target"
            )
    if not targets:
        raise UsageError("target: at least one layer must be named", field="target")
    return {name: layer for name, layer in linear.items() if any(_is_named(name, target) for target in targets)}


def low_rank_pairs(state: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Collect the pairs of an adapter.

    Args:
        state: State of an `Adapted`.

    Returns:
        Down [rank, inputs] and up [outputs, rank], by the layer's name in the network.
    """
    names = [name.removeprefix("pairs.").removesuffix(".down.weight") for name in state if name.endswith("down.weight")]
    return {
        name.replace("/", "."): (state[f"pairs.{name}.down.weight"], state[f"pairs.{name}.up.weight"]) for name in names
    }


def _is_named(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _adding(pair: nn.Module) -> Any:
    return lambda layer, inputs, output: output + pair(inputs[0])
