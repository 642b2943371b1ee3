"""Connections: how many, in which order they are served, and what becomes of those that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from arctone.files.atomic import temporary_folder
from arctone.inference.engine import Model
from arctone.inference.request import GenerationRequest
from arctone.serving.http.formats import Limits
from arctone.serving.http.jobs import Job
from arctone.serving.http.process import Intake, allow_files, is_probe
from arctone.serving.http.store import Store
from tests.serving.http.conftest import QUICK, next_works
from tests.serving.http.sockets import count, ends_within, raw, request_bytes, until

HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SOUND = {**QUICK, "duration_seconds": 2.9, "response_format": "wav"}
SOUND_BYTES = 500_000


def test_one_turn_of_the_loop_lets_a_few_in_and_in_order() -> None:
    async def burst() -> tuple[list[int], list[int]]:
        intake, served, after_turn = Intake(), [], []
        for number in range(20):
            intake.enter(lambda number=number: served.append(number))  # type: ignore[misc]
        while len(intake):
            await asyncio.sleep(0)
            after_turn.append(len(served))
        return served, after_turn

    served, after_turn = asyncio.run(burst())
    assert served == list(range(20))
    assert after_turn == [8, 16, 20]


def test_who_enters_during_a_turn_comes_last_and_is_not_forgotten() -> None:
    async def chain() -> list[str]:
        intake, served = Intake(), []

        def first() -> None:
            served.append("first")
            intake.enter(lambda: served.append("third"))

        intake.enter(first)
        intake.enter(lambda: served.append("second"))
        for _ in range(5):
            await asyncio.sleep(0)
        return served

    assert asyncio.run(chain()) == ["first", "second", "third"]


def test_only_the_first_bytes_of_a_probe_count() -> None:
    assert is_probe(HEALTH)
    assert is_probe(b"HEAD /ready HTTP/1.1\r\n")
    assert not any(map(is_probe, (b"GET /healthy HTTP/1.1", b"POST /health HTTP/1.1", b"GET /heal", b"")))


def test_a_sign_of_life_overtakes_a_burst(local: Any) -> None:
    """Sent after 200 requests that are there already, it is answered before most of them are."""
    client, port = local(max_connections=400)
    client.close()
    others = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(200)]
    probe = socket.create_connection(("127.0.0.1", port), timeout=20)
    time.sleep(0.3)
    body = json.dumps({**QUICK, "steps": 0}).encode()
    for other in others:
        other.sendall(request_bytes("/v1/jobs", body))
    probe.sendall(HEALTH)
    assert b"200 OK" in probe.recv(65_536)
    probe.close()
    waiting = 0
    for other in others:
        other.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            other.recv(65_536)
            continue
        waiting += 1
    for other in others:
        other.close()
    assert waiting > 100


def test_one_connection_too_many_is_asked_to_come_again_and_health_still_answers(local: Any) -> None:
    client, port = local(max_connections=3)
    kept = [raw(port, HEALTH) for _ in range(2)]
    assert all(b"200 OK" in one.recv(65_536) for one in kept)
    said = ends_within(raw(port, request_bytes("/v1/jobs", json.dumps(QUICK).encode())), 3.0)
    head, _, body = said.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 503 service unavailable"
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert (headers["retry-after"], headers["connection"]) == ("2", "close")
    assert headers["x-content-type-options"] == "nosniff"
    error = json.loads(body)["error"]
    assert error["type"] == "too_many_connections"
    assert error["request_id"] == headers["x-request-id"]
    assert error["message"] == "3 connections are open, which is all that this server keeps; try again later."
    probe = raw(port, HEALTH)
    assert b"200 OK" in probe.recv(65_536)
    probe.close()
    assert count(client, 'arctone_http_requests_total{method="other",route="other",status="503"}') == 1
    for one in kept:
        one.close()
    until(lambda: client.get("/ready").status_code == 200)
    next_works(client)


def unread(port: int, request: bytes) -> socket.socket:
    """A client that has sent its request and has room for a few bytes of the answer only."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    connection.sendall(request)
    return connection


def test_who_does_not_read_the_answer_is_hung_up_on(local: Any) -> None:
    client, port = local(send_buffer=20_000, send_timeout_seconds=0.4)
    silent = unread(port, request_bytes("/v1/audio/generations", json.dumps(SOUND).encode()))
    done = 'arctone_http_request_seconds_count{route="/v1/audio/generations"}'
    until(lambda: count(client, done) == 1)
    time.sleep(0.6)
    got = ends_within(silent, 3.0)
    assert 0 < len(got) < SOUND_BYTES
    next_works(client)


def test_who_reads_slowly_gets_everything(local: Any) -> None:
    """More than a thousand bytes a second, for several times the length of the timeout."""
    _, port = local(send_buffer=20_000, send_timeout_seconds=0.4)
    slow = unread(port, request_bytes("/v1/audio/generations", json.dumps(SOUND).encode()))
    got = b""
    while len(got) < SOUND_BYTES:
        chunk = slow.recv(20_000)
        assert chunk
        got += chunk
        time.sleep(0.04)
    head, _, sound = got.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(sound) < length:
        sound += slow.recv(65_536)
    assert sound[:4] == b"RIFF"
    assert len(sound) == length
    slow.close()


def test_uvicorn_has_the_internals_that_the_protocol_and_the_server_build_on() -> None:
    """A new minor version of uvicorn may move them; then this fails before anything else does.

    Read from a fresh import: sse_starlette, which the MCP server imports, replaces a method of uvicorn's class.
    """
    spec = importlib.util.find_spec("uvicorn.server")
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for name in ("connection_made", "data_received", "connection_lost", "pause_writing", "resume_writing"):
        assert callable(getattr(H11Protocol, name)), name
    assert list(inspect.signature(fresh.Server.handle_exit).parameters) == ["self", "sig", "frame"]
    assert list(inspect.signature(fresh.Server.startup).parameters) == ["self", "sockets"]
    made = inspect.getsource(H11Protocol.__init__) + inspect.getsource(H11Protocol.connection_made)
    for name in ("connections", "transport", "flow", "cycle"):
        assert f"self.{name}" in made, name
    assert "self.response_complete" in inspect.getsource(RequestResponseCycle.__init__)
    assert "self.read_paused" in inspect.getsource(FlowControl.__init__)
    assert {"should_exit", "force_exit"} <= set(vars(fresh.Server(uvicorn.Config(None))))  # type: ignore[arg-type]


def test_more_files_may_be_open_than_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: given.append(pair))
    allow_files(500)
    allow_files(5000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20_000, 20_000))
    allow_files(500)
    assert given == [(756, 1000), (1000, 1000)]


def test_two_workers_that_finish_first_at_once_keep_their_takes(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each made the temporary folder, and the takes of one were lost."""
    result = model.generate("rain", duration_seconds=0.5, steps=1, seed=1)

    @contextlib.contextmanager
    def slowly(parent: Path | None = None) -> Iterator[Path]:
        time.sleep(0.2)
        with temporary_folder(parent) as folder:
            yield folder

    monkeypatch.setattr("arctone.serving.http.store.temporary_folder", slowly)
    store = Store(Limits())
    jobs = [Job("tiny", GenerationRequest(prompt="rain")) for _ in range(2)]

    def keep(job: Job) -> None:
        store.add(job)
        store.keep(job, 0, result.waveforms[0])
        job.hold(result)

    threads = [threading.Thread(target=keep, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folders = {Path(store.audio_file(job, 0, "wav")).parents[1] for job in jobs}
    store.close()
    assert len(folders) == 1
    assert not folders.pop().exists()
