"""The server as a process of its own: signals, sockets, slow and vanishing clients."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from arctone.serving.http.process import bound_socket
from tests.serving.http.conftest import QUICK, Gate, Process, error_of, finished, next_works, order, take_of
from tests.serving.http.sockets import count, ends_within, raw, request_bytes, until

Start = Callable[..., Process]
# Seconds of work for the tiny model, cancelled long before its end.
REFUSED = 'arctone_http_requests_total{method="POST",route="/v1/sound-generation",status="499"}'
LONG = {"prompt": "long", "duration_seconds": 2.9, "steps": 200, "variations": 16}


def test_a_stop_signal_lets_queued_jobs_finish_and_their_takes_be_fetched(start: Start, tmp_path: Path) -> None:
    server = start()
    jobs = [order(server.client, steps=60, duration_seconds=2.9, seed=seed) for seed in range(4)]
    server.child.send_signal(signal.SIGTERM)
    until(lambda: server.client.get("/ready").status_code == 503)
    answer = server.client.post("/v1/jobs", json=QUICK)
    error_of(answer, 503, "shutting_down")
    assert int(answer.headers["retry-after"]) > 0
    assert all(len(take_of(server.client, job)) > 500_000 for job in jobs)
    assert server.child.wait(10) == 0
    assert list(tmp_path.glob("arctone-*")) == []
    with pytest.raises(httpx2.ConnectError):
        server.client.get("/health")


def test_an_idle_server_stops_at_once(start: Start, tmp_path: Path) -> None:
    server = start()
    began = time.monotonic()
    assert server.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 3
    assert server.log.read_text() == ""


def test_what_is_not_finished_in_time_is_given_up_in_words(start: Start, tmp_path: Path) -> None:
    server = start("--drain", "0.5")
    jobs = [server.client.post("/v1/jobs", json=LONG).json() for _ in range(2)]
    with server.client.stream("GET", f"/v1/jobs/{jobs[1]['id']}/events") as events:
        server.child.send_signal(signal.SIGTERM)
        sent = "".join(events.iter_text())
    assert '"state":"failed"' in sent.split("event: ")[-1]
    assert '"type":"shutting_down"' in sent
    assert server.child.wait(15) == 0
    assert list(tmp_path.glob("arctone-*")) == []


def test_a_second_signal_ends_at_once(start: Start, tmp_path: Path) -> None:
    server = start()
    for _ in range(3):
        server.client.post("/v1/jobs", json=LONG)
    server.child.send_signal(signal.SIGTERM)
    until(lambda: server.client.get("/ready").status_code == 503)
    began = time.monotonic()
    assert server.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    assert list(tmp_path.glob("arctone-*")) == []


def test_after_a_restart_the_same_seed_gives_the_same_bytes(start: Start) -> None:
    first = start()
    before = take_of(first.client, order(first.client, seed=11, steps=3))
    assert first.stop() == 0
    second = start("--concurrency", "2", "--batch", "4")
    jobs = [order(second.client, seed=seed, steps=3) for seed in (9, 10, 11, 12)]
    assert take_of(second.client, jobs[2]) == before


def test_a_killed_client_frees_its_place_while_it_waits(local: Any, gate: Gate) -> None:
    client, port = local(max_queue=1)
    running = order(client)
    gate.arrive()
    body = b'{"prompt": "rain", "duration_seconds": 0.5, "steps": 1}'
    waiting = raw(port, request_bytes("/v1/audio/generations", body))
    until(lambda: count(client, "arctone_jobs_waiting") == 1)
    error_of(client.post("/v1/jobs", json=QUICK), 429, "queue_full")
    waiting.close()
    until(lambda: count(client, "arctone_jobs_waiting") == 0)
    gate.open()
    assert finished(client, running)["state"] == "done"
    assert count(client, 'arctone_jobs_ended_total{model="tiny",state="cancelled"}') == 1
    next_works(client)


def test_a_killed_client_stops_its_sampling_within_a_step(local: Any, gate: Gate) -> None:
    client, port = local()
    body = b'{"prompt": "rain", "duration_seconds": 0.5, "steps": 100, "cfg_scale": 1}'
    running = raw(port, request_bytes("/v1/sound-generation", body.replace(b"prompt", b"text")))
    gate.arrive()
    running.close()
    # The server receives the signal before the step under way is let go on.
    until(lambda: count(client, REFUSED) == 1)
    gate.step()
    until(lambda: count(client, 'arctone_jobs_ended_total{model="tiny",state="cancelled"}') == 1)
    assert gate.passes == 1
    gate.open()
    next_works(client)


def test_headers_that_drip_are_cut_off_while_others_are_served(local: Any) -> None:
    client, port = local(header_timeout_seconds=0.5)
    slow = [raw(port, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ") for _ in range(50)]
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        for connection in slow:
            with contextlib.suppress(OSError):
                connection.sendall(b"a")
        assert client.get("/health").status_code == 200
        time.sleep(0.05)
    for connection in slow:
        assert b"200 OK" not in ends_within(connection, 1.0)
    idle = socket.create_connection(("127.0.0.1", port), timeout=20)
    assert ends_within(idle, 2.0) == b""
    next_works(client)


def test_a_client_that_keeps_its_connection_is_not_cut_off_within_a_request(local: Any, gate: Gate) -> None:
    """The clock for headers stops when they are there: a sound that takes longer is waited for."""
    _, port = local(header_timeout_seconds=0.3)
    body = b'{"prompt": "rain", "duration_seconds": 0.5, "steps": 1, "cfg_scale": 1}'
    connection = raw(port, request_bytes("/v1/audio/generations", body))
    gate.arrive()
    time.sleep(0.8)
    gate.open()
    assert b"200 OK" in connection.recv(65_536)
    connection.close()


def test_a_body_that_drips_is_given_up(local: Any) -> None:
    client, port = local(body_timeout_seconds=0.4)
    slow = raw(port, request_bytes("/v1/jobs", b"x" * 100)[:-90])
    said = ends_within(slow, 3.0)
    assert said.startswith(b"HTTP/1.1 408")
    assert b'"type":"timeout"' in said
    next_works(client)


@pytest.mark.parametrize("is_announced", [True, False])
def test_two_hundred_megabytes_are_not_taken_in(local: Any, is_announced: bool) -> None:
    client, port = local(max_body_bytes=1_000_000)
    how = b"Content-Length: 200000000" if is_announced else b"Transfer-Encoding: chunked"
    head = b"POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: audio/wav\r\n" + how + b"\r\n\r\n"
    connection = raw(port, head)
    block = b"x" * 65_536 if is_announced else b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 200_000_000:
            connection.sendall(block)
            sent += len(block)
    assert sent < 50_000_000
    assert count(client, 'arctone_http_requests_total{method="POST",route="/v1/records",status="413"}') <= 1
    connection.close()
    next_works(client)


def test_garbage_instead_of_http_harms_nobody(local: Any) -> None:
    client, port = local(header_timeout_seconds=1.0)
    for garbage in (b"\x16\x03\x01\x02\x00" + os.urandom(200), b"GET\r\n\r\n", b"\0" * 1000):
        assert b"200 OK" not in ends_within(raw(port, garbage), 3.0)
    two_lengths = b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"
    assert ends_within(raw(port, two_lengths), 3.0).startswith(b"HTTP/1.1 400")
    headers = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: " + b"b" * 200_000
    connection = raw(port, b"")
    with contextlib.suppress(OSError):
        connection.sendall(headers)
    ends_within(connection, 3.0)
    next_works(client)


def run_serve(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arctone", "serve", *map(str, words)]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_a_port_in_use_is_one_sentence(tiny_model_folder: Path) -> None:
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = run_serve("-m", tiny_model_folder, "--port", port)
    assert done.returncode == 2
    sentence = f"error: port {port} on 127.0.0.1 is in use by another program; give another with --port.\n"
    assert (done.stdout, done.stderr) == ("", sentence)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--host", "0.0.0.0"], 2, "a token is needed"),
        (["--host", "999.1.1.1"], 2, "a token is needed"),
        (["--host", "0.0.0.0", "--token", "short"], 2, "at least 16"),
        (["--token-file", "/nowhere/token"], 2, "cannot be read"),
        (["--cors-origin", "*"], 2, "cors_origin"),
        (["--model", "nonsense"], 4, "neither a folder nor a known name"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(words: list[str], code: int, sentence: str) -> None:
    done = run_serve("--port", "0", *words)
    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_exposed_server_asks_for_its_token_and_never_logs_it(start: Start) -> None:
    token = "correct-horse-battery"
    server = start("--host", "0.0.0.0", "--log-requests", ARCTONE_TOKEN=token)
    error_of(server.client.get("/v1/models"), 401, "unauthorized")
    server.client.headers["Authorization"] = f"Bearer {token}"
    next_works(server.client)
    assert server.stop() == 0
    log = server.log.read_text()
    assert "GET /v1/models 401" in log
    assert token not in log


def test_serving_needs_no_torch(tiny_model_folder: Path) -> None:
    program = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "scipy", "litert_torch", "transformers", "lightning_fabric"):
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Forbidden())
import arctone
from arctone.serving.http.app import create_app
from starlette.testclient import TestClient
with TestClient(create_app(arctone.load(sys.argv[1], threads=1)), base_url="http://localhost") as client:
    order = {"prompt": "rain", "duration_seconds": 0.5, "steps": 1}
    print(client.post("/v1/audio/generations", json=order).status_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_model_folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
