"""The versions of the bundled model in one table, filled from what is stored.

    python -m benchmarks.leaderboard --add NAME --version 2 --model-hash HASH --hours 36

A row keeps who it is (name, version, date, hours of training) and what the stored results say of the model with its
hash at this moment: `generation_table` (score, distance, latency, with the steps and the processor of that row),
`adherence` (family, key), `kinds_table`, `silence_table`. A figure that no result of that hash holds stays open, and a
column without any figure is left out of the table. Rows are never measured here.
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


def figures(model_hash: str, folder: Path = results.FOLDER, steps: int | None = None) -> JSON:
    """Read what the stored results say of a model.

    Args:
        model_hash: hash of the model's folder, as records of its sounds say it.
        folder: the stored results.
        steps: use rows of the table of generation with this number of steps; None = the first row of the model.

    Returns:
        Each figure by name, None where no result of that hash holds it; with them the steps and the processor of
        the row of the table of generation.
    """
    found: JSON = {}
    for name, (source, read) in _SOURCES.items():
        result = results.read(source, folder)
        parts = {} if result is None else _parts_of(result, model_hash, steps)
        value = next(map(read, parts.values()), None)
        found[name] = value["value"] if isinstance(value, dict) else value
        if source == "generation_table" and result is not None:
            found |= _conditions(parts, result)
    return found


def model_of(result: JSON) -> str:
    """Name the version of the model that a result was measured on.

    Args:
        result: a stored result, with the hash of its model among its settings.

    Returns:
        Name and version, such as "spark 6"; the first digits of the hash if no version has it; "model not recorded"
        without a hash.
    """
    model_hash = result["settings"].get("model_hash")
    rows = (results.read(NAME) or {"rows": []})["rows"]
    versions = (f"{row['name']} {row['version']}" for row in rows if row["model_hash"] == model_hash)
    return next(versions, f"model {model_hash[:8]}" if model_hash else "model not recorded")


def _parts_of(result: JSON, model_hash: str, steps: int | None) -> dict[str, JSON]:
    """The parts of a result that were measured on a model, by name; of a table its rows, in their order."""
    rows = result.get("rows")
    parts = {**rows, "": result} if isinstance(rows, dict) else {"": result}
    return {name: part for name, part in parts.items() if _is_of(part.get("settings", {}), model_hash, steps)}


def _is_of(settings: JSON, model_hash: str, steps: int | None) -> bool:
    return settings.get("model_hash") == model_hash and steps in {None, settings.get("steps", steps)}


def _conditions(parts: dict[str, JSON], table: JSON) -> JSON:
    """The steps and the processor of the first of some rows; nothing for no rows."""
    name, row = next(iter(parts.items()), ("", None))
    if row is None or "steps" not in row["settings"]:
        return {}
    guided = ", guided" if row["settings"].get("cfg_scale", 1) != 1 else ""
    return {
        "steps": f"{row['settings']['steps']}{guided}",
        "processor": results.processor(results.machine_of(name, table)),
    }


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


# Head of a column, its cell, and what the legend says of it.
_COLUMNS: dict[str, tuple[Callable[[JSON], str], str]] = {
    "version": (lambda row: f"{row['name']} {row['version']}", ""),
    "date": (lambda row: row["date"], ""),
    "hours": (lambda row: _number(row["hours"], 0), "Hours: of training, on one core."),
    "steps": (
        lambda row: row.get("steps") or "-",
        "Steps: of the sampler, for all figures of a row but family and key.",
    ),
    "score": (
        lambda row: _number(row["score"], 3),
        "Score: cosine of the small CLAP trained on our corpus, higher is better.",
    ),
    "distance": (
        lambda row: _number(row["distance"], 1),
        "Distance: Frechet distance of aiSFX embeddings, lower is better.",
    ),
    "family": (
        lambda row: _share(row["family"]),
        "Family: share of held-out prompts whose instrument family a probe recognizes in the sound.",
    ),
    "key": (lambda row: _share(row["key"]), "Key: the same for the key."),
    "kind": (lambda row: _share(row["kind"]), "Kind: the same for the kind of effect or ambience."),
    "silent": (lambda row: row["silent"] or "-", "Silent: of sounds of 0.3 to 2 s."),
    "11.89 s": (
        lambda row: "-" if row["latency_ms"] is None else f"{row['latency_ms']:.0f} ms",
        "11.89 s: time for that much sound in a loaded model.",
    ),
    "two cores of": (lambda row: row.get("processor") or "-", ""),
}


def block(result: JSON) -> str:
    """Render the table and its legend as Markdown, without columns that have no figure."""
    cells = {head: [cell(row) for row in result["rows"]] for head, (cell, _) in _COLUMNS.items()}
    shown = {head: column for head, column in cells.items() if set(column) != {"-"}}
    rows = [list(row) for row in zip(*shown.values(), strict=True)]
    legend = [_COLUMNS[head][1] for head in shown if _COLUMNS[head][1]]
    if any("-" in column for column in shown.values()):
        legend.append("A cell without a figure was not measured for that version.")
    return "\n\n".join([results.table(list(shown), rows), " ".join(legend)])


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
        "model_hash": options.model_hash, **figures(options.model_hash, options.results, options.steps), **known,
    }  # fmt: skip
    board = results.read(NAME, options.results) or {"name": NAME, **results.origin(), "settings": {}}
    print(results.store(with_row(board, row), options.results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaderboard", description=__doc__)
    parser.add_argument("--add", required=True, help="name of the model")
    parser.add_argument("--version", required=True)
    parser.add_argument("--model-hash", required=True, help="as records of its sounds say it")
    parser.add_argument("--hours", type=float, help="core-hours of training, all stages; left open if not known")
    parser.add_argument("--steps", type=int, help="of the row of the table of generation; else the model's first row")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    for name in _SOURCES:
        kind = str if name == "silent" else float
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help="as published, where no result is stored")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
