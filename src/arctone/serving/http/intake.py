"""The order in which requests get in when many come at once: probes at once, the others a few in each turn of the loop.

Otherwise a burst of requests is one turn of the event loop, and whoever comes during it waits for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

# Each costs about a millisecond of a core that the server has for itself.
_EACH_TURN = 8
_PROBES = (b"GET /health ", b"GET /ready ", b"HEAD /health ", b"HEAD /ready ")


def is_probe(data: bytes) -> bool:
    """Whether the first bytes of a request ask for nothing but a sign of life."""
    return data.startswith(_PROBES)


class Intake:
    """Lets callers in by the order in which they came. Used on the event loop's thread only."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._turns: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, let_in: Callable[[], None]) -> None:
        """Have this called soon."""
        self._waiting.append(let_in)
        if self._turns is None:
            self._turns = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        few = [self._waiting.popleft() for _ in range(min(_EACH_TURN, len(self._waiting)))]
        self._turns = asyncio.get_running_loop().call_soon(self._turn) if self._waiting else None
        for let_in in few:
            let_in()
