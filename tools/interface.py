"""The names that programs and scripts of users depend on: public Python names, commands, and their options.

python -m tools.interface             writes tests/interface.txt again
python -m tools.interface --check     prints the difference and fails if there is one (as tests/test_interface.py does)
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "tests" / "interface.txt"


def interface() -> str:
    """Return all public names, one a line: `arctone.NAME`, then `arctone COMMAND OPTION`."""
    return "\n".join([*python_names(), *command_lines()]) + "\n"


def python_names() -> list[str]:
    """Return what `import arctone` offers."""
    import arctone

    return [f"arctone.{name}" for name in sorted(arctone.__all__)]


def command_lines() -> Iterator[str]:
    """Yield every command with each of its options and arguments."""
    from arctone.cli.main import Commands

    program = Commands(name="arctone")
    for name in Commands.entries:
        yield from _lines(["arctone", name], program.load(name))


def _lines(words: list[str], command: Any) -> Iterator[str]:
    start = " ".join(words)
    yield start
    for option in sorted(command.params, key=lambda option: str(option.name)):
        names = "/".join([*option.opts, *option.secondary_opts])
        yield f"{start} {names if option.param_type_name == 'option' else f'<{option.name}>'}"
    for name, below in getattr(command, "commands", {}).items():
        yield from _lines([*words, name], below)


def difference() -> str:
    """Return what changed since tests/interface.txt was written, line by line; empty if nothing did."""
    kept, now = KEPT.read_text(encoding="utf-8").splitlines(), interface().splitlines()
    return "\n".join(difflib.unified_diff(kept, now, KEPT.name, "the program", lineterm="", n=0))


def main(words: list[str] | None = None) -> int:
    """Write or check. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.interface", description="The names users depend on.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail if something differs")
    if parser.parse_args(words).check:
        print(difference(), end="")
        return int(bool(difference()))
    KEPT.write_text(interface(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
