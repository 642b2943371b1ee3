"""The generated reference below docs/reference/: one page a command, the request's fields, the HTTP API, the configs.

`python -m tools.reference` writes the pages; with `--check` it ends with exit code 1 if one is stale.
"""

from __future__ import annotations

from pathlib import Path

from tools.reference import commands, configs, fields, http

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "reference"


def stale() -> dict[Path, str | None]:
    """Find the pages that differ from the program.

    Returns:
        The text that each of them should have; None for a page of a command that no longer exists.
    """
    python = FOLDER / "python.md"
    fresh: dict[Path, str | None] = {
        **{FOLDER / "cli" / name: text for name, text in commands.pages().items()},
        python: fields.with_table(python.read_text()),
        FOLDER / "http.md": http.page(),
        FOLDER / "config.md": configs.page(),
    }
    for path in (FOLDER / "cli").glob("*.md"):
        fresh.setdefault(path, None)
    return {path: text for path, text in fresh.items() if (path.read_text() if path.is_file() else None) != text}
