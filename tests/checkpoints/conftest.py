"""One converted model of each kind."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from arctone.checkpoints.published.convert import convert  # noqa: E402
from tests.checkpoints.published_folders import ALL_KINDS, KINDS_3, published_folder, t5_folder  # noqa: E402


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders as published, by kind."""
    root = tmp_path_factory.mktemp("published")
    return {kind: published_folder(kind, root / kind) for kind in ALL_KINDS}


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small T5 as published."""
    return t5_folder(tmp_path_factory.mktemp("text") / "t5-base")


@pytest.fixture(scope="session")
def converted(published: dict[str, Path], t5: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders of ours, by kind."""
    root = tmp_path_factory.mktemp("converted")
    for kind, folder in published.items():
        convert(folder, root / kind, None if kind in KINDS_3 else t5, name=kind)
    return {kind: root / kind for kind in published}
