"""The one way to write files and folders: whole or not at all, and never over something by accident.

Everything is written next to its target, under a name of its own (`.arctone-<16 hex digits>.part`), flushed to the disk
and renamed. The writer holds a lock on what it writes. A process that is killed loses its locks, so the next one that
writes to the same folder knows which leftovers nobody owns; it puts back what was moved aside and removes the rest.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from arctone.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Lists what arctone wrote into a folder, one path a line after a line with the folder's kind.
MARKER = ".arctone"
_PART = re.compile(r"\.arctone-[0-9a-f]{16}\.part")
_NEW, _OLD, _TARGET = "new", "old", "target"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# What desktops put into folders by themselves.
_DESKTOP = (".DS_Store", "Thumbs.db", "desktop.ini")
# Folders that this process has looked through for leftovers.
_cleared: set[tuple[int, int]] = set()


def write_atomically(path: str | Path, data: bytes | memoryview, *, force: bool = False) -> None:
    """Write bytes so that a reader sees all of them or nothing.

    Args:
        path: The file; a link to a file is followed, one that leads nowhere is refused.
        data: Its content.
        force: Replace a file that is already there.

    Raises:
        UsageError: If the target exists and force is off, is no regular file, or cannot be written.
    """
    with file_atomically(path, force=force) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def file_atomically(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Yield the path of an empty file to fill, which takes its place and name at the end.

    Args:
        path: The file; a link to a file is followed, one that leads nowhere is refused.
        force: Replace a file that is already there.

    Yields:
        The file next to the target; nothing is left of it if the block fails.

    Raises:
        UsageError: If the target exists and force is off, is no regular file, or cannot be written.
    """
    target = Path(path)
    with contextlib.ExitStack() as stack:
        with _named(target):
            refuse_target(target, force=force)
            place = target.resolve()
            part = stack.enter_context(_part_file(place.parent))
        with _full_disk(target):
            yield part
        with _named(target):
            _flush(part)
            refuse_target(target, force=force)
            try:
                (os.replace if force else _publish_new)(part, place)
            except FileExistsError:
                raise UsageError(_exists(target), field="path", value=str(path)) from None
            _flush_folder(place.parent)


def write_to_first_free(paths: Iterable[Path], data: bytes) -> Path:
    """Write bytes under the first name that nothing has yet, not even a link that leads nowhere.

    Several writers at once get different names, and nothing is ever replaced.

    Args:
        paths: Names to try, in one folder; may be endless.
        data: The file's content.

    Returns:
        The path that was taken.

    Raises:
        UsageError: If the folder cannot be written or no name is free.
    """
    names = iter(paths)
    first = next(names)
    with _named(first), _part_file(first.parent) as part:
        part.write_bytes(data)
        _flush(part)
        path: Path | None = first
        while path is not None:
            try:
                _publish_new(part, path)
            except FileExistsError:
                path = next(names, None)
            else:
                _flush_folder(path.parent)
                return path
        raise FileExistsError(errno.EEXIST, "no name is free")


