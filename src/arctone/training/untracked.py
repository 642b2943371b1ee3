"""Calls without gradients of a network that the same step also trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def untracked() -> Iterator[None]:
    """No gradients inside, and no trace of it afterwards.

    Autocast remembers the weights' 16-bit copies, here those without gradients, and would go on using them.
    """
    with torch.no_grad():
        yield
    torch.clear_autocast_cache()
