"""`arctone listen`: blind listening tests, from folders of sound to a table of opinions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from arctone.cli.output import waiting
from arctone.errors import UsageError

if TYPE_CHECKING:
    from arctone.evaluation.listening.scores import Analysis

app = typer.Typer(no_args_is_help=True, help="Blind listening tests: build one, collect answers, analyse them.")

Name = TypeVar("Name", bound=str)

ForceOption = Annotated[bool, typer.Option("--force", help="Replace what an earlier run wrote there")]


@app.command()
def build(
    systems: Annotated[
        list[str],
        typer.Option(
            "--system",
            help="NAME=FOLDER of a system's sounds (or a manifest, or .tar shards); give two or more",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the test")],
    reference: Annotated[Path | None, typer.Option(help="Folder of real sounds of the same prompts")] = None,
    captions: Annotated[
        Path | None, typer.Option(help="Manifest (path, caption) for sounds without captions of their own")
    ] = None,
    kind: Annotated[str, typer.Option(help="page (our own) or webmushra (config and stimuli)")] = "page",
    prompts: Annotated[int | None, typer.Option(help="Prompts to rate; 8 if that many are shared")] = None,
    clips_per_prompt: Annotated[
        int | None, typer.Option(help="Clips whose diversity is rated together; 3 if there are")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Ratings of each dimension that are asked twice")] = 4,
    dimensions: Annotated[
        list[str] | None, typer.Option("--dimension", help="diversity, quality or adherence; all if not given")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", "-s", help="Same seed, same test; drawn and noted in the key if not given")
    ] = None,
    title: Annotated[str, typer.Option(help="What listeners read at the top")] = "Listening test",
    force: ForceOption = False,
) -> None:
    """Make a test from sounds of the same prompts: OUT/listeners goes to the listeners, OUT/key stays with you.

    Example: arctone listen build --system mine=mine --system theirs=theirs --reference real --out test
    """
    import secrets
    from typing import get_args

    from arctone.evaluation.listening.build import BuildSettings
    from arctone.evaluation.listening.build import build as build_test
    from arctone.evaluation.listening.choice import SCALES, Dimension
    from arctone.evaluation.listening.design import Kind

    chosen = tuple(dict.fromkeys(dimensions or SCALES))
    settings = BuildSettings(
        seed=secrets.randbits(53) if seed is None else seed,
        kind=_one_of("kind", kind, get_args(Kind)),
        title=title,
        num_prompts=prompts,
        clips_per_prompt=clips_per_prompt,
        num_repeats=repeats,
        dimensions=tuple(_one_of("dimension", name, get_args(Dimension)) for name in chosen),
    )
    with waiting("building the test"):
        built = build_test(_named(systems), out, settings, reference=reference, captions=captions, force=force)
    for warning in built.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(out)


@app.command()
def analyse(
    results: Annotated[
        list[Path],
        typer.Argument(help="Answers: .csv and .json of our page, webMUSHRA's mushra.csv and lms.csv, or folders"),
    ],
    key: Annotated[Path, typer.Option(help="The test's folder, or its key.json")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report")],
    keep_all: Annotated[bool, typer.Option("--keep-all", help="Count listeners who fail the screening, too")] = False,
    confidence: Annotated[float, typer.Option(help="Of the intervals, 0.5 to 0.999")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", "-s", min=0, help="Of the bootstrap")] = 0,
    force: ForceOption = False,
) -> None:
    """Screen the listeners, and write scores with intervals and tests of all differences to OUT.

    Example: arctone listen analyse answers --key test --out report
    """
    from arctone.evaluation.listening.design import read_key
    from arctone.evaluation.listening.report import KIND, write_report
    from arctone.evaluation.listening.scores import analyse as analyse_answers
    from arctone.files.atomic import refuse_folder

    refuse_folder(out, KIND, force=force)
    with waiting("analysing the answers"):
        analysis = analyse_answers(results, read_key(key), keep_all=keep_all, confidence=confidence, seed=seed)
    write_report(analysis, out, force=force)
    _print_analysis(analysis)
    typer.echo(out / "report.md")


@app.command()
def serve(
    test: Annotated[Path, typer.Argument(help="Folder of a test of the kind page")],
    results: Annotated[Path, typer.Option("--results", "-r", help="Folder for the answers; made if missing")],
    host: Annotated[str, typer.Option(help="0.0.0.0 opens the test to your network")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one")] = 8010,
) -> None:
    """Show a test to listeners and collect their answers, until you press Ctrl-C.

    There is neither encryption nor a password: for a room or a network that you trust.

    Example: arctone listen serve test --results answers
    """
    from arctone.evaluation.listening.serve import make_server

    server = make_server(test, results, host, port, lambda listener: typer.echo(f"answers of {listener}", err=True))
    typer.echo(f"http://{host}:{server.server_address[1]}/")
    with server:
        server.serve_forever()


def _one_of(parameter: str, value: str, allowed: tuple[Name, ...]) -> Name:
    for name in allowed:
        if name == value:
            return name
    raise UsageError(f"{parameter} must be {', '.join(allowed[:-1])} or {allowed[-1]}, got '{value}'.", field=parameter)


def _named(systems: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in systems:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UsageError(f"system must be NAME=FOLDER, got '{text}'.", field="system")
        if name in found:
            raise UsageError(f"system has the name '{name}' twice.", field="system")
        found[name] = folder
    return found


def _print_analysis(analysis: Analysis) -> None:
    from arctone.cli.output import print_rows
    from arctone.evaluation.listening.report import score_rows

    print_rows(score_rows(analysis))
    for check in analysis.listeners:
        if check.reasons:
            verdict = "left out" if analysis.is_screened else "counted although"
            typer.echo(f"{check.listener} {verdict}: {'; '.join(check.reasons)}.", err=True)
    for note in analysis.notes:
        typer.echo(f"note: {note}", err=True)
