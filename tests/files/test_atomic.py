"""A file is written whole or not at all, and never over something by accident."""

import os
from pathlib import Path

import pytest

from arctone.errors import UsageError
from arctone.files.atomic import write_atomically


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
