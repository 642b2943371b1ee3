"""Linear layers with weights of 8 bit: a quarter of the memory, and integer products on CPUs and GPUs that have them.

R rows, N outputs, K inputs. Each output of the weights has a scale of its own, and so has each row of the input, found
anew in every call: x W^T is about (q_x q_W^T) s_x s_W with whole numbers q from -127 to 127.

Source: dynamic quantisation by vectors as in LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339), without its outliers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 127
# GPUs refuse integer products of fewer rows.
MIN_ROWS = 32


class Int8Linear(nn.Module):
    """A linear layer of 8 bit.

    Args: weight: [N, K] in any floating type. bias: [N] or None.
    Forward: [..., K] -> [..., N] in the type of the input.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        whole, scale = rounded(weight)
        self.register_buffer("weight", whole)
        self.register_buffer("scale", scale.squeeze(-1))
        self.register_buffer("bias", None if bias is None else bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        whole, scale = rounded(rows)
        missing = max(0, MIN_ROWS - len(whole))
        product = torch._int_mm(functional.pad(whole, (0, 0, 0, missing)), self.weight.mT)[: len(rows)]
        out = product * (scale * self.scale)
        return (out if self.bias is None else out + self.bias).to(x.dtype).unflatten(0, x.shape[:-1])


def rounded(values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [R, K] as whole numbers of 8 bit, and the scale [R, 1] in float32 that leads back; rows of zeros stay so."""
    tiny = torch.finfo(torch.float32).tiny
    scale = (values.abs().amax(dim=-1, keepdim=True).float() / LEVELS).clamp_min(tiny)
    return (values.float() / scale).round_().clamp_(-LEVELS, LEVELS).to(torch.int8), scale


def quantise(module: nn.Module, names: tuple[str, ...]) -> None:
    """Replace, in place, the linear layers whose path ends in one of the names."""
    found = [
        (path, layer)
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and any(f".{path}".endswith(f".{name}") for name in names)
    ]
    for path, layer in found:
        module.set_submodule(path, Int8Linear(layer.weight, layer.bias))
