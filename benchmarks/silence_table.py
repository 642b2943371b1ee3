"""How often a short sound is silent: prompts, lengths and seeds by the hundred.

    python -m benchmarks.silence_table [--model spark] [--per-length 250]

Each seed is given, so that no other one is drawn in its place; the sounds are taken before they are levelled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from arctone.evaluation.metrics.silence import sounds_silent, wilson
from benchmarks import engines, results
from benchmarks.results import JSON

LENGTHS = (0.3, 0.5, 1.0, 2.0)
PROMPTS = (
    "a door creaks", "applause", "a dog barking", "footsteps on gravel", "a glass breaking", "a laser shot",
    "piano, single note, C4", "plucked acoustic guitar", "a kick drum", "rain", "a cat meowing", "an explosion",
    "a coin pickup in a video game", "violin, staccato", "thunder", "a car horn", "a snare drum hit", "a bird chirps",
    "water splash", "a person sneezing",
)  # fmt: skip


def block(result: JSON) -> str:
    """The table as Markdown."""
    rows = []
    for length, row in result["lengths"].items():
        worst = max(row["prompts"].items(), key=lambda item: item[1]) if row["prompts"] else ("-", 0)
        share = f"{100 * row['share']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        rows.append([f"{length} s", f"{row['silent']} of {row['count']}", share, f"{worst[0]}: {worst[1]}"])
    head = ["length", "silent", "share", "most often"]
    return "\n\n".join([results.table(head, rows), results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, count, store."""
    options = _parser().parse_args(arguments)
    engine = engines.load(options.model, options.threads)
    lengths = {}
    for seconds in options.lengths:
        silent: dict[str, int] = {}
        for number in track(range(options.per_length), f"{seconds} s"):
            prompt = PROMPTS[number % len(PROMPTS)]
            made = engine.generate(prompt, duration_seconds=seconds, seed=options.seed + number, normalize="off")
            if sounds_silent(made.waveforms[0]):
                silent[prompt] = silent.get(prompt, 0) + 1
        share, low, high = wilson(sum(silent.values()), options.per_length)
        row = {"silent": sum(silent.values()), "count": options.per_length, "share": round(share, 4)}
        lengths[f"{seconds:g}"] = {**row, "low": round(low, 4), "high": round(high, 4), "prompts": silent}
    settings = {"model": options.model, "model_hash": engine.model_hash, "seed": options.seed}
    print(results.write(options.name, settings, {"lengths": lengths}, options.results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.silence_table", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--per-length", type=int, default=250, help="sounds of each length")
    parser.add_argument("--lengths", type=float, nargs="+", default=list(LENGTHS))
    parser.add_argument("--seed", type=int, default=2_000)
    parser.add_argument("--name", default="silence_table", help="name of the stored result")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
