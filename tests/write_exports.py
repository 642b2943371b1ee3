"""Write the exports of tiny random models that tests open instead of exporting for themselves (tests/exports).

python -m tests.write_exports          writes them all again, and the conversions that tests of exports need
python -m tests.write_exports tiny     one of them

tests/export/test_tiny_models.py makes them again and compares: they are what the exporter writes today. Conversions of
graphs, which take most of the time, are stored in tests/exports/converted: see tests/export/conftest.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXPORTS = ROOT / "tests" / "exports"
CONVERTED = EXPORTS / "converted"
STORE_CONVERSIONS = "ARCTONE_STORE_CONVERSIONS"
"""Name of a variable of the environment: tests of exports store conversions that are not among the stored ones."""


def tiny(folder: Path) -> Path:
    """Export the tiny model with int8 weights and two lengths, 32 and 64 latent frames."""
    from tests.tiny_model import build_tiny_model

    return build_tiny_model(folder)


def tiny_float32(folder: Path) -> Path:
    """Export the same model with float32 weights, by `arctone export litert`.

    It has the same lengths, so that the test of both converts each graph once.
    """
    from arctone.cli.main import run
    from tests.tiny_model import write_checkpoint

    (folder / "notes.md").write_text("# Random weights, in float32\n")
    words = ["export", "litert", str(write_checkpoint(folder / "checkpoint")), str(folder / "out")]
    if run([*words, "--precision", "float32", "--windows", "32", "--card", str(folder / "notes.md")]) != 0:
        raise RuntimeError("the export failed")
    return folder / "out"


def tiny_controls(folder: Path) -> Path:
    """Export the transformer of the tiny model as one with controls and known latents, at one length."""
    from tests.tiny_model import build_tiny_controls

    return build_tiny_controls(folder, EXPORTS / "tiny")


def tiny_published(folder: Path) -> Path:
    """Convert and export models of the published kinds: see tests/tiny_published.py."""
    from tests.tiny_published import build_tiny_published

    return build_tiny_published(folder)


MODELS: dict[str, Callable[[Path], Path]] = {
    "tiny": tiny,
    "tiny-float32": tiny_float32,
    "tiny-controls": tiny_controls,
    "tiny-published": tiny_published,
}


def write(name: str, out: Path) -> None:
    """Export one model and put its folder at `out`, in place of what is there."""
    with tempfile.TemporaryDirectory() as folder:
        made = MODELS[name](Path(folder))
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)


def main(names: list[str]) -> int:
    """Write the named models, or all."""
    for name in names or MODELS:
        write(name, EXPORTS / name)
        print(EXPORTS / name)
    return 0 if names else store_conversions()


def store_conversions() -> int:
    """Run the tests of exports without the stored conversions, and store theirs. Returns: pytest's exit code."""
    shutil.rmtree(CONVERTED, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests" / "export")]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {STORE_CONVERSIONS: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
