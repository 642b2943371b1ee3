"""Rows on standard output: aligned for eyes, plain text without frames, so that they can be copied and piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def print_pairs(pairs: Mapping[str, str]) -> None:
    """One line for each name and value."""
    print_rows([[name, value] for name, value in pairs.items()])


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Lines of columns, each as wide as its longest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
