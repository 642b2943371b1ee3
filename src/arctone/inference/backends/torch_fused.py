"""Whole sounds in torch: text, every step and decoding stay on the device, on CUDA as one recorded graph.

B sounds, S steps, C latent channels, T latent frames, L text tokens, A audio channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from arctone.flow.guidance import combined
from arctone.flow.samplers import SAMPLERS
from arctone.inference.backends.torch_codecs import Codec
from arctone.model_folder.config import ModelConfig
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT

Network = Callable[..., Tensor]
# Kernels are chosen, and memory is laid out, in the first calls; these must not be recorded.
WARM_UP_CALLS = 2


@dataclass(frozen=True)
class Plan:
    """What is fixed for a recorded request; whatever else changes from one to the next is an input. See FusedInputs."""

    num_sounds: int
    num_decoded: int
    cfg_scale: float
    is_projected: bool
    sampler: str
    times: tuple[float, ...]


@dataclass(frozen=True)
class Networks:
    """What computes. transformer: as it is called, compiled or not. module: the same, as it is."""

    text: nn.Module
    transformer: Network
    module: nn.Module
    decoder: Network


def sounds(networks: Networks, config: ModelConfig, codec: Codec, plan: Plan, *inputs: Tensor) -> Tensor:
    """Compute the samples of a plan.

    Args:
        networks: The modules of a request.
        config: Of the model.
        codec: Of its autoencoder.
        plan: What the request fixes apart from tensors.
        *inputs: Ids and mask of the prompt, and ids and mask of the negative prompt, [1, L] each; noise [S, B, C, T];
            mask of the frames [1, T]; seconds and bpm [1]; then the codec's draws, [B, ...] each.

    Returns:
        [B, A, N].
    """
    ids, mask, away_ids, away_mask, noise, frame_mask, seconds, bpm, *drawn = inputs
    shared = (frame_mask, seconds)
    sides = [_conditions(networks, config, plan, ids, mask, bpm, *shared)] if plan.cfg_scale != 0 else []
    if plan.cfg_scale != 1:
        sides.append(_conditions(networks, config, plan, away_ids, away_mask, torch.zeros_like(bpm), *shared))
    conditions = sides[0] if len(sides) == 1 else sides[0].joined(*sides[1:])
    prepared = [networks.module.prepare(conditions)] if isinstance(networks.module, ContinuousDiT) else []

    def velocity(x: Tensor, t: float) -> Tensor:
        both = torch.cat([x] * len(sides))
        levels = torch.full((len(both),), t, dtype=torch.float32, device=x.device)
        found = networks.transformer(both, levels, conditions, *prepared).float()
        if len(sides) == 1:
            return found
        towards, away = found.chunk(2)
        made: Tensor = combined(towards, away, x, t, plan.cfg_scale, is_projected=plan.is_projected)
        return made

    start = noise[0] * plan.times[0]
    *_, last = SAMPLERS[plan.sampler](velocity, start, plan.times, lambda step: noise[step])
    return codec.decode_there(networks.decoder, last.x[..., : plan.num_decoded], drawn)


def _conditions(
    networks: Networks,
    config: ModelConfig,
    plan: Plan,
    ids: Tensor,
    mask: Tensor,
    bpm: Tensor,
    frame_mask: Tensor,
    seconds: Tensor,
) -> Conditions:
    """Conditions of all sounds on one side of guidance. A prompt without tokens is none: see `base.no_text`."""
    tokens, pooled = networks.text(ids, mask.float())
    is_said = mask.any(dim=1, keepdim=True)
    # Not a product with 0: what attention makes of nothing need not be a number.
    tokens = torch.where(is_said.unsqueeze(2), tokens, 0.0)
    pooled = torch.where(is_said, pooled, 0.0)
    frames, channels = frame_mask.shape[1], config.dit.inpaint_channels
    # There is nothing known in a sound that is made from text.
    inpaint = tokens.new_zeros(1, channels, frames, dtype=torch.float32) if channels else None
    given = (tokens, mask, pooled, seconds, bpm, frame_mask, inpaint)
    values: list[Any] = [None if one is None else one.expand(plan.num_sounds, *one.shape[1:]) for one in given]
    return Conditions(*values)


class Recorded:
    """A function of tensors of fixed shapes; on CUDA it is recorded once, as one graph.

    The function may call nothing that waits for the device, and must make no tensor from the host's memory but in its
    first call. Elsewhere it is called as it is, with the same inputs in the same places.

    Args:
        function: The inputs to one tensor.
        inputs: On the device; later ones have the same shapes.
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
