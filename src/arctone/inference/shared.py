"""Parts of an engine that several requests use at once, taking turns call by call."""

from __future__ import annotations

import threading

from arctone.inference.backends.base import Floats, Ints, Mask, Order, Parts, TextEmbedding, WholeParts


class SharedParts:
    """Parts behind a lock.

    Args: parts: not safe for calls from two threads. lock: of all that use them. flow: velocities are those of the flow
    model that the transformer was made from.
    """

    def __init__(self, parts: Parts, lock: threading.Lock, flow: bool = False) -> None:
        self.name = parts.name
        self._flow = flow
        self._parts = parts
        self._lock = lock
        self._whole = parts if isinstance(parts, WholeParts) else None

    @property
    def at_once(self) -> int:
        """See WholeParts; 0 where the engine makes no whole sounds."""
        return self._whole.at_once if self._whole else 0

    def make(self, order: Order) -> Floats:
        """See WholeParts."""
        assert self._whole is not None
        with self._lock:
            return self._whole.make(order, self._flow)

    def encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        """See Parts."""
        with self._lock:
            return self._parts.encode_text(ids, mask)

    def velocity(
        self,
        x: Floats,
        t: float,
        text: TextEmbedding | None,
        seconds: float,
        bpm: float,
        frame_mask: Mask,
        inpaint: Floats | None = None,
    ) -> Floats:
        """See Parts."""
        with self._lock:
            return self._parts.velocity(x, t, text, seconds, bpm, frame_mask, inpaint, self._flow)

    def decode(self, latents: Floats, seed: int = 0) -> Floats:
        """See Parts."""
        with self._lock:
            return self._parts.decode(latents, seed)

    def encode(self, samples: Floats) -> Floats:
        """See Parts."""
        with self._lock:
            return self._parts.encode(samples)

    def set_threads(self, threads: int) -> None:
        """See Parts."""
        with self._lock:
            self._parts.set_threads(threads)
