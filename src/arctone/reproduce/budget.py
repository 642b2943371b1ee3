"""How long each part of a reproduction may take."""

from __future__ import annotations

import dataclasses
import re

from arctone.errors import UsageError

# Parts of the budget; the rest is for starting up and for the report.
SHARES = {
    "data": 0.15,
    "flow": 0.35,
    "arc": 0.11,
    "dmd": 0.11,
    "consistency": 0.05,
    "arc-without-contrastive": 0.04,
    "arc-least-squares": 0.04,
    "measures": 0.12,
}
# Rendering and encoding a clip, and making and judging a sound, on two CPU cores.
_SECONDS_PER_CLIP, _SECONDS_PER_SOUND = 0.6, 4.0
_UNITS = {"m": 1.0, "h": 60.0}


@dataclasses.dataclass(frozen=True)
class Budget:
    """A length of time and the sizes that fit into it."""

    minutes: float

    def share(self, stage: str) -> float:
        """Minutes of a stage."""
        return self.minutes * SHARES[stage]

    @property
    def recipe(self) -> str:
        """Name of the recipe: the small model below two hours."""
        return "spark" if self.minutes >= 120 else "spark-minutes"

    @property
    def num_clips(self) -> int:
        """Clips of the corpus, from 100 to the bundled model's number."""
        return min(max(round(60 * self.share("data") / _SECONDS_PER_CLIP), 100), 19_000)

    def num_prompts(self, num_rows: int, num_takes: int) -> int:
        """Prompts that every row is asked, from 4 to 300."""
        return min(max(round(60 * self.share("measures") / (_SECONDS_PER_SOUND * num_rows * num_takes)), 4), 300)


def parse_budget(text: str) -> Budget:
    """A budget such as 60m or 6h, at least 1m. Raises: UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mh])", text.strip())
    minutes = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if minutes < 1:
        raise UsageError(f"budget: {text!r} is not possible, write minutes or hours such as 60m or 6h, at least 1m")
    return Budget(minutes)
