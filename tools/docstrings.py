"""Check that docstrings are Google style and agree with the signatures: python -m tools.docstrings

pydoclint compares the sections with the arguments. It takes a section that begins on the line of its name
("Args: x: ...") for prose, so those are found here. A package joins PACKAGES once it is clean, and never leaves.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "arctone"
PACKAGES = (
    *("audio", "checkpoints", "cli", "data", "edge", "errors.py", "evaluation", "export", "files", "flow", "inference"),
    *("model_folder", "models", "serving", "training", "version.py", "workflows"),
)
_INLINE = re.compile(r"(?:^\s*|\"\"\"|[.:] )(?:Args|Returns|Yields|Raises): +\S")


def inline_sections(path: Path) -> Iterator[str]:
    """Find the sections of a module that begin on the line of their name, one sentence each."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if _INLINE.search(line):
            yield f"{path}:{number}: a section begins on the line of its name: {line.strip()}"


def main() -> int:
    """Check the clean packages. Returns the exit code."""
    folders = [SOURCE / package for package in PACKAGES]
    found = [
        sentence
        for folder in folders
        for path in (sorted(folder.rglob("*.py")) or [folder])
        for sentence in inline_sections(path)
    ]
    for sentence in found:
        print(sentence)
    program = [str(Path(sys.executable).with_name("pydoclint")), "--quiet", "--config", "pyproject.toml"]
    done = subprocess.run([*program, *map(str, folders)], cwd=ROOT, check=False)
    return 1 if found or done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
