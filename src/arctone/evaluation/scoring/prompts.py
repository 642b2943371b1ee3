"""Which captions of a source are asked, chosen by a rule and never by hand."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from arctone.data.clip import ClipSource
from arctone.errors import UsageError


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
