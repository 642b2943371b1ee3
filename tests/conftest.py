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

import pytest  # noqa: E402

ROOT = Path(__file__).parent.parent
EXPORTS = Path(__file__).parent / "exports"
# Tests that start servers or a browser share one process of `pytest -n`: two browsers on two cores time out. Tests of
# exports share one, because they share what is converted. Of the rest, each file is one unit, as its fixtures are.
UNITS = {
    "servers": ("serving/", "evaluation/listening/test_page.py", "evaluation/listening/test_serve.py"),
    "exports": ("export/",),
}
# What takes longest begins first, so that no process is left with it at the end.
FIRST = ("serving/", "export/test_tiny_models.py", "export/", "docs/", "workflows/", "training/")

# Programs that tests start are those of this tree, installed or not; they find its modules compiled.
os.environ["PYTHONPATH"] = str(ROOT / "src")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell's background jobs ignore interrupts, and so would the programs whose interruption is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its unit for `pytest -n 2 --dist loadgroup`, and begin with the units that take longest."""
    places = {item: _place(item) for item in items}
    for item, place in places.items():
        unit = next((name for name, parts in UNITS.items() if place.startswith(parts)), place)
        item.add_marker(pytest.mark.xdist_group(unit))
    items.sort(key=lambda item: next((n for n, name in enumerate(FIRST) if places[item].startswith(name)), len(FIRST)))


def _place(item: pytest.Item) -> str:
    """Return the test's file, seen from the folder of all tests."""
    return Path(os.path.relpath(item.path, Path(__file__).parent)).as_posix()


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder with random weights, exported with the real exporter: at most 64 latent frames (2.97 s).

    Tests must not change it; copy it first.
    """
    return _copied("tiny", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_float_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with float32 weights and one length, as `arctone export litert` writes it."""
    return _copied("tiny-float32", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_published_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published models with random weights, and their graphs: see tests/tiny_published.py."""
    from tests.tiny_published import convert_tiny_published

    return convert_tiny_published(tmp_path_factory.mktemp("weights"), _copied("tiny-published", tmp_path_factory))


def _copied(name: str, paths: pytest.TempPathFactory) -> Path:
    """Copy an export that `python -m tools.tiny_models` wrote; tests/export/test_tiny_models.py proves it is fresh."""
    folder = paths.mktemp("models") / name
    shutil.copytree(EXPORTS / name, folder)
    for path in folder.rglob("*"):  # as an export leaves them, whatever the checkout's umask was
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder
