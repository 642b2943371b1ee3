"""`arctone export`: from trained weights to the folder that is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from arctone.cli.output import JsonOption, print_json, print_rows, waiting
from arctone.errors import InputFileError, UsageError
from arctone.files.text import read_text
from arctone.model_folder.config import ContinuousDiTConfig
from arctone.model_folder.folder import CONFIG, read_model_config

EXAMPLES = """\b
Examples:
  arctone export litert runs/spark models/spark --card card.md
  arctone export litert runs/spark models/spark-f32 --precision float32
  arctone export litert runs/spark models/short --windows 64,128 --json
  arctone export litert models/sao-small models/sao-small-edge --precision int4"""

Precision = Literal["float32", "float16", "int8", "int8-float16", "mixed", "int4"]
NewFolderArgument = Annotated[Path, typer.Argument(help="The new folder; it appears whole or not at all.")]
CardOption = Annotated[Path | None, typer.Option("--card", metavar="FILE", help="Becomes card.md in the folder.")]
DocumentsOption = Annotated[
    list[Path] | None,
    typer.Option("--document", metavar="FILE", help="Further text, such as LICENSE. May be given several times."),
]
ForceOption = Annotated[bool, typer.Option("-f", "--force", help="Replace a folder that exists.")]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="From trained weights to a model folder that needs no torch, or to a web page.",
)


@app.callback()
def export() -> None:
    """Write trained weights as a model folder that needs no torch."""


@app.command(epilog=EXAMPLES)
def litert(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder with config.json and the weights, from training or from convert.")
    ],
    out: Annotated[Path, typer.Argument(help="The new model folder; it appears whole or not at all.")],
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            metavar="float32|float16|int8|int8-float16|mixed|int4",
            help="Of the weights. For published models alone: float16, int8-float16 (the autoencoder in 16 bits), "
            "mixed (4 bits in the transformer's feed-forward layers) and int4 (in all layers of its blocks).",
        ),
    ] = "int8",
    windows: Annotated[
        str,
        typer.Option(
            "--windows",
            metavar="FRAMES,...",
            help="Static lengths in latent frames; the model's longest is always among them. Default: 64,128,192,256.",
        ),
    ] = "",
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="FOLDER", help="The text encoder's. Default: the checkpoint's, else MiniLM's."),
    ] = None,
    card: CardOption = None,
    documents: DocumentsOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write LiteRT graphs, and say how closely each follows the torch network."""
    lengths = window_lengths(windows)
    texts = document_texts(card, documents or [])

    if _is_published(checkpoint):
        if lengths or text:
            raise UsageError(
                "--windows and --text are not for published models: they have one length and their own T5."
            )
        from arctone.export.stable_audio import build_published

        with waiting("writing graphs", json):
            report = build_published(checkpoint, out, documents=texts, precision=precision, force=force)
    else:
        with waiting("writing graphs", json):
            report = _trained(checkpoint, out, text, texts, lengths, precision, force)
    _print_report(out, precision, report, json)


@app.command()
def onnx(
    model: Annotated[str, typer.Argument(help="Name or folder of a model: bundled, trained, exported or converted.")],
    out: NewFolderArgument,
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option("--precision", metavar="float32|int8", help="Of the weights of products."),
    ] = "float32",
    card: CardOption = None,
    documents: DocumentsOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write ONNX graphs for other programs, and say how closely each follows the torch network.

    arctone itself does not run them. Example: arctone export onnx spark models/spark-onnx
    """
    from arctone.export.onnx import build_onnx

    texts = document_texts(card, documents or [])
    with waiting("writing graphs", json):
        report = build_onnx(model, out, precision=precision, documents=texts, force=force)
    _print_report(out, precision, report, json)


@app.command()
def edge(
    model: Annotated[str, typer.Argument(help="Name or folder of a model with graphs.")],
    out: NewFolderArgument,
    exact_words: Annotated[bool, typer.Option("--exact-words", help="Keep all words in 8 bits.")] = False,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Copy what generation reads, for small devices: no encoder, no way back to torch weights, rare words in 4 bits.

    It needs no torch. Example: arctone export edge spark models/spark-edge
    """
    from arctone.export.edge import copy_for_edge

    with waiting("writing the folder", json):
        sizes = copy_for_edge(model, out, exact_words=exact_words, force=force)
    if json:
        print_json({"folder": str(out), "files_mb": sizes})
    else:
        rows = [[name, f"{size:.1f}"] for name, size in {**sizes, "all": sum(sizes.values())}.items()]
        print_rows([["file", "MB"], *rows])


