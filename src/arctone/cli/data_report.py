"""What `arctone data check` found, as tables for eyes or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from arctone.data.check import CheckReport, Group

SHOWN = 10


def print_check_json(report: CheckReport) -> None:
    """One JSON document on standard output."""
    record = {**msgspec.to_builtins(report), "is_usable": report.is_usable}
    print(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False))


def print_check(report: CheckReport) -> None:
    """Tables on standard output: what there is, then what is wrong."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
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
        console.print(f"  {line}")
    if len(lines) > SHOWN:
        console.print(f"  and {len(lines) - SHOWN} more (--json lists all)")


def _plain(name: str) -> Text:
    from rich.text import Text

    return Text(name)
