"""Fixtures that all tests may use."""

import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

Builder = Callable[[Path], Path]
ROOT = Path(__file__).parent.parent
# What the exported tiny model is made from: if none of these changed, the one in pytest's cache still holds.
SOURCES = (
    "pyproject.toml",
    "tests/tiny_model.py",
    "tests/tiny_published.py",
    "src/arctone/export",
    "src/arctone/models",
    "src/arctone/checkpoints",
    "src/arctone/model_folder",
)

# Programs that tests start are those of this tree, installed or not.
os.environ["PYTHONPATH"] = str(ROOT / "src")
# A shell's background jobs ignore interrupts, and so would the programs whose interruption is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_model_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder with random weights, exported with the real exporter: at most 64 latent frames (2.97 s).

    Tests must not change it; copy it first.
    """

    def builder(folder: Path) -> Path:
        from tests.tiny_model import build_tiny_model

        return build_tiny_model(folder)

    return _kept("tiny", builder, pytestconfig, tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_float_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with float32 weights and one length, as `arctone export litert` writes it."""

    def builder(folder: Path) -> Path:
        from arctone.cli.main import run
        from tests.tiny_model import write_checkpoint

        (folder / "notes.md").write_text("# Random weights, in float32\n")
        words = ["export", "litert", str(write_checkpoint(folder / "checkpoint")), str(folder / "out")]
        assert run([*words, "--precision", "float32", "--windows", "64", "--card", str(folder / "notes.md")]) == 0
        return folder / "out"

    return _kept("tiny-float32", builder, pytestconfig, tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_published_folders(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published models with random weights, and their graphs: see tests/tiny_published.py."""

    def builder(folder: Path) -> Path:
        from tests.tiny_published import build_tiny_published

        return build_tiny_published(folder)

    return _kept("tiny-published", builder, pytestconfig, tmp_path_factory)


def _kept(name: str, build: Builder, config: pytest.Config, paths: pytest.TempPathFactory) -> Path:
    """A copy of what was built once for these sources, and lies in pytest's cache."""
    kept = config.cache.mkdir("tiny-model") / f"{_fingerprint()}-{name}"
    if not kept.is_dir():
        built = build(paths.mktemp("export"))
        partial = kept.with_suffix(f".{built.parent.name}.partial")
        shutil.copytree(built, partial)
        with contextlib.suppress(OSError):  # another session built the same meanwhile
            partial.rename(kept)
        shutil.rmtree(partial, ignore_errors=True)
    folder = paths.mktemp("models") / name
    shutil.copytree(kept, folder)
    return folder


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in (ROOT / name for name in SOURCES):
        for path in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
