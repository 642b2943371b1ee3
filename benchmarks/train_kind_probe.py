"""Fit the probe of kinds of effects and ambiences to real recordings of the training split.

    python -m benchmarks.train_kind_probe --pack FOLDER

Recordings come straight from the audio pack, with damaged copies (`degrade`) among them. The penalty is chosen on a
fifth of the training recordings; then all of them are used. The accuracy on the held-out recordings is stored with it:
it is the ceiling of every generated sound.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from arctone.audio.waveform import Waveform
from arctone.data.corpus.corpus import DEFAULT_SONIC_PI
from arctone.data.corpus.recordings import Recording, load_recording, pack_recordings, sonic_pi_recordings
from arctone.data.corpus.splits import recording_is_held_out
from arctone.evaluation.embedders import aisfx
from arctone.evaluation.embedders.preparing import EMBEDDINGS
from arctone.evaluation.metrics import probe
from arctone.evaluation.metrics.probe import KINDS, kind_of
from benchmarks import results
from benchmarks.degrade import degraded
from benchmarks.results import JSON

PATH = results.ROOT / "benchmarks" / "probe" / "kind.npz"
PENALTIES = (1e-3, 1e-2, 1e-1)
MOST_OF_A_KIND = 48
OPENING_SECONDS = 4.7
FloatArray = npt.NDArray[np.float32]


def recordings_of_kinds(pack: Path) -> dict[str, list[tuple[Recording, str]]]:
    """Recordings with their kinds, "train" and "test", at most MOST_OF_A_KIND of a kind for training."""
    found = [*pack_recordings(pack), *(sonic_pi_recordings(p) if (p := Path(DEFAULT_SONIC_PI)).exists() else [])]
    parts: dict[str, list[tuple[Recording, str]]] = {"train": [], "test": []}
    counts: Counter[str] = Counter()
    for recording in sorted(found, key=lambda r: hashlib.sha256(r.source.encode()).digest()):
        kind = kind_of(recording.wordings[0]) if recording.kind in ("effect", "ambience") else None
        if kind is None:
            continue
        part = "test" if recording_is_held_out(recording.source, recording.fold) else "train"
        counts[kind] += part == "train"
        if part == "test" or counts[kind] <= MOST_OF_A_KIND:
            parts[part].append((recording, kind))
    return parts


def sound_of(recording: Recording) -> Waveform:
    """The opening of a recording."""
    return Waveform(load_recording(recording.path, 0.0, OPENING_SECONDS), 44_100)


def embed(recordings: Sequence[Recording], name: str, about: str) -> tuple[FloatArray, FloatArray]:
    """Embeddings of recordings and of their damaged copies, [N, D] each."""
    rows: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for number, recording in enumerate(track(recordings, about)):
        waveform = sound_of(recording)
        rows[0].append(EMBEDDINGS[name](waveform))
        rows[1].append(EMBEDDINGS[name](degraded(waveform, number)))
    return np.stack(rows[0]), np.stack(rows[1])


def choose_penalty(whole: FloatArray, damaged: FloatArray, kinds: Sequence[str], name: str) -> tuple[float, JSON]:
    """The penalty with the best balanced accuracy on every fifth recording, and all scores."""
    is_left = np.arange(len(kinds)) % 5 == 0
    names = np.array(kinds)
    scores = {}
    for penalty in PENALTIES:
        inputs = np.concatenate([whole[~is_left], damaged[~is_left]])
        fitted = probe.fit(inputs, [*names[~is_left]] * 2, name, penalty)
        found = probe.evaluate([*names[is_left]], fitted.predict(whole[is_left]))
        scores[str(penalty)] = round(found["balanced_accuracy"], 4)
    return max(PENALTIES, key=lambda penalty: scores[str(penalty)]), scores


def block(result: JSON) -> str:
    """Accuracy of the probe on held-out recordings as Markdown."""
    values = result["held_out"]
    rows = [[kind, str(row["train"]), str(row["test"]), _share(row)] for kind, row in result["kinds"].items()]
    text = (
        f"Of {values['count']} held-out recordings of {len(rows)} kinds the probe names "
        f"{100 * values['accuracy']:.0f} % right (mean over kinds {100 * values['balanced_accuracy']:.0f} %; "
        f"always the most frequent kind: "
        f"{100 * values['chance']:.0f} %)."
    )
    return "\n\n".join([results.table(["kind", "training", "held out", "right"], rows), text, results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Embed, choose, fit, evaluate, store."""
    options = _parser().parse_args(arguments)
    parts = recordings_of_kinds(options.pack)
    kinds = {part: [kind for _, kind in pairs] for part, pairs in parts.items()}
    name = "aisfx" if aisfx.is_available() else "mel"
    whole, damaged = embed([recording for recording, _ in parts["train"]], name, "training")
    test, _ = embed([recording for recording, _ in parts["test"]], name, "held out")
    penalty, scores = choose_penalty(whole, damaged, kinds["train"], name)
    fitted = probe.fit(np.concatenate([whole, damaged]), kinds["train"] * 2, name, penalty)
    predicted = fitted.predict(test)
    held_out = {key: round(value, 4) for key, value in probe.evaluate(kinds["test"], predicted).items()}
    rows = {kind: _row(kind, kinds["train"], kinds["test"], predicted) for kind in KINDS}
    recipe = {**fitted.recipe, "num_train": len(kinds["train"]), "credit": aisfx.CREDIT}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    replace(fitted, recipe={**recipe, **held_out}).save(options.output)
    values = {"held_out": {"count": len(predicted), **held_out}, "kinds": rows, "penalties": scores}
    print(results.write("kind_probe", {"embedding": name, "penalty": penalty}, values, options.results))


def _row(kind: str, train: Sequence[str], test: Sequence[str], predicted: Sequence[str]) -> JSON:
    answers = [answer for reference, answer in zip(test, predicted, strict=True) if reference == kind]
    return {"train": train.count(kind), "test": len(answers), "right": answers.count(kind)}


def _share(row: JSON) -> str:
    return f"{row['right']} of {row['test']}" if row["test"] else "-"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_kind_probe", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, help="folder of the audio pack")
    parser.add_argument("--output", type=Path, default=PATH)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
