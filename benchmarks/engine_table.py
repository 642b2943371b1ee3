"""How far each engine and precision is from torch in float32, for one seed, part by part and over a whole sound.

    arctone export litert CHECKPOINT runs/f32 --precision float32
    python -m benchmarks.engine_table --float32 runs/f32 --int8 spark

Text, velocity and decoding are measured on the same inputs for all; the latents are those of a whole run from the same
noise, without guidance. 200 dB stands for equal values. Without --float32 all engines have the
weights of the int8 folder, and what is measured is the arithmetic alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arctone.audio.spectral.stft import stft
from arctone.export.graphs import snr_db
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.inference.backends.base import Backend, Floats, TextEmbedding, VelocityInputs
from arctone.inference.backends.litert import LiteRTBackend
from arctone.inference.backends.torch import load_backend
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.folder import find_model, read_model_config
from arctone.model_folder.tokenizer import Tokenizer
from benchmarks import results
from benchmarks.results import JSON

PROMPT = "rain on a tin roof"
COLUMNS = {
    "text": "text",
    "velocity": "velocity",
    "latents": "latents of a whole run",
    "magnitudes": "magnitudes of the decoded audio",
    "decoded": "decoded audio",
}


class Bfloat16:
    """Torch parts whose linear layers and convolutions work in bfloat16."""

    name = "torch"

    def __init__(self, parts: Backend) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._parts, name)

        def cast(*arguments: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return method(*arguments)

        return cast


class Case:
    """The inputs, which are the same for every engine.

    Args: folder: a model's, for its config and its words. reference: the engine that all are compared with.
    """

    def __init__(self, folder: Path, config: ModelConfig, reference: Backend, steps: int, seed: int) -> None:
        self._config, self._steps, self._seed = config, steps, seed
        self._tokens = Tokenizer(folder, config.text.max_tokens).encode(PROMPT)
        self._text: TextEmbedding = reference.encode_text(self._tokens.ids, self._tokens.mask)
        self._frames = config.dit.max_frames
        self._latents = self._sampled(reference)

    def values(self, parts: Backend) -> dict[str, Floats]:
        """What an engine makes of the inputs, by the names of COLUMNS."""
        tokens = self._tokens
        decoded = parts.decode(self._latents, self._seed)
        return {
            "text": parts.encode_text(tokens.ids, tokens.mask).pooled,
            "velocity": self._velocity(parts, self._noise(0), 0.6),
            "latents": self._sampled(parts),
            "magnitudes": np.abs(stft(decoded)),
            "decoded": decoded,
        }

    def _velocity(self, parts: Backend, x: Floats, t: float) -> Floats:
        seconds, mask = self._config.dit.max_seconds, np.ones(self._frames, bool)
        return parts.velocity(VelocityInputs(x, t, self._text, seconds, 0.0, mask))

    def _sampled(self, parts: Backend) -> Floats:
        times = sampler_times("euler", self._steps, self._config.sampling.shift, start_level=1.0)
        steps = SAMPLERS["euler"](lambda x, t: self._velocity(parts, x, t), self._noise(0), times, self._noise)
        *_, last = steps
        latents: Floats = np.asarray(last.x, np.float32)
        return latents

    def _noise(self, step: int) -> Floats:
        return item_noise(self._seed, step, (self._config.dit.latent_channels, self._frames))


def engines(float32: Path | None, int8: Path, threads: int = 1) -> dict[tuple[str, str], Backend]:
    """All engines by name and precision; the first is the reference.

    Args: float32, int8: folders of the same trained weights. Without float32 there is no native engine of that
    precision, and torch works with the rounded weights of the int8 folder.
    """
    config = read_model_config(int8)
    full = load_backend(float32 or int8, config)
    found: dict[tuple[str, str], Backend] = {
        ("torch", "float32"): full,
        ("torch", "bfloat16"): Bfloat16(full),  # type: ignore[dict-item]
    }
    if float32 is not None:
        found["native", "float32"] = LiteRTBackend(float32, config, threads)
    return {**found, ("native", "int8"): LiteRTBackend(int8, config, threads)}


def errors(found: Mapping[tuple[str, str], Backend], case: Case) -> list[JSON]:
    """One row for each engine: signal-to-noise ratios in dB against the first."""
    made = {key: case.values(parts) for key, parts in found.items()}
    wanted = next(iter(made.values()))
    return [
        {"engine": engine, "precision": precision}
        | {f"snr_db_{name}": round(snr_db(wanted[name], values[name]), 1) for name in COLUMNS}
        for (engine, precision), values in made.items()
    ]


def block(result: JSON) -> str:
    """The table as Markdown."""
    rows = [
        [f"{row['engine']} {row['precision']}", *(_decibels(row[f"snr_db_{name}"]) for name in COLUMNS)]
        for row in result["rows"]
    ]
    table = results.table(["engine", *(f"{title}, dB" for title in COLUMNS.values())], rows)
    return "\n\n".join([table, results.footer(result)])


def _decibels(value: float) -> str:
    return "equal" if value >= 200 else f"{value:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine_table", description=__doc__)
    parser.add_argument("--float32", type=Path, help="folder exported with --precision float32; left out if not given")
    parser.add_argument("--int8", default="spark", help="the same weights in int8: name or folder of a model")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    folder = find_model(options.int8)
    found = engines(options.float32, folder)
    case = Case(folder, read_model_config(folder), next(iter(found.values())), options.steps, options.seed)
    weights = "float32" if options.float32 else "int8 as rounded"
    settings = {"model": options.int8, "weights": weights, "steps": options.steps, "seed": options.seed}
    print(results.write("engine_table", settings, {"rows": errors(found, case)}, options.results))


if __name__ == "__main__":
    main()
