"""Tensors that only some steps need, in a file: between these steps the system may take them out of main memory.

On a CPU the file is the memory of the tensors itself. On another device they are copied there for a step, and back. The
numbers are the same, to the bit.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from arctone.errors import UsageError

# What torch's optimisers call the moments that they keep of each parameter.
_MOMENTS: dict[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.AdamW: ("exp_avg", "exp_avg_sq"),
    torch.optim.Muon: ("momentum_buffer",),
}
# Weights whose moments are in memory at a time; it is twice as much with AdamW.
PIECE_BYTES = 64_000_000
_C_LIBRARY = ctypes.CDLL(None) if os.name == "posix" else None
# Tensors begin at multiples of this number of bytes.
_ALIGNMENT = 64


class FileMemory:
    """Tensors on the CPU whose memory is a file without a name, which goes with the process.

    Args:
        folder: Where the file lies.
        like: Tensors whose shapes and types they have; they begin as zeros.

    Raises:
        UsageError: If the disk has no room for them.
    """

    def __init__(self, folder: Path, like: Sequence[Tensor]) -> None:
        sizes = [-(-value.numel() * value.element_size() // _ALIGNMENT) * _ALIGNMENT for value in like]
        total = max(sum(sizes), 1)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), total, folder)
            self._map = mmap.mmap(file.fileno(), total)
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        self.tensors = [self._tensor(value, start) for value, start in zip(like, starts, strict=True)]

    def _tensor(self, like: Tensor, start: int) -> Tensor:
        if not like.numel():
            return torch.zeros(like.shape, dtype=like.dtype)
        return torch.frombuffer(self._map, dtype=like.dtype, count=like.numel(), offset=start).view(like.shape)

    def rest(self) -> None:
        """Tells the system that nothing of it is needed soon; the contents stay."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _reserve(file: int, total: int, folder: Path) -> None:
    """Takes the room at once: a mapped file that outgrows its disk would end the process."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, total)
        else:
            os.truncate(file, total)
    except OSError as problem:
        raise UsageError(
            f"offload: {folder} cannot take {total / 1e9:.2f} GB of moments and averages: {problem.strerror}"
        ) from None


class OffloadedMoments:
    """The moments of an optimiser, in a file.

    Args:
        optimiser: AdamW or Muon, before its first step.
        folder: Where the file lies.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, folder: Path) -> None:
        self._optimiser, self._state = optimiser, optimiser.state
        names = _MOMENTS[type(optimiser)]
        parameters = [value for group in optimiser.param_groups for value in group["params"]]
        self._memory = FileMemory(folder, [value for value in parameters for _ in names])
        homes = iter(self._memory.tensors)
        self._homes: dict[Tensor, dict[str, Tensor]] = {}
        for parameter in parameters:
            self._homes[parameter] = {name: next(homes) for name in names}
            # What the optimiser would begin with itself, but in main memory.
            if isinstance(optimiser, torch.optim.AdamW):
                self._state[parameter]["step"] = torch.zeros((), device=parameter.device)
            self._state[parameter].update(self._homes[parameter])

    def step(self) -> None:
        """Updates all weights, a piece of the network after another, and forgets the gradients.

        Both optimisers update each parameter by itself, so pieces change no number.
        """
        groups = self._optimiser.param_groups
        try:
            for group in groups:
                for piece in pieces(group["params"]):
                    self._fetch(piece)
                    self._optimiser.param_groups = [{**group, "params": piece}]
                    self._optimiser.step()
                    for parameter in piece:
                        parameter.grad = None
                    self.rest()
        finally:
            self._optimiser.param_groups = groups

    def _fetch(self, parameters: Sequence[Tensor]) -> None:
        """Puts the moments where their parameters are."""
        for parameter in parameters:
            if not self._is_near(parameter):
                homes = self._homes[parameter].items()
                self._state[parameter].update({name: home.to(parameter.device, copy=True) for name, home in homes})

    def rest(self) -> None:
        """Puts the moments back into the file, wherever they are, and lets the system take them out of memory."""
        for parameter, homes in self._homes.items():
            state = self._state[parameter]
            for name, home in homes.items():
                if state[name] is not home:
                    home.copy_(state[name])
                    state[name] = home
        self._memory.rest()

    def _is_near(self, parameter: Tensor) -> bool:
        return parameter.device.type == "cpu"


def trim_heap() -> None:
    """Gives freed memory back to the system, which the C library would keep for later: half a gigabyte and more,
    between steps of networks in turn. Does nothing where the C library is not glibc.
    """
    trim = getattr(_C_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)


def pieces(parameters: Sequence[Tensor], most: int = PIECE_BYTES) -> list[list[Tensor]]:
    """Returns the parameters in groups of up to this number of bytes; larger ones are alone.

    Args:
        parameters: In any order, which is kept.
        most: Bytes of the weights of a group.

    Returns:
        The groups.
    """
    found: list[list[Tensor]] = []
    room = 0
    for parameter in parameters:
        size = parameter.numel() * parameter.element_size()
        if not found or size > room:
            found.append([])
            room = most
        found[-1].append(parameter)
        room -= size
    return found
