"""The generated reference: docs/reference/cli.md from the help pages, the table of fields in docs/reference/python.md.

`python -m tools.reference` writes them; with `--check` it ends with exit code 1 if one is stale.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parent.parent
COMMANDS = ROOT / "docs" / "reference" / "cli.md"
PYTHON = ROOT / "docs" / "reference" / "python.md"
HEAD = """# Command line

Written by `make docs` from the program's help pages. Change the help, not this page.
"""
WIDTH = "100"


def stale() -> dict[Path, str]:
    """The pages that differ from the program, with what they should be."""
    fresh = {COMMANDS: commands_page(), PYTHON: python_page(PYTHON.read_text())}
    return {path: text for path, text in fresh.items() if not path.is_file() or path.read_text() != text}


def python_page(text: str) -> str:
    """The page with its table of fields made anew."""
    from arctone.inference.request import FIELDS

    rows = [f"| `{field.name}` | {_default(field)} | {field.help} {_limits(field)} |" for field in FIELDS]
    table = "\n".join(["| field | default | meaning |", "| --- | --- | --- |", *rows])
    return re.sub(r"(<!-- fields -->\n).*?(<!-- /fields -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.S)


def _default(field: Any) -> str:
    return "required" if field.required else f"`{field.default!r}`"


def _limits(field: Any) -> str:
    return f"{field.allowed[0].upper()}{field.allowed[1:]}."


def commands_page() -> str:
    """All help pages as Markdown."""
    from arctone.cli.main import Commands

    parts = [HEAD, _section([])]
    for name in Commands.entries:
        parts.append(_section([name]))
        parts += [_section([name, below]) for below in _below(name)]
    return "\n".join(parts)


def _section(words: list[str]) -> str:
    title = " ".join(["arctone", *words])
    return f"{'#' * (2 + max(0, len(words) - 1))} {title}\n\n```text\n{help_page(words)}\n```\n"


def help_page(words: list[str]) -> str:
    """What `arctone WORDS --help` prints, 100 columns wide."""
    from arctone.cli.main import run

    out = io.StringIO()
    fixed_width = mock.patch.dict(os.environ, COLUMNS=WIDTH, NO_COLOR="1")
    with fixed_width, contextlib.redirect_stdout(out):
        code = run([*words, "--help"])
    if code:
        raise RuntimeError(f"arctone {' '.join(words)} --help ended with {code}")
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def _below(name: str) -> list[str]:
    from arctone.cli.main import Commands

    command: Any = Commands(name="arctone").load(name)
    return list(getattr(command, "commands", {}))


def main() -> int:
    """Write or check. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a page is stale")
    check = parser.parse_args().check
    pages = stale()
    for path, text in pages.items():
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run make docs", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"{path.relative_to(ROOT)} written")
    return 1 if check and pages else 0


if __name__ == "__main__":
    sys.exit(main())
