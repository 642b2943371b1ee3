"""What each precision of the torch engine costs and gains on a converted model, and which layers int8 hurts.

    PYTHONPATH=src:. python -m benchmarks.random_sao small sao-random/
    PYTHONPATH=src:. python -m benchmarks.precision_table sao-random/

Velocity, a whole run and decoding get the same inputs in every precision; the reference is float32. Of random weights
the errors rank precisions and layers, and say nothing of how a trained model sounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from arctone.checkpoints.parts import DIT, given, openers
from arctone.engines.parts import Floats, TextEmbedding
from arctone.engines.precision import INT8_LAYERS
from arctone.engines.torch import TorchParts, load_parts
from arctone.export.bundle import snr_db
from arctone.flow.noise import item_noise
from arctone.flow.samplers import ping_pong
from arctone.flow.schedules import sampler_times
from arctone.model_folder import read_model_config
from arctone.models.int8 import quantise
from arctone.tokenizer import Tokenizer
from benchmarks import results
from benchmarks.results import JSON

T = TypeVar("T")
PROMPT, SEED, LEVEL, STEPS = "rain on a tin roof", 7, 0.6, 8
PRECISIONS = ("float32", "bfloat16", "int8")


class Case:
    """The inputs, which are the same for every precision. Args: folder: a model's. frames: latent frames decoded."""

    def __init__(self, folder: Path, frames: int) -> None:
        self.folder, self.config = folder, read_model_config(folder)
        tokens = Tokenizer(folder, self.config.text.max_tokens).encode(PROMPT)
        exact = load_parts(folder, self.config)
        self.text: TextEmbedding = exact.encode_text(tokens.ids, tokens.mask)
        exact.close()
        self.shape = (self.config.dit.latent_channels, self.config.dit.max_frames)
        self.latents = item_noise(SEED, 99, (self.shape[0], frames))

    def velocity(self, parts: TorchParts, x: Floats | None = None, t: float = LEVEL) -> Floats:
        """One call of the transformer."""
        start = item_noise(SEED, 0, self.shape) if x is None else x
        return parts.velocity(start, t, self.text, self.config.dit.max_seconds, 0.0, np.ones(self.shape[1], bool))

    def sampled(self, parts: TorchParts) -> Floats:
        """Latents of a whole run."""
        noise: Callable[[int], Floats] = lambda step: item_noise(SEED, step, self.shape)  # noqa: E731
        times = sampler_times("ping_pong", STEPS, 1.0)
        *_, last = ping_pong(lambda x, t: self.velocity(parts, x, t), noise(0) * np.float32(times[0]), times, noise)
        return np.asarray(last.x, np.float32)


def precisions(case: Case, rounds: int) -> list[JSON]:
    """A row for each precision; their runs take turns."""
    opened = {name: load_parts(case.folder, case.config, precision=name) for name in PRECISIONS}
    values: dict[str, tuple[Floats, Floats]] = {}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PRECISIONS}
    for number in range(rounds + 1):  # the first opens the parts
        for name, parts in opened.items():
            velocity, one = timed(lambda parts=parts: case.velocity(parts))
            sound, two = timed(lambda parts=parts: parts.decode(case.latents))
            values[name] = velocity, sound
            print(number, name, f"{one:.2f} s, {two:.2f} s", flush=True)
            if number:
                taken[name].append((one, two))
    latents = {name: case.sampled(parts) for name, parts in opened.items()}
    wanted, run = values["float32"], latents["float32"]
    return [
        {
            "precision": name,
            "velocity_snr_db": round(snr_db(wanted[0], values[name][0]), 1),
            "latents_snr_db": round(snr_db(run, latents[name]), 1),
            "decoded_snr_db": round(snr_db(wanted[1], values[name][1]), 1),
            "velocity_s": round(statistics.median(pair[0] for pair in taken[name]), 3),
            "decode_s": round(statistics.median(pair[1] for pair in taken[name]), 3),
        }
        for name in PRECISIONS
    ]


def sensitivities(case: Case) -> list[JSON]:
    """Velocity in float32 with one kind of layer alone in int8."""
    wanted = case.velocity(load_parts(case.folder, case.config))
    rows = []
    for name in (*INT8_LAYERS, "to_kv"):
        parts = openers(case.folder, case.config)
        network = parts[DIT]()
        quantise(network, (name,))
        found = case.velocity(TorchParts(case.config, {**parts, DIT: given(network)}))
        rows.append({"layer": name, "velocity_snr_db": round(snr_db(wanted, found), 1)})
        print(rows[-1], flush=True)
    return rows


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """A result and the seconds it took."""
    begun = time.perf_counter()
    return work(), time.perf_counter() - begun


def block(result: JSON) -> str:
    """The tables as Markdown."""
    frames = result["settings"]["frames"]
    head = ["precision", "velocity, dB", f"latents of {STEPS} steps, dB", "decoded, dB"]
    head += ["one step, s", f"decoding {frames} frames, s"]
    names = ("velocity_snr_db", "latents_snr_db", "decoded_snr_db")
    rows = [
        [row["precision"], *(_decibels(row[n]) for n in names), f"{row['velocity_s']:.2f}", f"{row['decode_s']:.2f}"]
        for row in result["rows"]
    ]
    layers = [[f"`{row['layer']}`", _decibels(row["velocity_snr_db"])] for row in result["layers"]]
    alone = results.table(["in int8 alone", "velocity, dB"], layers)
    return "\n\n".join([results.table(head, rows), alone, results.footer(result)])


def _decibels(value: float) -> str:
    return "equal" if value >= 200 else f"{value:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision_table", description=__doc__)
    parser.add_argument("folder", type=Path, help="a converted model with float32 weights")
    parser.add_argument("--frames", type=int, default=64, help="latent frames that are decoded")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    case = Case(options.folder, options.frames)
    settings = {name: getattr(options, name) for name in ("frames", "rounds", "threads")}
    values = {"rows": precisions(case, options.rounds), "layers": sensitivities(case)}
    print(results.write("precision_table", {"steps": STEPS, "seed": SEED, **settings}, values, options.results))


if __name__ == "__main__":
    main()
