"""A hard cap on a process's memory, mapped files included: a memory control group of Linux, of either version."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Files:
    """Names that the two versions of control groups give to the same things."""

    limit: str
    peak: str
    swap: str


_FILES = {
    "memory": Files("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.memsw.limit_in_bytes"),
    "": Files("memory.max", "memory.peak", "memory.swap.max"),
}


@dataclass(frozen=True)
class MemoryGroup:
    """A group that processes may be put into. folder: of the group."""

    folder: Path
    files: Files

    def enter(self) -> None:
        """Put the calling process into the group; for `preexec_fn`."""
        (self.folder / "cgroup.procs").write_text("0")

    def peak_mb(self) -> float | None:
        """The most memory that was charged to the group, or None where the system does not keep it."""
        try:
            return int((self.folder / self.files.peak).read_text()) / 1e6
        except OSError:
            return None


def forget(folder: Path) -> None:
    """Take a folder's files out of the system's memory, so that whoever reads them next is charged for them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())  # what is not yet on the disk stays
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def memory_group(limit_mb: float, root: Path = ROOT) -> Iterator[MemoryGroup | None]:
    """A group with a limit; None where the system or its rights do not allow one.

    Pages of files that the group's processes read or map count too; the system takes those back where it can before it
    ends a process.
    """
    for name, files in _FILES.items():
        folder = root / name / f"arctone-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            yield _limited(folder, files, limit_mb)
        finally:
            _removed(folder)
        return
    yield None


def _limited(folder: Path, files: Files, limit_mb: float) -> MemoryGroup | None:
    try:
        (folder / files.limit).write_text(str(int(limit_mb * 1e6)))
    except OSError:  # the group is there, but without the control of memory
        return None
    with contextlib.suppress(OSError):  # without swap there is nothing to forbid
        (folder / files.swap).write_text("0" if files.swap == "memory.swap.max" else str(int(limit_mb * 1e6)))
    return MemoryGroup(folder, files)


def _removed(folder: Path) -> None:
    # A group is busy for a moment after its last process has ended.
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.1)
