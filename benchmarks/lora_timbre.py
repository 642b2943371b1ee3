"""What an adapter does with twenty clips of a timbre that is not in the model's training data.

    python -m benchmarks.lora_timbre --minutes 8

The timbre is a held-out preset of the corpus: one soundfont's version of an instrument whose other version the model
knows. 20 clips of it are trained on, 20 others are the goal: their captions are asked before and after, with the same
seeds. Three questions, each with intervals: did the sounds come nearer to the goal; did they come nearer to it than to
the version that the model knows (else it only learned to play the instrument more often); and what became of everything
else, asked with prompts of other held-out clips. Work that was stopped goes on in `--cache`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import Progress

import arctone
from arctone.audio.files import write_audio
from arctone.checkpoints.lora import load_adapter
from arctone.data.encoders import use_threads
from arctone.data.sound import ClipInfo, ClipSource
from arctone.evaluation.embedders.protocol import Embedder, EmbeddingCache, open_embedder
from arctone.evaluation.metrics import kernel_distance, nearness
from arctone.evaluation.metrics.intervals import Interval, bootstrap
from arctone.evaluation.scoring.embedded_sets import choose, embed_takes
from arctone.evaluation.scoring.takes import Take, real_takes, wrap_model
from arctone.files.strict_json import read_config, write_config
from arctone.model_folder.folder import find_model, folder_hash, read_model_config
from arctone.training.loop import Trainer
from arctone.training.lora import FineTuning, fine_tuning
from arctone.training.stages import run_stage
from arctone.workflows.fine_tune import comparing, run
from arctone.workflows.fine_tune.comparing import Made
from benchmarks import results
from benchmarks.results import JSON

EMBEDDERS = ("corpus-clap", "aisfx")
HELD_OUT = ("unseen_preset",)
CATEGORIES = ("note", "phrase")
MAX_SECONDS = 11.88
SPENT = "spent.json"
# Some ten seconds of work: what a run that is killed loses.
CHECKPOINT_EVERY = 10
# Scanning for clips of one preset ends here.
MAX_SCANNED = 400_000
ROWS = {
    "own_floor": "goal clips to each other",
    "own_before": "made before, to the goal",
    "own_after": "made after, to the goal",
    "own_change": "change",
    "margin_before": "before: how much nearer to the goal than to the known version",
    "margin_after": "after: how much nearer to the goal than to the known version",
    "margin_change": "change",
    "rest_moved": "other prompts: same seed, before to after",
    "rest_other_seed": "other prompts: another seed, same model",
    "rest_kernel_before": "other prompts: kernel distance to their real clips, before",
    "rest_kernel_after": "other prompts: kernel distance to their real clips, after",
    "rest_score_before": "other prompts: cosine with the caption, before (higher is better)",
    "rest_score_after": "other prompts: cosine with the caption, after (higher is better)",
    "rest_score_change": "change",
}


class Timbre(msgspec.Struct, frozen=True):
    """Clips of a source. trained, goal: of the held-out preset; known: of the other one, seen in training."""

    trained: list[int]
    goal: list[int]
    known: list[int]


def find(source: ClipSource, instrument: str, count: int) -> Timbre:
    """The first clips of an instrument alone, in the source's order. Raises: ValueError if there are too few."""
    held_out: list[int] = []
    known: list[int] = []
    for index, info in _clips_of(source, instrument):
        if info.held_out == HELD_OUT and len(held_out) < 2 * count:
            held_out.append(index)
        elif not info.held_out and len(known) < count:
            known.append(index)
        if len(held_out) == 2 * count and len(known) == count:
            return Timbre(held_out[::2], held_out[1::2], known)
    raise ValueError(f"instrument {instrument!r} has {len(held_out)} held-out clips, but {2 * count} are needed.")


def found_once(source: ClipSource, options: argparse.Namespace) -> Timbre:
    """The same, looked for once: looking through tens of thousands of clips takes a minute."""
    path = options.cache / f"timbre-{options.instrument.replace(' ', '-')}-{options.timbre_seed}-{options.clips}.json"
    if not path.exists():
        options.cache.mkdir(parents=True, exist_ok=True)
        write_config(path, find(source, options.instrument, options.clips))
    return read_config(path, Timbre)


def _clips_of(source: ClipSource, instrument: str) -> Iterator[tuple[int, ClipInfo]]:
    for index in range(min(len(source), MAX_SCANNED)):
        info = source.info(index)
        fits = info.attributes.get("instrument") == instrument and info.duration_seconds <= MAX_SECONDS
        if fits and info.category in CATEGORIES:
            yield index, info