@app.command()
def web(
    model: Annotated[str, typer.Argument(help="Name or folder of a model with graphs, of the bundled kind.")],
    out: NewFolderArgument,
    slim: Annotated[
        bool,
        typer.Option("--slim", help="Leave out what only edits, guidance, loops and sounds of several windows need."),
    ] = False,
    studio: Annotated[
        bool,
        typer.Option("--studio/--no-studio", help="With the studio as its page, or with an example of a few lines."),
    ] = True,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write a folder of static files in which the model generates sound in a web page, without a server.

    It needs no torch. Example: arctone export web spark page && python -m http.server -d page
    """
    from arctone.export.web import export_web

    with waiting("writing the page", json):
        sizes = export_web(model, out, slim=slim, studio=studio, force=force)
    if json:
        print_json({"folder": str(out), "megabytes": sizes})
    else:
        print_rows([["part", "MB"], *([name, f"{size:.1f}"] for name, size in sizes.items())])


def _print_report(out: Path, precision: str, report: Mapping[str, Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(out), "precision": precision, "parts": report})
    else:
        print_rows([["part", "signature", "MB", "SNR dB", "max error"], *parity_rows(report)])


def _is_published(checkpoint: Path) -> bool:
    """Whether a folder has a config, and this is of a published model; others are left to their own checks."""
    has_config = (checkpoint / CONFIG).is_file()
    return has_config and isinstance(read_model_config(checkpoint).dit, ContinuousDiTConfig)


def _trained(
    checkpoint: Path,
    out: Path,
    text: Path | None,
    documents: dict[str, str],
    windows: tuple[int, ...],
    precision: str,
    force: bool,
) -> dict[str, dict[str, float]]:
    from arctone.export.bundle import build

    if precision not in ("float32", "int8"):
        raise UsageError(f"--precision {precision} is for published models; of this one it is float32 or int8.")
    int8 = precision == "int8"
    return build(
        checkpoint, out, text_folder=text, documents=documents, windows=windows or None, int8=int8, force=force
    )


def window_lengths(written: str) -> tuple[int, ...]:
    """Parse lengths such as "64,128".

    Args:
        written: Of the option.

    Returns:
        The lengths; none if nothing was written.

    Raises:
        UsageError: If one is no whole number.
    """
    if not written.strip():
        return ()
    try:
        return tuple(int(word) for word in written.split(","))
    except ValueError:
        raise UsageError(
            f"--windows must be whole numbers with commas, such as 64,128, got '{written}'.", field="windows"
        ) from None


def document_texts(card: Path | None, documents: list[Path]) -> dict[str, str]:
    """Read the texts that go into the folder of a model.

    Args:
        card: Becomes card.md; None = no card.
        documents: Keep their names.

    Returns:
        Texts by the name they get in the folder.

    Raises:
        UsageError: If one cannot be read or has no name of its own.
    """
    files = [*([("card.md", card)] if card else []), *((path.name, path) for path in documents)]
    texts: dict[str, str] = {}
    for name, path in files:
        if name in texts:
            raise UsageError(f"two documents would be called {name}; each needs a name of its own.")
        try:
            texts[name] = read_text(path, max_bytes=10_000_000)
        except InputFileError:
            raise UsageError(f"{path} cannot be read as UTF-8 text, but a paper must be.") from None
    return texts


def parity_rows(report: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """One line for each signature of each part."""
    rows = []
    for part, values in report.items():
        for key in values:
            if key.startswith("snr_db_"):
                name = key.removeprefix("snr_db_")
                error = f"{values[f'max_error_{name}']:.2g}"
                rows.append([part, name, f"{values['megabytes']:.1f}", f"{values[key]:.1f}", error])
    return rows
