"""Results on disk: one JSON file a benchmark, with the settings, the machine, the date and the version."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from arctone import __version__
from arctone.evaluation.metrics.intervals import Interval, Statistic, bootstrap
from benchmarks import machine

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "results"
JSON = dict[str, Any]
ORIGIN = ("date", "version", "command", "machine")


def write(name: str, settings: JSON, values: JSON, folder: Path = FOLDER) -> Path:
    """Write `folder/name.json` and return its path."""
    return store({"name": name, **origin(), "settings": settings, **values}, folder)


def store(result: JSON, folder: Path = FOLDER) -> Path:
    """Write a whole result, as it was read, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return path


def origin() -> JSON:
    """When, with what and on what machine this program measures."""
    found = datetime.date.today().isoformat(), __version__, command_line(), machine.describe()
    return dict(zip(ORIGIN, found, strict=True))


def read(name: str, folder: Path = FOLDER) -> JSON | None:
    """The stored result, or None if it was never measured."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def machine_of(row: str, table: JSON) -> JSON:
    """Return the machine on which a row of a table was first measured."""
    found: JSON = next((one["machine"] for one in table.get("earlier", []) if row in one["rows"]), table["machine"])
    return found


def processor(described: JSON) -> str:
    """Name the processor of a machine in short."""
    return str(described["processor"]).replace("(R)", "").removesuffix(" Processor")


def command_line() -> str:
    """How this program was started, without the folders of this machine."""
    words = [
        " ".join(Path(part).name if part.startswith("/") else part for part in word.split()) for word in sys.argv[1:]
    ]
    quoted = (f'"{word}"' if " " in word else word for word in words)
    program = Path(sys.argv[0])
    name = program.parent.name if program.stem == "__main__" else program.stem
    return " ".join(["python -m", f"benchmarks.{name}", *quoted])


def interval(values: list[float], statistic: Statistic = "mean") -> JSON:
    """Bootstrap interval as plain values, rounded to what it is good for."""
    found: Interval = bootstrap(values, statistic)
    rounded = {name: round(getattr(found, name), 4) for name in ("value", "low", "high")}
    return {**rounded, "count": found.count}


def percent(cell: JSON | None) -> str:
    """'71 % (65-77)', or a dash if nothing was counted."""
    if cell is None:
        return "-"
    return f"{100 * cell['value']:.0f} % ({100 * cell['low']:.0f}-{100 * cell['high']:.0f})"


def number(cell: JSON | None, digits: int = 2) -> str:
    """'1.23 (1.10-1.40)', or a dash if nothing was counted."""
    if cell is None:
        return "-"
    low, high = (f"{round(cell[name], digits) + 0.0:.{digits}f}" for name in ("low", "high"))  # no -0.00
    between = " to " if cell["low"] < 0 else "-"
    return f"{cell['value']:.{digits}f} ({low}{between}{high})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def footer(result: JSON) -> str:
    """Where the numbers come from, below a table."""
    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    return (
        f"Measured {result['date']}, arctone {result['version']}, {machine.sentence(result['machine'])}. "
        f"Settings: {settings}. Command: `{result['command']}`."
    )
