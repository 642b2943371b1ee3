"""The version of the package (the build reads it from here), and how to add packages to where it is installed."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

__version__ = "0.1.0"


def install_hint(extra: str) -> str:
    """The command that adds one of the optional sets of packages, as this copy of the program was installed.

    From a clone it is the clone with the extra; elsewhere the packages by name, because arctone itself is on no index.
    """
    clone = clone_folder()
    if clone is not None:
        return f'{_shown(Path(sys.executable))} -m pip install -e "{_shown(clone)}[{extra}]"'
    packages = " ".join(f'"{name}"' if set(name) & set("<>=*!") else name for name in packages_of(extra))
    if "pipx" in Path(sys.prefix).parts:
        return f"pipx inject arctone {packages}"
    return f"{_shown(Path(sys.executable))} -m pip install {packages}"


def clone_folder() -> Path | None:
    """The clone that the program runs from; None if it was installed from a wheel."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() and (folder / "src").is_dir() else None


def packages_of(extra: str) -> list[str]:
    """Requirements of an optional set, those of the sets it builds on included; the set's name if it is unknown."""
    try:
        requirements = metadata.requires("arctone") or []
    except metadata.PackageNotFoundError:
        requirements = []
    found: dict[str, None] = {}
    waiting, seen = [extra], {extra}
    while waiting:
        name = waiting.pop()
        for requirement in requirements:
            package, _, marker = requirement.partition(";")
            if not re.search(rf"extra\s*==\s*['\"]{re.escape(name)}['\"]", marker):
                continue
            own = re.fullmatch(r"arctone\[([^\]]+)\]", package.strip())
            if own:
                more = [each.strip() for each in own[1].split(",")]
                waiting += [each for each in more if each not in seen]
                seen.update(more)
            else:
                found[package.strip().replace(" ", "")] = None
    return sorted(found) or [extra]


def _shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    path = path if path.is_absolute() else Path.cwd() / path
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
