"""Check CHANGELOG.md: the package's version is in it, newest first, each with a date or "unreleased", in known groups.

python -m tools.changelog
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
GROUPS = ("Added", "Changed", "Fixed", "Removed")
_RELEASE = re.compile(r"^## (\S+) \((unreleased|\d{4}-\d{2}-\d{2})\)$")


def problems(text: str, version: str) -> list[str]:
    """What is wrong with a changelog, one sentence each."""
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    releases = [match[1] for line in titles if (match := _RELEASE.match(line))]
    found = [
        f"'{line}' is not '## VERSION (DATE)' or '## VERSION (unreleased)'."
        for line in titles
        if not _RELEASE.match(line)
    ]
    if version not in releases:
        found.append(f"the version {version} of the package has no entry.")
    numbers = [tuple(map(int, name.split("."))) for name in releases if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    if numbers != sorted(numbers, reverse=True):
        found.append("the versions are not in order, newest first.")
    groups = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    found += [f"'{group}' is not one of {', '.join(GROUPS)}." for group in groups if group not in GROUPS]
    return found


def main() -> int:
    """Check the repository's changelog. Returns the exit code."""
    from arctone import __version__

    found = problems((ROOT / "CHANGELOG.md").read_text(), __version__)
    for problem in found:
        print(f"CHANGELOG.md: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
