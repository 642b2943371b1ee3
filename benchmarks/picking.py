"""Do rounds of picks come to a hidden target sooner than fresh seeds?

    python -m benchmarks.picking

A simulated listener looks for a sound that it never shows: a take of the same prompt with another seed, in the space of
an embedder that takes no part in drawing. Of each round of 8 it keeps the takes that are nearer than everything kept
before, two at most. A pool of fresh takes says how near is near: the target is reached with a take among the nearest
5 % of the pool. Fresh seeds need 1 / (1 - 0.95^8) = 3.0 rounds for that, and no method can need fewer than 1.66 on
average, because the first round is the same for both; so the first round is also left out, and the best distance after
some rounds is given as its place in the pool.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from arctone.evaluation.embedders.protocol import open_embedder
from arctone.evaluation.metrics.manifold import unit_rows
from arctone.inference.picks import begin, keep
from arctone.inference.request import GenerationRequest
from benchmarks import engines, results
from benchmarks.results import JSON

Array = npt.NDArray[np.float64]
Embed = Callable[[GenerationRequest], Array]
PROMPTS = (
    "a door creaks", "applause", "a dog barking", "footsteps on gravel", "a glass breaking", "a laser shot",
    "plucked acoustic guitar", "funky drum loop, 120 BPM", "rain on a tin roof", "an explosion", "birds in a forest",
    "a church organ",
)  # fmt: skip
# Seeds of targets and of the pool lie apart.
_POOL_SEED, _TARGET_SEED = 1_000, 900_000_000
TAKES = 8
NEAREST = 0.05


def distances(points: Array, target: Array) -> Array:
    """Cosine distances of points [N, D] to a target [D]."""
    return np.asarray(1 - unit_rows(points) @ unit_rows(target[None])[0], np.float64)


def pick_rounds(request: GenerationRequest, target: Array, embed: Embed, num_rounds: int) -> list[Array]:
    """Let the simulated listener pick.

    Args:
        request: With its seed.
        target: Embedding of the hidden sound, [D].
        embed: From a request with one variation to the embedding of its sound.
        num_rounds: How many are drawn.

    Returns:
        Distances of the takes of each round to the target.
    """
    picks, found, best = begin(request, "spark"), [], np.inf
    for number in range(1, num_rounds + 1):
        found.append(distances(np.stack([embed(one) for one in picks.requests(number)]), target))
        order = [int(take) for take in np.argsort(found[-1])[:2] if found[-1][take] < best]
        best = min(best, float(found[-1].min()))
        if number < num_rounds:
            picks = keep(picks, tuple(take + 1 for take in order))
    return found


def rounds_needed(rounds: Sequence[Array], reached: float) -> int:
    """Number of the first round with a take that is as near as this; one more than all if there is none."""
    return next((number for number, one in enumerate(rounds, start=1) if one.min() <= reached), len(rounds) + 1)


def fresh_rounds(pool: Array, num_rounds: int, rng: np.random.Generator) -> list[Array]:
    """Rounds of fresh takes, drawn from the distances of the pool."""
    return list(rng.permutation(pool)[: num_rounds * TAKES].reshape(num_rounds, TAKES))


class Simulation:
    """Simulated listeners on one model.

    Args:
        options: of the program.
        embed: see `pick_rounds`.
    """

    def __init__(self, options: argparse.Namespace, embed: Embed) -> None:
        self._options, self._embed = options, embed

    def run(self, prompt: str) -> list[JSON]:
        """Results of all targets of a prompt."""
        options = self._options
        request = GenerationRequest(
            prompt=prompt, seed=_POOL_SEED, variations=TAKES, duration_seconds=options.seconds, threads=options.threads
        )
        first = begin(request, "spark").requests(1)[0]
        pool = np.stack([self._embed(_with_seed(first, _POOL_SEED + number)) for number in range(options.pool)])
        targets = [self._embed(_with_seed(first, _TARGET_SEED + number)) for number in range(options.targets)]
        return [self._listener(request, target, distances(pool, target)) for target in targets]

    def _listener(self, request: GenerationRequest, target: Array, pool: Array) -> JSON:
        num_rounds, reached = self._options.rounds, float(np.quantile(pool, NEAREST))
        picked = pick_rounds(request, target, self._embed, num_rounds)
        rng = np.random.default_rng(0)
        fresh = [[picked[0], *fresh_rounds(pool[TAKES:], num_rounds - 1, rng)] for _ in range(200)]

        def place(rounds: Sequence[Array]) -> float:
            return float(np.mean(pool < min(one.min() for one in rounds)))

        return {
            "picks": rounds_needed(picked, reached),
            "fresh": float(np.mean([rounds_needed(one, reached) for one in fresh])),
            "place_first": place(picked[:1]),
            "place_picks": place(picked),
            "place_fresh": float(np.mean([place(one) for one in fresh])),
            "distance_picks": min(float(one.min()) for one in picked),
            "distance_fresh": float(np.mean([min(one.min() for one in rounds) for rounds in fresh])),
        }


def _with_seed(request: GenerationRequest, seed: int) -> GenerationRequest:
    return GenerationRequest(
        prompt=request.prompt, seed=seed, duration_seconds=request.duration_seconds, threads=request.threads
    )


def summary(listeners: Sequence[JSON]) -> JSON:
    """Means with intervals over listeners; those that needed more than the first round also alone."""
    rows: JSON = {name: results.interval([one[name] for one in listeners]) for name in listeners[0]}
    later = [one for one in listeners if one["picks"] > 1]
    if later:
        rows["later_picks"] = results.interval([one["picks"] - 1 for one in later])
        rows["later_fresh"] = results.interval([one["fresh"] - 1 for one in later])
    return rows


def block(result: JSON) -> str:
    """The table as Markdown."""
    rows, number = result["summary"], results.number
    settings = result["settings"]
    most = settings["rounds"]
    measures = {
        "rounds until the nearest 5 %": ("", 2),
        "further rounds, where the first did not": ("later_", 2),
        f"place of the nearest in the pool after {most} rounds": ("place_", 3),
        f"its cosine distance after {most} rounds": ("distance_", 3),
    }
    body = [
        [title, *(number(rows.get(f"{name}{who}"), digits) for who in ("picks", "fresh"))]
        for title, (name, digits) in measures.items()
    ]
    words = (
        f"{rows['picks']['count']} simulated listeners ({settings['targets']} hidden targets for each of "
        f"{settings['prompts']} prompts), rounds of {TAKES}; who needs more than {most} rounds counts as {most + 1}. "
        f"Space: {settings['embedder']}. In brackets 95 % intervals over listeners (bootstrap). Place 0: nearer than "
        f"all {settings['pool']} fresh takes of the pool."
    )
    return "\n\n".join([results.table(["", "picks", "fresh seeds"], body), words, results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and store."""
    options = _parser().parse_args(arguments)
    subject = engines.load(options.model, options.threads)
    embedder = open_embedder(options.embedder)
    kept: dict[Any, Array] = {}

    def embed(request: GenerationRequest) -> Array:
        key = (request.prompt, request.seed, request.near)
        if key not in kept:
            fields = {"duration_seconds": request.duration_seconds, "seed": request.seed, "near": request.near}
            sound = subject.generate(request.prompt, **fields).waveforms[0]
            kept[key] = np.asarray(embedder.embed(sound).pooled, np.float64)
        return kept[key]

    simulation, listeners = Simulation(options, embed), []
    for prompt in track(PROMPTS[: options.prompts], "listeners"):
        listeners += simulation.run(prompt)
        settings = {
            "model": options.model,
            "model_hash": subject.model_hash,
            "embedder": options.embedder,
            "prompts": len(listeners) // options.targets,
            "targets": options.targets,
            "pool": options.pool,
            "rounds": options.rounds,
            "seconds": options.seconds,
        }
        # A long run that is interrupted leaves what it has.
        path = results.write(options.name, settings, {"summary": summary(listeners)}, options.results)
    print(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.picking", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--embedder", default="aisfx", help="whose space the targets are hidden in")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--targets", type=int, default=5, help="hidden targets of each prompt")
    parser.add_argument("--pool", type=int, default=100, help="fresh takes of each prompt")
    parser.add_argument("--rounds", type=int, default=5, help="of a listener at most")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a take")
    parser.add_argument("--name", default="picking", help="of the stored result")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
