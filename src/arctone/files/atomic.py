"""Files and folders written whole or not at all."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from arctone.errors import UsageError


def write_atomically(path: str | Path, data: bytes, *, force: bool = False) -> None:
    """Write bytes beside the target, flush them to the disk, then rename: a reader sees all of them or nothing.

    Args: path: a link is followed. force: replace a file that is already there.
    Raises: UsageError in one sentence if the target exists and force is off, is no regular file, or cannot be written.
    """
    target = Path(path)
    try:
        refuse_target(target, force=force)
        _replace(target.resolve(), data, force)
    except UsageError:
        raise
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path} cannot be written: {_reason(problem)}.") from None


@contextlib.contextmanager
def folder_atomically(out: str | Path, *, force: bool = False) -> Iterator[Path]:
    """An empty folder to be filled, which takes its place and name at the end; nothing is left if that is not reached.

    Args: force: replace a folder that is already there.
    Raises: UsageError if it exists and force is off.
    """
    out = Path(out)
    if out.exists() and not force:
        raise UsageError(f"{out} already exists; it is replaced only with force.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as partial:
        folder = Path(partial) / out.name
        folder.mkdir()
        yield folder
        for path in folder.iterdir():
            path.chmod(0o644)  # some writers make files that only their owner may read
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)


def refuse_target(path: Path, *, force: bool = False) -> None:
    """Raise UsageError if a file cannot be put there; ask before long work, not after it."""
    try:
        problem = _hindrance(path, force)
    except (OSError, ValueError) as error:
        problem = f"{path} cannot be written: {_reason(error)}."
    if problem:
        raise UsageError(problem)


def _hindrance(path: Path, force: bool) -> str:
    if path.is_dir():
        return f"{path} is a folder, but a file name is needed."
    if not path.parent.is_dir():
        return f"{path} cannot be written: the folder {path.parent} does not exist."
    if path.exists() and not path.is_file():
        return f"{path} is no regular file, so it cannot be replaced."
    if path.exists() and not force:
        return f"{path} already exists; it is replaced only with force."
    if not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        return f"{path} cannot be written: the folder {path.parent} is read-only."
    return ""


def _replace(target: Path, data: bytes, force: bool) -> None:
    beside = target.with_name(f".arctone-{secrets.token_hex(8)}.part")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        refuse_target(target, force=force)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _reason(problem: Exception) -> str:
    return (getattr(problem, "strerror", None) or str(problem)).lower()
