"""What a model is asked in an evaluation: captions of a source, several sounds each."""

from __future__ import annotations

from typing import NamedTuple

import arctone
from arctone.data.clip import ClipSource
from arctone.data.opening import open_source
from arctone.evaluation.scoring.making import Wanted
from arctone.evaluation.scoring.prompts import choose
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
