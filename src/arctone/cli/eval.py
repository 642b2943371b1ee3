"""`arctone eval`: score sounds of any system, or a model, against real sounds and captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from arctone.cli.output import counted_bar, waiting
from arctone.errors import UsageError, install_hint
from arctone.evaluation.scoring.measurement import HEAD, LEGEND, Report, rows
from arctone.files.text import printable

if TYPE_CHECKING:
    from arctone.evaluation.scoring.measurement import Report
    from arctone.evaluation.scoring.score import Material, ScoringOptions


# Wide enough for every column where standard output is no terminal.
_PLAIN_WIDTH = 160


def print_table(report: Report) -> None:
    """Measurements on standard output; what was not measured and left out below."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_PLAIN_WIDTH)
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items())
    table = Table(title=f"{report.title}: {counts}", title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(HEAD):
        table.add_column(name, justify="left" if number < 3 else "right", no_wrap=number != 4)
    for row in rows(report):
        table.add_row(*row)
    console.print(table)
    console.print(f"\n{LEGEND}")
    for skipped in report.skipped:
        console.print(f"not measured: {skipped.metric}, {skipped.embedder}: {skipped.reason}")
    for problem in report.left_out:
        console.print(f"left out: {problem}")
    for suspect in report.suspects:
        likeness = f"cosine {suspect.similarity:.3f}, waveform {suspect.waveform:.2f}, spectrum {suspect.spectrum:.2f}"
        console.print(f"suspected copy: {suspect.generated} of {suspect.training} ({suspect.embedder}: {likeness})")


app = typer.Typer(no_args_is_help=True, help="Score sounds, of any system, against real sounds and captions.")

EMBEDDER_HELP = "aisfx, musicnn, corpus-clap (installed packages), openl3, passt, clap (with --weights); repeatable"
METRICS_HELP = (
    "frechet, kernel, divergence, adherence, manifold, diversity, vendi, memorisation; and what captions state: tempo, "
    "key, family, kind, silence, attack. Repeatable; else all of the first"
)

EmbedderOption = Annotated[list[str] | None, typer.Option("--embedder", "-e", help=EMBEDDER_HELP)]
WeightsOption = Annotated[
    list[str] | None, typer.Option(help="Weights of an embedder as NAME=PATH, such as clap=clap.pt; repeatable")
]
MetricsOption = Annotated[list[str] | None, typer.Option("--metrics", help=METRICS_HELP)]
ProbeOption = Annotated[
    Path | None, typer.Option(help="Probe of instrument families or of kinds of effects, for --metrics family or kind")
]
TrainingOption = Annotated[
    Path | None, typer.Option(help="Folder of training sounds, to find copies of them (memorisation)")
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write the report as JSON into this file")]
MarkdownOption = Annotated[Path | None, typer.Option(help="Write the report as Markdown into this file")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder for embeddings; else arctone/embeddings in the user's cache folder")
]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of intervals and random halves")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads; all if not given")]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace report files that are there")]
JsonOption = Annotated[bool, typer.Option("--json", help="Report as JSON on standard output")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar")]


@app.command()
def folder(
    sounds: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of sounds, or a manifest that names them")],
    reference: Annotated[Path | None, typer.Option(help="Folder or manifest of real sounds to compare with")] = None,
    captions: Annotated[
        Path | None, typer.Option(help="Manifest with captions of the sounds, instead of the .txt files next to them")
    ] = None,
    reference_captions: Annotated[Path | None, typer.Option(help="The same for the real sounds")] = None,
    training: TrainingOption = None,
    embedder: EmbedderOption = None,
    weights: WeightsOption = None,
    metrics: MetricsOption = None,
    probe: ProbeOption = None,
    out: OutOption = None,
    markdown: MarkdownOption = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a folder of sounds. Several sounds with the same caption are takes of one prompt.

    Example: arctone eval folder made --reference real --out report.json --markdown report.md
    """
    from arctone.evaluation.scoring.score import Material
    from arctone.evaluation.scoring.takes import read_takes

    _refuse_targets(out, markdown, force)
    sets = {
        "generated": read_takes(sounds, captions),
        "reference": read_takes(reference, reference_captions) if reference else (None, []),
        "training": read_takes(training) if training else (None, []),
    }
    for problem in (problem for _, problems in sets.values() for problem in problems):
        typer.echo(f"warning: left out: {printable(problem)}", err=True)
    if not sets["generated"][0]:
        raise UsageError(f"{sounds} holds no sound that can be used.")
    material = Material(**{name: takes for name, (takes, _) in sets.items()})  # type: ignore[arg-type]
    options = _options(metrics, probe, training, cache, no_cache, seed)
    report = _scored(str(sounds), material, _pairs(embedder, weights), options, threads, quiet)
    _deliver(report, out, markdown, as_json)


@app.command()
def model(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name or folder of a model")],
    source: Annotated[
        str, typer.Option(help="Where prompts and real sounds come from: corpus:, a folder, a manifest, shards")
    ] = "corpus:",
    prompts: Annotated[int, typer.Option(min=2, help="Number of prompts")] = 100,
    takes: Annotated[int, typer.Option(min=1, help="Sounds for each prompt; diversity needs at least 2")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps; the model's own if not given")] = None,
    cfg_scale: Annotated[float | None, typer.Option(help="Guidance; the model's own if not given")] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler; the model's own if not given")] = None,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first sound; each further one has the next")] = 0,
    work: Annotated[Path, typer.Option(help="Folder for the sounds; what is there already is not made again")] = Path(
        "outputs/eval"
    ),
    training: TrainingOption = None,
    embedder: EmbedderOption = None,
    weights: WeightsOption = None,
    metrics: MetricsOption = None,
    probe: ProbeOption = None,
    out: OutOption = None,
    markdown: MarkdownOption = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Generate sounds for held-out captions of a source and score them against its real sounds.

    Example: arctone eval model spark --prompts 50 --source corpus:size=19000 --out spark.json
    """
    from arctone.evaluation.scoring.embedded_sets import asked
    from arctone.evaluation.scoring.score import Material
    from arctone.evaluation.scoring.takes import digest, make_takes, read_takes, real_takes, wrap_model

    _refuse_targets(out, markdown, force)
    options = _options(metrics, probe, training, cache, no_cache, seed)
    with waiting("opening the model and the source", quiet):
        loaded, opened, chosen, wanted = asked(name, source, prompts, takes, first_seed, threads)
    settings = {"steps": steps, "cfg_scale": cfg_scale, "sampler": sampler}
    with counted_bar("", quiet) as show:
        made = make_takes(wrap_model(loaded), wanted, work / "generated", settings, show)
        real = real_takes(opened, chosen, work / f"real-{digest(source)}", show)
    trained = read_takes(training)[0] if training else None
    report = _scored(loaded.name, Material(made, real, trained), _pairs(embedder, weights), options, threads, quiet)
    _deliver(_with_settings(report, {"source": source, "first_seed": first_seed, **settings}), out, markdown, as_json)


def _pairs(names: list[str] | None, weights: list[str] | None) -> dict[str, Path | None]:
    """List embedders with their weights.

    Args:
        names: Of `--embedder`.
        weights: NAME=FILE each.

    Returns:
        Weights by the name of the embedder; None = its own.

    Raises:
        UsageError: For weights that no embedder asks for.
    """
    from arctone.evaluation.embedders.protocol import NAMES, OFFLINE

    given: dict[str, Path] = {}
    for word in weights or []:
        name, sign, path = word.partition("=")
        if not sign or not path or name not in NAMES:
            raise UsageError(
                f"weights must be NAME=PATH with a name among {', '.join(NAMES)}, got '{word}'.", field="weights"
            )
        given[name] = Path(path)
    chosen = list(dict.fromkeys([*(names or (() if given else OFFLINE)), *given]))
    return {name: given.get(name) for name in chosen}


def _options(
    metrics: list[str] | None,
    probe: Path | None,
    training: Path | None,
    cache: Path | None,
    no_cache: bool,
    seed: int,
) -> ScoringOptions:
    from arctone.evaluation.embedders.protocol import user_folder
    from arctone.evaluation.scoring.measures import MEASURES
    from arctone.evaluation.scoring.score import ScoringOptions

    folder = None if no_cache else cache or user_folder()
    names = [part for word in metrics or [] for part in word.split(",")]
    own = [name for name in MEASURES if name != "memorisation" or training is not None]
    return ScoringOptions(tuple(names or own), folder, seed, probe=probe)


def _scored(
    title: str,
    material: Material,
    embedders: dict[str, Path | None],
    options: ScoringOptions,
    threads: int | None,
    quiet: bool,
) -> Report:
    _refuse_without("torch", "safetensors")
    from arctone.data.encoders import use_threads
    from arctone.evaluation.embedders.protocol import open_embedder
    from arctone.evaluation.scoring.score import score

    if threads is not None:
        use_threads(threads)
    with waiting("opening the embedders", quiet):
        opened = [open_embedder(name, path) for name, path in embedders.items()]
    with counted_bar("", quiet) as show:
        return score(title, material, opened, options, show)


def _refuse_without(*modules: str) -> None:
    from importlib.util import find_spec

    for name in modules:
        if find_spec(name) is None:
            raise UsageError(f"scoring needs {name}, which is not installed: {install_hint('eval')}.")


def _with_settings(report: Report, settings: dict[str, Any]) -> Report:
    import msgspec

    return msgspec.structs.replace(report, settings={**report.settings, **settings})


def _refuse_targets(out: Path | None, markdown: Path | None, force: bool) -> None:
    from arctone.files.atomic import refuse_target

    for path in (out, markdown):
        if path is not None:
            refuse_target(path, force=force)


def _deliver(report: Report, out: Path | None, markdown: Path | None, as_json: bool) -> None:
    """Files first, then the table or the JSON on standard output."""
    from arctone.cli.eval import print_table
    from arctone.evaluation.scoring.measurement import as_json as json_bytes
    from arctone.evaluation.scoring.measurement import as_markdown
    from arctone.files.atomic import write_atomically

    if out is not None:
        write_atomically(out, json_bytes(report), force=True)
    if markdown is not None:
        write_atomically(markdown, as_markdown(report).encode(), force=True)
    if as_json:
        typer.echo(json_bytes(report).decode(), nl=False)
    else:
        print_table(report)
