"""The code blocks of the pages: which are run as tests, and which are not and why.

python -m tools.blocks     lists the blocks that are not run
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LANGUAGES = {"python": "python", "py": "python", "sh": "sh", "bash": "sh"}
_BLOCK = re.compile(
    r"(?P<mark><!-- not run: (?P<reason>[^\n]+?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language (python or sh), its code, and why it is not run (None: it is)."""

    page: Path
    line: int
    language: str
    code: str
    not_run: str | None

    @property
    def name(self) -> str:
        """Page and line, as editors read them."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README, CONTRIBUTING and everything below docs/ but the generated pages of the commands."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if path.parent.name != "cli"]


def blocks(page: Path) -> list[Block]:
    """The Python and shell blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, match.start("code")),
            LANGUAGES[match["language"]],
            match["code"],
            match["reason"],
        )
        for match in _BLOCK.finditer(text)
        if match["language"] in LANGUAGES
    ]


if __name__ == "__main__":
    for page in pages():
        for block in blocks(page):
            if block.not_run:
                print(f"{block.name}: {block.not_run}")
