"""A server in the test's process on the tiny model, whose work can be held; and real ones in processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

import arctone
from arctone.inference.engine import Model
from arctone.serving.http.app import create_app
from arctone.serving.http.formats import Limits
from arctone.serving.http.process import Server, bound_socket, server_of

BASE = "http://127.0.0.1:8000"
QUICK = {"prompt": "rain", "duration_seconds": 0.5, "steps": 1, "cfg_scale": 1}


@pytest.fixture(scope="package")
def model(tiny_model_folder: Path) -> Iterator[Model]:
    loaded = arctone.load(tiny_model_folder, engine="native", threads=1)
    yield loaded
    loaded.close()


Client = Callable[..., TestClient]


@pytest.fixture
def serve(model: Model, tmp_path: Path) -> Iterator[Client]:
    """Start a server in this process: serve(max_queue=2, token="..."); limits and other arguments by name."""
    with contextlib.ExitStack() as stack:

        def start(models: Any = None, **arguments: Any) -> TestClient:
            limits = Limits(
                **{name: arguments.pop(name) for name in list(arguments) if name in Limits.__struct_fields__}
            )
            arguments.setdefault("folder", tmp_path / "takes")
            app = create_app(models or model, limits, **arguments)
            return stack.enter_context(TestClient(app, base_url=BASE))

        yield start


@pytest.fixture
def client(serve: Client) -> TestClient:
    return serve()


class Gate:
    """Stops the model before every pass of its transformer until it is let go on."""

    def __init__(self) -> None:
        self.passes = 0
        self.reached = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self._is_open = False

    def wait(self) -> None:
        self.passes += 1
        self.reached.release()
        while not self._is_open and not self._go.acquire(timeout=0.01):
            pass

    def step(self, number: int = 1) -> None:
        """Let n passes happen."""
        for _ in range(number):
            self._go.release()

    def open(self) -> None:
        """Hold nothing any more."""
        self._is_open = True

    def arrive(self) -> None:
        """Return when the model stands at the gate."""
        assert self.reached.acquire(timeout=20)


@pytest.fixture
def gate(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    velocity = model.engine.backend.velocity

    def held(*arguments: Any) -> Any:
        gate.wait()
        return velocity(*arguments)

    monkeypatch.setattr(model.engine.backend, "velocity", held)
    yield gate
    gate.open()


def order(client: Any, **values: Any) -> dict[str, Any]:
    """Queue a quick job."""
    answer = client.post("/v1/jobs", json={**QUICK, **values})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def finished(client: Any, job: dict[str, Any], seconds: float = 30) -> dict[str, Any]:
    """The job once it is final."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = dict(client.get(f"/v1/jobs/{job['id']}").json())
        if now["state"] in ("done", "failed", "cancelled"):
            return now
        time.sleep(0.01)
    raise AssertionError(f"the job is not final: {now}")


def take_of(client: Any, job: dict[str, Any], index: int = 0, format: str = "wav") -> bytes:
    """Bytes of a take of a job, after waiting for it."""
    done = finished(client, job)
    assert done["state"] == "done", done
    answer = client.get(f"/v1/jobs/{job['id']}/takes/{index}", params={"format": format})
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def next_works(client: Any) -> None:
    """After whatever happened, a request is met and its sound has the right length."""
    data = take_of(client, order(client, seed=1))
    assert soundfile.info(io.BytesIO(data)).frames == 22_050


def error_of(answer: Any, status: int, type: str) -> dict[str, Any]:
    """The error of an answer, whose shape is always the same."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    error = answer.json()["error"]
    assert set(error) == {"type", "message", "parameter", "request_id"}
    assert error["type"] == type, error
    assert error["message"].endswith((".", "?")), error
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return dict(error)


def sound_file(seconds: float = 1.0, rate: int = 44_100, channels: int = 2, format: str = "WAV", **how: Any) -> bytes:
    """A file with a tone."""
    time_axis = np.arange(round(seconds * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * time_axis)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(tone[:, None], (1, channels)), rate, format=format, **how)
    return buffer.getvalue()


def upload(client: Any, audio: bytes, **values: Any) -> Any:
    """Order an edit of a sound."""
    request = json.dumps({**{k: v for k, v in QUICK.items() if k != "duration_seconds"}, **values})
    return client.post("/v1/jobs", data={"request": request}, files={"audio": ("source.wav", audio)})


@pytest.fixture
def local(model: Model, tmp_path: Path) -> Iterator[Callable[..., tuple[httpx2.Client, int]]]:
    """A real server with real sockets in a thread of this process: local(max_queue=2) gives a client and the port.

    send_buffer: bytes that the system takes over from the server; None = as many as it likes.
    """
    with contextlib.ExitStack() as stack:

        def run(send_buffer: int | None = None, **limits: Any) -> tuple[httpx2.Client, int]:
            app = create_app(model, Limits(**limits), folder=tmp_path / "takes")
            server, listener = server_of(app), bound_socket("127.0.0.1", 0)
            if send_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            port = int(listener.getsockname()[1])
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            stack.callback(_end, server, thread)
            client = stack.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20))
            while client.get("/ready").status_code != 200:
                time.sleep(0.01)
            return client, port

        yield run


def _end(server: Server, thread: threading.Thread) -> None:
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


class Process:
    """A server in a process of its own."""

    def __init__(self, folder: Path, words: list[str], environment: dict[str, str]) -> None:
        self.log = folder / "server.log"
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "arctone", "serve", "--port", "0", *words],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=environment,
                text=True,
            )
        assert self.child.stdout is not None
        self.url = self.child.stdout.readline().strip()
        assert self.url.startswith("http"), self.log.read_text()
        self.port = int(self.url.rstrip("/").rpartition(":")[2])
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        for _ in range(400):
            with contextlib.suppress(httpx2.HTTPError):
                if self.client.get("/ready").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self, number: int = signal.SIGTERM, seconds: float = 40) -> int:
        """Send a signal and return the exit code."""
        self.child.send_signal(number)
        return self.child.wait(seconds)

    def close(self) -> None:
        self.client.close()
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        assert self.child.stdout is not None
        self.child.stdout.close()


@pytest.fixture
def start(tiny_model_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start real servers: start("--queue", "2", ARCTONE_TOKEN="...")."""
    import os

    started: list[Process] = []

    def run(*words: str, **variables: str) -> Process:
        environment = {**os.environ, "TMPDIR": str(tmp_path), **variables}
        process = Process(tmp_path, ["-m", str(tiny_model_folder), "--threads", "1", *words], environment)
        started.append(process)
        return process

    yield run
    for process in started:
        process.close()