def train(source: ClipSource, timbre: Timbre, settings: run.Settings) -> JSON:
    """Write the training clips, tune, and say how long it took; a finished run is not repeated."""
    folder = Path(settings.source)
    folder.mkdir(parents=True, exist_ok=True)
    for number, index in enumerate(timbre.trained):
        path = folder / f"clip-{number:02d}.flac"
        facts = {"captions": source.info(index).captions, "bpm": source.info(index).bpm, "split": "train"}
        path.with_suffix(".json").write_bytes(msgspec.json.encode(facts))
        if not path.exists():
            write_audio(path, source.waveform(index))
    spent = _spent(settings.out)
    minutes = settings.plan.loop.max_minutes or 15.0
    if spent.steps < settings.plan.loop.total_steps and spent.seconds < 60 * minutes:
        loop = dataclasses.replace(settings.plan.loop, max_minutes=minutes - spent.seconds / 60)
        rest = dataclasses.replace(settings, plan=dataclasses.replace(settings.plan, loop=loop))
        spent = _tuned(rest, spent)
    return {**msgspec.to_builtins(spent), "clips": len(timbre.trained)}


class Spent(msgspec.Struct, frozen=True):
    """What encoding and training took, over all runs: wall clock, processor time, updates."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0


def _spent(out: Path) -> Spent:
    path = out / SPENT
    return read_config(path, Spent) if path.exists() else Spent()


def _tuned(settings: run.Settings, before: Spent) -> Spent:
    """Train on, and write what it took: after every update, so that a run that is killed has paid for its time, too."""
    # Opened before the clock: what is timed is encoding and training.
    sounds = run.open_sounds(settings, print)
    run.begin(settings)
    wall, cpu = time.monotonic(), time.process_time()

    def paid(steps: int) -> Spent:
        seconds, busy = time.monotonic() - wall, time.process_time() - cpu
        now = Spent(round(before.seconds + seconds, 1), round(before.cpu_seconds + busy, 1), steps)
        write_config(settings.out / SPENT, now)
        return now

    # Only an adapter that was written counts as trained.
    stage = run.tuning_stage(settings, sounds)
    run_stage(stage, functools.partial(_run_noted, note=lambda: paid(before.steps)))
    return paid(load_adapter(settings.out).origin.steps)


def _run_noted(trainer: Trainer, note: Callable[[], object]) -> None:
    """Runs a trainer with a progress bar. note: called after every update."""
    with Progress() as bar:
        task = bar.add_task("training", total=trainer.config.total_steps)

        def show(step: int, _: object) -> None:
            bar.update(task, completed=step)
            note()

        trainer.run(show)


def measure(
    made: Made, goal: Sequence[Take], known: Sequence[Take], rest: Sequence[Take], cache: Path, embedders: Sequence[str]
) -> JSON:
    """All numbers under all embedders. rest: real clips that belong to the other prompts."""
    found: JSON = {}
    for name in embedders:
        embedder = open_embedder(name)
        (one,) = comparing.compare(made, goal, [embedder], cache, _silent)
        cells = {key: value for key, value in msgspec.to_builtins(one).items() if isinstance(value, dict)}
        found[name] = {"version": embedder.version, **cells, **_more(made, goal, known, rest, embedder, cache)}
    return found


def _more(
    made: Made, goal: Sequence[Take], known: Sequence[Take], rest: Sequence[Take], embedder: Embedder, cache: Path
) -> JSON:
    def points(takes: Sequence[Take]) -> np.ndarray:
        return embed_takes(takes, embedder, EmbeddingCache(cache), _silent, "")[0].pooled

    aims = points(goal), points(known)
    margins = [
        nearness.set_distances(points(takes), aims[1]) - nearness.set_distances(points(takes), aims[0])
        for takes in (made.own_before, made.own_after)
    ]
    real = points(rest)
    kernels = [kernel_distance.evaluate(real, points(takes)) for takes in (made.rest_before, made.rest_after)]
    return {
        "margin_before": _cell(bootstrap(margins[0])),
        "margin_after": _cell(bootstrap(margins[1])),
        "margin_change": _cell(bootstrap(margins[1] - margins[0])),
        "rest_kernel_before": _cell(kernels[0]["kernel_distance"]),
        "rest_kernel_after": _cell(kernels[1]["kernel_distance"]),
    }


def block(result: JSON) -> str:
    """The table as Markdown."""
    embedders = result["embedders"]
    body = [
        [label, *(results.number(embedders[name].get(row), 3) for name in embedders)] for row, label in ROWS.items()
    ]
    training, settings = result["training"], result["settings"]
    explanation = (
        f"Trained on {training['clips']} clips for {training['steps']} steps in {training['cpu_seconds']:.0f} s of "
        f"processor time, encoding included; {settings['goal_clips']} other clips of the same timbre "
        f"are the goal, {settings['known_clips']} clips of the version the model knows stand against it, and "
        f"{settings['rest_prompts']} held-out prompts of anything else are the rest. Distances are cosine distances "
        "unless called otherwise; in brackets 95 % intervals, of changes over pairs of the same prompt and seed."
    )
    return "\n\n".join([results.table(["", *embedders], body), explanation, results.footer(result)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    options = _parser().parse_args(arguments)
    from arctone.data.corpus import Corpus

    use_threads(options.threads)
    corpus = Corpus(seed=options.timbre_seed, size=MAX_SCANNED)
    timbre = found_once(corpus, options)
    settings = run.Settings(
        str(options.cache / "clips"),
        find_model(options.model),
        options.cache / "lora",
        plan_of(options),
        keep_apart=False,
    )
    training = train(corpus, timbre, settings)
    before = run.untuned(settings)
    after = arctone.load(settings.model, engine="torch", adapters=[(settings.out, options.strength)])
    goal, known = (real_takes(corpus, found, options.cache / "real", _silent) for found in (timbre.goal, timbre.known))
    infos = [corpus.info(index) for index in timbre.goal]
    own = comparing.wanted(
        [info.id for info in infos], [info.caption for info in infos], [round(i.duration_seconds, 3) for i in infos]
    )
    general = Corpus(seed=options.corpus_seed, size=options.corpus_size)
    chosen = others(general, options.instrument, options.rest_prompts)
    facts = [general.info(index) for index in chosen]
    rest = comparing.wanted(
        [info.id for info in facts], [info.caption for info in facts], [round(i.duration_seconds, 3) for i in facts]
    )
    with Progress(transient=True) as bar:
        task = bar.add_task("sounds")
        shown = lambda done, total, stage: bar.update(task, completed=done, total=total, description=stage)  # noqa: E731
        made = comparing.make(wrap_model(before), wrap_model(after), own, rest, options.cache / "made", shown)
    real = real_takes(general, chosen, options.cache / "rest", _silent)
    found = measure(made, goal, known, real, options.cache / "embeddings", options.embedder or EMBEDDERS)
    print(results.write("lora_timbre", _settings(options, settings), {"training": training, "embedders": found},
                        options.results))  # fmt: skip


def others(source: ClipSource, instrument: str, count: int) -> list[int]:
    """Held-out clips of anything but the instrument, the categories taking turns."""
    chosen = choose(source, len(source), MAX_SECONDS)
    return [index for index in chosen if source.info(index).attributes.get("instrument") != instrument][:count]


def plan_of(options: argparse.Namespace) -> FineTuning:
    """The command's own settings, with the steps and minutes of the options."""
    plan = fine_tuning()
    loop = dataclasses.replace(
        plan.loop, total_steps=options.steps, max_minutes=options.minutes, checkpoint_every=CHECKPOINT_EVERY
    )
    return dataclasses.replace(plan, loop=loop)


