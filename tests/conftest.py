"""Fixtures that all tests may use, and how tests are shared out among processes."""

import os

# Set before torch and numpy are imported: the networks here are so small that a second thread costs more than it
# brings, and two test processes with a thread for every core each would wait for each other.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(variable, "1")
# The tokenizers library refuses to use its threads after a fork, and warns about it.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import shutil  # noqa: E402
import signal  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402

ROOT = Path(__file__).parent.parent
EXPORTS = Path(__file__).parent / "exports"
# Tests that drive a browser share one process of `pytest -n`: two browsers on two cores time out. Tests of servers
# share one, because they share a model, and those of exports, because they share what is converted. Of the rest, each
# file is one unit, as its fixtures are.
UNITS = {
    "browsers": ("serving/studio/", "web/", "evaluation/listening/test_page.py"),
    "exports": ("export/",),
    "servers": ("serving/", "evaluation/listening/test_serve.py"),
}
# What takes longest begins first, so that no process is left with it at the end.
FIRST = (
    *UNITS["browsers"],
    "export/test_tiny_models.py",
    "export/",
    "serving/",
    "docs/",
    "workflows/",
    "training/",
    "inference/test_editing.py",
    "evaluation/metrics/test_benchmark_generation.py",
)

# Programs that tests start are those of this tree, installed or not; they find its modules compiled.
os.environ["PYTHONPATH"] = str(ROOT / "src")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell's background jobs ignore interrupts, and so would the programs whose interruption is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    places = {item: _place(item.nodeid) for item in items}
    items.sort(key=lambda item: next((n for n, name in enumerate(FIRST) if places[item].startswith(name)), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share out whole units among the processes of `pytest -n`.

    Not `--dist loadgroup`: pytest-xdist 3.8 writes groups into an attribute that pytest 9.2 no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)


def unit(nodeid: str) -> str:
    """Return the unit of a test: everything in a unit runs in the same process, one after the other."""
    place = _place(nodeid)
    return next((name for name, parts in UNITS.items() if place.startswith(parts)), place)


def _place(nodeid: str) -> str:
    """Return the test's file, seen from the folder of all tests."""
    return nodeid.partition("::")[0].removeprefix("tests/")


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder with random weights, exported with the real exporter: at most 64 latent frames (2.97 s).

    Tests must not change it; copy it first.
    """
    return _copied("tiny", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_float_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with float32 weights, as `arctone export litert` writes it."""
    return _copied("tiny-float32", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_controls_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a few-step one that receives all controls and known latents; see tests/tiny_model.py."""
    return _copied("tiny-controls", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_published_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published models with random weights, and their graphs: see tests/tiny_published.py."""
    from tests.tiny_published import convert_tiny_published

    return convert_tiny_published(tmp_path_factory.mktemp("weights"), _copied("tiny-published", tmp_path_factory))


def _copied(name: str, paths: pytest.TempPathFactory) -> Path:
    """Copy an export written by `python -m tests.write_exports`; tests/export/test_tiny_models.py proves it fresh."""
    folder = paths.mktemp("models") / name
    shutil.copytree(EXPORTS / name, folder)
    for path in folder.rglob("*"):  # as an export leaves them, whatever the checkout's umask was
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder
