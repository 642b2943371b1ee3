"""What a reproduction does with its time: shares of the stages, and the rows of its table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

from arctone.errors import UsageError
from arctone.training.arc.config import AlignmentConfig, ArcConfig, TeacherConfig
from arctone.workflows.time_limit import Sample


@dataclasses.dataclass(frozen=True)
class Ablation:
    """One changed setting of ARC: its title in the table, and what differs from the first one's settings."""

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


TRAINED = ("flow", "arc", "dmd", "consistency", *ABLATIONS)
FLOW = "flow"


# Parts of the budget; the rest is for starting up and for the report. All ablations together have one share.
SHARES = {"data": 0.15, "flow": 0.3, "arc": 0.1, "dmd": 0.1, "consistency": 0.04, "ablations": 0.14, "measures": 0.14}
ABLATION = "arc-"
# Clips of the corpus, prompts of each row, and of how many prompts several sounds are made.
_FEWEST_CLIPS, _MOST_CLIPS = 16, 19_000
MIN_PROMPTS, MAX_PROMPTS = 4, 500
_MIN_REPEATED, _MAX_REPEATED = 3, 60
# Fewer prompts leave time for two takes of some of them only.
_MANY_PROMPTS, _MANY_TAKES, _FEW_TAKES = 12, 4, 2
_UNITS = {"m": 1.0, "h": 60.0}


@dataclasses.dataclass(frozen=True)
class Budget:
    """A length of time and the sizes that fit into it.

    Args:
        minutes: Of all.
        given: Parts of SHARES that take none, because their results are there already.
    """

    minutes: float
    given: tuple[str, ...] = ()

    def shares(self, stages: Collection[str]) -> Mapping[str, float]:
        """Minutes of each of these stages; the names of ablations begin with "arc-", and they are given equal parts."""
        scale = self.minutes * sum(SHARES.values()) / sum(self._part(name) for name in SHARES)
        ablations = [stage for stage in stages if stage.startswith(ABLATION)]
        own = {stage: scale * self._part(stage) for stage in stages if stage not in ablations}
        return own | {stage: scale * SHARES["ablations"] / len(ablations) for stage in ablations}

    @property
    def recipe(self) -> str:
        """Name of the recipe: the small model below two hours."""
        return "spark" if self.minutes >= 120 else "spark-minutes"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that there is time for."""
        return BRIEF if self.minutes < SHORT_FROM else SHORT if self.minutes < FULL_FROM else FULL

    @property
    def least_rows(self) -> int:
        """Rows that are measured however slow the machine is."""
        return 2 if self.is_brief else 4

    @property
    def is_brief(self) -> bool:
        """Whether there is time for the flow and ARC alone."""
        return self.minutes < SHORT_FROM

    def num_clips(self, seconds_per_clip: float, seconds_spent: float = 0.0) -> int:
        """Choose the number of clips of the corpus.

        Args:
            seconds_per_clip: To render and encode one, as measured.
            seconds_spent: On measuring it.

        Returns:
            The number.
        """
        seconds = 60 * self.shares(["data"])["data"] - seconds_spent
        return min(max(round(seconds / seconds_per_clip), _FEWEST_CLIPS), _MOST_CLIPS)

    def _part(self, name: str) -> float:
        return 0.0 if name in self.given else SHARES[name]


def parse_budget(text: str, given: tuple[str, ...] = ()) -> Budget:
    """Parse a budget such as 60m or 6h, at least 1m.

    Args:
        text: Such as 60m or 6h.
        given: Parts of `SHARES` that take no time.

    Returns:
        The budget.

    Raises:
        UsageError: for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mh])", text.strip())
    minutes = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if minutes < 1:
        raise UsageError(
            f"budget: {text!r} is not possible, write minutes or hours such as 60m or 6h, at least 1m", field="budget"
        )
    return Budget(minutes, given)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: title, stage that trained the model, and fields of GenerationRequest."""

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
# What there is time for in some minutes; without time for the last, the first two remain.
BRIEF = tuple(next(row for row in SHORT if row.title == title) for title in (
    "flow, 8 ping-pong steps", "ARC, 8 steps", "flow, guided, 8 steps",
))  # fmt: skip
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
# From these budgets on, in minutes.
SHORT_FROM, FULL_FROM = 10.0, 120.0


def sample_of(rows: int, prompts: int) -> Sample:
    """Choose of how many prompts how many sounds are made, which tell how much they differ.

    Args:
        rows: Of the table.
        prompts: Of each row.

    Returns:
        The sample.
    """
    repeated = min(_MAX_REPEATED, max(prompts // 3, _MIN_REPEATED), prompts)
    return Sample(rows, prompts, repeated, _MANY_TAKES if prompts >= _MANY_PROMPTS else _FEW_TAKES)
