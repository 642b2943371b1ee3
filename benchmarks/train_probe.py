"""Fit the instrument family probe to real sounds of the training split, and choose its embedding on the valid split.

    python -m benchmarks.train_probe --pack FOLDER

Every available embedding is tried with a few penalties, with and without damaged copies (`degrade`) among the training
sounds. The best on the valid split, whole and damaged, is kept in `benchmarks/probe/family.npz` with its recipe. The
test split is not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from arctone.audio.waveform import Waveform
from arctone.data.sound import ClipInfo, ClipSource
from arctone.evaluation.embedders import aisfx
from arctone.evaluation.embedders.preparing import EMBEDDINGS
from arctone.evaluation.metrics import probe
from benchmarks import clips, results
from benchmarks.clips import Chosen
from benchmarks.degrade import degraded
from benchmarks.results import JSON

PATH = results.ROOT / "benchmarks" / "probe" / "family.npz"
PENALTIES = (1e-4, 1e-3, 1e-2)
OPENING_SECONDS = 4.7
FloatArray = npt.NDArray[np.float32]
# By name of the embedding and whether the sounds were damaged: [N, D].
Embedded = dict[tuple[str, bool], FloatArray]


# Categories in which one instrument, or one drum kit, plays alone.
SOLO_CATEGORIES = ("note", "phrase", "drums")


def family(info: ClipInfo) -> str | None:
    """The label that the probe learns; None where more than one family plays or none at all."""
    return info.attributes.get("family") if info.category in SOLO_CATEGORIES else None


def embeddings_at_hand() -> list[str]:
    """Names of the embeddings whose weights are installed."""
    return [name for name in EMBEDDINGS if "aisfx" not in name or aisfx.is_available()]


def embed_all(source: ClipSource, chosen: Iterable[Chosen], names: Sequence[str], about: str) -> Embedded:
    """Embeddings of the clips, by name and by whether they are damaged; each clip is rendered once."""
    rows: dict[tuple[str, bool], list[FloatArray]] = {(name, bad): [] for name in names for bad in (False, True)}
    for clip in track(list(chosen), about):
        waveform = _opening(source.waveform(clip.index))
        damaged = degraded(waveform, clip.index)
        for name in names:
            rows[name, False].append(EMBEDDINGS[name](waveform))
            rows[name, True].append(EMBEDDINGS[name](damaged))
    return {key: np.stack(values) for key, values in rows.items()}


def choose(
    train: Embedded, train_families: Sequence[str], valid: Embedded, valid_families: Sequence[str]
) -> tuple[probe.Probe, list[JSON]]:
    """The best probe on the validation sounds, whole and damaged alike, and the scores of every candidate."""
    fitted, scores = [], []
    for name in sorted({name for name, _ in train}):
        both = np.concatenate([train[name, False], train[name, True]])
        for damage in (False, True):
            data, families = (both, [*train_families] * 2) if damage else (train[name, False], [*train_families])
            for penalty in PENALTIES:
                candidate = probe.fit(data, families, name, penalty)
                fitted.append(candidate)
                scores.append(_scores(candidate, valid, valid_families, {"damaged_copies": damage, "penalty": penalty}))
    best = max(range(len(scores)), key=lambda index: scores[index]["valid"] + scores[index]["valid_damaged"])
    recipe = {**fitted[best].recipe, **scores[best]}
    return replace(fitted[best], recipe=recipe), scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, choose, store."""
    options = _parser().parse_args(arguments)
    source = clips.open_corpus(options)
    train, valid = (_sample(source, split, getattr(options, split)) for split in ("train", "valid"))
    names = options.embedding or embeddings_at_hand()
    families = [[clip.info.attributes["family"] for clip in part] for part in (train, valid)]
    embedded = [embed_all(source, part, names, about) for part, about in ((train, "training"), (valid, "validation"))]
    best, scores = choose(embedded[0], families[0], embedded[1], families[1])
    counts = {"num_train": len(train), "num_valid": len(valid)}
    kept = replace(best, recipe={**best.recipe, **counts, **vars_of_corpus(options), "credit": aisfx.CREDIT})
    options.output.parent.mkdir(parents=True, exist_ok=True)
    kept.save(options.output)
    print(results.write("train_probe", {**kept.recipe}, {"candidates": scores}, options.results))


def _scores(candidate: probe.Probe, valid: Embedded, families: Sequence[str], about: JSON) -> JSON:
    """Balanced accuracy on whole and on damaged sounds of the valid split."""
    shares = [
        probe.evaluate(families, candidate.predict(valid[candidate.embedding, bad]))["balanced_accuracy"]
        for bad in (False, True)
    ]
    return {
        "embedding": candidate.embedding,
        **about,
        "valid": round(shares[0], 4),
        "valid_damaged": round(shares[1], 4),
    }


def _opening(waveform: Waveform) -> Waveform:
    """The first seconds: enough to know an instrument, and half the time to train."""
    return waveform.with_samples(waveform.samples[:, : round(OPENING_SECONDS * waveform.sample_rate)])


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
