"""Batches on a cluster: the files of a batch made in a row, resumed the same way; a lost worker costs nothing."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arctone.cli.main import run

LINES = [
    {"prompt": "rain", "seed": 3, "duration_seconds": 0.2},
    {"prompt": "bells", "id": "bells", "seed": 5, "duration_seconds": 0.5, "variations": 2},
    {"prompt": "x", "step": 0},
    {"prompt": "organ", "source": "nowhere.wav", "init_noise_level": 0.5},
    {"prompt": "a dog", "seed": 7, "duration_seconds": 0.3, "threads": 1},
]
FILES = {"0001-rain.wav", "bells-1.wav", "bells-2.wav", "0005-a-dog.wav"}
Batch = Callable[..., dict[str, Any]]


@pytest.fixture
def batch(
    ray: Any,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Batch:
    """Run a batch of LINES: batch("out", "--ray", "auto") gives its report."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))

    def call(folder: str, *words: str, lines: str = "prompts.jsonl", steps: int = 1) -> dict[str, Any]:
        # The number of threads is in the record; a worker has one.
        how = ["-m", str(tiny_model_folder), "--steps", str(steps), "--threads", "1", "--json", *words]
        code = run(["generate", "--batch", lines, "-o", folder, *how])
        report = json.loads(capsys.readouterr().out)
        return {"code": code, **report}

    return call


def made(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_a_cluster_makes_the_same_files_and_names_the_same_bad_lines(batch: Batch) -> None:
    here, there = batch("here"), batch("there", "--ray", "auto")
    assert here["made"] == [1, 2, 5]
    assert here == there
    assert set(made("here")) == FILES
    assert made("here") == made("there")


def test_a_cluster_goes_on_where_the_batch_stopped(batch: Batch) -> None:
    batch("out")
    before = made("out")
    Path("out/bells-2.wav").unlink()
    report = batch("out", "--ray", "auto")
    assert (report["made"], report["skipped"]) == ([2], [1, 5])
    assert made("out") == before
    other = batch("out", "--ray", "auto", "--cfg-scale", "3")
    assert "was not made by this line" in other["failed"]["1"]
    assert made("out") == before


def test_a_worker_that_is_killed_does_not_lose_the_batch(batch: Batch) -> None:
    lines = [{"prompt": f"rain {seed}", "seed": seed, "duration_seconds": 2.9} for seed in range(12)]
    Path("many.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    killed: list[int] = []
    threading.Thread(target=kill_one_at_work, args=(Path("out").absolute(), killed), daemon=True).start()
    report = batch("out", "--ray", "auto", lines="many.jsonl", steps=60)
    assert killed
    assert (report["code"], report["made"], report["failed"]) == (0, list(range(1, 13)), {})
    assert batch("alone", lines="many.jsonl", steps=60)["made"] == report["made"]
    assert made("out") == made("alone")


def kill_one_at_work(folder: Path, killed: list[int]) -> None:
    """Kill a worker once the first files are there."""
    while not folder.is_dir() or len(list(folder.glob("*.wav"))) < 2:
        time.sleep(0.02)
    import psutil  # not at the top: without Ray and its company the tests are collected, and skipped

    workers = [process for process in psutil.process_iter(["cmdline"]) if is_map_worker(process)]
    os.kill(workers[0].pid, signal.SIGKILL)
    killed.append(workers[0].pid)


def is_map_worker(process: Any) -> bool:
    """Whether it is one of this cluster's workers of Ray Data; only those that this program started are looked at."""
    words = " ".join(process.info["cmdline"] or [])
    return words.startswith("ray::") and "BatchWorker" in words and "MapWorker" in words
