"""Fit `corpus-clap`, the small CLAP, to the training split; report retrieval on the test split.

    python -m benchmarks.train_corpus_clap --pack FOLDER --strums FOLDER

Features of every sound are kept in `--cache`, so that a run that was stopped goes on where it was. Nearly half of the
training sounds are damaged first (`degrade`), so that the heads embed the content and not how clean the recording is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from arctone.data.sound import ClipInfo, ClipSource
from arctone.evaluation.embedders import aisfx, corpus_clap, musicnn
from arctone.evaluation.embedders.corpus_clap_training import CorpusClapRecipe, Pairs, fit
from arctone.evaluation.metrics import text_audio
from arctone.files.strict_json import write_array
from benchmarks import clips, results, train_probe
from benchmarks.clips import Chosen
from benchmarks.degrade import degraded
from benchmarks.results import JSON

FloatArray = npt.NDArray[np.float32]
NUM_CAPTIONS = 3
DAMAGED_SHARE = 0.4
MAX_SECONDS = 7.0


def sample(source: ClipSource, split: str, count: int) -> list[Chosen]:
    """Clips of a split that are not too long, the categories taking turns in proportion to nothing but order."""
    return clips.in_split(source, [split], max_seconds=MAX_SECONDS)[:count]


def features(source: ClipSource, chosen: Sequence[Chosen], cache: Path, damage: bool, about: str) -> FloatArray:
    """Audio features of the clips, [N, 712]; with `damage`, some of them after general damage."""
    cache.mkdir(parents=True, exist_ok=True)
    return np.stack([_feature(source, clip, cache, damage) for clip in track(chosen, about)])


def pairs(chosen: Sequence[Chosen], audio: FloatArray) -> Pairs:
    """The clips with their first captions as features."""
    captions = [wordings(clip.info) for clip in chosen]
    text = corpus_clap.text_features([caption for one in captions for caption in one])
    return Pairs(audio, text.reshape(len(captions), NUM_CAPTIONS, -1), captions)


def wordings(info: ClipInfo) -> list[str]:
    """Exactly three captions; where there are fewer, the first ones again."""
    given = info.captions or (info.caption,)
    return [given[number % len(given)] for number in range(NUM_CAPTIONS)]


def retrieval(heads: corpus_clap.CorpusClap, test: Pairs, chosen: Sequence[Chosen]) -> JSON:
    """Retrieval on held-out clips: all of them, and those whose only novelty is their wording."""
    unseen = [i for i, clip in enumerate(chosen) if "unseen_wording" in clip.info.held_out]
    groups = {"all": list(range(len(chosen))), "unseen_wording": unseen}
    return {name: _retrieval(heads, test, rows) for name, rows in groups.items() if len(rows) > 1}


def block(result: JSON) -> str:
    """The table as Markdown."""
    titles = {"all": "all held-out clips", "unseen_wording": "those with unseen wording"}
    head = ["captions of", "captions", "cosine", "R@1", "R@5"]
    rows = []
    for name, cells in result["retrieval"].items():
        shares = [results.percent(cells[measure]) for measure in ("recall_at_1", "recall_at_5")]
        rows.append(
            [titles[name], str(cells["recall_at_1"]["count"]), results.number(cells["text_audio_score"]), *shares]
        )
    explanation = (
        f"Each caption looks for its own sound among all of the row ({NUM_CAPTIONS} captions a sound, so chance is "
        f"{100 / result['settings']['num_test']:.1f} % and {500 / result['settings']['num_test']:.1f} % in the first "
        "row; many clips of the corpus differ in little that words say). In brackets 95 % bootstrap intervals over "
        "captions; the captions of one sound rise and fall together, so the true ones are up to 1.7 times as wide."
    )
    return "\n\n".join([results.table(head, rows), explanation, results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, evaluate, store."""
    options = _parser().parse_args(arguments)
    source = clips.open_corpus(options)
    chosen = {split: sample(source, split, getattr(options, split)) for split in ("train", "valid", "test")}
    data = {
        split: pairs(found, features(source, found, options.cache, split == "train", f"{split} sounds"))
        for split, found in chosen.items()
    }
    recipe = CorpusClapRecipe(seed=options.seed)
    heads, loss = fit(data["train"], data["valid"], recipe)
    counts = {f"num_{split}": len(found) for split, found in chosen.items()}
    credit = f"{aisfx.CREDIT}; {musicnn.CREDIT}; all-MiniLM-L6-v2, Apache-2.0"
    about = {**asdict(recipe), **counts, **train_probe.vars_of_corpus(options), "valid_loss": round(loss, 4)}
    replace(heads, recipe={**about, "credit": credit}).save(options.output)
    kept = corpus_clap.load(options.output)
    values = {"retrieval": retrieval(kept, data["test"], chosen["test"])}
    print(results.write("train_corpus_clap", {**about, "heads": kept.version}, values, options.results))


def _feature(source: ClipSource, clip: Chosen, cache: Path, damage: bool) -> FloatArray:
    spoilt = damage and np.random.default_rng([clip.index, 77]).random() < DAMAGED_SHARE
    path = cache / f"{clip.info.id}{'-damaged' if spoilt else ''}.npy"
    if not path.exists():
        waveform = source.waveform(clip.index)
        write_array(path, corpus_clap.audio_features(degraded(waveform, clip.index) if spoilt else waveform))
    return np.asarray(np.load(path), dtype=np.float32)


def _retrieval(heads: corpus_clap.CorpusClap, test: Pairs, rows: list[int]) -> JSON:
    sounds = np.repeat(heads.audio(test.audio[rows]), NUM_CAPTIONS, axis=0)
    captions = [caption for row in rows for caption in test.captions[row]]
    words = heads.text(test.text[rows].reshape(len(captions), -1))
    owners = np.repeat(np.arange(len(rows)), NUM_CAPTIONS)
    found = text_audio.evaluate(words, sounds[::NUM_CAPTIONS], captions, owners)
    return {name: asdict(interval) for name, interval in found.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_corpus_clap", description=__doc__)
    parser.add_argument("--train", type=int, default=2000, help="number of training sounds")
    parser.add_argument("--valid", type=int, default=150, help="number of sounds that choose the moment to stop")
    parser.add_argument("--test", type=int, default=300, help="number of held-out sounds for the report")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=results.ROOT / "outputs" / "corpus-clap")
    parser.add_argument("--output", type=Path, default=corpus_clap.PATH)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    clips.add_corpus_options(parser)
    return parser


if __name__ == "__main__":
    main()
