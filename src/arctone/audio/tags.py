"""What a sound file says about itself: a JSON record in its comment tag, and the AI mark in plain sight."""

import json
from pathlib import Path
from typing import Any

import soundfile

from arctone.audio import wav_chunks as riff
from arctone.audio.sndfile import reason, refuse_unreadable
from arctone.errors import InputFileError, UsageError
from arctone.files.text import parse_json, printable

MARK = "AI-generated"
# libsndfile drops longer comments of WAV files without a word and writes broken Opus files with them.
MAX_RECORD_BYTES = 50_000
_TITLE_LENGTH = 100


def as_tags(record: dict[str, Any], format: str) -> dict[str, str]:
    """Tags for libsndfile: comment (the whole record), title, artist and software, the latter two with the mark.

    Args: record: JSON-ready; "prompt" (or "request"/"prompt") becomes the title, "version" goes into software.
    Raises: UsageError if the record is too long for some format; ValueError if it is not JSON-ready.
    """
    mark = f"arctone ({MARK})"
    software = f"arctone {record['version']} ({MARK})" if "version" in record else mark
    # The tags of an MP3 are Latin-1 and libsndfile does not convert, so everything else is escaped there.
    comment = json.dumps({"mark": MARK, **record}, ensure_ascii=format == "mp3", allow_nan=False)
    size = len(comment.encode())
    if size > MAX_RECORD_BYTES:
        raise UsageError(f"metadata must fit {MAX_RECORD_BYTES} bytes as JSON, got {size}.", field="metadata")
    tags = {"comment": comment, "artist": mark, "software": software}
    title = _title(record)
    if title and (format != "mp3" or title.isascii()):
        tags["title"] = title
    return tags


def read_metadata(path: str | Path) -> dict[str, Any] | None:
    """The record that arctone wrote into a sound file; None if the file carries none.

    Raises: InputFileError if the file cannot be read as sound.
    """
    path = Path(path)
    refuse_unreadable(path)
    try:
        with soundfile.SoundFile(path) as file:
            comment = file.comment
    except (soundfile.LibsndfileError, OSError) as problem:
        raise InputFileError(f"{path} is not a sound file that can be read: {reason(problem)}.") from None
    # libsndfile does not give back long comments of a WAV file, although it writes them.
    return _parsed(riff.info_strings(path).get("ICMT", comment))


def prompt_of(record: dict[str, Any]) -> str:
    """The prompt that a record states, in one line; "" if it states none."""
    request = record.get("request", record)
    prompt = request.get("prompt", "") if isinstance(request, dict) else ""
    return " ".join(printable(str(prompt)).split())


def _title(record: dict[str, Any]) -> str:
    words = prompt_of(record)
    return "".join(character for character in words if character.isprintable())[:_TITLE_LENGTH]


def _parsed(comment: str) -> dict[str, Any] | None:
    try:
        record = parse_json(comment[: 2 * MAX_RECORD_BYTES])
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("mark") == MARK else None
