"""The line through lengths, and the tables of the benchmark."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks import lengths


def test_a_straight_line_is_found_exactly() -> None:
    found = lengths.line([1, 2, 5, 10], [0.5 + 0.1 * length for length in (1, 2, 5, 10)])
    assert found == {"start_seconds": 0.5, "per_second": 0.1, "largest_error": 0.0}


def test_a_bend_is_an_error() -> None:
    assert lengths.line([1, 2, 4], [1, 4, 16])["largest_error"] > 0.2


class _Model:
    """Every request adds a tenth of a second to the clock, for each second of sound."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(lengths.time, "perf_counter", lambda: self.now)

    def generate(self, prompt: str, **fields: object) -> object:
        taken = 0.1 * float(fields["duration_seconds"]) * int(fields.get("variations", 1))  # type: ignore[arg-type]
        self.now += taken

        stages = {"text": 1.0, "sampling": 1000 * taken, "decoding": 2.0, "total": 1000 * taken}
        return SimpleNamespace(timings_ms=stages)


def test_each_request_is_timed_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = lengths.measure(_Model(monkeypatch), 2, [1.0, 30.0, 60.0], [1, 4])  # type: ignore[arg-type]
    assert [row["times_real_time"] for row in found["lengths"]] == [10.0, 10.0, 10.0]
    assert found["line"] == {"start_seconds": 0.0, "per_second": 0.1, "largest_error": 0.0}
    assert [row["seconds_each"] for row in found["variations"]] == [1.189, 1.189]
    result = {**found, "date": "", "version": "", "machine": {}, "settings": {}, "command": ""}
    monkeypatch.setattr(lengths.results, "footer", lambda _: "")
    assert "0.100 s more for each second" in lengths.lengths_block(result)
    assert "| 4 | 1.19 | 1.00x |" in lengths.variations_block(result)
    assert "| 8 steps, guided | 1 | 1189 | 2 | 1189 |" in lengths.samplers_block(result)
    lengths.draw(result, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
