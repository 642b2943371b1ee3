"""Arrays that are used again, because fresh ones are slow: the system hands them over page by page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Room for the intermediate results of one thread. What lies in it is whatever was left there."""

    def __init__(self) -> None:
        self._room: dict[str, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """An array of the shape, over what `name` was used for last."""
        size = math.prod(shape)
        room = self._room.get(name)
        if room is None or room.size < size or room.dtype != dtype:
            room = self._room[name] = np.empty(size, dtype)
        return room[:size].reshape(shape)
