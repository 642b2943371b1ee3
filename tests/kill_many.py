"""Kills the program at random moments, many times: `python -m tests.kill_many --rounds 50`.

Each round starts generate, export, serve, train or encode in a folder that holds the result of an earlier run, kills it
without warning, and looks: what was there is still there and whole, nothing half-written has a final name, and the next
start clears what is left. The suite has a fast version of this for the writer alone (tests/files/test_atomic.py).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arctone.audio.files import read_audio, write_audio
from arctone.audio.waveform import Waveform
from arctone.cli.main import run
from arctone.files import atomic
from arctone.model_folder.folder import check_hashes
from tests.training.test_loop import LOOP, Trainer, _task

_IMPORTED_LATE = (
    "arctone.cli.serve",
    "arctone.data.encoders",
    "arctone.export.edge",
    "arctone.serving.http.app",
    "uvicorn",
)


@dataclass(frozen=True)
class Case:
    """What is killed. work: in a folder. check: raises if something is lost or half-written there."""

    name: str
    work: Callable[[Path], object]
    check: Callable[[Path], object]


def cases(model: Path, sounds: Path) -> list[Case]:
    """The commands, on a tiny model and a folder of sounds."""

    def command(*words: str) -> Callable[[Path], object]:
        return lambda folder: _run([word.replace("FOLDER", str(folder)) for word in words])

    return [
        Case(
            "generate",
            command("generate", "rain", "-d", "0.5", "-n", "3", "-m", str(model), "-o", "FOLDER/{n}.wav", "-f", "-q"),
            lambda folder: [read_audio(path) for path in folder.iterdir()],
        ),
        Case(
            "export",
            command("export", "edge", str(model), "FOLDER/model", "--force", "--json"),
            lambda folder: check_hashes(folder / "model"),
        ),
        Case("serve", lambda folder: _serve(folder, model), _served),
        Case("train", _train, _resume),
        Case(
            "encode",
            command("data", "encode", str(sounds), "--model", str(model), "--out", "FOLDER/l", "--workers", "0", "-q"),
            lambda folder: [_no_part(path) for path in folder.rglob("*")],
        ),
    ]


def _run(words: list[str]) -> None:
    if run(words) != 0:
        raise SystemExit(f"failed: {' '.join(words)}")


def _serve(folder: Path, model: Path) -> None:
    """A server that keeps takes in one folder and writes them to another, until it has answered three requests."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = str(temporary)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threading.Thread(target=_request_sounds, args=(f"http://127.0.0.1:{port}/v1/jobs",), daemon=True).start()
    _run(["serve", "--port", str(port), "-m", str(model), "--output-folder", str(folder / "out")])


def _request_sounds(address: str) -> None:
    headers = {"Content-Type": "application/json"}
    for seed in range(3):
        body = json.dumps({"prompt": "rain", "seed": seed, "duration_seconds": 0.5, "variations": 2}).encode()
        job = json.loads(_answer(urllib.request.Request(address, body, headers)))["id"]
        while json.loads(_answer(f"{address}/{job}"))["state"] in ("queued", "running"):
            time.sleep(0.01)
        _answer(f"{address}/{job}/takes/1?format=flac")
    os.kill(os.getpid(), signal.SIGTERM)


def _answer(request: str | urllib.request.Request) -> bytes:
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            time.sleep(0.05)


def _served(folder: Path) -> None:
    for path in (folder / "out").glob("*"):
        read_audio(path)
    left = list((folder / "temporary").iterdir())
    assert not left, f"{left} are left"


def _train(folder: Path) -> None:
    import dataclasses

    Trainer(_task(), dataclasses.replace(LOOP, total_steps=10_000, checkpoint_every=1), folder).run()


def _resume(folder: Path) -> None:
    import torch

    torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)


def _no_part(path: Path) -> None:
    if path.name.endswith(".part"):
        raise AssertionError(f"{path} is left")


def kill_round(case: Case, folder: Path, seconds: float) -> None:
    """Kill a run after n seconds, start the next, and check."""
    child = fork(lambda: case.work(folder))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"{case.name} failed before it was killed")
    clearing = fork(lambda: [atomic.clear_leftovers(path) for path in [folder, *folder.rglob("*")] if path.is_dir()])
    os.waitpid(clearing, 0)
    for path in folder.rglob("*"):
        _no_part(path)
    case.check(folder)


def fork(work: Callable[[], object]) -> int:
    """Run in a process of its own that has cleared nothing yet, without output."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        atomic._cleared.clear()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        work()
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Kill every case n times and print the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="kills of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands whose name matches this pattern")
    parser.add_argument("--model", type=Path, help="tiny model folder; built if not given")
    given = parser.parse_args()
    for name in _IMPORTED_LATE:
        # Each run is a copy of this process: it is to be killed at its work, not while it imports.
        importlib.import_module(name)
    draws = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        model = given.model or _tiny_model(root / "models")
        sounds = root / "sounds"
        sounds.mkdir()
        noise = __import__("numpy").random.default_rng(0)
        for number in range(6):
            samples = 0.1 * noise.standard_normal((2, 22_050)).astype("float32")
            write_audio(sounds / f"{number}.wav", Waveform(samples, 44_100))
        for case in cases(model, sounds):
            if re.search(given.only, case.name):
                _kill_case(case, root / case.name, given.rounds, draws)


def _tiny_model(folder: Path) -> Path:
    from tests.tiny_model import build_tiny_model

    return build_tiny_model(folder)


def _kill_case(case: Case, folder: Path, rounds: int, draws: random.Random) -> None:
    folder.mkdir()
    started = time.monotonic()
    first = fork(lambda: case.work(folder))
    if case.name == "train":
        while not (folder / "last.ckpt").exists():
            time.sleep(0.05)
        os.kill(first, signal.SIGKILL)
    _, status = os.waitpid(first, 0)
    if case.name != "train" and status:
        sys.exit(f"{case.name} failed without being killed")
    length = time.monotonic() - started
    for _ in range(rounds):
        # An encode goes on where it stopped, and would soon have nothing left to do.
        if case.name == "encode" and draws.random() < 0.5:
            shutil.rmtree(folder / "l", ignore_errors=True)
        kill_round(case, folder, draws.uniform(0, length * 1.1))
    print(f"{case.name}: {rounds} kills within {length:.1f} s each, nothing lost", flush=True)


if __name__ == "__main__":
    main()
