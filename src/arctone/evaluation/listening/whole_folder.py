"""Folders that appear whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arctone.errors import UsageError


@contextmanager
def whole_folder(out: str | Path, marker: str, *, force: bool = False) -> Iterator[Path]:
    """A folder to write into, which takes the name `out` when the block ends well and disappears otherwise.

    Args: marker: a file that folders of this kind hold. force: replace such a folder; any other one is never replaced,
    unless it is empty.
    Raises: UsageError in one sentence if `out` is taken or cannot be written.
    """
    target = Path(out)
    refuse_folder(target, marker, force=force)
    beside = target.with_name(f".arctone-{secrets.token_hex(8)}.part")
    try:
        beside.mkdir()
        yield beside
        _take_place(beside, target)
    except OSError as problem:
        raise UsageError(f"{out} cannot be written: {(problem.strerror or str(problem)).lower()}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def refuse_folder(target: Path, marker: str, *, force: bool) -> None:
    """Raise UsageError if the folder cannot be made; ask before long work, not after it."""
    if not target.parent.is_dir():
        raise UsageError(f"{target} cannot be written: the folder {target.parent} does not exist.")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file, but a folder is needed.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not force:
        raise UsageError(f"{target} already exists; it is replaced only with force.")
    if not (target / marker).is_file():
        raise UsageError(f"{target} holds something else (no {marker}), so it is not replaced.")


def _take_place(beside: Path, target: Path) -> None:
    old = target.with_name(f"{beside.name}.old.part")
    if target.exists():
        os.replace(target, old)
    os.replace(beside, target)
    shutil.rmtree(old, ignore_errors=True)
