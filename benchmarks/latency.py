"""How long a user waits: from process start to file, several times, with the stages inside and the size on disk.

    python -m benchmarks.latency --program .venv/bin/arctone

Each run is a new process (the system may still hold its files in memory). The same seed must give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arctone.audio.files import read_audio
from arctone.audio.tags import read_metadata
from benchmarks import leaderboard, results
from benchmarks.results import JSON

PROMPT = "funky drum loop, 120 BPM"


@dataclass(frozen=True)
class Run:
    """One run of the program.

    Args:
        seconds: wall clock from the start of the process to its end.
        timings_ms: milliseconds by stage, as the program reports them.
        sha256: of the file.
        audio_seconds: length of the sound.
        model_hash: hash of the model by the file's record; empty without one.
    """

    seconds: float
    timings_ms: dict[str, float]
    sha256: str
    audio_seconds: float
    model_hash: str = ""


def run(
    program: Sequence[str],
    prompt: str,
    duration: float,
    seed: int,
    threads: int | None = None,
    model: str | None = None,
    more: Sequence[str] = (),
) -> Run:
    """Start the program once; `more` are further options. Raises: RuntimeError with its last words if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "take.wav"
        command = [*program, "generate", prompt, "-d", str(duration), "-s", str(seed), "-o", str(output), "--json"]
        command += ["--threads", str(threads)] if threads else []
        command += ["--model", model] if model else []
        command += more
        start = time.perf_counter()
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if finished.returncode:
            raise RuntimeError(f"{Path(program[0]).name} ended with {finished.returncode}: {finished.stderr.strip()}")
        digest = hashlib.sha256(output.read_bytes()).hexdigest()
        model_hash = str((read_metadata(output) or {}).get("model_hash", ""))
        return Run(seconds, timings(finished.stdout), digest, read_audio(output).duration_seconds, model_hash)


def timings(report: str) -> dict[str, float]:
    """The `timings_ms` of the program's JSON report; empty if it has none."""
    try:
        found = json.loads(report).get("timings_ms", {})
    except (json.JSONDecodeError, AttributeError):
        return {}
    return {str(name): float(value) for name, value in found.items()}


def summary(runs: Sequence[Run]) -> JSON:
    """Median and best of the wall clock and of every stage, and whether all files are equal."""
    stages = {name: [r.timings_ms.get(name, 0.0) for r in runs] for name in runs[0].timings_ms}
    median = statistics.median(r.seconds for r in runs)
    return {
        "process_seconds": {"median": round(median, 3), "best": round(min(r.seconds for r in runs), 3)},
        "stages_ms": {
            name: {"median": round(statistics.median(values), 1), "best": round(min(values), 1)}
            for name, values in stages.items()
        },
        "audio_seconds": round(runs[0].audio_seconds, 4),
        "times_real_time": round(runs[0].audio_seconds / median, 1),
        "same_bytes": len({r.sha256 for r in runs}) == 1,
        "num_runs": len(runs),
    }


def folder_megabytes(folder: Path) -> float:
    """Size of all files below a folder, without following links, in MB (10^6 bytes)."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def environment_of(program: str) -> Path | None:
    """The virtual environment that a program belongs to, if it lies in one."""
    found = shutil.which(program)
    if found is None:
        return None
    folder = Path(found).absolute().parent.parent
    return folder if (folder / "pyvenv.cfg").exists() else None


def block(result: JSON) -> str:
    """The table as Markdown."""
    rows = [["process start to file", *_seconds(result["process_seconds"], 1)]]
    rows += [[name, *_seconds(values, 1000)] for name, values in result["stages_ms"].items()]
    same = "gave the same bytes" if result["same_bytes"] else "did NOT give the same bytes"
    size = result["environment_megabytes"]
    explanation = (
        f"Model: {leaderboard.model_of(result)}. {result['audio_seconds']:.2f} s of sound, "
        f"{result['times_real_time']:g} times faster than it plays; "
        f"{result['num_runs']} runs with the same seed {same}."
        + (f" The environment takes {size:.0f} MB." if size is not None else "")
    )
    table = results.table(["stage", "median, s", "best, s"], rows)
    return "\n\n".join([table, explanation, results.footer(result)])


def summary_block(result: JSON) -> str:
    """The figure users ask for, in one sentence."""
    process = result["process_seconds"]
    return (
        f"{result['audio_seconds']:.2f} s of stereo sound take {process['median']:.1f} s from process start to file "
        f"(best {process['best']:.1f} s) on {result['machine']['cores']} CPU cores."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    options = _parser().parse_args(arguments)
    program = options.program.split()
    given = (options.prompt, options.duration, options.seed, options.threads, options.model)
    runs = [run(program, *given) for _ in range(options.repeats + 1)][1:]
    environment = environment_of(program[0])
    size = round(folder_megabytes(environment), 1) if environment else None
    settings = {name: getattr(options, name) for name in ("model", "prompt", "duration", "seed", "threads", "repeats")}
    settings["model_hash"] = runs[0].model_hash
    print(results.write("latency", settings, {**summary(runs), "environment_megabytes": size}, options.results))


def _seconds(values: JSON, divisor: int) -> list[str]:
    return [f"{values[name] / divisor:.2f}" for name in ("median", "best")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--program", default="arctone", help="the command to start, with its arguments if any")
    parser.add_argument("--model", default=None, help="other than the default model of the program")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--duration", type=float, default=11.89)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=7, help="runs that count, after one that does not")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
