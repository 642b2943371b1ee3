"""Random starts that cost nothing where a module is built only to be filled from a file."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(*shape: int) -> Tensor:
    """Standard normal values; on the meta device, where there are no values, nothing is drawn.

    torch would import its whole compiler stack to know the shape of such a draw: seconds, and 100 MB.
    """
    return torch.empty(*shape) if torch.get_default_device().type == "meta" else torch.randn(*shape)
