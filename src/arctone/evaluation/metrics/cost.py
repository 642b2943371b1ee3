"""What a sound costs: waiting time, speed against playing time, and memory.

What is evaluated
    A program that makes sound, on the machine that is named next to the numbers.

Conventions
    Latency is wall clock in seconds, the median over runs. `real_time_factor` is seconds of sound per second of
    computing, as in the ARC paper (higher is faster); some fields use the inverse. Peak memory is the largest resident
    set of a process (VmHWM of Linux), the code and files mapped into it included; it is a property of a process, so
    each model is measured in a process of its own. Intervals: bootstrap over runs.

Measures
    * :func:`timed`: wall clock of repeated runs
    * :func:`peak_memory_bytes`: of a process so far
    * :func:`evaluate`: medians with their intervals

References
    Linux manual, proc_pid_status(5). Z. Novack et al., arXiv 2505.08175, section 4 (real-time factor).
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from arctone.evaluation.metrics.intervals import Interval, bootstrap


def validate(seconds: Sequence[float], audio_seconds: float) -> None:
    """Refuse arguments that cannot be measured.

    Args:
        seconds: Time of each run.
        audio_seconds: Length of the sound that each run makes.

    Raises:
        ValueError: unless there is at least one run, and all times are above 0.
    """
    if not len(seconds) or not all(np.isfinite(value) and value > 0 for value in seconds):
        raise ValueError(f"seconds must be at least one time above 0, not {list(seconds)}.")
    if not (np.isfinite(audio_seconds) and audio_seconds > 0):
        raise ValueError(f"audio_seconds is {audio_seconds}, but must be above 0.")


def timed(work: Callable[[], object], repeats: int, num_warm_up: int = 1) -> list[float]:
    """Time `repeats` runs after `num_warm_up` that do not count.

    Args:
        work: What is timed.
        repeats: Runs that count, at least 1.
        num_warm_up: Runs before that do not count.

    Returns:
        Wall clock of each run in seconds.

    Raises:
        ValueError: for repeats < 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}, but must be at least 1.")
    found = []
    for _ in range(num_warm_up + repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found[num_warm_up:]


def peak_memory_bytes(process: int | None = None) -> int:
    """Read the largest resident memory of a process since it began.

    Other systems than Linux know that of this process only.

    Args:
        process: Id of a process; None = this one.

    Returns:
        Bytes.

    Raises:
        ValueError: if it cannot be known.
    """
    status = Path("/proc") / ("self" if process is None else str(process)) / "status"
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    if process is not None or sys.platform == "win32":
        raise ValueError(f"the peak memory of process {process} cannot be read on {sys.platform}.")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def evaluate(seconds: Sequence[float], audio_seconds: float, seed: int = 0) -> dict[str, Interval]:
    """Compute `latency_seconds` and `real_time_factor`, medians with their intervals.

    Args:
        seconds: Wall clock of each run.
        audio_seconds: Length of the sound that a run makes.
        seed: Of the random draws.

    Returns:
        Intervals by name.
    """
    validate(seconds, audio_seconds)
    factors = [audio_seconds / value for value in seconds]
    return {
        "latency_seconds": bootstrap(list(seconds), "median", seed=seed),
        "real_time_factor": bootstrap(factors, "median", seed=seed),
    }
