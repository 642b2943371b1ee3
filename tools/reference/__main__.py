"""Write the generated reference, or check that it is fresh: python -m tools.reference [--check]."""

from __future__ import annotations

import argparse
import sys

from tools.reference import ROOT, stale


def main() -> int:
    """Write or check the pages. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a page is stale")
    check = parser.parse_args().check
    pages = stale()
    for path, text in pages.items():
        name = path.relative_to(ROOT)
        if check:
            print(f"{name} is stale: run make docs", file=sys.stderr)
        elif text is None:
            path.unlink()
            print(f"{name} removed")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"{name} written")
    return 1 if check and pages else 0


if __name__ == "__main__":
    sys.exit(main())
