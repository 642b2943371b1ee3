"""A memory control group holds what is put into it, or there is none and the caller gets an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory_cap import forget, memory_group

TAKES = (
    "import sys; data = bytearray(int(sys.argv[1]) << 20); data[::4096] = b'1' * len(data[::4096]); print(len(data))"
)


def _taking(megabytes: int, enter: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TAKES, str(megabytes)]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=enter)  # type: ignore[call-overload, no-any-return]


def test_a_process_over_the_limit_ends_and_one_below_it_does_not() -> None:
    with memory_group(100.0) as group:
        if group is None:
            pytest.skip("this system lets us make no memory control group")
        below, above = _taking(40, group.enter), _taking(300, group.enter)
        peak = group.peak_mb()
    assert below.returncode == 0, below.stderr
    assert above.returncode != 0
    assert peak is None or 40 < peak <= 101
    assert not group.folder.exists()


@pytest.mark.parametrize(("version", "name"), [("memory", "memory.limit_in_bytes"), ("", "memory.max")])
def test_the_limit_is_written_where_the_version_keeps_it(tmp_path: Path, version: str, name: str) -> None:
    (tmp_path / version).mkdir(exist_ok=True)
    with memory_group(512.0, tmp_path) as group:
        assert group is not None
        assert group.folder.parent == tmp_path / version
        assert (group.folder / name).read_text() == "512000000"
        assert group.peak_mb() is None
        for file in group.folder.iterdir():
            file.unlink()
    assert not group.folder.exists()


def test_without_control_groups_there_is_none(tmp_path: Path) -> None:
    with memory_group(512.0, tmp_path / "nothing") as group:
        assert group is None
    assert os.listdir(tmp_path) == []


def test_a_forgotten_file_is_charged_to_its_next_reader(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "weights").write_bytes(os.urandom(30 << 20))
    peaks = []
    for first in (forget, lambda folder: (folder / "inner" / "weights").read_bytes()):
        first(tmp_path)
        with memory_group(200.0) as group:
            if group is None:
                pytest.skip("this system lets us make no memory control group")
            code = "import sys; file = open(sys.argv[1], 'rb')\nwhile file.read(1 << 20): pass"
            subprocess.run(
                [sys.executable, "-c", code, str(tmp_path / "inner" / "weights")], preexec_fn=group.enter, check=True
            )
            peaks.append(group.peak_mb())
    if None in peaks:
        pytest.skip("this system does not keep the most that a group was charged")
    assert peaks[0] - peaks[1] > 25
