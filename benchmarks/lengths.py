"""What a sound costs by its length, by the number of steps, and when several are made at once.

    python -m benchmarks.lengths

A loaded model is asked in turn for each length, each sampler setting and each number of variations, several rounds of
it; figures are medians over the rounds. A straight line through the lengths of more than one window (least squares of
the relative error) says what each second adds. Writes the figure docs/figures/lengths.png too.

The least time is that of the networks' products alone, at the speed of the fastest products here (ceilings.py): in 8
bit with weights, in 32 bit within attention.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import arctone
from arctone.flow.noise import item_noise
from arctone.inference.backends.base import Backend, VelocityInputs
from arctone.inference.engine import Model
from arctone.model_folder.config import ModelConfig
from benchmarks import ceilings, results
from benchmarks.results import JSON, ROOT

PROMPT, SEED, FULL = "rain on a tin roof", 7, 11.89
LENGTHS = (1.0, 2.0, 4.0, 8.0, FULL, 30.0, 60.0, 120.0, 300.0)
SAMPLERS: dict[str, dict[str, Any]] = {
    "20 steps, guided": {"steps": 20, "cfg_scale": 4.0},
    "8 steps, guided": {"steps": 8, "cfg_scale": 4.0},
    "8 steps, no guidance": {"steps": 8, "cfg_scale": 1.0},
    "4 steps, no guidance": {"steps": 4, "cfg_scale": 1.0},
}
VARIATIONS = (1, 2, 4, 8)
FIGURE = ROOT / "docs" / "figures" / "lengths.png"


def seconds_of(model: Model, rounds: int, asked: Sequence[dict[str, Any]]) -> list[tuple[float, dict[str, float]]]:
    """Median wall clock and median stages (ms) of each request, all in turn in every round; one round warms up."""
    taken: list[list[tuple[float, dict[str, float]]]] = [[] for _ in asked]
    for number in range(rounds + 1):
        for index, fields in enumerate(asked):
            begun = time.perf_counter()
            result = model.generate(PROMPT, seed=SEED, **fields)
            if number:
                taken[index].append((time.perf_counter() - begun, result.timings_ms))
    return [(statistics.median(seconds for seconds, _ in rows), _stages([ms for _, ms in rows])) for rows in taken]


def _stages(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 1) for name in rows[0]}


def line(lengths: Sequence[float], seconds: Sequence[float]) -> JSON:
    """The straight line that is nearest in relative error: where it begins, what it rises by with each second of sound,
    and how far the farthest length is from it.
    """
    wanted, weight = np.asarray(seconds), 1 / np.asarray(seconds)
    design = np.stack([np.ones(len(wanted)), np.asarray(lengths)], axis=1)
    found, *_ = np.linalg.lstsq(design * weight[:, None], wanted * weight, rcond=None)
    error = np.abs(design @ found / wanted - 1).max()
    return {
        "start_seconds": round(float(found[0]), 4),
        "per_second": round(float(found[1]), 5),
        "largest_error": round(float(error), 3),
    }


def least(ceiling: dict[str, float], work: Callable[[], object]) -> float:
    """Milliseconds that the products of a network in torch take at the ceiling, if its weights have 8 bits."""
    counted = ceilings.operations(work)
    return round(1000 * (counted["weights"] / ceiling["int8"] + counted["others"] / ceiling["float32"]), 2)


def bounds(parts: Backend, config: ModelConfig, threads: int) -> JSON:
    """Ceilings of the machine, and the least time of a call of the transformer and of the decoder over a window.

    Args: parts: on torch, which counts its operations.
    """
    ceiling = ceilings.ceilings(threads)
    frames, ids = config.dit.max_frames, np.zeros(config.text.max_tokens, np.int64)
    latents = item_noise(SEED, 0, (config.dit.latent_channels, frames))
    text = parts.encode_text(ids, np.ones(len(ids), bool))
    seconds, mask = config.dit.max_seconds, np.ones(frames, bool)
    return {
        "ceilings": ceiling,
        "least_ms": {
            "call": least(ceiling, lambda: parts.velocity(VelocityInputs(latents, 0.6, text, seconds, 0.0, mask))),
            "decoder": least(ceiling, lambda: parts.decode(latents)),
        },
    }


def measure(model: Model, rounds: int, lengths: Sequence[float], variations: Sequence[int]) -> JSON:
    """All three tables."""
    by_length = seconds_of(model, rounds, [{"duration_seconds": length} for length in lengths])
    long = [(length, taken) for length, (taken, _) in zip(lengths, by_length, strict=True) if length > FULL]
    by_sampler = seconds_of(model, rounds, [{"duration_seconds": FULL, **fields} for fields in SAMPLERS.values()])
    at_once = seconds_of(model, rounds, [{"duration_seconds": FULL, "variations": number} for number in variations])
    return {
        "lengths": [
            {"seconds_of_sound": length, "seconds": round(taken, 3), "times_real_time": round(length / taken, 1)}
            for length, (taken, _) in zip(lengths, by_length, strict=True)
        ],
        "line": line(*zip(*long, strict=True)) if len(long) > 1 else None,
        "samplers": [
            {"title": title, "calls": _calls(fields), "seconds": round(taken, 3), "stages_ms": stages}
            for (title, fields), (taken, stages) in zip(SAMPLERS.items(), by_sampler, strict=True)
        ],
        "variations": [
            {"number": number, "seconds_each": round(taken / number, 3)}
            for number, (taken, _) in zip(variations, at_once, strict=True)
        ],
    }


def _calls(fields: dict[str, Any]) -> int:
    """Calls of the transformer; guidance takes two a step."""
    steps: int = fields["steps"]
    return steps if fields["cfg_scale"] == 1.0 else 2 * steps


def draw(result: JSON, path: Path) -> None:
    """The lengths with their line, both axes logarithmic."""
    from matplotlib.figure import Figure

    lengths = [row["seconds_of_sound"] for row in result["lengths"]]
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.loglog(lengths, [row["seconds"] for row in result["lengths"]], "o", label="measured")
    fit = result["line"]
    if fit:
        far = [length for length in lengths if length > FULL]
        axes.loglog(far, [fit["start_seconds"] + fit["per_second"] * length for length in far], label="line")
    axes.set_xlabel("seconds of sound")
    axes.set_ylabel("seconds to make it")
    axes.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=90)


def lengths_block(result: JSON) -> str:
    """Cost by length."""
    rows = [
        [f"{row['seconds_of_sound']:g}", f"{row['seconds']:.2f}", f"{row['times_real_time']:.1f}"]
        for row in result["lengths"]
    ]
    parts = [results.table(["seconds of sound", "seconds to make it", "times real time"], rows)]
    if fit := result["line"]:
        start, slope, error = fit["start_seconds"], fit["per_second"], 100 * fit["largest_error"]
        parts.append(
            f"Beyond one window: {slope:.3f} s more for each second, from {start:.2f} s on, within {error:.0f} %."
        )
    return "\n\n".join([*parts, results.footer(result)])


def samplers_block(result: JSON) -> str:
    """Cost by sampler settings, with the stages and the least time of their products."""
    names, least_ms = ("text", "sampling", "decoding"), result.get("least_ms")
    head = [
        "11.89 s of sound",
        *(f"{name}, ms" for name in names),
        "all, ms",
        *(["least possible, ms"] if least_ms else []),
    ]
    rows = []
    for row in result["samplers"]:
        cells = [row["title"], *(f"{row['stages_ms'][name]:.0f}" for name in names), f"{1000 * row['seconds']:.0f}"]
        fewest = [f"{row['calls'] * least_ms['call'] + least_ms['decoder']:.0f}"] if least_ms else []
        rows.append([*cells, *fewest])
    least = [_least_sentence(result)] if least_ms else []
    return "\n\n".join([results.table(head, rows), *least, results.footer(result)])


def _least_sentence(result: JSON) -> str:
    speeds = ", ".join(f"{name} {result['ceilings'][name]:.0f}" for name in ("int8", "float32"))
    call, decoder = result["least_ms"]["call"], result["least_ms"]["decoder"]
    return (
        f"Least possible: the products of the networks alone ({call:.1f} ms a call of the transformer, {decoder:.1f} "
        f"ms for the decoder), at the speed of the fastest matrix products measured here (GFLOP/s: {speeds})."
    )


def variations_block(result: JSON) -> str:
    """Cost of each of several sounds made at once."""
    first = result["variations"][0]["seconds_each"]
    rows = [
        [str(row["number"]), f"{row['seconds_each']:.2f}", f"{first / row['seconds_each']:.2f}x"]
        for row in result["variations"]
    ]
    return results.table(["sounds at once", "seconds for each", "gain"], rows) + "\n\n" + results.footer(result)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lengths", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--longest", type=float, default=LENGTHS[-1], help="leave out longer sounds")
    parser.add_argument("--name", default="lengths", help="of the result")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args(arguments)
    model = arctone.load(options.model, threads=options.threads)
    lengths = [length for length in LENGTHS if length <= options.longest]
    found = measure(model, options.rounds, lengths, VARIATIONS)
    on_torch = arctone.load(options.model, engine="torch")
    found |= bounds(on_torch.engine.backend, on_torch.engine.config, options.threads or os.cpu_count() or 1)
    settings = {name: getattr(options, name) for name in ("model", "threads", "rounds")}
    settings["model_hash"] = model.engine.model_hash
    print(results.write(options.name, settings, found, options.results))
    draw(found, options.figure)


if __name__ == "__main__":
    main()
