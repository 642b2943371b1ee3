"""Records and tags in audio files: chunks of WAV files, comments of FLAC, Ogg and MP3."""

import io
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import soundfile

from arctone.audio.formats import reason, refuse_unreadable
from arctone.errors import InputFileError, UsageError
from arctone.files.text import parse_json, printable

# A recorder that streams does not know the length beforehand and writes one of these.
_MAX_CHUNKS, _MAX_INFO_BYTES = 10_000, 1_000_000
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFF000)


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Chunks of a RIFF WAVE file as (name, offset of the content, announced size in bytes)."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    offset = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(offset)
        name_and_size = file.read(8)
        if len(name_and_size) < 8:
            return
        name, size = struct.unpack("<4sI", name_and_size)
        yield name, offset + 8, size
        offset += 8 + size + size % 2


def is_cut(file: Path | IO[bytes]) -> bool:
    """Whether a file ends before the samples that its header announces.

    Args:
        file: A path, or an open file.

    Returns:
        True if it does.
    """
    if isinstance(file, Path):
        with open(file, "rb") as opened:
            return is_cut(opened)
    length = file.seek(0, os.SEEK_END)
    sizes = [(offset, size) for name, offset, size in chunks(file) if name == b"data"]
    return any(size not in _UNKNOWN_LENGTHS and offset + size > length for offset, size in sizes)


def is_form_cut(file: Path | IO[bytes]) -> bool:
    """Whether an AIFF file ends before the length that its header announces.

    Args:
        file: A path, or an open file.

    Returns:
        True if it does.
    """
    if isinstance(file, Path):
        with open(file, "rb") as opened:
            return is_form_cut(opened)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(8)
    return head[:4] == b"FORM" and len(head) == 8 and 8 + int(struct.unpack(">I", head[4:])[0]) > length


def info_strings(path: Path) -> dict[str, str]:
    """The LIST INFO strings of a WAV file, by their four-letter names; empty if it has none."""
    with open(path, "rb") as file:
        for name, offset, size in chunks(file):
            if name == b"LIST" and size >= 4:
                file.seek(offset)
                content = file.read(min(size, _MAX_INFO_BYTES))
                if content[:4] == b"INFO":
                    return dict(_strings(content[4:]))
    return {}


def without_time(data: bytes) -> bytes:
    """The same file with the clock time in its PEAK chunk (32-bit float files) set to 0."""
    patched = bytearray(data)
    for name, offset, _ in chunks(io.BytesIO(data)):
        if name == b"PEAK":
            patched[offset + 4 : offset + 8] = bytes(4)
    return bytes(patched)


def with_loop(data: bytes, num_samples: int, sample_rate: int, bpm: float | None, num_beats: int) -> bytes:
    """Mark a WAV file as a loop from its first sample to its last.

    A `smpl` chunk holds the loop points, as samplers read them; with a tempo, an `acid` chunk holds tempo, beats and
    4/4, as sequencers read them.

    Args:
        data: A WAV file.
        num_samples: In each channel.
        sample_rate: In Hz.
        bpm: Beats per minute; None = no tempo.
        num_beats: Of the whole loop.

    Returns:
        The file with the chunks added.
    """
    period_ns = round(1e9 / sample_rate)
    middle_c, forward, for_ever = 60, 0, 0
    head = struct.pack("<9I", 0, 0, period_ns, middle_c, 0, 0, 0, 1, 0)
    parts = [_chunk(b"smpl", head + struct.pack("<6I", 0, forward, 0, num_samples - 1, 0, for_ever))]
    if bpm:
        can_stretch, unused = 4, 0x8000
        parts.append(
            _chunk(b"acid", struct.pack("<IHHfIHHf", can_stretch, middle_c, unused, 0.0, num_beats, 4, 4, bpm))
        )
    whole = data + b"\0" * (len(data) % 2) + b"".join(parts)
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def _strings(content: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        text = content[at + 8 : at + 8 + size].split(b"\0", 1)[0]
        yield name.decode("ascii", "replace"), text.decode("utf-8", "replace")
        at += 8 + size + size % 2


MARK = "AI-generated"
# libsndfile drops longer comments of WAV files without a word and writes broken Opus files with them.
MAX_RECORD_BYTES = 50_000
_TITLE_LENGTH = 100


def as_tags(record: dict[str, Any], format: str) -> dict[str, str]:
    """Make the tags for libsndfile: comment (the whole record), title, artist and software, the latter two with the
    mark.

    Args:
        record: JSON-ready; "prompt" (or "request"/"prompt") becomes the title, "version" goes into software.
        format: Of the file, such as "flac".

    Returns:
        Texts by the name of the tag.

    Raises:
        UsageError: If the record is too long for some format.
        ValueError: If it is not JSON-ready.
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
    """Read the record that arctone wrote into a sound file.

    Args:
        path: The sound file.

    Returns:
        The record; None if the file carries none.

    Raises:
        InputFileError: If the file cannot be read as sound.
    """
    path = Path(path)
    refuse_unreadable(path)
    try:
        with soundfile.SoundFile(path) as file:
            comment = file.comment
    except (soundfile.LibsndfileError, OSError) as problem:
        raise InputFileError(f"{path} is not a sound file that can be read: {reason(problem)}.") from None
    # libsndfile does not give back long comments of a WAV file, although it writes them.
    return _parsed(info_strings(path).get("ICMT", comment))


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
