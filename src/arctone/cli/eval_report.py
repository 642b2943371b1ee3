"""An evaluation on the terminal: the table, then what must be known about it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from arctone.evaluation.scoring.measurement import Report
from arctone.evaluation.scoring.presenting import HEAD, LEGEND, rows

# Wide enough for every column where standard output is no terminal.
_PLAIN_WIDTH = 160


def print_table(report: Report) -> None:
    """Measurements on standard output; what was not measured and left out below."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_PLAIN_WIDTH)
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items())
    table = Table(title=f"{report.judged}: {counts}", title_justify="left", box=None, pad_edge=False)
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
