"""Rounds of takes: keep some, and the next round is drawn nearer to them. Nothing is trained.

A round draws takes, somebody keeps some of them, and the next round's noise lies near that of the kept ones
(`inference/near.py`): around each of them and around their mixtures, the nearer the more rounds had a kept take. Where
nothing is kept, the next round tries again around the last kept ones; before anything was kept, seeds are fresh.

The state is a small value that can be written to a file and replayed: the request, and for each round its takes (seed
and `near`) and the numbers of those kept. The next round is a function of it.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from arctone.errors import UsageError
from arctone.flow.noise import MAX_SEED
from arctone.inference.near import parse_near, unit_weights, write_near
from arctone.inference.request import GenerationRequest, validate

MAX_ROUNDS = 200
# How far the takes of a round lie from what they are drawn near, in turn, after the first round with a kept take; each
# further one multiplies by SHRINK. `benchmarks/picking.py` measures it.
AMOUNTS, SHRINK, SMALLEST = (0.35, 0.5, 0.65), 0.8, 0.05
# A take is drawn near the kept ones of this many rounds at most.
_ROUNDS_BACK = 2


class Take(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One take of a round. seed: its own. near: what it was drawn near, in the text form of `near`; None = nothing."""

    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)]
    near: str | None = None

    @property
    def weights(self) -> dict[int, float]:
        """Weights of its noise by seed."""
        return {self.seed: 1.0} if self.near is None else parse_near(self.near).weights(self.seed)


class Round(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A round. takes: in order. kept: numbers of the kept ones, from 1; None = nobody has answered yet."""

    takes: Annotated[tuple[Take, ...], Meta(min_length=1, max_length=64)]
    kept: tuple[Annotated[int, Meta(ge=1)], ...] | None = None

    @property
    def favourites(self) -> tuple[Take, ...]:
        """The takes that were kept."""
        return tuple(self.takes[number - 1] for number in self.kept or ())


class Picks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rounds so far.

    Args:
        request: of every take; its variations are the takes of a round, its seed that of the very first.
        model: name of the model.
        rounds: in order; only the last may be without an answer.
        schema: of the file.
    """

    request: GenerationRequest
    model: str
    rounds: Annotated[tuple[Round, ...], Meta(min_length=1, max_length=MAX_ROUNDS)]
    schema: Literal[1] = 1

    @property
    def favourites(self) -> tuple[Take, ...]:
        """Kept takes that the next round is drawn near: those of the last rounds that had any, the newest first."""
        kept = [one.favourites for one in reversed(self.rounds) if one.favourites]
        return tuple(itertools.chain.from_iterable(kept[:_ROUNDS_BACK]))

    def requests(self, number: int) -> list[GenerationRequest]:
        """List the requests of a round's takes.

        Args:
            number: Of the round, from 1.

        Returns:
            One request for each take, with a single variation.
        """
        return [
            msgspec.structs.replace(self.request, seed=take.seed, near=take.near, variations=1)
            for take in self.rounds[number - 1].takes
        ]


def begin(request: GenerationRequest, model: str) -> Picks:
    """Draw the first round: fresh seeds in a row.

    Args:
        request: With a seed, and as many variations as a round has takes.
        model: Name of the model.

    Returns:
        One round without an answer.

    Raises:
        UsageError: For a request that cannot be met, or that is itself near or diverse.
    """
    validate(request)
    if request.near is not None or request.diverse:
        name = "diverse" if request.diverse else "near"
        raise UsageError(f"{name} cannot be combined with picks, which choose what is drawn near what.", field=name)
    return Picks(request=request, model=model, rounds=(Round(takes=_fresh(request, 0)),))


def keep(picks: Picks, numbers: tuple[int, ...]) -> Picks:
    """Answer the last round and draw the next one.

    Args:
        picks: The rounds so far.
        numbers: Takes of the last round that are kept, from 1; () = none of them.

    Returns:
        The same rounds with the answer, and one more.

    Raises:
        UsageError: For a number that no take has, or after the last round that is possible.
    """
    last = picks.rounds[-1]
    for number in numbers:
        if not 1 <= number <= len(last.takes):
            raise UsageError(field="keep", value=number, allowed=f"numbers of takes from 1 to {len(last.takes)}")
    if len(picks.rounds) == MAX_ROUNDS:
        raise UsageError(f"keep is possible in {MAX_ROUNDS} rounds, and these are all of them.", field="keep")
    answered = msgspec.structs.replace(last, kept=tuple(dict.fromkeys(numbers)))
    picks = msgspec.structs.replace(picks, rounds=(*picks.rounds[:-1], answered))
    return msgspec.structs.replace(picks, rounds=(*picks.rounds, Round(takes=_next_takes(picks))))


def parse_picks(data: bytes) -> Picks:
    """Read the JSON form of picks.

    Args:
        data: As `dump_picks` gives it.

    Returns:
        The rounds, checked.

    Raises:
        UsageError: In one sentence for anything that cannot be used.
    """
    try:
        picks = msgspec.json.decode(data, type=Picks)
        validate(picks.request)
        for take in itertools.chain.from_iterable(one.takes for one in picks.rounds):
            if take.near is not None:
                parse_near(take.near)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UsageError) as problem:
        raise UsageError(f"picks cannot be used: {str(problem).rstrip('.')}.", field="picks") from None
    for number, one in enumerate(picks.rounds, start=1):
        if any(kept > len(one.takes) for kept in one.kept or ()):
            raise UsageError(f"picks keep a take of round {number} that it does not have.", field="picks")
        if (one.kept is None) != (number == len(picks.rounds)):
            raise UsageError(
                f"picks must have answers to all rounds but the last, but round {number} differs.", field="picks"
            )
    return picks


def dump_picks(picks: Picks) -> bytes:
    """Write the JSON form of picks; the same picks give the same bytes.

    Args:
        picks: The rounds.

    Returns:
        Indented JSON, ending with a newline.
    """
    return msgspec.json.format(msgspec.json.encode(picks), indent=2) + b"\n"


def _fresh(request: GenerationRequest, number: int) -> tuple[Take, ...]:
    """Takes of a round, number from 0, that are near nothing: each take of all rounds has a seed of its own."""
    first = (request.seed or 0) + number * request.variations
    return tuple(Take(seed=(first + item) % (MAX_SEED + 1)) for item in range(request.variations))


def _next_takes(picks: Picks) -> tuple[Take, ...]:
    """Takes near the favourites, each of them and their mixture in turn."""
    fresh = _fresh(picks.request, len(picks.rounds))
    favourites = picks.favourites
    if not favourites:
        return fresh
    centres = [favourite.weights for favourite in favourites]
    if len(centres) > 1:
        centres = [mixture(centres), *centres]
    rounds_with_kept = sum(bool(one.kept) for one in picks.rounds)
    scale = SHRINK ** (rounds_with_kept - 1)
    amounts = [max(SMALLEST, scale * amount) for amount in AMOUNTS]
    takes = []
    for item, take in enumerate(fresh):
        centre = centres[item % len(centres)]
        takes.append(Take(seed=take.seed, near=write_near(centre, amounts[item // len(centres) % len(amounts)])))
    return tuple(takes)


def mixture(takes: list[dict[int, float]]) -> dict[int, float]:
    """Mix the noise of takes alike: breed them.

    Args:
        takes: Weights of each by seed.

    Returns:
        Weights by seed, whose squares sum to 1.
    """
    total: dict[int, float] = {}
    for weights in takes:
        for seed, weight in weights.items():
            total[seed] = total.get(seed, 0.0) + weight
    return unit_weights(total)
