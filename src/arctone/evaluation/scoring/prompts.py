"""Choose captions of a source as prompts, by a rule, and generate their sounds with a model."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple

import arctone
from arctone.data.clip import ClipSource
from arctone.data.opening import open_source
from arctone.errors import UsageError
from arctone.evaluation.scoring.making import Wanted
from arctone.inference.engine import Model


class Asked(NamedTuple):
    """model; source; clips: of the source, whose captions are asked; wanted: the sounds to make."""

    model: Model
    source: ClipSource
    clips: list[int]
    wanted: list[Wanted]


def asked(model: str, source: str, num_prompts: int, num_takes: int, first_seed: int, threads: int | None) -> Asked:
    """Open both and choose the prompts. Raises: what arctone.load, open_source and choose raise."""
    loaded, opened = arctone.load(model, threads=threads), open_source(source)
    chosen = choose(opened, num_prompts, loaded.config.dit.max_seconds)
    return Asked(loaded, opened, chosen, wanted_of(opened, chosen, num_takes, first_seed))


def wanted_of(source: ClipSource, chosen: list[int], num_takes: int, first_seed: int) -> list[Wanted]:
    """Takes of the first caption of each clip; the first take has the clip's name, so that it is its partner."""
    found = []
    for number, clip in enumerate(chosen):
        info = source.info(clip)
        for take in range(num_takes):
            name = f"{info.id}-take-{take + 1}" if take else info.id
            seed = first_seed + number * num_takes + take
            found.append(Wanted(name, info.caption, round(info.duration_seconds, 3), seed))
    return found


def choose(source: ClipSource, count: int, max_seconds: float) -> list[int]:
    """Clips whose captions become prompts: of the test split where there is one, the categories taking turns.

    The order is random but always the same, so more prompts keep the fewer ones. Args: max_seconds: longer clips and
    clips without a caption are left out. Raises: UsageError if none is left.
    """
    infos = {number: source.info(number) for number in range(len(source))}
    usable = {n: info for n, info in infos.items() if info.caption and info.duration_seconds <= max_seconds}
    held_out = {n: info for n, info in usable.items() if info.split == "test"}
    groups: dict[str, list[int]] = defaultdict(list)
    chosen = held_out or usable
    for number in sorted(chosen, key=lambda n: hashlib.sha256(chosen[n].id.encode()).digest()):
        groups[chosen[number].category].append(number)
    if not groups:
        raise UsageError(f"the source has no captioned clip of at most {max_seconds:g} seconds.")
    depth = max(map(len, groups.values()))
    turns = [groups[name][turn] for turn in range(depth) for name in sorted(groups) if turn < len(groups[name])]
    return turns[:count]
