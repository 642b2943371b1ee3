"""The rows of the table: which model is sampled how."""

from __future__ import annotations

import dataclasses
from typing import Any

from arctone.workflows.reproduce.ablations import ABLATIONS


@dataclasses.dataclass(frozen=True)
class Row:
    """title: what the table says. stage: which model. settings: fields of GenerationRequest, else the model's own."""

    title: str
    stage: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


# What a short reproduction has time for.
SHORT = (
    Row("flow, guided, 24 steps", "flow", {"steps": 24}),
    Row("flow, guided, 8 steps", "flow", {"steps": 8}),
    Row("flow, 8 ping-pong steps", "flow", {"steps": 8, "sampler": "ping_pong", "cfg_scale": 1.0}),
    Row("ARC, 8 steps", "arc"),
    Row("ARC, 4 steps", "arc", {"steps": 4}),
    Row("distribution matching, 8 steps", "dmd"),
    Row("consistency, 8 steps", "consistency"),
    *(Row(f"{ABLATIONS[name].title}, 8 steps", name) for name in list(ABLATIONS)[:3]),
)
FULL = (
    Row("flow, guided, 100 steps", "flow", {"steps": 100}),
    Row("flow, guided, 50 steps", "flow", {"steps": 50}),
    Row("flow, guided, 8 steps", "flow", {"steps": 8}),
    Row("flow, 8 ping-pong steps", "flow", {"steps": 8, "sampler": "ping_pong", "cfg_scale": 1.0}),
    Row("ARC, 8 steps", "arc"),
    *(Row(f"ARC, {steps} step{'s' if steps > 1 else ''}", "arc", {"steps": steps}) for steps in (4, 2, 1)),
    Row("distribution matching, 8 steps", "dmd"),
    Row("consistency, 8 steps", "consistency"),
    *(Row(f"{ablation.title}, 8 steps", name) for name, ablation in ABLATIONS.items()),
)
# From this budget on, in minutes, all of it.
FULL_FROM = 120.0


def rows_for(minutes: float) -> tuple[Row, ...]:
    """The rows that a budget has time for."""
    return FULL if minutes >= FULL_FROM else SHORT
