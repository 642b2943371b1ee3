"""The server on a Ray cluster: the same bytes, the same manners, workers that may be lost, and an orderly end."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import soundfile
from starlette.testclient import TestClient

import arctone
from arctone.errors import UsageError
from arctone.serving.http.app import create_app

TOKEN = "correct-horse-battery"
QUICK = {"prompt": "rain", "duration_seconds": 0.5, "steps": 2, "seed": 1}
LONG = {"prompt": "rain", "duration_seconds": 2.9, "steps": 200, "variations": 16}


class Served:
    """`arctone serve --ray` in a process of its own, with a worker on each machine of the cluster."""

    def __init__(self, address: str, model: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        words = ["--ray", address, "--replicas", "2", "--port", str(port), "--queue", "3", "-m", str(model)]
        self.child = subprocess.Popen(
            [sys.executable, "-m", "arctone", "serve", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "ARCTONE_TOKEN": TOKEN},
            text=True,
        )
        assert self.child.stdout is not None
        assert self.child.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=headers)


@pytest.fixture(scope="module")
def served(ray: Any, tiny_model_folder: Path) -> Iterator[Served]:
    made = Served(ray.get_runtime_context().gcs_address, tiny_model_folder)
    yield made
    made.client.close()
    if made.child.poll() is None:
        made.child.terminate()
    made.child.communicate(timeout=60)


@pytest.fixture(scope="module")
def client(served: Served) -> httpx2.Client:
    return served.client


@pytest.fixture(scope="module")
def plain(tiny_model_folder: Path) -> Iterator[TestClient]:
    """The server as it is without a cluster."""
    model = arctone.load(tiny_model_folder, engine="native", threads=1)
    with TestClient(create_app(model), base_url="http://127.0.0.1:8000") as made:
        yield made
    model.close()


def ordered(client: Any, body: dict[str, Any]) -> str:
    accepted = client.post("/v1/jobs", json=body)
    assert accepted.status_code == 202, accepted.text
    return str(accepted.json()["id"])


def seen(client: Any, job_id: str) -> dict[str, Any]:
    return dict(client.get(f"/v1/jobs/{job_id}").json())


def finished(client: Any, job_id: str) -> dict[str, Any]:
    until(lambda: seen(client, job_id)["state"] not in ("queued", "running"))
    return seen(client, job_id)


def until(is_true: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def workers() -> list[Any]:
    """Processes of this cluster's engines."""
    import psutil  # not at the top: without Ray and its company the tests are collected, and skipped

    found = psutil.process_iter(["cmdline"])
    return [one for one in found if " ".join(one.info["cmdline"] or []).startswith("ray::EngineHost")]


def test_sounds_and_jobs_have_the_same_bytes_as_without_a_cluster(client: httpx2.Client, plain: TestClient) -> None:
    for body in (QUICK, {**QUICK, "seed": 9, "bpm": 120}):
        here, there = (one.post("/v1/audio/generations", json=body) for one in (plain, client))
        assert there.status_code == 200, there.text
        assert here.content == there.content
    takes = []
    for one in (plain, client):
        job = finished(one, ordered(one, {**QUICK, "variations": 2}))
        takes.append([one.get(take["audio_url"], params={"format": "flac"}).content for take in job["result"]["takes"]])
    assert takes[0] == takes[1]
    assert soundfile.info(io.BytesIO(takes[1][0])).frames == 22_050


def test_the_doors_are_those_of_the_server(client: httpx2.Client) -> None:
    wrong = {"Authorization": f"Bearer {TOKEN}x"}
    assert client.get("/v1/models", headers=wrong).status_code == 401
    assert client.get("/v1/models", headers={"Host": "evil.example"}).status_code == 421
    assert client.post("/v1/jobs", json=QUICK, headers={"Origin": "https://evil.example"}).status_code == 403
    page = client.get("/")
    assert (page.status_code, page.headers["x-content-type-options"]) == (200, "nosniff")


def test_jobs_run_on_both_machines_and_wait_in_one_line(client: httpx2.Client) -> None:
    ids = [ordered(client, {**LONG, "seed": seed}) for seed in range(2)]
    until(lambda: all(seen(client, one)["state"] == "running" for one in ids))
    # A worker's parent is the raylet of its node.
    assert len({worker.ppid() for worker in workers()}) == 2
    ids += [ordered(client, {**LONG, "seed": seed}) for seed in range(3)]
    assert [seen(client, one)["position"] for one in ids] == [None, None, 0, 1, 2]
    refused = client.post("/v1/jobs", json=LONG)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) > 0
    for one in ids:
        client.delete(f"/v1/jobs/{one}")
    assert {finished(client, one)["state"] for one in ids} == {"cancelled"}


def test_who_hangs_up_frees_the_worker(client: httpx2.Client) -> None:
    halted = workers()
    for worker in halted:
        worker.suspend()
    with pytest.raises(httpx2.ReadTimeout):
        client.post("/v1/audio/generations", json={**LONG, "variations": 1}, timeout=1.0)
    for worker in halted:
        worker.resume()
    until(lambda: 'state="cancelled"} 6' in client.get("/metrics").text)
    assert "arctone_jobs_running 0.0" in client.get("/metrics").text


def test_a_worker_that_is_killed_costs_its_own_sound(client: httpx2.Client, plain: TestClient) -> None:
    job = ordered(client, LONG)
    until(lambda: seen(client, job)["progress"] is not None)
    before = workers()
    for worker in before:
        worker.send_signal(signal.SIGKILL)
    failed = finished(client, job)
    assert (failed["state"], failed["error"]["type"]) == ("failed", "model_error")
    here, there = (one.post("/v1/audio/generations", json=QUICK) for one in (plain, client))
    assert (there.status_code, here.content) == (200, there.content)
    assert not {one.pid for one in workers()} & {one.pid for one in before}


def test_a_stop_signal_lets_accepted_jobs_finish(served: Served) -> None:
    """The last test of this deployment."""
    client = served.client
    jobs = [ordered(client, {**QUICK, "duration_seconds": 2.9, "steps": 60, "seed": seed}) for seed in range(3)]
    served.child.send_signal(signal.SIGTERM)
    until(lambda: client.get("/ready").status_code == 503)
    assert client.post("/v1/jobs", json=QUICK).json()["error"]["type"] == "shutting_down"
    for job in jobs:
        take = finished(client, job)["result"]["takes"][0]
        assert client.get(take["audio_url"]).status_code == 200
    _, reported = served.child.communicate(timeout=60)
    assert served.child.returncode == 0, reported
    assert workers() == []


def test_arguments_of_a_deployment_are_checked(ray: Any, tiny_model_folder: Path, tmp_path: Path) -> None:
    from arctone.serving.ray.serving import build

    (tmp_path / "token").write_text(TOKEN)
    arguments = {
        "model": str(tiny_model_folder),
        "replicas": "2",
        "max_queue": "4",
        "token_file": str(tmp_path / "token"),
    }
    assert type(build(arguments)).__name__ == "Application"
    for wrong in ({"replica": "2"}, {"replicas": "many"}, {"max_queue": "0"}, {"token_file": "/nowhere"}):
        with pytest.raises(UsageError, match=r"cannot be (used|read)"):
            build({**arguments, **wrong})
