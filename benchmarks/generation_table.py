"""The table of generation: models and samplers side by side, on the same held-out prompts.

    python -m benchmarks.generation_table --pack FOLDER --row "spark=spark" --row "spark, 8 steps=spark,steps=8"

Every row makes the same prompts; for some of them it makes four sounds, to see how much they differ. Next to the models
stand real sounds (other held-out clips against those that belong to the prompts: the floor of every distance at equal
number) and decoded ones (the real clips through the autoencoder of the first row: its ceiling). Sounds and embeddings
are kept in `--cache` and made once. With `--keep` the stored table goes on: its rows stay where they are, and the real
sounds, measured again, must give the numbers that stand in it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from rich.progress import Progress

from arctone.data.sound import ClipSource
from arctone.evaluation.embedders.protocol import Embedder, open_embedder
from arctone.evaluation.metrics import cost, probe
from arctone.evaluation.scoring.measurement import Report
from arctone.evaluation.scoring.score import Material, ScoringOptions, score
from arctone.evaluation.scoring.takes import EvaluatedModel, Take, Wanted, keep, make_takes, real_takes
from benchmarks import adherence, clips, engines, latency, machine, results, train_probe
from benchmarks.results import JSON

EMBEDDERS = ("aisfx", "musicnn", "corpus-clap")
MEASURES = ("frechet", "kernel", "divergence", "adherence", "manifold")
NUM_TAKES = 4
# Seeds of further takes of a prompt lie far from those of other prompts.
TAKE_STRIDE = 1_000_000
# Head of the column: measure, embedder, digits.
COLUMNS = {
    "FD aiSFX": ("frechet_distance", "aisfx", 1),
    "kernel distance aiSFX": ("kernel_distance", "aisfx", 3),
    "KL aiSFX": ("class_divergence", "aisfx", 2),
    "KL MusiCNN": ("class_divergence", "musicnn", 2),
    "text score": ("text_audio_score", "corpus-clap", 3),
    "text R@5": ("recall_at_5", "corpus-clap", 2),
    "recall aiSFX": ("recall", "aisfx", 2),
    "coverage aiSFX": ("coverage", "aisfx", 2),
    "CCDS": ("conditional_diversity", "corpus-clap", 3),
}
REAL, DECODED = "real, other clips", "real, decoded"
_FIELDS = {"steps": int, "cfg_scale": float, "sampler": str}


@dataclass(frozen=True)
class Row:
    """A model with sampler settings. title: what the table calls it. model: name or folder."""

    title: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)


def parse_row(text: str) -> Row:
    """`TITLE=MODEL[,steps=N][,cfg_scale=X][,sampler=NAME]`. Raises: argparse.ArgumentTypeError for anything else."""
    title, sign, rest = text.partition("=")
    model, *given = rest.split(",")
    if not sign or not title or not model:
        raise argparse.ArgumentTypeError(f"'{text}' is not TITLE=MODEL[,steps=N][,cfg_scale=X][,sampler=NAME].")
    settings: dict[str, Any] = {}
    for part in given:
        name, _, value = part.partition("=")
        if name not in _FIELDS or not value:
            raise argparse.ArgumentTypeError(f"'{part}' in '{text}' must set one of {', '.join(_FIELDS)}.")
        try:
            settings[name] = _FIELDS[name](value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{value}' in '{text}' is no value for {name}.") from None
    return Row(title, model, settings)


class Table:
    """Prompts, real sounds and embedders, which all rows share."""

    def __init__(self, options: argparse.Namespace, source: ClipSource, embedders: Sequence[Embedder]) -> None:
        self._options, self._source, self._embedders = options, source, embedders
        self.asked = adherence.choose(source, options.prompts, probe.load(options.probe).classes)
        self.repeated = self.asked[:: max(1, len(self.asked) // options.diversity_prompts)][: options.diversity_prompts]
        self.cache = Path(options.cache)
        self.real = self._real([q.clip.index for q in self.asked], [q.prompt for q in self.asked])

    def generated(self, subject: engines.Subject, row: Row) -> JSON:
        """All measurements of one row, and what it costs."""
        model = EvaluatedModel(row.title, subject.model_hash, subject.generate)
        made = self._made(model, row, [self._wanted(q, 0) for q in self.asked])
        takes = [self._wanted(q, number) for q in self.repeated for number in range(NUM_TAKES)]
        found = self.scored(row.title, made)
        several = Material(self._made(model, row, takes))
        found += self._score(row.title, several, ("diversity",)).measurements
        return {**_cells(found), "cost": measured_cost(self._options, row), "settings": _sampling(subject, row)}

    def others(self) -> JSON:
        """Real held-out clips that belong to no prompt, against those that do: the floor at equal number."""
        taken = {q.clip.info.id for q in self.asked}
        left = [c for c in clips.in_split(self._source, ["test"]) if c.info.id not in taken]
        chosen = clips.balanced(left, lambda info: info.category, len(self.asked))
        other = self._real([c.index for c in chosen], [c.info.caption for c in chosen])
        distances = ("frechet", "kernel", "manifold")
        far = self._score(REAL, Material(other, self.real), distances).measurements
        # Whether real sounds are what their captions say is asked of those that belong to the prompts.
        return _cells([*far, *self._score(REAL, Material(self.real, self.real), ("adherence",)).measurements])

    def decoded(self, subject: engines.Subject) -> JSON:
        """The real sounds through an autoencoder and back."""
        folder = self.cache / f"decoded-{subject.model_hash[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        takes = [Take(real.name, folder / f"{real.path.stem}.wav", real.captions) for real in self.real]
        for take, q in zip(takes, self.asked, strict=True):
            index = q.clip.index
            keep(take, lambda index=index: engines.round_trip(subject.backend, self._source.waveform(index)).waveform)
        return _cells(self.scored(DECODED, takes))

    def scored(self, title: str, takes: Sequence[Take]) -> list[Any]:
        """Measurements of sounds that have a real partner each."""
        return self._score(title, Material(takes, self.real), MEASURES).measurements

    def _score(self, title: str, material: Material, measures: Sequence[str]) -> Report:
        chosen = ScoringOptions(measures, self.cache / "embeddings", self._options.resampling_seed)
        with Progress(transient=True) as bar:
            task = bar.add_task(title)

            def show(done: int, total: int, stage: str) -> None:
                bar.update(task, completed=done, total=total, description=f"{title}: {stage}")

            return score(title, material, self._embedders, chosen, show)

    def _made(self, model: EvaluatedModel, row: Row, wanted: Sequence[Wanted]) -> list[Take]:
        with Progress(transient=True) as bar:
            task = bar.add_task(row.title, total=len(wanted))
            shown = lambda done, total, stage: bar.update(task, completed=done, description=stage)  # noqa: E731
            return make_takes(model, wanted, self.cache / "generated", row.settings, shown)

    def _real(self, indices: list[int], prompts: list[str]) -> list[Take]:
        takes = real_takes(self._source, indices, self.cache / f"real-{_corpus_name(self._options)}")
        return [replace(take, captions=(prompt,)) for take, prompt in zip(takes, prompts, strict=True)]

    def _wanted(self, asked: adherence.Question, number: int) -> Wanted:
        info = asked.clip.info
        name = f"{info.id}-take-{number + 1}" if number else info.id
        seed = self._options.seed + asked.clip.index + number * TAKE_STRIDE
        return Wanted(name, asked.prompt, round(info.duration_seconds, 3), seed)


def measured_cost(options: argparse.Namespace, row: Row) -> JSON:
    """What one sound of a row costs, in processes of its own; nothing where no run is asked for."""
    if options.repeats == 0:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder) / "memory.json"
        program = [sys.executable, "-m", "benchmarks.measured_run", str(memory)]
        more = [word for name, value in row.settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        given = (latency.PROMPT, options.latency_seconds, 7, options.threads, row.model, more)
        runs = [latency.run(program, *given) for _ in range(options.repeats + 1)][1:]
        peak = json.loads(memory.read_text())["peak_memory_bytes"]
    found = cost.evaluate([one.seconds for one in runs], runs[0].audio_seconds)
    cells = {name: _rounded(msgspec.to_builtins(vars(one))) for name, one in found.items()}
    return {**cells, "peak_memory_megabytes": round(peak / 1e6, 1), "stages_ms": runs[-1].timings_ms}


def block(result: JSON) -> str:
    """The table as Markdown."""
    head = ["sounds", *COLUMNS, "latency, s", "times real time", "peak memory, MB"]
    body = [[title, *_measures(cells), *_costs(cells.get("cost") or {})] for title, cells in result["rows"].items()]
    settings = result["settings"]
    explanation = (
        f"{settings['prompts']} held-out prompts, the same for all rows; in brackets 95 % intervals (jackknife for FD "
        "and kernel distance, else bootstrap). Lower is better for FD, kernel distance and KL. "
        f"CCDS: {NUM_TAKES} sounds for each of {settings['diversity_prompts']} prompts, mean cosine distance in the "
        "space of the corpus CLAP. Latency: process start to file, "
        f"{settings['latency_seconds']:g} s of sound, {settings['threads']} threads. `{REAL}` compares real clips of "
        "no prompt with those of the prompts: a distance not above it cannot be distinguished from real sounds. Its "
        f"text columns are those of the prompts' own real clips. `{DECODED}` are these through the autoencoder of the "
        "first model; being the very clips they are compared with, they may lie below that floor. Nothing here can be "
        "compared with published figures, see [metrics](metrics.md)."
    )
    earlier = [_sentence("Measured", one) for one in result.get("earlier", [])]
    timed = [_sentence("Latency and memory measured", one) for one in result.get("timed", [])]
    return "\n\n".join([results.table(head, body), explanation, results.footer(result), *earlier, *timed])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    options = _parser().parse_args(arguments)
    rows = options.row or [Row("spark", "spark")]
    if options.costs:
        print(time_rows(options, rows))
        return
    embedders = [open_embedder(name) for name in EMBEDDERS]
    table = Table(options, clips.open_corpus(options), embedders)
    subjects = {row.model: engines.load(row.model, options.threads) for row in rows}
    settings = {
        "prompts": len(table.asked),
        "diversity_prompts": len(table.repeated),
        "seed": options.seed,
        "resampling_seed": options.resampling_seed,
        "threads": options.threads,
        "latency_seconds": options.latency_seconds,
        **train_probe.vars_of_corpus(options),
    }
    versions = {embedder.name: {"version": embedder.version, "credit": embedder.credit} for embedder in embedders}
    stored, real = results.read(options.name, options.results), table.others()
    if options.keep:
        check_comparable(stored, settings, versions, real)
    found = {REAL: real, DECODED: table.decoded(subjects[rows[0].model])}
    found |= {row.title: table.generated(subjects[row.model], row) for row in rows}
    values: JSON = {"embedders": versions, "rows": found}
    if options.keep and stored is not None:
        values = continued(stored, values)
    print(results.write(options.name, settings, values, options.results))


def time_rows(options: argparse.Namespace, rows: Sequence[Row]) -> Path:
    """Measure what rows of the stored table cost, and leave everything else in it as it is.

    Raises: SystemExit if nothing would be timed, or a row is not in the table or is there of other weights or settings.
    """
    stored = results.read(options.name, options.results)
    if stored is None or options.repeats == 0:
        raise SystemExit("costs: needs a stored table and --repeats above 0")
    for row in rows:
        known, now = stored["rows"].get(row.title), _sampling(engines.load(row.model, options.threads), row)
        if known is None or {**known["settings"], "model": row.model} != now:
            raise SystemExit(f"costs: '{row.title}' is not in the stored table, or of other weights or settings")
    for row in rows:
        stored["rows"][row.title]["cost"] = measured_cost(options, row)
    titles = [row.title for row in rows]
    stored["timed"] = [*_without(stored.get("timed", []), titles), {**results.origin(), "rows": titles}]
    return results.store(stored, options.results)


def check_comparable(stored: JSON | None, settings: JSON, embedders: JSON, real: JSON) -> None:
    """Whether a stored table can go on, asked before any row is made.

    Raises: SystemExit if there is no table, or if it is not about the same prompts, measures and real sounds.
    """
    if stored is None:
        raise SystemExit("keep: no table is stored yet, measure one without --keep")
    same = {name: value for name, value in settings.items() if name not in ("threads", "latency_seconds")}
    differing = [name for name, value in same.items() if stored["settings"].get(name) != value]
    differing += ["embedders"] if stored["embedders"] != embedders else []
    differing += [f"sounds of '{REAL}'"] if not _alike(stored["rows"][REAL], real) else []
    if differing:
        raise SystemExit(f"keep: the stored table has other {', '.join(differing)}, so its rows cannot be compared")


def continued(stored: JSON, values: JSON) -> JSON:
    """The rows of a stored table, and those measured now, in their place or behind them."""
    earlier = [*stored.get("earlier", []), {**_origin(stored), "rows": [*stored["rows"]]}]
    origins = {"earlier": earlier, "timed": stored.get("timed", [])}
    kept = {name: _without(ones, values["rows"]) for name, ones in origins.items()}
    return {**values, "rows": stored["rows"] | values["rows"], **kept}


def _without(origins: Sequence[JSON], titles: Collection[str]) -> list[JSON]:
    """Origins of rows, less these rows; an origin that has none left is gone."""
    left = ({**one, "rows": [title for title in one["rows"] if title not in titles]} for one in origins)
    return [one for one in left if one["rows"]]


def _sentence(measured: str, origin: JSON) -> str:
    """Where the numbers of some rows come from."""
    return (
        f"{measured} {origin['date']}, arctone {origin['version']}, {machine.sentence(origin['machine'])}: "
        f"{'; '.join(origin['rows'])}. Command: `{origin['command']}`."
    )


def _origin(stored: JSON) -> JSON:
    return {name: stored[name] for name in results.ORIGIN}


def _alike(one: JSON, other: JSON) -> bool:
    """Whether two rows have the same values, but for what a library rounds differently."""
    return one.keys() == other.keys() and all(
        math.isclose(one[name]["value"], other[name]["value"], rel_tol=1e-3) for name in one
    )


def _cells(found: Sequence[Any]) -> JSON:
    return {f"{one.metric}/{one.embedder}": _rounded(msgspec.to_builtins(one)) for one in found}


def _rounded(cell: JSON) -> JSON:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in cell.items()}


def _measures(cells: JSON) -> list[str]:
    return [results.number(cells.get(f"{metric}/{name}"), digits) for metric, name, digits in COLUMNS.values()]


def _costs(cell: JSON) -> list[str]:
    peak = cell.get("peak_memory_megabytes")
    numbers = [
        results.number(cell.get(name), digits) for name, digits in (("latency_seconds", 2), ("real_time_factor", 1))
    ]
    return [*numbers, "-" if peak is None else f"{peak:.0f}"]


def _sampling(subject: engines.Subject, row: Row) -> JSON:
    own = {name: getattr(subject.defaults, name) for name in _FIELDS}
    return {"model": row.model, "model_hash": subject.model_hash, **own, **row.settings}


def _corpus_name(options: argparse.Namespace) -> str:
    marks = ("pack" if options.pack else "", "strums" if options.strums else "")
    return "-".join([str(options.corpus_seed), str(options.corpus_size), *filter(None, marks)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation_table", description=__doc__)
    row_help = "TITLE=MODEL[,steps=N][,cfg_scale=X][,sampler=NAME]; repeatable"
    parser.add_argument("--row", type=parse_row, action="append", help=row_help)
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--diversity-prompts", type=int, default=50, help="prompts with four sounds each")
    parser.add_argument("--seed", type=int, default=1000, help="the sound of clip i gets seed + i")
    parser.add_argument("--resampling-seed", type=int, default=0, help="of intervals")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="runs that are timed, after one that does not count")
    parser.add_argument("--latency-seconds", type=float, default=11.89, help="length of the sound that is timed")
    parser.add_argument("--probe", type=Path, default=train_probe.PATH, help="its families balance the prompts")
    parser.add_argument("--cache", type=Path, default=results.ROOT / "outputs" / "generation_table")
    parser.add_argument("--name", default="generation_table", help="of the stored result, for another choice of rows")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    parser.add_argument("--keep", action="store_true", help="go on with the stored table: its other rows stay")
    parser.add_argument("--costs", action="store_true", help="only time rows of the stored table again")
    clips.add_corpus_options(parser)
    return parser


if __name__ == "__main__":
    main()
