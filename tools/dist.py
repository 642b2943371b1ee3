"""Build the wheel and the sdist and try both as a stranger would: python -m tools.dist

Each is installed into an empty environment of its own, with no access to the clone; there it must make a sound.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"


def build(out: Path) -> list[Path]:
    """Build the sdist, and the wheel from it. Returns: the wheel and the sdist."""
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        python = _environment(Path(scratch) / "builder")
        _run([python, "-m", "pip", "install", "--quiet", "build"], ROOT)
        _run([python, "-m", "build", "--outdir", out, ROOT], ROOT)
    return [*out.glob("*.whl"), *out.glob("*.tar.gz")]


def try_out(artefact: Path) -> None:
    """Install an artefact into an empty environment and make a sound with it. Raises: SystemExit if that fails."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        python = _environment(folder / "empty")
        _run([python, "-m", "pip", "install", "--quiet", artefact], folder)
        program = python.parent / ("arctone.exe" if os.name == "nt" else "arctone")
        _run([program, "generate", "rain on a tin roof", "-d", "2", "-s", "7", "-o", "rain.wav", "-q"], folder)
        _run([program, "info", "rain.wav"], folder)
        _run([program, "doctor"], folder)
    print(f"{artefact.name} installs into an empty environment and makes a sound", flush=True)


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(words: list[str | Path], folder: Path) -> None:
    """Run a program that knows nothing of the clone. Raises: SystemExit with its output if it fails."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(word) for word in words], cwd=folder, env=clean, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def main() -> None:
    """Build, try, and say how to install what was built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DIST)
    built = build(parser.parse_args().out)
    for artefact in built:
        try_out(artefact)
    print(
        f"install it with one of\n  pip install {built[0]}\n  pipx install {built[0]}\n  uvx --from {built[0]} arctone"
    )


if __name__ == "__main__":
    main()
