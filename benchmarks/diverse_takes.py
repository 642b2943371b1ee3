"""Do the takes that `--diverse` chooses differ more, and are they as good?

    python -m benchmarks.diverse_takes --pack FOLDER

For each held-out prompt all candidates are generated once, with their latents. The rows choose among them: the first
takes (what `-n 8` gives), the most different ones by their latents from two and from four candidates a take, and, as a
bound that no request can reach, the most different ones by the very embeddings that measure. What measures (corpus
CLAP, aiSFX) takes no part in the choice of the other rows. Differences to the first row are paired by prompt.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders.protocol import DerivedEmbedder, TextEmbedder, open_embedder
from arctone.evaluation.metrics import conditional_diversity, vendi
from arctone.evaluation.metrics.manifold import unit_rows
from arctone.inference.diversity import farthest_points, order_by_diversity
from benchmarks import clips, engines, results
from benchmarks.clips import Chosen
from benchmarks.results import JSON

Array = npt.NDArray[np.float64]
EMBEDDERS = ("corpus-clap", "aisfx")
FIRST, BOUND = "the first {count} seeds", "bound: chosen by the corpus CLAP itself"
COLUMNS = {
    "CCDS": ("ccds", 3),
    "CCDS, paired change": ("ccds_change", 1),
    "aiSFX distance": ("distance", 3),
    "aiSFX, paired change": ("distance_change", 1),
    "Vendi": ("vendi", 2),
    "text score": ("score", 3),
    "text score, paired difference": ("score_difference", 3),
    "silent": ("silent", 3),
}


class Pool:
    """Candidates of one prompt: latents, embeddings by embedder, cosines with the prompt, silence."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.latents: list[npt.NDArray[np.float32]] = list(arrays["latents"])
        self.audio: dict[str, Array] = {name: arrays[name] for name in EMBEDDERS}
        self.scores: Array = arrays["scores"]
        self.is_silent: npt.NDArray[np.bool_] = arrays["is_silent"]


def choose_prompts(source: Any, split: str, count: int) -> list[Chosen]:
    """Clips of a split whose categories take turns; their captions are the prompts."""
    return clips.balanced(clips.in_split(source, [split]), lambda info: info.category, count)


