"""The precision that the torch engine computes in, where it is to be another than that of the files.

What a precision costs in quality is stated in docs/checkpoints.md. No precision is ever taken unasked: "auto" is what
the folder holds.
"""

from __future__ import annotations

import torch
from torch import nn

from arctone.checkpoints.parts import DIT
from arctone.errors import UsageError
from arctone.models.continuous_dit import EXACT_PARTS, ContinuousDiT
from arctone.models.int8 import quantise
from arctone.models.oobleck import OobleckDecoder, OobleckEncoder
from arctone.models.same import SameDecoder, SameEncoder
from arctone.models.t5 import T5Encoder
from arctone.models.t5gemma import T5GemmaEncoder

PRECISIONS = ("auto", "float32", "bfloat16", "int8")
# Of the transformer's blocks. Keys and values of the context are computed once for a sound: there is nothing to gain.
INT8_LAYERS = ("to_qkv", "to_q", "to_out", "mlp.enter", "mlp.leave")
# Others compute some of their own inputs in float32.
_IN_16_BIT = (T5Encoder, T5GemmaEncoder, ContinuousDiT, OobleckEncoder, OobleckDecoder, SameEncoder, SameDecoder)


def check_precision(precision: str) -> None:
    """Raises: UsageError for a name that is none."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")


def in_precision(part: str, module: nn.Module, precision: str) -> nn.Module:
    """A part in another precision, changed in place; what was read from files is copied, never altered.

    float32 and bfloat16: everything but those layers that lose too much. int8: the large layers of the transformer's
    blocks, and the rest in bfloat16 (in the precision it has, for parts that know no 16 bit).
    Raises: UsageError for bfloat16 and a part that does not compute in 16 bit.
    """
    if precision == "auto":
        return module
    if precision == "int8" and part == DIT:
        quantise(module, INT8_LAYERS)
    if precision == "float32":
        return module.float()
    if isinstance(module, _IN_16_BIT):
        return _cast(module, torch.bfloat16, EXACT_PARTS if part == DIT else ())
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
