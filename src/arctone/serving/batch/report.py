"""What became of the lines of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from arctone.errors import ArctoneError

_MAX_SHOWN = 20


@dataclass
class Report:
    """What became of each line, by its number."""

    made: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    failed: dict[int, ArctoneError] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0, or the code of the first line that failed."""
        return self.failed[min(self.failed)].exit_code if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        failed = {str(number): str(problem) for number, problem in sorted(self.failed.items())}
        return {"made": self.made, "skipped": self.skipped, "failed": failed}

    def sentences(self) -> Iterator[str]:
        """For people: the lines that failed, then the counts."""
        numbers = sorted(self.failed)
        for number in numbers[:_MAX_SHOWN]:
            yield f"error: line {number}: {self.failed[number]}"
        if len(numbers) > _MAX_SHOWN:
            yield f"and {len(numbers) - _MAX_SHOWN} more lines failed."
        yield f"{len(self.made)} made, {len(self.skipped)} already there, {len(numbers)} failed"
