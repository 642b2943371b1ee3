"""Stable Audio Open small on the edge runner: time, memory and size of a whole clip, one process each, without torch.

    PYTHONPATH=src:. python -m benchmarks.random_sao small sao/
    arctone export litert sao/ sao-int8/ && arctone export edge sao-int8/ sao-edge/
    arctone export litert sao/ sao-int4/ --precision int4 && arctone export edge sao-int4/ sao-edge-int4/
    python -m benchmarks.sao_edge sao-edge/ sao-edge-int4/ --program runner/bin/python

Random weights of the published sizes take the time and the memory of the published ones; they make noise, and say
little of how well narrow weights serve trained ones. The program is a Python with nothing but
requirements-edge.txt. Each folder is run once without packed weights, then several times with them, and once more under
a limit of memory: a control group's, where this program may make one, which counts mapped files too.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.memory_cap import forget, memory_group
from benchmarks.results import JSON

PROMPT, SEED = "rain on a tin roof", 7
DURATION_SECONDS = 11.888
"""All of the 256 latent frames."""
STAGES = ("opening", "text", "sampling", "decoding")


def run(
    program: str, model: Path, cache: Path, options: argparse.Namespace, limited: Callable[[], None] | None = None
) -> dict[str, Any]:
    """One process; returns its report, its wall clock in seconds and the hash of the sound.

    Args: limited: called in the process before the program begins.
    Raises: RuntimeError with its last words if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "take.wav"
        command = [program, "-m", "arctone.edge", str(model), PROMPT, "-o", str(output), "--report"]
        command += ["--seconds", str(DURATION_SECONDS), "--seed", str(SEED), "--steps", str(options.steps)]
        command += ["--threads", str(options.threads), "--low-ram", "--cache", str(cache)]
        start = time.perf_counter()
        finished = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limited)
        seconds = time.perf_counter() - start
        if finished.returncode:
            raise RuntimeError(f"{model.name} ended with {finished.returncode}: {finished.stderr.strip()[-300:]}")
        digest = hashlib.sha256(output.read_bytes()).hexdigest()
        return {**json.loads(finished.stdout), "process_seconds": round(seconds, 3), "sha256": digest}


def limited_run(program: str, model: Path, cache: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One process that may have `options.limit` MB: in all, where a control group can be made, or else of its own
    (RLIMIT_DATA: what is not a mapped file). The report says which, and what the group was charged at most; all files
    of the model are read again and charged.
    """
    for folder in (model, cache):
        forget(folder)
    with memory_group(options.limit) as group:
        if group is None:
            limit = int(options.limit * 1e6)
            own = functools.partial(resource.setrlimit, resource.RLIMIT_DATA, (limit, limit))
            return {**run(program, model, cache, options, own), "limit": "RLIMIT_DATA"}
        return {**run(program, model, cache, options, group.enter), "limit": "group", "charged_mb": group.peak_mb()}


def measured(program: str, model: Path, options: argparse.Namespace) -> JSON:
    """One row: a first start, warm starts, a start under the limit."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        cache = Path(folder) / "cache"
        first = run(program, model, cache, options)
        warm = [run(program, model, cache, options) for _ in range(options.runs)]
        limited = limited_run(program, model, cache, options)
    runs = [first, *warm, limited]
    parity = json.loads((model / "parity.json").read_text())
    return {
        "model": model.name,
        "folder_mb": first["folder_mb"]["all"],
        "cache_mb": warm[-1]["cache_mb"],
        "first_seconds": first["process_seconds"],
        "seconds": [one["process_seconds"] for one in warm],
        "stages_ms": {stage: statistics.median(one["timings_ms"][stage] for one in warm) for stage in STAGES},
        "peak_mb": max(one["memory_mb"]["peak"] for one in runs),
        "peak_first_mb": first["memory_mb"]["peak"],
        "anonymous_mb": max(one["memory_mb"]["anonymous_peak"] for one in runs),
        "limit": limited["limit"],
        "limited_seconds": limited["process_seconds"],
        "charged_mb": limited.get("charged_mb"),
        "same_sound": len({one["sha256"] for one in runs}) == 1,
        "text_snr_db": parity["text"]["snr_db_text"],
        "velocity_snr_db": parity["dit"]["snr_db_T256"],
        "decoder_snr_db": parity["decoder_tail"]["snr_db_T512"],
    }


def block(result: JSON) -> str:
    """The table as Markdown, and the sentence on the limit."""
    head = ["folder", "MB", "process, s", "text, s", "8 steps, s", "decoding, s", "first start, s", "peak, MB"]
    rows = [
        [
            row["model"],
            f"{row['folder_mb']:.0f}",
            f"{statistics.median(row['seconds']):.2f}",
            *(f"{row['stages_ms'][stage] / 1000:.2f}" for stage in STAGES[1:]),
            f"{row['first_seconds']:.2f}",
            f"{row['peak_mb']:.0f} ({row['anonymous_mb']:.0f} anonymous)",
        ]
        for row in result["rows"]
    ]
    limit = result["settings"]["limit_mb"]
    limited = ", ".join(f"{row['limited_seconds']:.2f} s" for row in result["rows"])
    hard = all(row["limit"] == "group" for row in result["rows"])
    what = "in all, mapped files included (a memory control group)" if hard else "of its own (RLIMIT_DATA)"
    equal = "equal in every sample" if all(row["same_sound"] for row in result["rows"]) else "NOT equal"
    errors = "; ".join(
        f"{row['model']}: text {row['text_snr_db']:.1f} dB, velocity {row['velocity_snr_db']:.1f} dB, "
        f"fine blocks of the decoder {row['decoder_snr_db']:.1f} dB"
        for row in result["rows"]
    )
    text = (
        f"With at most {limit:g} MB of memory {what} the process took {limited}; the sounds of "
        f"all runs of a folder are {equal}. Against torch in float32, random weights: {errors}."
    )
    return "\n\n".join([results.table(head, rows), text, results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sao_edge", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, help="folders that arctone export edge wrote")
    parser.add_argument("--program", required=True, help="a Python with the packages of requirements-edge.txt")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=512.0, metavar="MB", help="of memory, see above")
    parser.add_argument("--scratch", type=Path, help="where packed weights are kept meanwhile")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    if options.scratch:
        options.scratch.mkdir(parents=True, exist_ok=True)
    rows = [measured(options.program, model, options) for model in options.models]
    settings = {
        "steps": options.steps,
        "threads": options.threads,
        "duration_seconds": DURATION_SECONDS,
        "runs": options.runs,
        "limit_mb": options.limit,
    }
    print(results.write("sao_edge", settings, {"rows": rows}, options.results))


if __name__ == "__main__":
    main()
