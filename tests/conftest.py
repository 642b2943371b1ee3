"""Fixtures that all tests may use."""

import contextlib
import hashlib
import os
import shutil
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What the exported tiny model is made from: if none of these changed, the one in pytest's cache still holds.
SOURCES = (
    "pyproject.toml",
    "tests/tiny_model.py",
    "src/arctone/export",
    "src/arctone/models",
    "src/arctone/checkpoints",
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
    return _tiny_model(pytestconfig, tmp_path_factory, int8=True)


@pytest.fixture(scope="session")
def tiny_float_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with float32 weights."""
    return _tiny_model(pytestconfig, tmp_path_factory, int8=False)


def _tiny_model(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, *, int8: bool) -> Path:
    kept = pytestconfig.cache.mkdir("tiny-model") / f"{_fingerprint()}{'' if int8 else '-float32'}"
    if not kept.is_dir():
        from tiny_model import build_tiny_model

        built = build_tiny_model(tmp_path_factory.mktemp("export"), int8=int8)
        partial = kept.with_suffix(f".{built.parent.name}.partial")
        shutil.copytree(built, partial)
        with contextlib.suppress(OSError):  # another session built the same meanwhile
            partial.rename(kept)
        shutil.rmtree(partial, ignore_errors=True)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    shutil.copytree(kept, folder)
    return folder


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in (ROOT / name for name in (*SOURCES, "src/arctone/config_model.py", "src/arctone/model_folder.py")):
        for path in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
