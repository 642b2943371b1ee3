"""Sounds of several windows are sent while they are made: order of events, bytes, level, and what breaks."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from arctone.audio.regions import fade_edges
from arctone.inference.engine import Model
from arctone.serving.http.streaming import FIRST_PEAK_DB, HIGHEST_PEAK_DB, RunningLevel
from tests.serving.http.conftest import Client, Gate, error_of, next_works

RATE = 44_100
# Beyond the tiny model's 2.97 seconds: three windows of 64 frames.
LONG = {"prompt": "rain", "seed": 3, "steps": 1, "cfg_scale": 1, "duration_seconds": 6.0, "stream": True}


def test_the_first_bytes_come_before_the_last_window_is_made(serve: Client, gate: Gate) -> None:
    """The model is held before its last window until the first part has arrived."""
    client = serve()
    app: Any = client.app
    arrived = threading.Event()
    passes_at_first_part: list[int] = []
    sent: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not body:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        data = message.get("body", b"")
        sent.append(data)
        if sum(map(len, sent)) > 2 * RATE and not passes_at_first_part:
            passes_at_first_part.append(gate.passes)
            arrived.set()

    body = [json.dumps(LONG).encode()]
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/audio/generations", "raw_path": b"/v1/audio/generations", "query_string": b"", "root_path": "",
        "headers": headers, "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "state": {},
    }  # fmt: skip
    portal = client.portal
    assert portal is not None
    answer = portal.start_task_soon(app, scope, receive, send)
    gate.arrive()
    gate.step()  # the first window
    gate.arrive()  # the model waits before the second one
    assert arrived.wait(20), "nothing was sent before the second window"
    gate.open()
    answer.result(timeout=30)
    assert passes_at_first_part == [2]
    assert gate.passes > 2
    whole = b"".join(sent)
    assert soundfile.info(io.BytesIO(whole)).frames == 6 * RATE


def test_the_samples_are_those_of_the_whole_sound_at_another_level(client: TestClient, model: Model) -> None:
    answer = client.post("/v1/audio/generations", json={**LONG, "normalize": "off"})
    assert answer.status_code == 200, answer.text
    samples, rate = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    fields = {name: value for name, value in LONG.items() if name not in ("stream", "prompt")}
    direct = model.generate("rain", **fields, normalize="off").waveforms[0]
    expected = np.clip(np.rint(direct.samples.T.astype(np.float64) * 2**15), -(2**15), 2**15 - 1)
    assert rate == RATE
    assert np.array_equal(samples, expected)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["x-arctone-seed"] == "3"


def test_raw_samples_and_one_window_are_streamed_too(client: TestClient) -> None:
    wav = client.post("/v1/audio/generations", json=LONG).content
    raw = client.post("/v1/audio/generations", json={**LONG, "response_format": "pcm"}).content
    samples, _ = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert np.array_equal(np.frombuffer(raw, "<i2").reshape(-1, 2), samples)
    short = client.post("/v1/audio/generations", json={**LONG, "duration_seconds": 0.5})
    assert soundfile.info(io.BytesIO(short.content)).frames == RATE // 2
    loop = client.post("/v1/audio/generations", json={**LONG, "loop": True})
    assert soundfile.info(io.BytesIO(loop.content)).frames == 6 * RATE


@pytest.mark.parametrize(
    ("values", "headers"),
    [
        ({"response_format": "mp3"}, {}),
        ({"response_format": "wav_16000"}, {}),
        ({"stream": "yes"}, {}),
        ({}, {"Idempotency-Key": "a"}),
    ],
)
def test_what_cannot_be_streamed_is_refused_before_any_work(
    client: TestClient, values: dict[str, Any], headers: dict[str, str]
) -> None:
    answer = client.post("/v1/audio/generations", json={**LONG, **values}, headers=headers)
    assert error_of(answer, 400, "invalid_request")["parameter"] == "stream"
    next_works(client)


def test_a_failure_on_the_way_breaks_the_answer(serve: Client, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    velocity, calls = model.engine.backend.velocity, []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("lost")
        return velocity(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(model.engine.backend, "velocity", failing)
        answer = client.post("/v1/audio/generations", json=LONG)
    assert 2 * RATE < len(answer.content) < int(answer.headers["content-length"])
    next_works(client)


def test_the_level_follows_the_first_part_and_only_falls() -> None:
    level, rise = RunningLevel("peak", 1000), np.linspace(0, 1, 1000, dtype=np.float32)[None]
    first, second, third = (level.apply(factor * rise) for factor in (0.2, 1.0, 0.1))
    assert first.max() == pytest.approx(10 ** (FIRST_PEAK_DB / 20), rel=1e-5)
    assert second.max() == pytest.approx(10 ** (HIGHEST_PEAK_DB / 20), rel=1e-5)
    assert np.allclose(second[:, :100], first[:, :100] * 5, rtol=1e-5)
    assert third.max() == pytest.approx(0.1 * 10 ** (HIGHEST_PEAK_DB / 20), rel=1e-5)
    assert np.array_equal(RunningLevel("off", 1000).apply(3 * rise), 3 * rise)
    assert np.array_equal(RunningLevel("peak", 1000).apply(0 * rise), 0 * rise)


def test_each_edge_is_faded_alone() -> None:
    for at_start, at_end in ((True, False), (False, True)):
        ones = np.ones((2, RATE), np.float32)
        fade_edges(ones, RATE, at_start=at_start, at_end=at_end)
        assert (ones[0, 0] == 0) == at_start
        assert (ones[0, -1] == 0) == at_end
