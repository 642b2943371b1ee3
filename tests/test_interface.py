"""Commands, options and public names change on purpose only, and the words of pages are the field's."""

from pathlib import Path

import pytest

from tests.conftest import unit
from tools import interface, words


def test_the_names_that_users_depend_on_are_those_of_the_list() -> None:
    changed = interface.difference()
    assert not changed, f"if this is meant, run python -m tools.interface and say so in CHANGELOG.md:\n{changed}"


def test_a_lost_option_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    more = tmp_path / "interface.txt"
    more.write_text(interface.interface() + "arctone generate --louder\n")
    monkeypatch.setattr(interface, "KEPT", more)
    assert "-arctone generate --louder" in interface.difference()
    assert interface.main(["--check"]) == 1


def test_retired_words_are_found_where_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A game engine loads it.\nThe sound is judged in `judged_calls`.\nForget the judgement, anew.\n")
    assert [(found.line, found.word) for found in words.retired(page)] == [(2, "judged"), (2, "judged"), (3, "anew")]


def test_changelog_and_lab_notes_keep_their_words() -> None:
    read = {path.relative_to(words.ROOT).as_posix() for path in words.pages()}
    assert {"README.md", "src/arctone/__init__.py", "docs/index.md"} <= read
    assert not [path for path in read if path == "CHANGELOG.md" or path.startswith("docs/lab")]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("tests/serving/studio/test_live.py::test_a[x]", "browsers"),
        ("tests/evaluation/listening/test_page.py::test_b", "browsers"),
        ("tests/serving/http/test_jobs.py::test_e", "servers"),
        ("tests/evaluation/listening/test_orders.py::test_c", "evaluation/listening/test_orders.py"),
        ("tests/export/test_onnx.py::test_d", "exports"),
    ],
)
def test_browsers_and_servers_have_a_process_each_and_files_stay_whole(test: str, expected: str) -> None:
    assert unit(test) == expected
