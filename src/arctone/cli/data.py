"""`arctone data`: look at training data, write it out as files, encode it once into latents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from arctone.cli.output import counted_bar, waiting
from arctone.errors import InputFileError, UsageError
from arctone.files.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from arctone.data.check import CheckReport, Group
    from arctone.data.sound import ClipSource


SHOWN = 10
EXAMPLE_WIDTH = 160


def print_check_json(report: CheckReport) -> None:
    """One JSON document on standard output."""
    record = {**msgspec.to_builtins(report), "is_usable": report.is_usable}
    print(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False))


def print_check(report: CheckReport) -> None:
    """Tables on standard output: what there is, then what is wrong."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(printable(f"layout: {report.layout}"))
    for name, captions in report.examples:
        console.print(printable(f"  {name}: {captions or '(no caption)'}")[:EXAMPLE_WIDTH])
    console.print(f"{report.total.clips} clips, {report.total.hours:.3f} hours, {_range(report)}")
    for title, groups in (("split", report.splits), ("category", report.categories), ("licence", report.licences)):
        _print_groups(console, title, groups)
    for title, counts in (("sample rate (Hz)", report.sample_rates), ("channels", report.channels)):
        _print_counts(console, title, counts)
    console.print(f"batches per epoch (train split, {report.batch}): {report.batches_per_epoch}\n")
    _print_findings(console, report)


def _range(report: CheckReport) -> str:
    shortest, longest = report.seconds_range
    return f"{shortest:.2f} to {longest:.2f} seconds each\n"


def _print_groups(console: Console, title: str, groups: Mapping[str, Group]) -> None:
    from rich.table import Table

    table = Table(title, "clips", "hours", box=None, pad_edge=False)
    for name, group in groups.items():
        table.add_row(_plain(name), str(group.clips), f"{group.hours:.3f}")
    console.print(table, "")


def _print_counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    from rich.table import Table

    table = Table(title, "clips", box=None, pad_edge=False)
    for name, count in counts.items():
        table.add_row(_plain(name), str(count))
    console.print(table, "")


def _print_findings(console: Console, report: CheckReport) -> None:
    _print_list(console, "passed over, because they are no sounds", report.passed_over)
    _print_list(console, "remarks", report.notes)
    _print_list(console, "cannot be used", [entry.problem for entry in report.unusable])
    _print_list(console, "without a caption", report.without_caption)
    _print_list(console, "without a licence", report.without_licence)
    _print_list(console, "silent or constant", report.silent)
    _print_list(console, "clipped", report.clipped)
    _print_list(console, "shorter than 0.25 seconds", report.too_short)
    repeated = [f"{count} x {caption}" for caption, count in report.duplicate_captions.items()]
    _print_list(console, "captions used for several clips", repeated)
    if not report.listened:
        console.print("The sound itself was not looked at (--no-listen).")
    console.print("All clips can be used." if report.is_usable else "Not ready: see what cannot be used.")


def _print_list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"{title}: {len(lines)}")
    for line in lines[:SHOWN]:
        console.print(f"  {printable(line)}")
    if len(lines) > SHOWN:
        console.print(f"  and {len(lines) - SHOWN} more (--json lists all)")


def _plain(name: str) -> Text:
    from rich.text import Text

    return Text(printable(name))


app = typer.Typer(no_args_is_help=True, help="Training data: check it, render it to files, encode it into latents.")

SHOWN_PROBLEMS = 10

SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A folder of sound files, a .csv, .tsv or .jsonl manifest, .tar shards, or corpus: (made here, with "
        "options such as corpus:seed=1,size=2000,pack=FOLDER)"
    ),
]
SplitOption = Annotated[str | None, typer.Option(help="Only this split: train, valid or test")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only the first N clips")]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=0, help="Processes that make sound; 0 = none of their own")
]
LicenceOption = Annotated[str, typer.Option("--licence", "--license", help="Licence of files that do not name one")]
ValidOption = Annotated[float, typer.Option(help="Share of the files, 0 to 0.5, kept apart for validation")]
SkipOption = Annotated[bool, typer.Option("--skip-bad", help="Leave unusable files out instead of stopping")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar")]


@app.command()
def check(
    source: SourceArgument,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips of a training batch")] = 16,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Batch as a budget of latent frames instead")] = None,
    listen: Annotated[bool, typer.Option(help="Decode every clip; --no-listen looks at facts and headers only")] = True,
    split: SplitOption = None,
    limit: LimitOption = None,
    licence: LicenceOption = "",
    valid_share: ValidOption = 0.0,
    workers: WorkersOption = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON on standard output")] = False,
    quiet: QuietOption = False,
) -> None:
    """Count clips and hours, and find what would spoil a training. Exit code 3 if something cannot be used.

    Example: arctone data check my-sounds --licence CC0-1.0 --batch-size 16
    """
    from arctone.cli.data import print_check, print_check_json
    from arctone.data.check import check as check_source

    opened = _opened(source, licence, valid_share, split, limit)
    with counted_bar("checking", quiet) as show:
        report = check_source(
            opened,
            batch_size=batch_size,
            max_frames=max_frames,
            listen=listen,
            num_workers=workers,
            progress=show,
        )
    (print_check_json if as_json else print_check)(report)
    if not report.is_usable:
        raise typer.Exit(InputFileError.exit_code)