class Pools:
    """Generates candidates, or reads them from the cache.

    Args:
        subject: the model.
        options: of the program.
    """

    def __init__(self, subject: engines.Subject, options: argparse.Namespace) -> None:
        self._subject, self._options = subject, options
        self._embedder = open_embedder("corpus-clap")

    def read(self, clip: Chosen) -> Pool:
        """The candidates of a clip's caption."""
        options = self._options
        folder = options.cache / f"{self._subject.model_hash[:12]}-{options.seconds:g}"
        path = folder / f"{clip.info.id}-{options.seed}-{options.candidates}.npz"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(path, **self._generate(clip))
        with np.load(path) as arrays:
            return Pool(dict(arrays))

    def _generate(self, clip: Chosen) -> dict[str, Any]:
        options, backend = self._options, self._subject.backend
        latents: list[Any] = []
        decode = backend.decode

        def recorded(values: Any, seed: int = 0) -> Any:
            latents.append(values)
            return decode(values, seed)

        backend.decode = recorded
        try:
            result = self._subject.generate(
                clip.info.caption,
                duration_seconds=min(options.seconds, clip.info.duration_seconds),
                variations=options.candidates,
                seed=options.seed + 1000 * clip.index,
            )
        finally:
            backend.decode = decode
        frames = -(-result.waveforms[0].num_samples // backend.config.hop_length)
        found: dict[str, Any] = {"latents": np.stack([one[:, :frames] for one in latents])}
        found |= self._embed(result.waveforms)
        assert isinstance(self._embedder, TextEmbedder)
        text = unit_rows(np.asarray(self._embedder.embed_text([clip.info.caption]), np.float64))
        found["scores"] = (unit_rows(found["corpus-clap"]) @ text.T)[:, 0]
        found["is_silent"] = np.array([np.abs(sound.samples).max() < 1e-3 for sound in result.waveforms])
        return found

    def _embed(self, sounds: Sequence[Waveform]) -> dict[str, Array]:
        """Embeddings [K, D] by embedder; aiSFX is a part of the corpus CLAP, so it is computed once."""
        clap = self._embedder
        assert isinstance(clap, DerivedEmbedder)
        parts = [[part.embed(sound) for part in clap.parts] for sound in sounds]
        rows = {"corpus-clap": [clap.combine(one) for one in parts]}
        rows |= {part.name: [one[place] for one in parts] for place, part in enumerate(clap.parts)}
        return {name: np.stack([one.pooled for one in rows[name]]).astype(np.float64) for name in EMBEDDERS}


Choice = Callable[[Pool, int], Sequence[int]]


def by_latents(per_take: int) -> Choice:
    """The choice of a request with this many candidates a take."""
    return lambda pool, count: order_by_diversity(pool.latents[: per_take * count], count)[:count]


def by_embeddings(pool: Pool, count: int) -> Sequence[int]:
    """The most different takes in the space that measures."""
    return farthest_points(unit_rows(pool.audio["corpus-clap"]))[:count]


def measure(pools: Sequence[Pool], choose: Choice, count: int) -> dict[str, Array]:
    """Values of each prompt, by measure."""
    rows: dict[str, list[float]] = {"ccds": [], "distance": [], "vendi": [], "score": [], "silent": []}
    for pool in pools:
        kept = list(choose(pool, count))
        same = ["prompt"] * count
        clap, sfx = pool.audio["corpus-clap"][kept], pool.audio["aisfx"][kept]
        rows["ccds"].append(conditional_diversity.prompt_diversities(clap, same)["prompt"])
        rows["distance"].append(conditional_diversity.prompt_diversities(sfx, same)["prompt"])
        rows["vendi"].append(vendi.vendi_score(clap))
        rows["score"].append(float(pool.scores[kept].mean()))
        rows["silent"].append(float(pool.is_silent[kept].mean()))
    return {name: np.array(values) for name, values in rows.items()}


def cells(found: dict[str, Array], first: dict[str, Array]) -> JSON:
    """Means with intervals, and paired changes in percent (of the means) or differences."""
    row: JSON = {name: results.interval(list(values)) for name, values in found.items()}
    if found is not first:
        row["ccds_change"] = percent_change(found["ccds"], first["ccds"])
        row["distance_change"] = percent_change(found["distance"], first["distance"])
        row["score_difference"] = results.interval(list(found["score"] - first["score"]))
    return row


def percent_change(values: Array, base: Array, num_resamples: int = 2000) -> JSON:
    """Change of the mean in percent, prompts drawn together with replacement for the interval."""
    draws = np.random.default_rng(0).integers(len(base), size=(num_resamples, len(base)))
    ratios = 100 * (values[draws].mean(axis=1) / base[draws].mean(axis=1) - 1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    value = 100 * (values.mean() / base.mean() - 1)
    return {"value": round(value, 2), "low": round(low, 2), "high": round(high, 2), "count": len(base)}


def block(result: JSON) -> str:
    """The table as Markdown."""
    body = [
        [title, *(results.number(row.get(name), digits) for name, digits in COLUMNS.values())]
        for title, row in result["rows"].items()
    ]
    settings = result["settings"]
    words = (
        f"{settings['takes']} takes for each of {settings['prompts']} prompts of the {settings['split']} split, in "
        "brackets 95 % intervals over prompts (bootstrap); changes in percent. CCDS and aiSFX distance: mean cosine "
        "distance between the takes of a prompt; Vendi: effective number of different takes; text score: cosine of "
        "prompt and sound in the space of the corpus CLAP."
    )
    return "\n\n".join([results.table(["takes", *COLUMNS], body), words, results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, choose, measure, store."""
    options = _parser().parse_args(arguments)
    subject = engines.load(options.model, options.threads)
    generator = Pools(subject, options)
    chosen = choose_prompts(clips.open_corpus(options), options.split, options.prompts)
    pools = [generator.read(clip) for clip in track(chosen, "candidates")]
    count = options.takes
    choices: dict[str, Choice] = {FIRST.format(count=count): lambda pool, number: range(number)}
    choices |= {f"--diverse, {n} candidates a take": by_latents(n) for n in (2, 4) if n * count <= options.candidates}
    found = {title: measure(pools, choose, count) for title, choose in choices.items()}
    found[BOUND] = measure(pools, by_embeddings, count)
    first = next(iter(found.values()))
    settings = {
        "model": options.model,
        "model_hash": subject.model_hash,
        "prompts": len(pools),
        "split": options.split,
        "takes": count,
        "candidates": options.candidates,
        "seconds": options.seconds,
        "seed": options.seed,
    }
    rows = {title: cells(values, first) for title, values in found.items()}
    print(results.write(options.name, settings, {"rows": rows}, options.results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diverse_takes", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    parser.add_argument("--takes", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=32, help="generated for each prompt")
    parser.add_argument("--seconds", type=float, default=5.94, help="of a take at most")
    parser.add_argument("--seed", type=int, default=1, help="the candidates of clip i begin at seed + 1000 i")
    parser.add_argument("--cache", type=Path, default=results.ROOT / "outputs" / "diverse_takes")
    parser.add_argument("--name", default="diverse_takes", help="of the stored result")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    clips.add_corpus_options(parser)
    return parser


if __name__ == "__main__":
    main()
