"""A file is written whole or not at all, and never over something by accident."""

import itertools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arctone.errors import UsageError
from arctone.files import atomic
from arctone.files.atomic import (
    clear_leftovers,
    file_atomically,
    folder_atomically,
    temporary_folder,
    write_atomically,
    write_to_first_free,
)


def test_writes_and_replaces_only_with_force(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_atomically(target, b"one")
    with pytest.raises(UsageError, match="already exists"):
        write_atomically(target, b"two")
    assert target.read_bytes() == b"one"
    write_atomically(target, b"two", force=True)
    assert target.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def disk_is_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(UsageError, match=r"a\.bin cannot be written: no space left on device\.$"):
        write_atomically(target, b"new", force=True)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("no-such-folder/a.bin", "the folder .* does not exist"),
        (".", "is a folder"),
        ("x" * 300, "cannot be written"),
        ("a\0b", "cannot be written"),
    ],
)
def test_impossible_targets_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_atomically(tmp_path / name, b"", force=True)
    assert os.listdir(tmp_path) == []


def test_devices_are_never_replaced() -> None:
    with pytest.raises(UsageError, match="no regular file"):
        write_atomically("/dev/null", b"", force=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="read-only"):
        write_atomically(tmp_path / "a.bin", b"")


def test_links_are_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new", force=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_long_unicode_names(tmp_path: Path) -> None:
    target = tmp_path / ("音" * 84)
    write_atomically(target, b"x")
    assert target.read_bytes() == b"x"


def test_usual_permissions(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_bytes(b"")
    write_atomically(ours, b"")
    assert ours.stat().st_mode == plain.stat().st_mode


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "elsewhere"
    link.symlink_to(target)
    for force in (False, True):
        with pytest.raises(UsageError, match="link that leads nowhere"):
            write_atomically(link, b"new", force=force)
    assert not target.exists()


def test_what_appears_while_a_file_is_written_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"

    def write() -> None:
        with file_atomically(target) as part:
            part.write_bytes(b"ours")
            target.write_bytes(b"theirs")

    with pytest.raises(UsageError, match="already exists"):
        write()
    assert target.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_many_writers_of_one_name_lose_nothing(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _refuse_link)
    (tmp_path / "a-2").symlink_to(tmp_path / "nowhere")

    def names() -> Iterator[Path]:
        return (tmp_path / f"a-{number}" for number in itertools.count())

    with ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda number: write_to_first_free(names(), b"%d" % number), range(24)))
    assert sorted(path.read_bytes() for path in paths) == sorted(b"%d" % number for number in range(24))
    assert not (tmp_path / "nowhere").exists()
    assert len(os.listdir(tmp_path)) == 25


