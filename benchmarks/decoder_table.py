"""What decoding costs: the published waveform decoder against the `spectral` one, per second of sound.

    python -m benchmarks.decoder_table
    python -m benchmarks.decoder_table --teacher FOLDER --student FOLDER --pack PACK

Floating-point operations are counted by torch for the networks; transforms of n points count 2.5 n log2 n. Times are
processor seconds of one thread in float32, both decoders in turn, the least of the rounds. With a teacher and a student
that `arctone train decoder` made of it, held-out sounds tell how far the student's sound is from the teacher's, and
how far each is from the original.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from arctone.audio.spectral.stft import HOP, N_FFT
from arctone.audio.spectral.synthesis import synthesise
from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics import audio_distance
from arctone.inference.backends.torch import TorchBackend, load_backend
from arctone.model_folder.config import OobleckConfig, SpectralConfig
from arctone.model_folder.folder import find_model, read_model_config
from arctone.models.oobleck import OobleckDecoder
from arctone.models.spectral import SpectralDecoder
from benchmarks import clips, results
from benchmarks.results import JSON

SAMPLE_RATE, LATENT_HOP = 44_100, 2048
# Of each frame: the noise, and forth and back once and back again for the two channels.
TRANSFORMS = 7
DISTANCES = {"mel_distance_db": ("mel distance, dB", 2), "log_spectral_correlation": ("log-spectral correlation", 3)}


def operations(decoder: nn.Module, channels: int, frames: int) -> float:
    """Floating-point operations of the network for this many latent frames."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        decoder(torch.zeros(1, channels, frames))
    return float(counter.get_total_flops())


def transform_operations(seconds: float) -> float:
    """Floating-point operations of the transforms that synthesis needs for this many seconds."""
    per_frame = TRANSFORMS * 2.5 * N_FFT * math.log2(N_FFT)
    return per_frame * seconds * SAMPLE_RATE / HOP


def least_seconds(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Processor seconds of each, the least of the rounds, all in turn."""
    least = [math.inf] * len(works)
    for _ in range(rounds + 1):  # the first warms up
        for index, work in enumerate(works):
            begun = time.process_time()
            work()
            least[index] = min(least[index], time.process_time() - begun)
    return least


def costs(frames: int, rounds: int) -> list[JSON]:
    """One row for each decoder, for this many latent frames; weights are random."""
    torch.manual_seed(0)
    seconds = frames * LATENT_HOP / SAMPLE_RATE
    waveform, spectral = OobleckDecoder(OobleckConfig()), SpectralDecoder(SpectralConfig())
    for value in waveform.parameters():
        nn.init.normal_(value, std=0.02)
    latents = torch.randn(1, 64, frames)

    def sound() -> np.ndarray:
        parameters = spectral(latents)[0].numpy()
        return synthesise(parameters, np.random.default_rng(0))

    with torch.inference_mode():
        times = least_seconds([lambda: waveform(latents), sound], rounds)
    extra = {"oobleck": 0.0, "spectral": transform_operations(seconds)}
    rows = []
    for (name, decoder), taken in zip({"oobleck": waveform, "spectral": spectral}.items(), times, strict=True):
        counted = operations(decoder.eval(), 64, frames) + extra[name]
        rows.append(
            {
                "decoder": name,
                "parameters": sum(value.numel() for value in decoder.parameters()),
                "gflop_per_second": round(counted / seconds / 1e9, 3),
                "processor_seconds": round(taken / seconds, 4),
            }
        )
    return rows


def compared(teacher: TorchBackend, student: TorchBackend, sounds: Sequence[Waveform]) -> list[JSON]:
    """How far teacher and student are from the original and from each other: one row for each pair."""
    found: dict[str, list[dict[str, float]]] = {}
    for number, original in enumerate(sounds):
        latents = teacher.encode(original.samples)
        made = {name: parts.decode(latents, number) for name, parts in (("teacher", teacher), ("student", student))}
        sounds = {name: Waveform(values[:, : original.num_samples], SAMPLE_RATE) for name, values in made.items()}
        pairs = {
            "teacher and original": (original, sounds["teacher"]),
            "student and original": (original, sounds["student"]),
            "student and teacher": (sounds["teacher"], sounds["student"]),
        }
        for name, pair in pairs.items():
            found.setdefault(name, []).append(audio_distance.evaluate(*pair))
    return [
        {"pair": name} | {key: results.interval([row[key] for row in rows], "median") for key in DISTANCES}
        for name, rows in found.items()
    ]


def block(result: JSON) -> str:
    """The tables as Markdown."""
    first, *_ = rows = result["costs"]
    head = ["decoder", "parameters, M", "GFLOP per second of sound", "part", "processor s per second of sound", "speed"]
    lines = [
        [
            row["decoder"],
            f"{row['parameters'] / 1e6:.1f}",
            f"{row['gflop_per_second']:.2f}",
            f"1/{first['gflop_per_second'] / row['gflop_per_second']:.0f}" if row is not first else "1",
            f"{row['processor_seconds']:.3f}",
            f"{first['processor_seconds'] / row['processor_seconds']:.1f}x",
        ]
        for row in rows
    ]
    parts = [results.table(head, lines)]
    if result["compared"]:
        cells = [
            [row["pair"], *(results.number(row[key], digits) for key, (_, digits) in DISTANCES.items())]
            for row in result["compared"]
        ]
        parts.append(results.table(["pair", *(title for title, _ in DISTANCES.values())], cells))
    return "\n\n".join([*parts, results.footer(result)])


def _parts(name: str) -> TorchBackend:
    folder = find_model(name)
    return load_backend(folder, read_model_config(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoder_table", description=__doc__)
    parser.add_argument("--frames", type=int, default=64, help="latent frames to decode")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--teacher", help="name or folder of a model")
    parser.add_argument("--student", help="the same with another decoder")
    parser.add_argument("--clips", type=int, default=24)
    clips.add_corpus_options(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[JSON] = []
    settings: JSON = {"frames": options.frames, "rounds": options.rounds, "threads": 1}
    if options.teacher and options.student:
        source = clips.open_corpus(options)
        chosen = clips.balanced(clips.in_split(source, ["test"]), lambda info: info.category, options.clips)
        sounds = [source.waveform(clip.index) for clip in chosen]
        rows = compared(_parts(options.teacher), _parts(options.student), sounds)
        settings |= {"teacher": options.teacher, "student": options.student, "clips": len(sounds)}
    print(results.write("decoder_table", settings, {"costs": costs(options.frames, options.rounds), "compared": rows}))


if __name__ == "__main__":
    main()
