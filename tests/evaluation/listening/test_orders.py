"""The order of trials: balanced over listeners, complete for each of them."""

from collections import Counter
from itertools import pairwise

import pytest

from arctone.evaluation.listening.build import balance_orders, williams_square, with_repeats


@pytest.mark.parametrize("num_conditions", range(2, 9))
def test_a_williams_square_balances_places_and_neighbours(num_conditions):
    square = williams_square(num_conditions)
    places = Counter((place, condition) for row in square for place, condition in enumerate(row))
    neighbours = Counter(pair for row in square for pair in pairwise(row))
    assert len(square) == num_conditions * (1 if num_conditions % 2 == 0 else 2)
    assert set(places.values()) == {len(square) // num_conditions}
    assert len(places) == num_conditions**2
    assert set(neighbours.values()) == {len(square) // num_conditions}
    assert len(neighbours) == num_conditions * (num_conditions - 1)


@pytest.mark.parametrize(("num_conditions", "num_prompts"), [(2, 3), (3, 8), (5, 5), (5, 2)])
def test_each_listener_hears_every_cell_once_and_conditions_are_spread_evenly(num_conditions, num_prompts):
    orders = balance_orders(num_conditions, num_prompts, 24, seed=4)
    cells = {(condition, prompt) for condition in range(num_conditions) for prompt in range(num_prompts)}
    assert len(orders) >= 24
    assert all(set(order) == cells and len(order) == len(cells) for order in orders)
    # At each place of the test, every condition is heard by equally many listeners.
    for place in range(len(cells)):
        assert len(set(Counter(order[place][0] for order in orders).values())) == 1
    # Rounds: among the first conditions, and the next, each occurs once.
    for order in orders:
        for start in range(0, len(order), num_conditions):
            assert len({condition for condition, _ in order[start : start + num_conditions]}) == num_conditions


def test_a_prompt_does_not_follow_itself_within_a_round():
    for order in balance_orders(4, 6, 24, seed=1):
        for start in range(0, len(order), 4):
            assert len({prompt for _, prompt in order[start : start + 4]}) == 4


def test_repeats_are_about_half_the_trials_away_from_their_originals():
    order = [f"t{number}" for number in range(20)]
    repeats = {"a": "t0", "b": "t7", "c": "t10", "d": "t19"}
    whole = with_repeats(order, repeats)
    assert sorted(whole) == sorted([*order, *repeats])
    assert [trial for trial in whole if trial in order] == order
    for repeat, original in repeats.items():
        assert abs(whole.index(repeat) - whole.index(original)) >= 8