@contextlib.contextmanager
def folder_atomically(out: str | Path, kind: str, *, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes its place and name at the end.

    Args:
        out: The folder; the folders above it are made at need.
        kind: What it holds, in a word or two, such as "model".
        force: Replace a folder of this kind that arctone wrote and nobody added to.

    Yields:
        The folder next to the target; nothing is left of it if the block fails.

    Raises:
        UsageError: If the target is taken, holds something else, or cannot be written.
    """
    target = Path(out)
    with contextlib.ExitStack() as stack:
        with _named(target):
            refuse_folder(target, kind, force=force)
            place = target.resolve()
            place.parent.mkdir(parents=True, exist_ok=True)
            clear_leftovers(place.parent)
            staging = stack.enter_context(_part_folder(place.parent))
            (staging / _TARGET).write_text(place.name, encoding="utf-8")
            new = staging / _NEW
            new.mkdir()
        with _full_disk(target):
            yield new
        with _named(target):
            _finish_folder(new, kind)
            refuse_folder(target, kind, force=force)
            _exchange(staging, place)


@contextlib.contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder that only its owner may enter, and remove it with its content at the end.

    Args:
        parent: Where it is made; None = the system's folder for temporary files. Leftovers there are removed.

    Yields:
        The folder.

    Raises:
        OSError: If the folder cannot be made.
    """
    place = parent or Path(tempfile.gettempdir())
    clear_leftovers(place)
    with _part_folder(place) as folder:
        yield folder


def refuse_target(path: Path, *, force: bool = False) -> None:
    """Raise UsageError if a file cannot be put there; ask before long work, not after it."""
    try:
        problem = _hindrance(path, force)
    except (OSError, ValueError) as error:
        problem = f"{path} cannot be written: {_reason(error)}."
    if problem:
        raise UsageError(problem, field="path", value=str(path))


def refuse_folder(target: Path, kind: str, *, force: bool = False) -> None:
    """Raise UsageError if a folder cannot be made there; ask before long work, not after it.

    Args:
        target: The folder.
        kind: See `folder_atomically`.
        force: Whether one that is there may be replaced.
    """
    try:
        if target.parent.is_dir():
            clear_leftovers(target.parent)
        problem = _folder_hindrance(target, kind, force)
    except (OSError, ValueError) as error:
        problem = f"{target} cannot be written: {_reason(error)}."
    if problem:
        raise UsageError(problem, field="path", value=str(target))


def clear_leftovers(folder: Path) -> None:
    """Remove what killed runs of this program left half-written in a folder; put back what they had moved aside.

    What a running process is still writing is locked and stays. A process looks through each folder once.
    """
    with contextlib.suppress(OSError):
        about = folder.stat()
        key = (about.st_dev, about.st_ino)
        if key in _cleared:
            return
        _cleared.add(key)
        for name in os.listdir(folder):
            if _PART.fullmatch(name):
                _clear(folder / name)


def _clear(part: Path) -> None:
    with contextlib.suppress(OSError):
        if part.is_symlink() or (hasattr(os, "geteuid") and part.lstat().st_uid != os.geteuid()):
            return
        lock = _lock(part)
        if lock is None:
            return
        try:
            if part.is_dir():
                _put_back(part)
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
        finally:
            os.close(lock)


def _put_back(staging: Path) -> None:
    """Return the folder that was moved aside for one that never came."""
    old, named = staging / _OLD, staging / _TARGET
    # Without the name the exchange was over, and the killed run was already removing the old folder.
    if old.is_dir() and named.is_file():
        target = staging.parent / named.read_text(encoding="utf-8")
        if target.parent == staging.parent and not os.path.lexists(target):
            old.rename(target)


def _lock(path: Path) -> int | None:
    """Descriptor that holds a lock on a file or folder, or None if another process has one."""
    if fcntl is None:
        return _lock_by_opening(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _lock_by_opening(path: Path) -> int | None:
    """Without locks: what nobody has touched for a day is nobody's."""
    import time

    is_old = time.time() - path.stat().st_mtime > 86_400
    return os.open(os.devnull, os.O_RDONLY) if is_old else None


@contextlib.contextmanager
def _part_file(folder: Path) -> Iterator[Path]:
    clear_leftovers(folder)
    part, own = _claim(folder, lambda path: os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    try:
        yield part
    finally:
        os.close(own)
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _part_folder(parent: Path) -> Iterator[Path]:
    part, own = _claim(parent, _open_new_folder)
    try:
        yield part
    finally:
        os.close(own)
        shutil.rmtree(part, ignore_errors=True)


def _open_new_folder(path: Path) -> int:
    path.mkdir(mode=0o700)
    return os.open(path if fcntl is not None else os.devnull, os.O_RDONLY)


def _claim(folder: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """Make a part under a new name and lock it; if another process clears it in between, the next name is tried."""
    for _ in range(10):
        part = folder / f".arctone-{secrets.token_hex(8)}.part"
        descriptor = make(part)
        if fcntl is None:
            break
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks
            break
        if part.exists():
            break
        os.close(descriptor)
    return part, descriptor


def _publish_new(part: Path, target: Path) -> None:
    """Give a file its name in one step, or raise FileExistsError if something has it."""
    try:
        os.link(part, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without hard links: the name is taken first, then filled
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.replace(part, target)


def _finish_folder(new: Path, kind: str) -> None:
    """Write the marker, let all read what is there (some writers make private files), and flush everything."""
    files = sorted(path for path in new.rglob("*") if not path.is_dir())
    lines = [kind, *(path.relative_to(new).as_posix() for path in files)]
    (new / MARKER).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for path in [*files, new / MARKER]:
        path.chmod(0o644)
        _flush(path)
    for path in [*(path for path in new.rglob("*") if path.is_dir()), new]:
        _flush_folder(path)


def _exchange(staging: Path, target: Path) -> None:
    """Move what is there aside, put the new folder in its place; if that fails, put the old one back."""
    old = staging / _OLD
    if target.exists():
        os.rename(target, old)
    try:
        os.rename(staging / _NEW, target)
    except BaseException:
        _put_back(staging)
        raise
    _flush_folder(target.parent)


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Flush the names of a folder; where the system cannot, the renaming is still atomic."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """What the system refuses, as a sentence about a path."""
    try:
        yield
    except UsageError:
        raise
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path} cannot be written: {_reason(problem)}.", field="path", value=str(path)) from problem


@contextlib.contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    """What the system says about the disk while a block writes, as a sentence; other errors of the block stay."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in _DISK:
            raise
        raise UsageError(f"{path} cannot be written: {_reason(problem)}.", field="path", value=str(path)) from problem


def _hindrance(path: Path, force: bool) -> str:
    if path.is_dir():
        return f"{path} is a folder, but a file name is needed."
    if not path.parent.is_dir():
        return f"{path} cannot be written: the folder {path.parent} does not exist."
    if path.is_symlink() and not path.exists():
        return f"{path} is a link that leads nowhere, so it is not written through."
    if path.exists() and not path.is_file():
        return f"{path} is no regular file, so it cannot be replaced."
    if path.exists() and not force:
        return _exists(path)
    if not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        return f"{path} cannot be written: the folder {path.parent} is read-only."
    return ""


def _folder_hindrance(target: Path, kind: str, force: bool) -> str:
    if os.path.lexists(target) and not target.is_dir():
        return f"{target} is no folder, but a folder is needed."
    above = next((folder for folder in target.absolute().parents if folder.exists()), Path("/"))
    if not above.is_dir():
        return f"{target} cannot be written: {above} is no folder."
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{target} cannot be written: the folder {above} is read-only."
    if not target.exists() or not any(target.iterdir()):
        return ""
    if not force:
        return _exists(target)
    own = _marked(target, kind)
    if own is None:
        return f"{target} holds something that is no {kind} folder of arctone, so it is not replaced."
    foreign = next((name for name in _names(target) if name not in own and Path(name).name not in _DESKTOP), None)
    if foreign is not None:
        return f"{target} also holds {foreign}, which arctone did not write there, so it is not replaced."
    return ""


def _marked(folder: Path, kind: str) -> set[str] | None:
    """Paths that arctone wrote into a folder of this kind; None if it is another folder."""
    try:
        with open(folder / MARKER, encoding="utf-8") as file:
            first, *names = file.read(10_000_000).splitlines()
    except (OSError, ValueError):
        return None
    return {MARKER, *names} if first == kind else None


def _names(folder: Path) -> Iterator[str]:
    """Paths of all files, links and empty folders below a folder; links are not followed."""
    for place, folders, files in os.walk(folder):
        for name in files + [each for each in folders if os.path.islink(os.path.join(place, each))]:
            yield Path(place, name).relative_to(folder).as_posix()


def _exists(path: Path) -> str:
    return f"{path} already exists; it is replaced only with force."


def _reason(problem: Exception) -> str:
    return (getattr(problem, "strerror", None) or str(problem)).lower()
