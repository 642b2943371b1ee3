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

import numpy as np
import torch

from arctone.checkpoints.parts import DIT, given, openers
from arctone.export.graphs import snr_db
from arctone.flow.noise import item_noise
from arctone.flow.samplers import ping_pong
from arctone.flow.schedules import sampler_times
from arctone.inference.backends.base import Floats, TextEmbedding, VelocityInputs
from arctone.inference.backends.torch import TorchBackend, load_backend
from arctone.model_folder.folder import read_model_config
from arctone.model_folder.tokenizer import Tokenizer
from arctone.models.precision import INT8_LAYERS, quantise
from benchmarks import results
from benchmarks.results import JSON

PROMPT, SEED, LEVEL, STEPS = "rain on a tin roof", 7, 0.6, 8
PRECISIONS = ("float32", "bfloat16", "int8")


class Case:
    """The inputs, which are the same for every precision. Args: folder: a model's. frames: latent frames decoded."""

    def __init__(self, folder: Path, frames: int) -> None:
        self.folder, self.config = folder, read_model_config(folder)
        tokens = Tokenizer(folder, self.config.text.max_tokens).encode(PROMPT)
        exact = load_backend(folder, self.config)
        self.text: TextEmbedding = exact.encode_text(tokens.ids, tokens.mask)
        exact.close()
        self.shape = (self.config.dit.latent_channels, self.config.dit.max_frames)
        self.latents = item_noise(SEED, 99, (self.shape[0], frames))

    def velocity(self, parts: TorchBackend, x: Floats | None = None, t: float = LEVEL) -> Floats:
        """One call of the transformer."""
        start = item_noise(SEED, 0, self.shape) if x is None else x
        return parts.velocity(
            VelocityInputs(start, t, self.text, self.config.dit.max_seconds, 0.0, np.ones(self.shape[1], bool))
        )

    def sampled(self, parts: TorchBackend) -> Floats:
        """Latents of a whole run."""
        noise: Callable[[int], Floats] = lambda step: item_noise(SEED, step, self.shape)  # noqa: E731
        times = sampler_times("ping_pong", STEPS, 1.0)
        *_, last = ping_pong(lambda x, t: self.velocity(parts, x, t), noise(0) * np.float32(times[0]), times, noise)
        return np.asarray(last.x, np.float32)


def errors(case: Case) -> list[JSON]:
    """A row for each precision, one after the other, so that one alone is in memory."""
    wanted: dict[str, Floats] = {}
    rows = []
    for name in PRECISIONS:
        parts = load_backend(case.folder, case.config, precision=name)
        found = {
            "velocity": case.velocity(parts),
            "latents": case.sampled(parts),
            "decoded": parts.decode(case.latents),
        }
        parts.close()
        wanted = wanted or found
        decibels = {f"{key}_snr_db": round(snr_db(wanted[key], value), 1) for key, value in found.items()}
        rows.append({"precision": name, **decibels})
        print(rows[-1], flush=True)
    return rows


def seconds(case: Case, rounds: int) -> dict[str, JSON]:
    """Medians by precision; the precisions take turns, after a first round that opens the parts."""
    opened = {name: load_backend(case.folder, case.config, precision=name) for name in PRECISIONS}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PRECISIONS}
    for number in range(rounds + 1):
        for name, parts in opened.items():
            pair = _seconds(lambda parts=parts: case.velocity(parts)), _seconds(lambda p=parts: p.decode(case.latents))
            if number:
                taken[name].append(pair)
    return {name: _medians(pairs) for name, pairs in taken.items()}


def _medians(taken: list[tuple[float, float]]) -> JSON:
    velocity, decode = (round(statistics.median(column), 3) for column in zip(*taken, strict=True))
    return {"velocity_s": velocity, "decode_s": decode}


def sensitivities(case: Case) -> list[JSON]:
    """Velocity in float32 with one kind of layer alone in int8."""
    wanted = case.velocity(load_backend(case.folder, case.config))
    rows = []
    for name in (*INT8_LAYERS, "to_kv"):
        parts = openers(case.folder, case.config)
        network = parts[DIT]()
        quantise(network, (name,))
        found = case.velocity(TorchBackend(case.config, {**parts, DIT: given(network)}))
        rows.append({"layer": name, "velocity_snr_db": round(snr_db(wanted, found), 1)})
        print(rows[-1], flush=True)
    return rows


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def block(result: JSON) -> str:
    """The tables as Markdown."""
    frames = result["settings"]["frames"]
    head = ["precision", "velocity, dB", f"latents of {STEPS} steps, dB", "decoded, dB"]
    is_timed = result["settings"]["rounds"] > 0
    head += ["one step, s", f"decoding {frames} frames, s"] if is_timed else []
    names = ("velocity_snr_db", "latents_snr_db", "decoded_snr_db")
    rows = []
    for row in result["rows"]:
        taken = [f"{row[name]:.2f}" for name in ("velocity_s", "decode_s")] if is_timed else []
        rows.append([row["precision"], *(_decibels(row[name]) for name in names), *taken])
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
    parser.add_argument("--rounds", type=int, default=3, help="0 = errors only, on a machine that is busy")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    case = Case(options.folder, options.frames)
    settings = {name: getattr(options, name) for name in ("frames", "rounds", "threads")}
    rows = errors(case)
    if options.rounds:
        taken = seconds(case, options.rounds)
        rows = [{**row, **taken[row["precision"]]} for row in rows]
    values = {"rows": rows, "layers": sensitivities(case)}
    print(results.write("precision_table", {"steps": STEPS, "seed": SEED, **settings}, values, options.results))


if __name__ == "__main__":
    main()
