"""Rounds of takes: what the next round is drawn near, and the file that holds them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arctone.errors import UsageError
from arctone.inference.near import parse_near
from arctone.inference.picks import (
    AMOUNTS,
    MAX_ROUNDS,
    SHRINK,
    Picks,
    begin,
    dump_picks,
    keep,
    mixture,
    parse_picks,
)
from arctone.inference.request import GenerationRequest


def first_round(**fields: Any) -> Picks:
    return begin(GenerationRequest(**{"prompt": "rain", "seed": 100, "variations": 8, **fields}), "spark")


def _nears(picks: Picks) -> list[str]:
    found = [take.near for take in picks.rounds[-1].takes]
    return [near for near in found if near is not None]


def test_the_first_round_has_fresh_seeds() -> None:
    picks = first_round()
    assert [take.seed for take in picks.rounds[0].takes] == list(range(100, 108))
    assert _nears(picks) == []
    assert picks.requests(1)[2] == GenerationRequest(prompt="rain", seed=102, variations=1)


def test_the_next_round_lies_around_the_kept_take_with_fresh_seeds() -> None:
    picks = keep(first_round(), (3,))
    assert picks.rounds[0].kept == (3,)
    assert [take.seed for take in picks.rounds[1].takes] == list(range(108, 116))
    nears = [parse_near(near) for near in _nears(picks)]
    assert {near.parents for near in nears} == {((102, 1.0),)}
    assert [near.amount for near in nears] == [AMOUNTS[item % len(AMOUNTS)] for item in range(8)]


def test_of_two_kept_takes_the_next_round_also_lies_between() -> None:
    nears = [parse_near(near) for near in _nears(keep(first_round(), (3, 5)))]
    assert {frozenset(dict(near.parents)) for near in nears} == {
        frozenset((102, 104)),
        frozenset((102,)),
        frozenset((104,)),
    }
    assert dict(nears[0].parents) == pytest.approx({102: 0.5**0.5, 104: 0.5**0.5})


def test_each_round_with_a_kept_take_comes_nearer() -> None:
    picks = keep(keep(first_round(), (1,)), (1,))
    assert parse_near(_nears(picks)[0]).amount == pytest.approx(SHRINK * AMOUNTS[0], abs=1e-4)


def test_where_nothing_is_kept_the_last_kept_ones_stay() -> None:
    assert _nears(keep(first_round(), ())) == []
    before = keep(first_round(), (3,))
    after = keep(before, ())
    assert _nears(after) == _nears(before)
    assert [take.seed for take in after.rounds[2].takes] == list(range(116, 124))


def test_what_was_kept_long_ago_is_forgotten() -> None:
    picks = first_round()
    for number in (1, 2, 3):
        picks = keep(picks, (number,))
    assert {take.seed for take in picks.favourites} == {109, 118}


def test_a_mixture_has_the_variance_of_noise() -> None:
    found = mixture([{1: 0.6, 2: 0.8}, {2: 1.0}])
    assert sum(weight**2 for weight in found.values()) == pytest.approx(1)
    assert found[2] > found[1]


@pytest.mark.parametrize("numbers", [(0,), (9,), (1, 99)])
def test_numbers_that_no_take_has_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="keep must be numbers of takes from 1 to 8"):
        keep(first_round(), numbers)


def test_many_rounds_stay_within_the_limits() -> None:
    picks = first_round(seed=2**63 - 8)
    for number in range(MAX_ROUNDS - 1):
        picks = keep(picks, (1 + number % 8, 1 + (3 * number) % 8))
    for near in _nears(picks):
        parse_near(near)
    with pytest.raises(UsageError, match=f"keep is possible in {MAX_ROUNDS} rounds"):
        keep(picks, (1,))


@pytest.mark.parametrize(("fields", "name"), [({"near": "7:0.1"}, "near"), ({"diverse": True}, "diverse")])
def test_requests_that_choose_their_own_noise_are_refused(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} cannot be combined with picks"):
        first_round(**fields)


def test_the_json_form_gives_the_same_rounds_back() -> None:
    picks = keep(keep(first_round(), (2, 7)), ())
    assert parse_picks(dump_picks(picks)) == picks
    assert dump_picks(parse_picks(dump_picks(picks))) == dump_picks(picks)


@pytest.mark.parametrize(("change", "words"), [
    ({"schema": 2}, "schema"),
    ({"rounds": []}, "rounds"),
    ({"rounds": [{"takes": [{"seed": 1, "near": "x"}], "kept": None}]}, "near must be SEED:AMOUNT"),
    ({"rounds": [{"takes": [{"seed": -1}], "kept": None}]}, "seed"),
    ({"rounds": [{"takes": [{"seed": 1}], "kept": [2]}, {"takes": [{"seed": 1}]}]}, "keep a take of round 1 that it"),
    ({"rounds": [{"takes": [{"seed": 1}], "kept": [1]}]}, "answers to all rounds but the last, but round 1 differs"),
    ({"rounds": [{"takes": [{"seed": 1}]}, {"takes": [{"seed": 1}]}]}, "but round 1 differs"),
    ({"request": {"prompt": "rain", "steps": 0}}, "steps"),
    ({"model": 3}, "model"),
    ({"more": 3}, "more"),
])  # fmt: skip
def test_damaged_picks_are_refused_in_one_sentence(change: dict[str, Any], words: str) -> None:
    data = msgspec.json.encode({**msgspec.to_builtins(first_round()), **change})
    with pytest.raises(UsageError, match=words) as caught:
        parse_picks(data)
    assert str(caught.value).startswith("picks ")


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 10_000, b"\xff\xfe", b"null", b"[]"])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="picks cannot be used"):
        parse_picks(data)
