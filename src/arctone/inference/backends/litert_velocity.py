"""What the native engine's transformer graphs are given, for each type of transformer; zeros fill up their window.

C latent channels, T latent frames.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from arctone.inference.backends.base import Floats, Mask, TextEmbedding
from arctone.inference.backends.litert_graph import Arrays, Graph
from arctone.inference.backends.tiling import filled, fitting_window
from arctone.model_folder.config import ContinuousDiTConfig, TransformerConfig


class Call(NamedTuple):
    """One question for the velocity: see Parts.velocity; where there is no text, padding alone is given."""

    x: Floats
    t: float
    text: TextEmbedding
    seconds: float
    bpm: float
    frame_mask: Mask
    inpaint: Floats | None = None


def velocity(graph: Graph, config: TransformerConfig, call: Call) -> Floats:
    """Velocity [C, T] of the straight path."""
    if not isinstance(config, ContinuousDiTConfig):
        text, beat = {"text_pooled": call.text.pooled[None]}, {"bpm": np.array([call.bpm], np.float32)}
        return _run(graph, call, call.x, call.t, {**text, **beat, "frame_mask": _frame_mask(graph, call)})
    made = _straight(graph, call) if config.objective == "v" else _run(graph, call, call.x, call.t, {})
    return made * call.frame_mask.astype(np.float32)


def _straight(graph: Graph, call: Call) -> Floats:
    """Velocity of the straight path from a network of variance-preserving diffusion.

    Both paths mix the same data and noise; the network's own x is x / |(1 - t, t)|, its own time the angle of
    (1 - t, t) as a part of a right angle; its velocity is alpha noise - sigma data.
    """
    size = math.hypot(1 - call.t, call.t)
    sigma, alpha = np.float32(call.t / size), np.float32((1 - call.t) / size)
    turned = call.x / np.float32(size)
    v = _run(graph, call, turned, math.atan2(call.t, 1 - call.t) * 2 / math.pi, {})
    data, noise = alpha * turned - sigma * v, sigma * turned + alpha * v
    return noise - data


def _run(graph: Graph, call: Call, x: Floats, t: float, more: Arrays) -> Floats:
    window = fitting_window(graph.signatures, x.shape[1])
    inputs = {
        "x": filled(x, window)[None],
        "t": np.array([t], np.float32),
        "text_tokens": call.text.tokens[None],
        "text_mask": call.text.mask[None].astype(np.float32),
        "seconds": np.array([call.seconds], np.float32),
        **more,
    }
    if call.inpaint is not None:
        inputs["inpaint"] = filled(call.inpaint, window)[None]
    return graph.run(f"T{window}", inputs)["velocity"][0, :, : x.shape[1]]


def _frame_mask(graph: Graph, call: Call) -> Floats:
    window = fitting_window(graph.signatures, call.x.shape[1])
    return filled(call.frame_mask.astype(np.float32)[None], window)