@app.command()
def render(
    source: SourceArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; a rendering that was interrupted continues there")],
    split: SplitOption = None,
    limit: LimitOption = None,
    licence: LicenceOption = "",
    valid_share: ValidOption = 0.0,
    workers: WorkersOption = 2,
    skip_bad: SkipOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write clips as FLAC files with a manifest.jsonl: caption, licence and source of each.

    Example: arctone data render corpus:seed=1,size=200 --out corpus-200
    """
    from arctone.data.render import render as render_source

    opened = _opened(source, licence, valid_share, split, limit)
    _refuse_problems(opened, skip_bad)
    with counted_bar("rendering", quiet) as show:
        report = render_source(opened, out, num_workers=workers, skip_bad=skip_bad, progress=show)
    for name, problem in report.skipped:
        _warn(f"{name} is left out: {problem}")
    if report.over_full_scale:
        _warn(f"{len(report.over_full_scale)} clips were above full scale and are cut off there in the FLAC files.")
    typer.echo(report.manifest)


@app.command()
def encode(
    source: SourceArgument,
    model: Annotated[str, typer.Option(help="Folder or name of a model with a trained autoencoder")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; an encode that was interrupted continues there")],
    text: Annotated[bool, typer.Option(help="Also embed all captions; --no-text leaves them out")] = True,
    split: SplitOption = None,
    limit: LimitOption = None,
    licence: LicenceOption = "",
    valid_share: ValidOption = 0.0,
    workers: WorkersOption = 2,
    precision: Annotated[
        str, typer.Option(help="32-true, or bf16-mixed: twice as fast where the CPU has it")
    ] = "32-true",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the encoder; all if not given")] = None,
    skip_bad: SkipOption = False,
    quiet: QuietOption = False,
) -> None:
    """Render every clip, encode it with a model's autoencoder, and keep only the latents.

    Interrupt it whenever you like: called again it continues, and the files are the same as without interruption.

    Example: arctone data encode corpus: --model runs/spark --out runs/spark/latents
    """
    from arctone.data.encode import EncodeSettings, encode_corpus
    from arctone.data.encoders import open_autoencoder, open_text_encoder, use_threads
    from arctone.model_folder.folder import find_model

    opened = _opened(source, licence, valid_share, split, limit)
    _refuse_problems(opened, skip_bad)
    if threads is not None:
        use_threads(threads)
    folder = find_model(model)
    with waiting("opening the model", quiet):
        audio = open_autoencoder(folder, precision)
        captions = open_text_encoder(folder) if text else None
    settings = EncodeSettings(
        hop_length=audio.hop_length,
        sample_rate=audio.sample_rate,
        precision=precision,
        num_workers=workers,
        skip_bad=skip_bad,
    )
    with counted_bar("encoding", quiet) as show:
        encode_corpus(
            opened,
            audio.encode,
            captions.encode if captions else None,
            out,
            autoencoder_hash=audio.hash,
            text_encoder_hash=captions.hash if captions else "",
            settings=settings,
            progress=lambda event: show(event.done, event.total, event.stage),
        )
    _tell_left_out(out)
    typer.echo(out)


@app.command()
def store(
    shards: Annotated[
        str,
        typer.Argument(
            help="Tar files with KEY.npy (latents) and KEY.json (prompt, padding_mask, seconds_total), or commands "
            "that write them: 'latents/{000..099}.tar', 'pipe:aws s3 cp s3://bucket/{000..099}.tar -'"
        ),
    ],
    model: Annotated[str, typer.Option(help="Folder or name of the model whose autoencoder encoded them")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; a storing that was interrupted continues there")],
    quiet: QuietOption = False,
) -> None:
    """Store latents that were encoded elsewhere, from WebDataset shards, and embed their captions.

    Example: arctone data store 'latents/{000..099}.tar' --model runs/small --out runs/small/latents
    """
    from arctone.data.latent_shards import are_shards, read_stored_latents
    from arctone.model_folder.folder import find_model

    if not are_shards(shards):
        raise UsageError(f"shards: {shards!r} names no .tar file and no pipe: command", field="shards")
    with counted_bar("storing,", quiet) as show:
        read_stored_latents(shards, find_model(model), out, show)
    typer.echo(out)


def _opened(source: str, licence: str, valid_share: float, split: str | None, limit: int | None) -> ClipSource:
    from arctone.data.file_source import FileDefaults
    from arctone.data.sources import open_source, remarks

    with waiting("opening the source"):
        opened = open_source(source, FileDefaults(licence=licence, valid_share=valid_share), split=split, limit=limit)
    for sentence in [*getattr(opened, "missing", ()), *remarks(opened)]:
        _warn(sentence)
    return opened


def _refuse_problems(source: ClipSource, skip_bad: bool) -> None:
    """Stop before long work if files were unusable, or say which are left out."""
    from arctone.data.sources import problems_of

    problems = problems_of(source)
    if problems and not skip_bad:
        raise InputFileError(
            f"{len(problems)} files cannot be used (arctone data check lists them, --skip-bad leaves them out), "
            f"the first: {problems[0]}"
        )
    for problem in problems[:SHOWN_PROBLEMS]:
        _warn(f"left out: {problem}")
    if len(problems) > SHOWN_PROBLEMS:
        _warn(f"{len(problems) - SHOWN_PROBLEMS} more are left out; arctone data check lists them.")
    if len(source) == 0:
        raise UsageError("no clip is left: the source is empty, or split and limit leave nothing of it.")


def _tell_left_out(out: Path) -> None:
    from arctone.data.latents import left_out

    for name, problem in left_out(out):
        _warn(f"{name} is left out: {problem}")


def _warn(sentence: str) -> None:
    typer.echo(f"warning: {printable(sentence)}", err=True)
