"""Editing in numbers: how much of the source is left at each noise level, and whether seams can be detected.

    python -m benchmarks.editing

Distance to the source is the mean difference of 48 mel band levels in frames of 12 ms, apart from the overall level,
and the cosine distance of aiSFX embeddings. A seam is measured by its rank: the share of all other points of the same
sound at which the spectrum (or the waveform) changes less. Half is what an ordinary point has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import arctone
from arctone.audio.loops import SeamScore, seam_score
from arctone.audio.regions import EXTEND_FADE_SECONDS, FADE_SECONDS, WINDOW_FADE_SECONDS
from arctone.audio.spectral.features import band_edges
from arctone.audio.spectral.stft import HOP, stft
from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders import aisfx
from arctone.inference.edit_plan import windows
from arctone.inference.engine import Model
from benchmarks import results
from benchmarks.results import JSON

PROMPTS = (
    "funky drum loop",
    "rain on a tin roof",
    "a dark pad in C minor",
    "birds singing in a forest",
    "techno loop",
    "solo piano melody",
)
TARGET = "church organ"
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
SECONDS, LONG_SECONDS = 4.0, 20.0
SEAMS = {
    "region": "edges of an inpainted region, other seed",
    "extend": "end of the source in a continuation",
    "window": "between windows",
    "loop": "where a loop repeats",
    "plain": "for comparison: where a sound repeats that was not made as a loop",
}


def measure(model: Model, seeds: Sequence[int], steps: int) -> JSON:
    """All measures of one model."""
    found: dict[str, list[SeamScore]] = {name: [] for name in SEAMS}
    distances: dict[str, list[list[float]]] = {"mel_db": [], "aisfx": []}
    for prompt, seed in track([(prompt, seed) for prompt in PROMPTS for seed in seeds], "sounds"):
        make = _variation_of(model, prompt, steps)
        source = make(seed=seed, duration_seconds=SECONDS)
        for name, scores in _seams(make, source, seed, model).items():
            found[name] += scores
        edits = [_edit(model, source, seed, steps, level) for level in LEVELS]
        distances["mel_db"].append([mel_distance_db(source, edit) for edit in edits])
        distances["aisfx"].append([_cosine_distance(source, edit) for edit in edits])
    return {
        "distances": {
            name: [results.interval(list(column)) for column in np.transpose(rows).tolist()]
            for name, rows in distances.items()
        },
        "seams": {name: _summary(scores) for name, scores in found.items()},
    }


def mel_distance_db(one: Waveform, two: Waveform) -> float:
    """Mean difference of band levels, each sound's mean level taken out."""
    first, second = (_band_levels_db(waveform) for waveform in (one, two))
    return float(np.abs(first - second).mean())


def _band_levels_db(waveform: Waveform) -> np.ndarray:
    padded = np.pad(waveform.samples, ((0, 0), (0, -waveform.num_samples % HOP)))
    power = np.square(np.abs(stft(padded))).mean(axis=0)
    levels = 10 * np.log10(np.add.reduceat(power, band_edges()[:-1], axis=1) + 1e-6)
    return np.asarray(levels - levels.mean())


def _cosine_distance(one: Waveform, two: Waveform) -> float:
    first, second = (np.asarray(aisfx.embed(waveform), np.float64).ravel() for waveform in (one, two))
    return float(1 - first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def _variation_of(model: Model, prompt: str, steps: int) -> Callable[..., Waveform]:
    def make(**fields: Any) -> Waveform:
        return model.generate(prompt, steps=steps, **fields).waveforms[0]

    return make


def _edit(model: Model, source: Waveform, seed: int, steps: int, level: float) -> Waveform:
    made = model.generate(TARGET, source=source, init_noise_level=level, seed=seed + 100, steps=steps)
    return made.waveforms[0]


def _seams(make: Callable[..., Waveform], source: Waveform, seed: int, model: Model) -> dict[str, list[SeamScore]]:
    rate, hop = source.sample_rate, model.config.hop_length
    region = make(seed=seed + 200, source=source, inpaint=("1.23:2.77",))
    extended = make(seed=seed + 300, source=source, extend=True, duration_seconds=2 * SECONDS)
    long = make(seed=seed + 400, duration_seconds=LONG_SECONDS)
    plan = windows(np.ones(-(-long.num_samples // hop), bool), model.config.dit.max_frames)
    loop = make(seed=seed + 500, loop=True, duration_seconds=SECONDS)
    edges = [round(1.23 * rate + FADE_SECONDS / 2 * rate), round(2.77 * rate - FADE_SECONDS / 2 * rate)]
    end = source.num_samples - round(EXTEND_FADE_SECONDS / 2 * rate)
    handed_over = [window.kept_stop * hop + round(WINDOW_FADE_SECONDS / 2 * rate) for window in plan[:-1]]
    return {
        "region": [seam_score(region, at) for at in edges],
        "extend": [seam_score(extended, end)],
        "window": [seam_score(long, at) for at in handed_over],
        "loop": [seam_score(loop, 0, is_loop=True)],
        "plain": [seam_score(source, 0, is_loop=True)],
    }


def _summary(scores: list[SeamScore]) -> JSON:
    return {
        name: results.interval([float(getattr(score, name)) for score in scores])
        for name in ("step_rank", "click_rank", "step_db")
    }


def levels_block(result: JSON) -> str:
    """Distance to the source over the noise levels."""
    rows = [
        ["mel bands, dB", *(results.number(cell, 1) for cell in result["distances"]["mel_db"])],
        ["aiSFX, cosine distance", *(results.number(cell) for cell in result["distances"]["aisfx"])],
    ]
    return results.table(["distance to the source at noise level", *(f"{level:g}" for level in LEVELS)], rows)


def seams_block(result: JSON) -> str:
    """How seams rank."""
    rows = [
        [words, *(results.number(result["seams"][name][column]) for column in ("step_rank", "click_rank"))]
        for name, words in SEAMS.items()
    ]
    return results.table(["seam", "rank of its change of spectrum", "rank of its click"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.editing", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    found = measure(arctone.load(options.model), options.seeds, options.steps)
    settings = {"model": options.model, "seeds": options.seeds, "steps": options.steps, "prompts": list(PROMPTS)}
    print(results.write("editing", settings, found, options.results))


if __name__ == "__main__":
    main()
