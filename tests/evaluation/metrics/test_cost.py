"""Times and memory that are known because the test makes them."""

import subprocess
import sys
import time

import pytest

from arctone.evaluation.metrics import cost


def test_known_times() -> None:
    found = cost.evaluate([2.0, 1.0, 4.0], audio_seconds=12.0)
    assert found["latency_seconds"].value == 2.0
    assert found["real_time_factor"].value == 6.0
    assert found["latency_seconds"].count == 3


def test_runs_are_timed_after_the_warm_up() -> None:
    calls = []

    def work() -> None:
        calls.append(time.sleep(0.2 if len(calls) == 0 else 0.01))

    seconds = cost.timed(work, repeats=3)
    assert len(calls) == 4
    assert all(0.01 <= value < 0.15 for value in seconds)


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_peak_memory_remembers_what_was_freed() -> None:
    program = (
        "from arctone.evaluation.metrics.cost import peak_memory_bytes as peak\n"
        "before = peak(); block = bytearray(300 * 2**20); del block; print(peak() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert 290 * 2**20 < grown < 330 * 2**20


def test_peak_memory_of_no_process_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        cost.peak_memory_bytes(2**30)


@pytest.mark.parametrize(
    ("seconds", "audio", "reason"),
    [
        ([], 1.0, "at least one"),
        ([0.0], 1.0, "above 0"),
        ([float("nan")], 1.0, "above 0"),
        ([1.0], 0.0, "audio_seconds"),
    ],
)
def test_bad_times_are_refused(seconds: list[float], audio: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        cost.evaluate(seconds, audio)
    with pytest.raises(ValueError, match="repeats"):
        cost.timed(lambda: None, 0)
