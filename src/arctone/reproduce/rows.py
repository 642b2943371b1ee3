"""The rows of the table: which model is sampled how."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """title: what the table says. stage: which model. settings: fields of GenerationRequest, else the model's own."""

    title: str
    stage: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


ROWS = (
    Row("flow, guided, 24 steps", "flow", {"steps": 24}),
    Row("flow, guided, 8 steps", "flow", {"steps": 8}),
    Row("flow, 8 ping-pong steps", "flow", {"steps": 8, "sampler": "ping_pong", "cfg_scale": 1.0}),
    Row("ARC, 8 steps", "arc"),
    Row("ARC, 4 steps", "arc", {"steps": 4}),
    Row("distribution matching, 8 steps", "dmd"),
    Row("consistency, 8 steps", "consistency"),
    Row("ARC without contrastive loss, 8 steps", "arc-without-contrastive"),
    Row("ARC with least squares, 8 steps", "arc-least-squares"),
)
