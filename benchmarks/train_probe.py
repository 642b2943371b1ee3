"""Fit the instrument family probe to real sounds of the training split, and choose its embedding on the valid split.

    python -m benchmarks.train_probe --pack FOLDER

Every embedding at hand is tried with a few penalties; the one with the best balanced accuracy on the valid split is
kept in `benchmarks/probe/family.npz` with its recipe. The test split is not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from arctone.data.clip import ClipInfo, ClipSource
from arctone.metrics import aisfx, probe
from arctone.metrics.embeddings import EMBEDDINGS
from benchmarks import clips, results
from benchmarks.clips import Chosen

PATH = results.ROOT / "benchmarks" / "probe" / "family.npz"
PENALTIES = (1e-4, 1e-3, 1e-2)
FloatArray = npt.NDArray[np.float32]


# Categories in which one instrument, or one drum kit, plays alone.
SOLO_CATEGORIES = ("note", "phrase", "drums")


def family(info: ClipInfo) -> str | None:
    """The label that the probe learns; None where more than one family is heard or none at all."""
    return info.attributes.get("family") if info.category in SOLO_CATEGORIES else None


def embeddings_at_hand() -> list[str]:
    """Names of the embeddings whose weights are installed."""
    return [name for name in EMBEDDINGS if "aisfx" not in name or aisfx.is_available()]


def embed_all(source: ClipSource, chosen: Iterable[Chosen], names: Sequence[str], about: str) -> dict[str, FloatArray]:
    """Embeddings [N, D] of the clips, by name; each clip is rendered once."""
    rows: dict[str, list[FloatArray]] = {name: [] for name in names}
    for clip in track(list(chosen), about):
        waveform = source.waveform(clip.index)
        for name in names:
            rows[name].append(EMBEDDINGS[name](waveform))
    return {name: np.stack(values) for name, values in rows.items()}


def choose(
    train: dict[str, FloatArray],
    train_families: Sequence[str],
    valid: dict[str, FloatArray],
    valid_families: Sequence[str],
) -> tuple[probe.Probe, list[dict[str, str | float]]]:
    """The best probe on the validation sounds, and the score of every candidate."""
    scores: list[dict[str, str | float]] = []
    fitted = []
    for name in train:
        for penalty in PENALTIES:
            candidate = probe.fit(train[name], train_families, name, penalty)
            measured = probe.evaluate(valid_families, candidate.predict(valid[name]))
            scores.append({"embedding": name, "penalty": penalty, **{k: round(v, 4) for k, v in measured.items()}})
            fitted.append(candidate)
    best = max(range(len(scores)), key=lambda index: scores[index]["balanced_accuracy"])
    return fitted[best], scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, choose, store."""
    options = _parser().parse_args(arguments)
    source = clips.open_corpus(options)
    train, valid = (
        _sample(source, split, count) for split, count in (("train", options.train), ("valid", options.valid))
    )
    names = options.embedding or embeddings_at_hand()
    families = [[clip.info.attributes["family"] for clip in part] for part in (train, valid)]
    embedded = [
        embed_all(source, part, names, about) for part, about in ((train, "training sounds"), (valid, "valid sounds"))
    ]
    best, scores = choose(embedded[0], families[0], embedded[1], families[1])
    recipe = {"num_train": len(train), "num_valid": len(valid), **vars_of_corpus(options), "credit": aisfx.CREDIT}
    kept = probe.Probe(
        best.classes, best.weights, best.bias, best.mean, best.scale, best.embedding, {**best.recipe, **recipe}
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    kept.save(options.output)
    print(
        results.write(
            "train_probe", {"embedding": best.embedding, **kept.recipe}, {"candidates": scores}, options.results
        )
    )


def vars_of_corpus(options: argparse.Namespace) -> dict[str, str | int | float]:
    """The corpus options as plain values; of the recordings only whether they were there."""
    return {
        "corpus_seed": options.corpus_seed,
        "corpus_size": options.corpus_size,
        "recordings": str(options.pack is not None),
    }


def _sample(source: ClipSource, split: str, count: int) -> list[Chosen]:
    label: Callable[[ClipInfo], str | None] = family
    return clips.balanced(clips.in_split(source, [split], max_seconds=8.0), label, count)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_probe", description=__doc__)
    parser.add_argument("--train", type=int, default=1500, help="number of training sounds")
    parser.add_argument("--valid", type=int, default=300, help="number of sounds that choose between the candidates")
    parser.add_argument("--embedding", action="append", choices=list(EMBEDDINGS), help="try only this one (repeatable)")
    parser.add_argument("--output", type=Path, default=PATH)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    clips.add_corpus_options(parser)
    return parser


if __name__ == "__main__":
    main()
