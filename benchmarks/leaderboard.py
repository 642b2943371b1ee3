"""The versions of the bundled model in one table, filled from what is stored.

    python -m benchmarks.leaderboard --add NAME --version 2 --model-hash HASH --hours 36

A row keeps who it is (name, version, date, hours of training) and what the stored results say of the model with its
hash at this moment: `generation_table` (score, distance, recall), `adherence` (family, key), `kinds_table`,
`silence_table`. A figure that no result of that hash holds stays open. Rows are never measured here.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.results import JSON

NAME = "leaderboard"
HEAD = ["version", "date", "hours", "score", "distance", "family", "key", "kind", "silent", "11.89 s"]


def figures(model_hash: str, folder: Path = results.FOLDER) -> JSON:
    """What the stored results say of a model; None where none of that hash does."""
    found: JSON = {}
    for name, (source, read) in _SOURCES.items():
        result = results.read(source, folder)
        rows = [] if result is None else _rows_of(result, model_hash)
        value = read(rows[0]) if rows else None
        found[name] = value["value"] if isinstance(value, dict) else value
    return found


def _rows_of(result: JSON, model_hash: str) -> list[JSON]:
    """The parts of a result that were measured on a model; of a table its rows, in their order."""
    parts = [*result.get("rows", {}).values(), result] if isinstance(result.get("rows"), dict) else [result]
    return [part for part in parts if part.get("settings", {}).get("model_hash") == model_hash]


_SOURCES: dict[str, tuple[str, Callable[[JSON], Any]]] = {
    "score": ("generation_table", lambda row: row.get("text_audio_score/corpus-clap")),
    "distance": ("generation_table", lambda row: row.get("frechet_distance/aisfx")),
    "latency_ms": ("generation_table", lambda row: row.get("cost", {}).get("stages_ms", {}).get("total")),
    "family": ("adherence", lambda result: result["conditions"].get("generated", {}).get("family")),
    "key": ("adherence", lambda result: result["conditions"].get("generated", {}).get("key")),
    "kind": ("kinds_table", lambda result: result["conditions"].get("generated", {}).get("kind")),
    "silent": ("silence_table", lambda result: _silent(result)),
}


def _silent(result: JSON) -> str:
    rows = result["lengths"].values()
    return f"{sum(row['silent'] for row in rows)} of {sum(row['count'] for row in rows)}"


def with_row(board: JSON, row: JSON) -> JSON:
    """The board with a row; one of the same version is replaced, newest versions come first."""
    rows = [row, *(old for old in board.get("rows", []) if old["version"] != row["version"])]
    return board | {"rows": sorted(rows, key=lambda one: (one["date"], one["version"]), reverse=True)}


def block(result: JSON) -> str:
    """The table as Markdown."""
    rows = [
        [
            f"{row['name']} {row['version']}", row["date"], _number(row["hours"], 0), _number(row["score"], 3),
            _number(row["distance"], 1), _share(row["family"]), _share(row["key"]), _share(row["kind"]),
            row["silent"] or "-", "-" if row["latency_ms"] is None else f"{row['latency_ms']:.0f} ms",
        ]
        for row in result["rows"]
    ]  # fmt: skip
    text = (
        "Score: cosine of the small CLAP trained on our corpus. Distance: Frechet distance of aiSFX embeddings. "
        "Family, key and kind: share of held-out prompts whose sound a probe names right. Silent: of sounds of 0.3 to "
        "2 s. Hours: of training, on one core. 11.89 s: time for that much sound. A cell without a figure was not "
        "measured for that version."
    )
    return "\n\n".join([results.table(HEAD, rows), text])


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def main(arguments: Sequence[str] | None = None) -> None:
    """Add or replace a row."""
    options = _parser().parse_args(arguments)
    known = {name: getattr(options, name) for name in _SOURCES if getattr(options, name) is not None}
    row = {
        "name": options.add, "version": options.version, "date": options.date, "hours": options.hours,
        "model_hash": options.model_hash, **figures(options.model_hash, options.results), **known,
    }  # fmt: skip
    board = results.read(NAME, options.results) or {"name": NAME, **results.origin(), "settings": {}}
    print(results.store(with_row(board, row), options.results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaderboard", description=__doc__)
    parser.add_argument("--add", required=True, help="name of the model")
    parser.add_argument("--version", required=True)
    parser.add_argument("--model-hash", required=True, help="as records of its sounds say it")
    parser.add_argument("--hours", type=float, help="core-hours of training, all stages; left open if not known")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    for name in _SOURCES:
        kind = str if name == "silent" else float
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help="as published, where no result is stored")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
