"""A function of tensors whose kernels are launched all at once, where the device can."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Kernels are chosen, and memory is laid out, in the first calls; these must not be recorded.
WARM_UP_CALLS = 2


class Recorded:
    """A function of tensors of fixed shapes; on CUDA it is recorded once, as one graph.

    The function may call nothing that waits for the device, and must make no tensor from the host's memory but in its
    first call. Elsewhere it is called as it is, with the same inputs in the same places.
    Args: function: the inputs to one tensor. inputs: on the device; later ones have the same shapes.
    """

    def __init__(self, function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
        self._function = function
        self._inputs = [value.clone() for value in inputs]
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._inputs[0].is_cuda:
            self._record()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result; it stays until the next call."""
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        if self._graph is None:
            return self._function(*self._inputs)
        self._graph.replay()
        return self._result

    def _record(self) -> None:
        # On a stream of its own, as capturing asks for.
        aside = torch.cuda.Stream(device=self._inputs[0].device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_CALLS):
                self._function(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._result = self._function(*self._inputs)
        self._graph = graph
