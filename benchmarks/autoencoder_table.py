"""The autoencoder against Opus at 24 and 64 kbit/s on held-out sounds: distances, stereo, rates and times.

    python -m benchmarks.autoencoder_table --pack FOLDER

Clips are those of the test split, at most 11.88 s long, taking turns between the categories. Each figure is the
median over the clips with its 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics import audio_distance
from benchmarks import clips, engines, opus, results
from benchmarks.results import JSON

SAMPLE_RATE, HOP_LENGTH, MAX_FRAMES = 44_100, 2048, 256
OPUS_RATES = (24, 64)
# Stands in for infinity, which JSON cannot hold: a perfect copy, or a silent one.
SI_SDR_LIMIT_DB = 100.0
COLUMNS = {
    "multi_resolution_stft_distance": ("STFT distance", 2),
    "mel_distance_db": ("mel distance, dB", 2),
    "si_sdr_db": ("SI-SDR, dB", 1),
    "stereo_error_db": ("stereo error, dB", 2),
    "coherence_error": ("coherence error", 3),
    "log_spectral_correlation": ("log-spectral correlation", 3),
}
Method = Callable[[Waveform], tuple[Waveform, float]]


def measure(sounds: Sequence[Waveform], method: Method) -> JSON:
    """Distances and bit rate of one method over all sounds."""
    rows = []
    for sound in sounds:
        estimate, bits_per_second = method(sound)
        distances = audio_distance.evaluate(sound, estimate)
        distances["si_sdr_db"] = float(np.clip(distances["si_sdr_db"], -SI_SDR_LIMIT_DB, SI_SDR_LIMIT_DB))
        rows.append({**distances, "kilobits_per_second": bits_per_second / 1000})
    return {name: results.interval([row[name] for row in rows], "median") for name in rows[0]}


def latent_rate(num_channels: int, bits: int = 16) -> float:
    """Bits a second of latents that are stored with this many bits each."""
    return num_channels * bits * SAMPLE_RATE / HOP_LENGTH


def autoencoder(backend: Any, num_channels: int) -> Method:
    """Through the encoder and the decoder of a model."""
    return lambda sound: (engines.round_trip(backend, sound).waveform, latent_rate(num_channels))


def opus_at(kilobits_per_second: int) -> Method:
    """Through Opus."""

    def method(sound: Waveform) -> tuple[Waveform, float]:
        trip = opus.round_trip(sound, kilobits_per_second)
        return trip.waveform, trip.bits_per_second

    return method


def speed(backend: Any, sound: Waveform, repeats: int) -> JSON:
    """Median and best seconds of encoding and decoding the longest window, after one run to warm up."""
    window = sound.with_samples(np.resize(sound.samples, (2, MAX_FRAMES * HOP_LENGTH)))
    trips = [engines.round_trip(backend, window) for _ in range(repeats + 1)][1:]
    return _times([trip.encode_seconds for trip in trips], [trip.decode_seconds for trip in trips])


def opus_speed(sound: Waveform, kilobits_per_second: int, repeats: int) -> JSON:
    """The same for Opus, with the start of its programs."""
    window = sound.with_samples(np.resize(sound.samples, (2, MAX_FRAMES * HOP_LENGTH)))
    trips = [opus.round_trip(window, kilobits_per_second) for _ in range(repeats)]
    return _times([trip.encode_seconds for trip in trips], [trip.decode_seconds for trip in trips])


def block(result: JSON) -> str:
    """The table as Markdown."""
    head = ["method", "kbit/s", *(title for title, _ in COLUMNS.values()), "encode + decode of 11.89 s"]
    rows = [[row["method"], *_cells(row["measures"]), _time_cell(row["seconds"])] for row in result["rows"]]
    explanation = (
        f"Median over {result['settings']['clips']} held-out clips, in brackets the 95 % bootstrap interval. Lower is "
        "better for distances and errors, higher for SI-SDR and correlation. SI-SDR asks for the very phase of the "
        "original, which the `spectral` autoencoder does not store. Opus times include the start of its programs."
    )
    return "\n\n".join([results.table(head, rows), explanation, results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    options = _parser().parse_args(arguments)
    source = clips.open_corpus(options)
    chosen = clips.balanced(clips.in_split(source, ["test"]), lambda info: info.category, options.clips)
    sounds = [sound for sound in (source.waveform(clip.index) for clip in chosen) if sound.samples.any()]
    engine = engines.load(options.model, options.threads)
    rows = [_own_row(engine, sounds, options)]
    rows += [_opus_row(sounds, rate, options.repeats) for rate in OPUS_RATES if opus.available()]
    settings = _settings(engine, options, len(sounds))
    print(results.write("autoencoder_table", settings, {"rows": rows}, options.results))


def _own_row(engine: Any, sounds: Sequence[Waveform], options: argparse.Namespace) -> JSON:
    num_channels = engine.backend.encode(np.zeros((2, HOP_LENGTH), np.float32)).shape[0]
    return {
        "method": f"{options.model} (latents, 16 bit)",
        "measures": measure(sounds, autoencoder(engine.backend, num_channels)),
        "seconds": speed(engine.backend, sounds[0], options.repeats),
    }


def _opus_row(sounds: Sequence[Waveform], rate: int, repeats: int) -> JSON:
    print(f"Opus at {rate} kbit/s", flush=True)
    return {
        "method": f"Opus, {rate} kbit/s",
        "measures": measure(sounds, opus_at(rate)),
        "seconds": opus_speed(sounds[0], rate, repeats),
    }


def _settings(engine: Any, options: argparse.Namespace, num_clips: int) -> JSON:
    return {
        "model": options.model,
        "model_hash": engine.model_hash,
        "clips": num_clips,
        "threads": options.threads,
        "repeats": options.repeats,
        "corpus_seed": options.corpus_seed,
        "corpus_size": options.corpus_size,
        "recordings": options.pack is not None,
        "opus": opus.version() if opus.available() else "not installed",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoencoder_table", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    clips.add_corpus_options(parser)
    return parser


def _times(encode: list[float], decode: list[float]) -> JSON:
    both = [a + b for a, b in zip(encode, decode, strict=True)]
    return {
        "encode": round(statistics.median(encode), 4),
        "decode": round(statistics.median(decode), 4),
        "both": round(statistics.median(both), 4),
        "both_best": round(min(both), 4),
    }


def _cells(measures: JSON) -> list[str]:
    rate = f"{measures['kilobits_per_second']['value']:.1f}"
    return [rate, *(results.number(measures.get(name), digits) for name, (_, digits) in COLUMNS.items())]


def _time_cell(seconds: JSON) -> str:
    return f"{seconds['encode']:.2f} + {seconds['decode']:.2f} s (best {seconds['both_best']:.2f} s)"


if __name__ == "__main__":
    main()
