"""Are effects and ambiences of the kind that was asked for, and do they begin as real ones do?

    python -m benchmarks.kinds_table --pack FOLDER [--model spark]

Held-out recordings of 25 kinds give prompts, lengths and the real side: the same sounds as they are, through the
autoencoder, and generated from their wordings. The probe of `train_kind_probe` names their kinds; rise and share of
energy above 2 kHz are compared with real recordings of the training split of the same kind.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from arctone.audio.waveform import Waveform
from arctone.data.corpus.recordings import Recording
from arctone.evaluation.embedders.preparing import EMBEDDINGS
from arctone.evaluation.metrics import attack, probe
from arctone.evaluation.metrics.silence import sounds_silent
from benchmarks import engines, results, train_kind_probe
from benchmarks.results import JSON

CONDITIONS = {"real": "real, held out", "decoded": "decoded latents", "generated": "generated"}
SHORTEST, LONGEST = 0.5, 4.7
Pair = tuple[Recording, str]


def measure(sounds: Sequence[Waveform], kinds: Sequence[str], real: Sequence[Pair], listener: probe.Probe) -> JSON:
    """Kind, rise and treble of sounds, as plain values."""
    audible = [not sounds_silent(sound) for sound in sounds]
    answers = listener.predict(np.stack([EMBEDDINGS[listener.embedding](sound) for sound in sounds]))
    right = [float(a == kind and ok) for a, kind, ok in zip(answers, kinds, audible, strict=True)]
    references = [train_kind_probe.sound_of(recording) for recording, _ in real]
    found = attack.evaluate(sounds, kinds, references, [kind for _, kind in real])
    plain = {
        name: {key: round(getattr(one, key), 3) for key in ("value", "low", "high")} for name, one in found.items()
    }
    return {"kind": results.interval(right), **plain, "silent": len(audible) - sum(audible)}


def block(result: JSON) -> str:
    """The table as Markdown."""
    head = ["", "kind named right", "rise, octaves from real", "energy above 2 kHz, dB from real", "silent"]
    rows = []
    for name, title in CONDITIONS.items():
        row = result["conditions"].get(name)
        if row is not None:
            cells = [f"{row[key]['value']:.2f} ({row[key]['low']:.2f} to {row[key]['high']:.2f})" for key in _DISTANCES]
            rows.append([title, results.percent(row["kind"]), *cells, str(row["silent"])])
    text = (
        f"{result['settings']['sounds']} sounds of 25 kinds. Rise is the time from 10 % to 90 % of the peak; both "
        "distances are absolute and taken to the median of real recordings of the kind, in brackets 95 % intervals."
    )
    return "\n\n".join([results.table(head, rows), text, results.footer(result)])


_DISTANCES = ("rise_octaves", "treble_db")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    options = _parser().parse_args(arguments)
    parts = train_kind_probe.recordings_of_kinds(options.pack)
    asked = parts["test"][: options.sounds]
    listener = probe.load(options.probe)
    engine = engines.load(options.model, options.threads) if options.conditions != ["real"] else None
    sources: dict[str, Callable[[int, Recording], Waveform]] = {
        "real": lambda number, recording: train_kind_probe.sound_of(recording),
        "decoded": lambda number, recording: _decoded(engine, recording),
        "generated": lambda number, recording: _generated(engine, recording, options.seed + number),
    }
    kinds, values = [kind for _, kind in asked], {}
    for name in options.conditions:
        sounds = [sources[name](n, r) for n, (r, _) in enumerate(track(asked, CONDITIONS[name]))]
        values[name] = measure(sounds, kinds, parts["train"], listener)
    settings = {"sounds": len(asked), "model_hash": engine.model_hash if engine else "", "seed": options.seed}
    print(results.write(options.name, settings, {"conditions": values}, options.results))


def _decoded(engine: Any, recording: Recording) -> Waveform:
    return engines.round_trip(engine.backend, train_kind_probe.sound_of(recording)).waveform


def _generated(engine: Any, recording: Recording, seed: int) -> Waveform:
    seconds = round(min(LONGEST, max(SHORTEST, recording.seconds)), 2)
    made: Waveform = engine.generate(recording.wordings[0], duration_seconds=seconds, seed=seed).waveforms[0]
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds_table", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, help="folder of the audio pack")
    parser.add_argument("--model", default="spark")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--sounds", type=int, default=400, help="most held-out recordings")
    parser.add_argument("--seed", type=int, default=1_000)
    parser.add_argument("--conditions", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS))
    parser.add_argument("--probe", type=Path, default=train_kind_probe.PATH)
    parser.add_argument("--name", default="kinds_table", help="name of the stored result")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