def _settings(options: argparse.Namespace, settings: run.Settings) -> JSON:
    config = read_model_config(settings.model)
    return {
        "model": options.model,
        "model_hash": folder_hash(settings.model),
        "instrument": options.instrument,
        "rank": settings.plan.lora.rank,
        "rate": settings.plan.loop.rate,
        "strength": options.strength,
        "goal_clips": options.clips,
        "known_clips": options.clips,
        "rest_prompts": options.rest_prompts,
        "sampler": f"{config.sampling.sampler}, {config.sampling.steps} steps, guidance {config.sampling.cfg_scale:g}",
        "threads": options.threads,
        "timbre_seed": options.timbre_seed,
        "corpus_seed": options.corpus_seed,
        "corpus_size": options.corpus_size,
    }


def _cell(found: Interval) -> JSON:
    return {name: round(getattr(found, name), 6) for name in ("value", "low", "high")} | {"count": found.count}


def _silent(done: int, total: int, stage: str) -> None:
    """Progress that nobody looks at."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lora_timbre", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--instrument", default="vibraphone", help="the one with most held-out clips in the corpus")
    parser.add_argument("--clips", type=int, default=20, help="to train on, as the goal, and of the known version")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--strength", type=float, default=1.0, help="of the adapter when it is asked")
    parser.add_argument("--rest-prompts", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timbre-seed", type=int, default=7, help="of the corpus that gives the clips of the timbre")
    parser.add_argument("--corpus-seed", type=int, default=0, help="of the corpus that gives the other prompts")
    parser.add_argument("--corpus-size", type=int, default=4_000)
    parser.add_argument("--embedder", action="append", choices=EMBEDDERS, help="repeatable, else all")
    parser.add_argument("--cache", type=Path, default=results.ROOT / "outputs" / "lora_timbre")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
