"""The line through lengths, and the tables of the benchmark."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import ceilings, lengths


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
    assert "| 8 steps, guided | 1 | 1189 | 2 | 1189 |\n" in lengths.samplers_block(result)
    limits = {"ceilings": {"int8": 800.0, "float32": 200.0}, "least_ms": {"call": 10.0, "decoder": 5.5}}
    table = lengths.samplers_block(result | limits)
    # Guidance takes two calls a step.
    assert "| 8 steps, guided | 1 | 1189 | 2 | 1189 | 166 |" in table
    assert "| 8 steps, no guidance | 1 | 1189 | 2 | 1189 | 86 |" in table
    assert "GFLOP/s: int8 800, float32 200" in table
    lengths.draw(result, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_the_least_time_is_that_of_the_products_at_their_ceilings() -> None:
    torch = pytest.importorskip("torch")
    layer, q = torch.nn.Linear(100, 1000), torch.randn(1, 1, 50, 100)

    def work() -> None:
        layer(q)
        torch.nn.functional.scaled_dot_product_attention(q, q, q)

    # 2 x 50 x 100 x 1000 with weights; two products of 50 x 50 x 100 in attention.
    counted = ceilings.operations(work)
    assert counted["weights"] == pytest.approx(0.01)
    assert counted["others"] == pytest.approx(0.001)
    assert lengths.least({"int8": 10.0, "float32": 1.0}, work) == pytest.approx(2.0)


def test_ceilings_are_those_of_the_fastest_products() -> None:
    pytest.importorskip("litert_torch")
    found = ceilings.ceilings(threads=1, rounds=1)
    assert set(found) == {"float32", "bfloat16", "int8"}
    assert min(found.values()) > 1
