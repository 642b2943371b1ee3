"""Write docs/reference/cli.md from the program's own help pages, or check that it is fresh.

python -m tools.reference           writes the page
python -m tools.reference --check   ends with exit code 1 if the page is stale
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "cli.md"
HEAD = """# Command line

Written by `make docs` from the program's help pages. Change the help, not this page.
"""
WIDTH = "100"


def page() -> str:
    """The whole page as Markdown."""
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

    os.environ.update(COLUMNS=WIDTH, TERMINAL_WIDTH=WIDTH, NO_COLOR="1")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
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
    parser.add_argument("--check", action="store_true", help="change nothing, fail if the page is stale")
    check = parser.parse_args().check
    fresh = page()
    if PAGE.is_file() and PAGE.read_text() == fresh:
        return 0
    if check:
        print(f"{PAGE} is stale: run make docs", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(fresh)
    print(f"{PAGE} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
