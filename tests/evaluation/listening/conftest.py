"""Makes the helpers of this folder importable, and builds one test of each kind."""

from pathlib import Path

import pytest

from arctone.evaluation.listening.build import Built
from tests.evaluation.listening.made_systems import built, make_systems


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders zephyr, quartz, ember and real: nine prompts with two clips of each system and one real sound."""
    return make_systems(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="session")
def page_test(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A test on our page: eight prompts, one more for practice."""
    return built(sounds, tmp_path_factory.mktemp("page") / "test")


@pytest.fixture(scope="session")
def mushra_test(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The same for webMUSHRA, under a title that is hard to quote."""
    return built(sounds, tmp_path_factory.mktemp("mushra") / "test", kind="webmushra", title='Rain & "wind": <1> é')
