"""What to know before and after libsndfile: files that it must not open, its complaints in words."""

from pathlib import Path

from arctone.errors import InputFileError

_MISLEADING = "does not exist or is not a regular file"


def reason(problem: Exception) -> str:
    """Why libsndfile refused, without capital and full stop."""
    text = str(getattr(problem, "error_string", problem)).strip().rstrip(".")
    # What is no MP3 although its name ends so is reported as a missing file.
    if _MISLEADING in text:
        return "its content is of no known format"
    return text[:1].lower() + text[1:]


def refuse_unreadable(path: Path, name: str = "") -> bytes:
    """The first bytes of a sound file.

    Args: name: what it is called in errors; its path if empty.
    Raises: InputFileError for a path that is missing, empty, a folder, or a pipe, which could be read for ever.
    """
    name = name or str(path)
    try:
        if path.is_dir():
            raise InputFileError(f"{name} is a folder, but a sound file is needed.")
        if path.exists() and not path.is_file():
            raise InputFileError(f"{name} is no regular file.")
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise InputFileError(f"{name} does not exist.") from None
    except (OSError, ValueError) as problem:
        raise InputFileError(f"{name} cannot be read: {_system_reason(problem)}.") from None
    if not head:
        raise InputFileError(f"{name} is empty.")
    return head


def _system_reason(problem: Exception) -> str:
    return (getattr(problem, "strerror", None) or str(problem)).lower()
