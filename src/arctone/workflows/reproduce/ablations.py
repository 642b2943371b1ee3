"""ARC with one thing changed at a time, all trained equally long: the first has the method's losses and laws alone, the
others are compared with it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from arctone.training.arc.config import AlignmentConfig, ArcConfig, TeacherConfig


@dataclasses.dataclass(frozen=True)
class Ablation:
    """title: what the table says. changes: of the first one's settings."""

    title: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def applied(self) -> ArcConfig:
        """The settings."""
        return dataclasses.replace(ArcConfig(), **self.changes)


# By stage. Short reproductions train the first three.
ABLATIONS = {
    "arc-paper": Ablation("ARC, losses and laws alone"),
    "arc-without-contrastive": Ablation("without contrastive loss", {"contrastive_weight": 0.0}),
    "arc-least-squares": Ablation("with least squares", {"loss": "least_squares"}),
    "arc-own-output": Ablation("with its own noised output", {"self_output": 0.5}),
    "arc-own-sounds": Ablation("with full sampler rollouts", {"rollout_steps": 8}),
    "arc-sampler-levels": Ablation("with the sampler's levels", {"time_law": "sampler"}),
    "arc-teacher": Ablation("with a guided teacher", {"teacher": TeacherConfig(weight=1.0, steps=10)}),
    "arc-alignment": Ablation("with an alignment critic", {"alignment": AlignmentConfig(steps=500, weight=0.5)}),
}
