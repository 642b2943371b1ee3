"""Pieces of Markdown that the generated pages share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table. Bars inside cells are escaped and line breaks become spaces."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Quote a text as code, or return nothing for an empty one."""
    return f"`{text}`" if text else ""


def plain(text: str) -> str:
    """Escape the characters of a sentence that Markdown or HTML would take for markup."""
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
