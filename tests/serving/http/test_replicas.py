"""Engines in processes of their own: the same sounds, and a crash that costs one of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arctone.errors import ModelError, UsageError
from arctone.inference.engine import Model
from arctone.inference.load_options import LoadOptions
from arctone.inference.request import GenerationRequest, GenerationResult
from arctone.serving.http.replicas import Replica, ReplicaLost
from tests.serving.http.conftest import Client, Process, finished, next_works, order, sound_file, take_of, upload

LONG = {"steps": 200, "duration_seconds": 2.9, "variations": 16}


@pytest.fixture(scope="module")
def replica(model: Model) -> Iterator[Replica]:
    made = Replica(model, LoadOptions(threads=1))
    yield made
    made.close()


def is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def gone(process: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(process)


def test_a_replica_makes_the_same_sounds_and_tells_the_same_progress(model: Model, replica: Replica) -> None:
    request = GenerationRequest(prompt="rain", seed=1, steps=3, duration_seconds=0.5, variations=2)
    *here, one = model.engine.stream(request)
    takes: list[tuple[int, GenerationResult]] = []
    *there, two = replica.stream(request, on_take=lambda item, take: takes.append((item, take)))
    assert here == there
    assert isinstance(one, GenerationResult)
    assert isinstance(two, GenerationResult)
    assert [sound.samples.tobytes() for sound in one.waveforms] == [sound.samples.tobytes() for sound in two.waveforms]
    assert one.to_metadata(1) == two.to_metadata(1)
    assert [(item, take.to_metadata(0)) for item, take in takes] == [(item, one.to_metadata(item)) for item in (0, 1)]
    assert takes[1][1].waveforms[0].samples.tobytes() == one.waveforms[1].samples.tobytes()


def test_two_sounds_advance_in_turn_and_one_can_be_dropped(model: Model, replica: Replica) -> None:
    requests = [GenerationRequest(prompt="rain", seed=seed, steps=3, duration_seconds=0.5) for seed in (1, 2)]
    first, second = (replica.stream(request) for request in requests)
    next(first), next(second), next(second)
    first.close()  # type: ignore[attr-defined]
    *_, result = second
    assert isinstance(result, GenerationResult)
    direct = model.engine.generate(requests[1])
    assert result.waveforms[0].samples.tobytes() == direct.waveforms[0].samples.tobytes()


def test_errors_come_through_in_their_own_words(replica: Replica) -> None:
    with pytest.raises(UsageError, match=r"duration_seconds"):
        next(replica.stream(GenerationRequest(prompt="rain", duration_seconds=-1.0)))
    *_, result = replica.stream(GenerationRequest(prompt="rain", steps=1))
    assert isinstance(result, GenerationResult)


def test_a_killed_replica_is_reported_and_another_one_starts(replica: Replica) -> None:
    events = replica.stream(GenerationRequest(prompt="rain", steps=50))
    next(events)
    killed = replica.process_id
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(ReplicaLost):
        list(events)
    *_, result = replica.stream(GenerationRequest(prompt="rain", steps=1))
    assert isinstance(result, GenerationResult)
    assert replica.process_id not in (None, killed)


def test_a_replica_that_is_killed_while_it_waits_costs_nothing(replica: Replica) -> None:
    list(replica.stream(GenerationRequest(prompt="rain", steps=1)))
    killed = replica.process_id
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert gone(killed)
    *_, result = replica.stream(GenerationRequest(prompt="rain", steps=1))
    assert isinstance(result, GenerationResult)
    assert replica.process_id not in (None, killed)


def test_another_model_in_the_same_place_is_refused(model: Model, tmp_path: Path) -> None:
    """On another machine, or after the folder was exchanged."""
    copy = shutil.copytree(model.folder, tmp_path / "model")
    (copy / "card.md").write_text("another")
    digest = hashlib.sha256(b"another").hexdigest()
    hashes = json.loads((copy / "hashes.json").read_text())
    (copy / "hashes.json").write_text(json.dumps({**hashes, "card.md": digest}))
    replica = Replica(model, LoadOptions(threads=1), folder=str(copy))
    with pytest.raises(ModelError, match="is not the model that the server started with"):
        next(replica.stream(GenerationRequest(prompt="rain", steps=1)))
    replica.close()


def test_a_replica_that_does_not_answer_is_given_up(model: Model) -> None:
    replica = Replica(model, LoadOptions(threads=1), step_seconds=20.0)
    events = replica.stream(GenerationRequest(prompt="rain", steps=50))
    next(events)
    stopped = replica.process_id
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    replica._step_seconds = 0.3
    with pytest.raises(ReplicaLost):
        next(events)
    assert gone(stopped)
    replica.close()


def test_a_worker_that_is_killed_while_sampling_costs_its_own_sound(serve: Client, model: Model) -> None:
    replicas = [Replica(model, LoadOptions(threads=1)) for _ in range(2)]
    client = serve(replicas[0], more_workers=[[replicas[1]]])
    jobs = [order(client, **LONG, seed=seed) for seed in range(2)]
    while not all(client.get(f"/v1/jobs/{job['id']}").json()["progress"] for job in jobs):
        time.sleep(0.01)
    first = replicas[0].process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    end = time.monotonic() + 20
    states: list[str] = []
    while "failed" not in states and time.monotonic() < end:
        states = [client.get(f"/v1/jobs/{job['id']}").json()["state"] for job in jobs]
    assert sorted(states) == ["failed", "running"]
    assert (client.get("/health").status_code, client.get("/ready").status_code) == (200, 200)
    for job in jobs:
        client.delete(f"/v1/jobs/{job['id']}")
    next_works(client)
    next_works(client)


def test_cancel_and_editing_work_through_a_replica(serve: Client, model: Model) -> None:
    client = serve(Replica(model, LoadOptions(threads=1)))
    job = order(client, **LONG)
    while not client.get(f"/v1/jobs/{job['id']}").json()["progress"]:
        time.sleep(0.01)
    client.delete(f"/v1/jobs/{job['id']}")
    assert finished(client, job, 5)["state"] == "cancelled"
    edited = upload(client, sound_file(0.5), init_noise_level=0.5, seed=1)
    assert finished(client, edited.json())["state"] == "done"


def test_the_program_serves_with_replicas_and_takes_them_along_when_it_ends(start: Callable[..., Process]) -> None:
    server = start("--replicas", "2")
    jobs = [order(server.client, seed=7) for _ in range(4)]
    assert len({take_of(server.client, job) for job in jobs}) == 1
    children = children_of(server.child.pid)
    assert len(children) >= 2
    assert server.stop(signal.SIGINT) == 0
    assert all(gone(child) for child in children)


def test_replicas_do_not_outlive_a_killed_program(start: Callable[..., Process]) -> None:
    server = start("--replicas", "1")
    take_of(server.client, order(server.client))
    children = children_of(server.child.pid)
    server.child.kill()
    assert all(gone(child) for child in children)


def test_workers_are_threads_or_processes_but_not_both(tiny_model_folder: Path) -> None:
    words = ["serve", "--port", "0", "--replicas", "2", "--concurrency", "2", "-m", str(tiny_model_folder)]
    done = subprocess.run([sys.executable, "-m", "arctone", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give only one" in done.stderr


def children_of(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children")
    found = text.read_text().split() if text.exists() else []
    if not found:
        asked = ["ps", "-o", "pid=", "--ppid", str(process)]
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return [int(word) for word in found]
