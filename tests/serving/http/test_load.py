"""More clients than the server takes: only sounds and honest refusals, and everything accepted is finished."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

import pytest

from benchmarks.serve_load import Reply, Wave, jobs, percentiles, sounds_at_once
from tests.serving.http.conftest import Process, next_works


def test_a_burst_meets_a_short_line(start: Callable[..., Process]) -> None:
    server = start("--queue", "4", "--concurrency", "2")
    options = argparse.Namespace(requests=100, duration=0.5, steps=1)
    for kind, status in ((sounds_at_once, 200), (jobs, 202)):
        wave = asyncio.run(kind(server.port, options))
        assert set(wave.statuses) == {status, 429}
        assert wave.statuses[status] >= 4
        assert sum(wave.statuses.values()) == 100
        assert wave.num_without_retry_after == 0
    next_works(server.client)


def test_a_refusal_without_retry_after_would_be_noticed() -> None:
    wave = Wave()
    wave.add(Reply(429, {}, b"", 0.1))
    wave.add(Reply(503, {"retry-after": "3"}, b"", 0.1))
    wave.add(Reply(200, {}, b"", 0.2))
    assert (wave.num_without_retry_after, wave.latencies) == (1, [0.2])


def test_percentiles_of_a_known_series() -> None:
    found = percentiles([float(number) for number in range(1, 102)])
    assert found == {"count": 101, "p50": 51.0, "p95": 96.0, "p99": 100.0, "longest": 101.0}
    assert percentiles([0.0, 1.0])["p50"] == pytest.approx(0.5)
