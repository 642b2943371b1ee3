"""Exponential moving average of all weights and buffers of a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """Averaged copy of a module's state.

    The decay rises from 0 to `decay`, so that early averages forget the random start.
    Source: the warm-up (1 + n) / (10 + n) of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.num_updates = 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the module's present weights."""
        self.num_updates += 1
        decay = min(self.decay, self.num_updates / (10 + self.num_updates))
        present = module.state_dict()
        floating = [name for name, value in present.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[name] for name in floating], [present[name] for name in floating], 1 - decay)
        for name in present.keys() - set(floating):
            self.state[name].copy_(present[name])

    def state_dict(self) -> dict[str, object]:
        """Everything needed to continue."""
        return {"num_updates": self.num_updates, "state": self.state}

    def load_state_dict(self, saved: dict[str, object]) -> None:
        """Continue from a saved average."""
        self.num_updates = int(saved["num_updates"])  # type: ignore[call-overload]
        state: dict[str, Tensor] = saved["state"]  # type: ignore[assignment]
        for name, value in state.items():
            self.state[name].copy_(value)
