"""The script that does all that needs a GPU, at small size on this machine, and the programs for the true size."""

from __future__ import annotations

import pytest

from arctone.models.discriminator import blocks_of
from benchmarks import arc_true_size, gpu


def test_latency_pairs_and_training_run_at_small_size() -> None:
    latency = gpu.time_latency(True)
    assert all(latency[f"{title}_ms"] > 0 for title in ("bundled", "published"))  # type: ignore[operator]
    pair = gpu.time_pair(True)
    assert {"paper_pairs_per_second", "without_penalties_pairs_per_second"} <= pair.keys()
    trained = gpu.train_for_a_while(True)
    assert (trained["steps"], trained["resumed_at"], trained["finite"]) == (4, 4, "True")


@pytest.mark.parametrize("side", arc_true_size.SIDES)
def test_both_sides_of_the_true_size_run_when_shrunk(side: str) -> None:
    found = arc_true_size.measure(side, arc_true_size.SMALL, 2, penalties=True)
    assert found["seconds"] > 0
    assert blocks_of(arc_true_size.TRUE, 13 / 16) == 13


def test_a_narrowed_model_keeps_the_size_of_a_head() -> None:
    config = arc_true_size.narrowed(512)
    assert (config.width, config.width // config.heads, config.depth) == (512, 128, 16)
    assert arc_true_size.narrowed(1024) == arc_true_size.TRUE
