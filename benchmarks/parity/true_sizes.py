"""The published sizes, with random weights, in the public program and in ours: how far apart every stage is.

    PYTHONPATH=src:. python -m benchmarks.parity.true_sizes small --out parity-small.json

Needs the public program (see reference.py), 12 GB of memory for "small" and 20 GB for "1.0".
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from arctone.checkpoints.parts import DIT, openers
from arctone.checkpoints.published import convert
from arctone.config_model import ModelConfig
from arctone.engines.parts import TextEmbedding
from arctone.engines.torch import TorchParts, load_parts
from arctone.flow.guidance import guided
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.model_folder import read_model_config
from arctone.models.conditions import Conditions
from arctone.tokenizer import Tokenizer
from benchmarks.machine import describe, sentence
from benchmarks.parity.reference import Reference, log_snr_times, relative_error
from benchmarks.parity.shapes import KINDS

T = TypeVar("T")
PROMPT, SEED = "rain on a tin roof", 7
LEVELS = (1.0, 0.6, 0.05)


class Ours:
    """The converted folder, asked for the same values."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.config: ModelConfig = read_model_config(folder)
        self.parts: TorchParts = load_parts(folder, self.config)
        tokens = Tokenizer(folder, self.config.text.max_tokens).encode(PROMPT)
        self.text: TextEmbedding = self.parts.encode_text(tokens.ids, tokens.mask)
        self.dit: Any = openers(folder, self.config)[DIT]()
        self.seconds = seconds
        self.mask = np.ones(self.config.dit.max_frames, bool)
        values = (self.text.tokens, self.text.mask, self.text.pooled, np.float32(seconds), np.float32(0), self.mask)
        self.conditions = Conditions(*(torch.from_numpy(np.asarray(value)[None]) for value in values))

    def context(self) -> np.ndarray:
        """Text and duration as the transformer is given them."""
        context: np.ndarray = self.dit.conditioning(self.conditions)[0][0].numpy()
        return context

    @torch.inference_mode()
    def output(self, x: np.ndarray, t: float) -> np.ndarray:
        """One call of the network."""
        found: np.ndarray = self.dit.output(torch.from_numpy(x[None]), torch.tensor([t]), self.conditions)[0].numpy()
        return found

    def sampled(self, steps: int, shape: tuple[int, int], cfg_scale: float) -> np.ndarray:
        """Latents by the model's own sampler and grid."""
        sampling = self.config.sampling
        times = sampler_times(sampling.sampler, steps, sampling.shift, sampling.schedule)
        start = item_noise(SEED, 0, shape) * np.float32(times[0])

        def velocity(x: np.ndarray, t: float) -> np.ndarray:
            towards = self.parts.velocity(x, t, self.text, self.seconds, 0.0, self.mask)
            if cfg_scale == 1:
                return towards
            away = self.parts.velocity(x, t, None, self.seconds, 0.0, self.mask)
            return np.asarray(guided(towards, away, cfg_scale), np.float32)

        sampler = SAMPLERS[sampling.sampler]
        latents: np.ndarray = list(sampler(velocity, start, times, lambda step: item_noise(SEED, step, shape)))[-1].x
        return latents


def compare(kind: str, folder: Path, steps: int, decode_frames: int) -> dict[str, Any]:
    """Relative errors and seconds of every stage."""
    seconds, rows = 8.0, {}
    reference = Reference(kind, folder / "published", shrunken=False)
    started = time.perf_counter()
    convert(folder / "published", folder / "ours", folder / "published" / "t5-base", name=kind)
    ours = Ours(folder / "ours", seconds)
    opened_s = time.perf_counter() - started
    given = reference.condition(PROMPT, seconds)
    rows["conditioning"] = {"relative_error": relative_error(ours.context(), given["cross_attn_cond"][0].numpy())}
    shape = (ours.config.dit.latent_channels, ours.config.dit.max_frames)
    x = item_noise(SEED, 0, shape)
    for level in LEVELS:
        rows[f"transformer at {level:g}"] = row(
            lambda level=level: ours.output(x, level), lambda level=level: reference.output(x, level, given)
        )
    is_v = kind == "1.0"
    scale = ours.config.sampling.cfg_scale if is_v else 1.0
    latents: list[np.ndarray] = []

    def theirs() -> np.ndarray:
        noise = lambda step: item_noise(SEED, step, shape)  # noqa: E731
        if is_v:
            return reference.dpmpp_3m_sde(steps, x, noise, given, scale)
        return reference.ping_pong(log_snr_times(steps), x, noise, given)

    rows[f"{steps} steps"] = row(lambda: kept(latents, ours.sampled(steps, shape, scale)), theirs)
    part = latents[0][:, :decode_frames]
    rows[f"decoder, {decode_frames} frames"] = row(lambda: ours.parts.decode(part), lambda: reference.decode(part))
    return {"machine": sentence(describe()), "kind": kind, "convert_and_open_s": round(opened_s, 1), "stages": rows}


def kept(where: list[np.ndarray], value: np.ndarray) -> np.ndarray:
    """The value, remembered."""
    where.append(value)
    return value


def row(ours: Callable[[], np.ndarray], theirs: Callable[[], np.ndarray]) -> dict[str, float]:
    """Both values, and the time each took; one run, so the times are only hints."""
    own, own_s = timed(ours)
    other, other_s = timed(theirs)
    error = relative_error(own, other)
    print(f"error {error:.2e}, ours {own_s:.2f} s, theirs {other_s:.2f} s", flush=True)
    return {"relative_error": error, "ours_s": round(own_s, 2), "theirs_s": round(other_s, 2)}


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """A result and the seconds it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--decode-frames", type=int, default=256)
    parser.add_argument("--folder", type=Path, help="keep the checkpoints there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        report = compare(given.kind, given.folder or Path(temporary), given.steps, given.decode_frames)
    given.out.write_text(json.dumps(report, indent=2) + "\n")
    worst = max(values["relative_error"] for values in report["stages"].values())
    print(f"worst relative error {worst:.2e}")
    raise SystemExit(0 if worst <= 1e-4 else 1)


if __name__ == "__main__":
    main()
