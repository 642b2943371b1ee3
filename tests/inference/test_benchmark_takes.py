"""The programs that measure diverse takes and picks, where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arctone.inference.picks import Take
from arctone.inference.request import GenerationRequest
from benchmarks import diverse_takes, picking, results


def _pool(seed: int) -> diverse_takes.Pool:
    rng = np.random.default_rng(seed)
    kinds = rng.standard_normal((16, 6))
    arrays: dict[str, Any] = {
        "latents": (kinds[:, :, None] + 0.1 * rng.standard_normal((16, 6, 20))).astype(np.float32),
        "corpus-clap": np.concatenate([kinds, np.ones((16, 1))], axis=1),
        "aisfx": np.concatenate([kinds, np.ones((16, 1))], axis=1),
        "scores": np.full(16, 0.4),
        "is_silent": np.arange(16) == 0,
    }
    return diverse_takes.Pool(arrays)


def test_takes_chosen_by_latents_differ_more_where_latents_say_how_sounds_differ() -> None:
    pools = [_pool(seed) for seed in range(10)]
    first = diverse_takes.measure(pools, lambda pool, count: range(count), 4)
    chosen = diverse_takes.measure(pools, diverse_takes.by_latents(4), 4)
    row = diverse_takes.cells(chosen, first)
    assert row["ccds_change"]["low"] > 0
    assert row["vendi"]["value"] > diverse_takes.cells(first, first)["vendi"]["value"]
    assert row["score_difference"]["value"] == pytest.approx(0)
    assert first["silent"].tolist() == [0.25] * 10
    assert "ccds_change" not in diverse_takes.cells(first, first)


def test_a_change_in_percent_is_paired() -> None:
    base = np.array([1.0, 2.0, 5.0])
    found = diverse_takes.percent_change(1.2 * base, base)
    assert (found["low"], found["value"], found["high"]) == pytest.approx((20, 20, 20))


def _listeners(num: int, size: int = 6) -> list[dict[str, Any]]:
    """Simulated listeners in a space where an embedding is linear in the noise."""
    options = picking._parser().parse_args(["--pool", "200", "--targets", "1", "--rounds", "4"])

    def embed(request: GenerationRequest) -> Any:
        weights = Take(seed=int(request.seed or 0), near=request.near).weights
        number = len(request.prompt)
        rows = [w * np.random.default_rng([seed, number]).standard_normal(size) for seed, w in weights.items()]
        return np.sum(rows, axis=0)

    simulation = picking.Simulation(options, embed)
    return [simulation.run("x" * (1 + number))[0] for number in range(num)]


def test_picks_come_nearer_than_fresh_seeds_where_embeddings_are_linear_in_the_noise() -> None:
    found = picking.summary(_listeners(16))
    assert found["picks"]["value"] < found["fresh"]["value"]
    assert found["later_picks"]["value"] < found["later_fresh"]["value"]
    assert found["place_picks"]["value"] < found["place_fresh"]["value"] < found["place_first"]["value"]
    assert 2 < found["fresh"]["value"] < 3.5


def test_rounds_are_counted_from_the_first() -> None:
    rounds = [np.array([0.5, 0.4]), np.array([0.3, 0.6])]
    assert [picking.rounds_needed(rounds, reached) for reached in (0.4, 0.3, 0.2)] == [1, 2, 3]


def test_the_table_names_its_listeners() -> None:
    settings = {"targets": 1, "prompts": 2, "rounds": 4, "embedder": "aisfx", "pool": 200}
    text = picking.block({"summary": picking.summary(_listeners(2)), "settings": settings, **results.origin()})
    assert "2 simulated listeners" in text
    assert text.count("\n| ") == 5
