"""ARC with one thing changed at a time, all trained equally long: the first is the paper's, the others are compared
with it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from arctone.training.arc.config import ArcConfig


@dataclasses.dataclass(frozen=True)
class Ablation:
    """title: what the table says. changes: of the paper's settings."""

    title: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def applied(self) -> ArcConfig:
        """The settings."""
        return dataclasses.replace(ArcConfig(), **self.changes)


# By stage. Short reproductions train the first three.
ABLATIONS = {
    "arc-paper": Ablation("ARC as in the paper"),
    "arc-without-contrastive": Ablation("without contrastive loss", {"contrastive_weight": 0.0}),
    "arc-least-squares": Ablation("with least squares", {"loss": "least_squares"}),
    "arc-own-output": Ablation("with its own noised output", {"self_output": 0.5}),
    "arc-own-sounds": Ablation("with its own sounds judged", {"judged_calls": 8}),
    "arc-sampler-levels": Ablation("with the sampler's levels", {"time_law": "sampler"}),
    "arc-teacher": Ablation("with a guided teacher", {"teacher_weight": 1.0, "teacher_steps": 10}),
    "arc-centring": Ablation("with centred logits", {"centring_weight": 0.1}),
    "arc-alignment": Ablation("with an alignment critic", {"alignment_steps": 500, "alignment_weight": 0.5}),
    "arc-length-shift": Ablation("with a shift by length", {"shift_long": 2.0}),
}