def _refuse_link(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def fill(out: Path, content: str, *, kind: str = "model", force: bool = True) -> None:
    with folder_atomically(out, kind, force=force) as folder:
        (folder / "inside").mkdir()
        (folder / "inside" / "weights").write_text(content)


def test_a_folder_appears_whole_and_is_replaced_with_force(tmp_path: Path) -> None:
    out = tmp_path / "above" / "out"
    fill(out, "one", force=False)
    with pytest.raises(UsageError, match="already exists"):
        fill(out, "two", force=False)
    (out / ".DS_Store").write_bytes(b"")
    fill(out, "two")
    assert (out / "inside" / "weights").read_text() == "two"
    assert os.listdir(out.parent) == ["out"]


@pytest.mark.parametrize("setup", ["another", "another kind", "letter", "letter inside", "link inside", "file"])
def test_what_arctone_did_not_write_is_never_removed(tmp_path: Path, setup: str) -> None:
    out = tmp_path / "out"
    if setup == "file":
        out.write_text("precious")
    elif setup == "another":
        (out / "sub").mkdir(parents=True)
        (out / "sub" / "letter.txt").write_text("precious")
    else:
        fill(out, "one", kind="report" if setup == "another kind" else "model")
    if setup == "letter":
        (out / "letter.txt").write_text("precious")
    if setup == "letter inside":
        (out / "inside" / "letter.txt").write_text("precious")
    if setup == "link inside":
        (out / "link").symlink_to(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match=r"so it is not replaced|is no folder"):
        fill(out, "two")
    assert snapshot(tmp_path) == before


def test_an_empty_folder_may_be_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", "one", force=False)
    assert (tmp_path / "out" / "inside" / "weights").read_text() == "one"


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "out", os.rename
    fill(out, "one")
    before = snapshot(tmp_path)

    def fails(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(UsageError, match="input/output error"):
        fill(out, "two")
    assert snapshot(tmp_path) == before


def test_an_error_of_the_work_itself_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of its own"), folder_atomically(tmp_path / "out", "model"):
        raise ValueError("of its own")
    with pytest.raises(UsageError, match="no space left"), folder_atomically(tmp_path / "out", "model"):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    with file_atomically(tmp_path / "a") as part:
        in_child(lambda: clear_leftovers(tmp_path))
        part.write_bytes(b"whole")
    with temporary_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        in_child(lambda: clear_leftovers(tmp_path))
        assert folder.is_dir()
    assert os.listdir(tmp_path) == ["a"]


def test_names_that_only_look_like_leftovers_stay(tmp_path: Path) -> None:
    names = [".arctone-notes", "arctone-0123456789abcdef.part", ".arctone-0123456789abcdef.part.txt"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / ".arctone-0123456789abcdef.part").symlink_to(tmp_path / names[0])
    in_child(lambda: clear_leftovers(tmp_path))
    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_nothing_is_lost_and_the_next_start_clears(tmp_path: Path) -> None:
    """A writer of files and folders is killed 30 times; old or new content is there each time, and whole."""
    out, file = tmp_path / "out", tmp_path / "file"
    draws = random.Random(7)

    def write_on() -> None:
        for number in itertools.count():
            fill(out, f"{number} whole")
            write_atomically(file, b"%d whole" % number, force=True)

    fill(out, "0 whole")
    for _ in range(30):
        child = fork(write_on)
        time.sleep(draws.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        in_child(lambda: clear_leftovers(tmp_path))
        assert (out / "inside" / "weights").read_text().endswith(" whole")
        assert not file.exists() or file.read_bytes().endswith(b" whole")
        assert set(os.listdir(tmp_path)) <= {"out", "file"}


def test_a_killed_exchange_is_taken_back(tmp_path: Path) -> None:
    """The one moment at which neither the old nor the new folder has the name."""
    out = tmp_path / "out"
    fill(out, "one")

    def die_between() -> None:
        rename = os.rename

        def dies(source: Path, target: Path) -> None:
            if Path(source).name == "new":
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target)

        os.rename = dies
        fill(out, "two")

    os.waitpid(fork(die_between), 0)
    assert not out.exists()
    in_child(lambda: fill(out, "three", force=False), expect=1)  # refused: the old one is back
    assert (out / "inside" / "weights").read_text() == "one"
    assert os.listdir(tmp_path) == ["out"]


def test_a_run_killed_while_it_removes_the_old_folder_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "one")

    def die_removing() -> None:
        def dies(folder: Path, **_: object) -> None:
            (folder / "target").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

        shutil.rmtree = dies
        fill(out, "two")

    os.waitpid(fork(die_removing), 0)
    in_child(lambda: clear_leftovers(tmp_path))
    assert (out / "inside" / "weights").read_text() == "two"
    assert os.listdir(tmp_path) == ["out"]


def snapshot(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def fork(work: Callable[[], object]) -> int:
    """Run the work in a process of its own that has looked through no folder yet."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            atomic._cleared.clear()
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def in_child(work: Callable[[], object], expect: int = 0) -> None:
    _, status = os.waitpid(fork(work), 0)
    assert os.waitstatus_to_exitcode(status) == expect
