"""How long each part of a reproduction may take."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping

from arctone.errors import UsageError

# Parts of the budget; the rest is for starting up and for the report. All ablations together have one share.
SHARES = {"data": 0.15, "flow": 0.3, "arc": 0.1, "dmd": 0.1, "consistency": 0.04, "ablations": 0.14, "measures": 0.14}
ABLATION = "arc-"
# Rendering and encoding a clip, and making and judging a sound, on two CPU cores.
_SECONDS_PER_CLIP, _SECONDS_PER_SOUND = 0.6, 4.0
_UNITS = {"m": 1.0, "h": 60.0}


@dataclasses.dataclass(frozen=True)
class Budget:
    """A length of time and the sizes that fit into it.

    minutes: of all. given: parts of SHARES that take none, because their results are there already.
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
    def num_clips(self) -> int:
        """Clips of the corpus, from 100 to the bundled model's number."""
        if "data" in self.given:
            return 19_000
        return min(max(round(60 * self.shares(["data"])["data"] / _SECONDS_PER_CLIP), 100), 19_000)

    def num_prompts(self, num_rows: int, takes_per_prompt: float) -> int:
        """Prompts that every row is asked, from 4 to 500."""
        seconds = 60 * self.shares(["measures"])["measures"]
        return min(max(round(seconds / (_SECONDS_PER_SOUND * num_rows * takes_per_prompt)), 4), 500)

    def _part(self, name: str) -> float:
        return 0.0 if name in self.given else SHARES[name]


def parse_budget(text: str, given: tuple[str, ...] = ()) -> Budget:
    """A budget such as 60m or 6h, at least 1m. Raises: UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mh])", text.strip())
    minutes = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if minutes < 1:
        raise UsageError(
            f"budget: {text!r} is not possible, write minutes or hours such as 60m or 6h, at least 1m", field="budget"
        )
    return Budget(minutes, given)
