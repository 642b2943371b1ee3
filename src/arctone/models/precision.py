"""The precision that modules compute in, where it differs from that of their files: floats, or 8-bit linear layers.

Int8: R rows, N outputs, K inputs. Each output of the weights has a scale of its own, and so has each row of the input,
computed in every call: x W^T is about (q_x q_W^T) s_x s_W with whole numbers q from -127 to 127. That is a quarter of
the memory, and integer products on CPUs and GPUs that have them. What a precision costs in quality is stated in
docs/checkpoints.md; "auto" is what the folder holds.

Source: dynamic quantisation by vectors as in LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339), without its outliers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.errors import UsageError
from arctone.models.continuous_dit import EXACT_PARTS, ContinuousDiT
from arctone.models.oobleck import OobleckDecoder, OobleckEncoder
from arctone.models.same import SameDecoder, SameEncoder
from arctone.models.t5 import T5Encoder, T5GemmaEncoder

PRECISIONS = ("auto", "float32", "bfloat16", "int8")
# Of the transformer's blocks. Keys and values of the context are computed once for a sound: there is nothing to gain.
INT8_LAYERS = ("to_qkv", "to_q", "to_out", "mlp.enter", "mlp.leave")
# Others compute some of their own inputs in float32.
_IN_16_BIT = (T5Encoder, T5GemmaEncoder, ContinuousDiT, OobleckEncoder, OobleckDecoder, SameEncoder, SameDecoder)
LEVELS = 127
# GPUs refuse integer products of fewer rows.
MIN_ROWS = 32


def check_precision(precision: str) -> None:
    """Refuse an unknown precision.

    Args:
        precision: A name.

    Raises:
        UsageError: If it is none of PRECISIONS.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.", field="precision")


def in_precision(module: nn.Module, precision: str, *, is_transformer: bool = False) -> nn.Module:
    """Change a part to another precision in place; what was read from files is copied, never altered.

    float32 and bfloat16: everything but those layers that lose too much. int8: the large layers of the transformer's
    blocks, and the rest in bfloat16 (in the precision it has, for parts that know no 16 bit).

    Args:
        module: The part.
        precision: One of PRECISIONS.
        is_transformer: Whether int8 applies to the part.

    Returns:
        The module itself.

    Raises:
        UsageError: For bfloat16 and a part that does not compute in 16 bit.
    """
    if precision == "auto":
        return module
    if precision == "int8" and is_transformer:
        quantise(module, INT8_LAYERS)
    if precision == "float32":
        return module.float()
    if isinstance(module, _IN_16_BIT):
        return _cast(module, torch.bfloat16, EXACT_PARTS if is_transformer else ())
    if precision == "bfloat16":
        raise UsageError(
            "precision bfloat16 is for models converted from published ones; this model takes auto, float32 or int8."
        )
    return module


def _cast(module: nn.Module, dtype: torch.dtype, exact: tuple[str, ...]) -> nn.Module:
    """Parameters in another type; buffers, which hold what was quantised, stay."""
    for name, parameter in list(module.named_parameters()):
        if not name.startswith(exact):
            owner, _, own_name = name.rpartition(".")
            cast = nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
            setattr(module.get_submodule(owner), own_name, cast)
    return module


class Int8Linear(nn.Module):
    """A linear layer of 8 bit, [..., K] -> [..., N] in the type of the input.

    Args:
        weight: [N, K] in any floating type.
        bias: [N] or None. Forward: [..., K] -> [..., N] in the type of the input.
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
    """Round rows to 8 bits, each with its own scale.

    Args:
        values: [R, K].

    Returns:
        Whole numbers [R, K], and the scales [R, 1] in float32 that they are multiplied with; rows of zeros stay zero.
    """
    tiny = torch.finfo(torch.float32).tiny
    scale = (values.abs().amax(dim=-1, keepdim=True).float() / LEVELS).clamp_min(tiny)
    return (values.float() / scale).round_().clamp_(-LEVELS, LEVELS).to(torch.int8), scale


def quantise(module: nn.Module, names: tuple[str, ...]) -> None:
    """Replace linear layers by 8-bit ones, in place.

    Args:
        module: The network.
        names: Ends of the paths of the layers.
    """
    found = [
        (path, layer)
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and any(f".{path}".endswith(f".{name}") for name in names)
    ]
    for path, layer in found:
        module.set_submodule(path, Int8Linear(layer.weight, layer.bias))
