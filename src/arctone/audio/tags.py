"""Records and tags in audio files: chunks of WAV files, comments of FLAC, Ogg and MP3."""

import io
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import soundfile

from arctone.audio import formats as ogg
from arctone.audio.formats import reason, refuse_unreadable
from arctone.errors import InputFileError, UsageError
from arctone.files.text import parse_json, printable

# A recorder that streams does not know the length beforehand and writes one of these.
_MAX_CHUNKS, _MAX_INFO_BYTES = 10_000, 1_000_000
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFF000)


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """List the chunks of a RIFF WAVE file.

    Args:
        file: Open for reading, at its beginning.

    Yields:
        Name, offset of the content, and size in bytes as the chunk states it.
    """
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
    """Read the LIST INFO strings of a WAV file.

    Args:
        path: The file.

    Returns:
        Strings by their four-letter names; empty if there are none.
    """
    with open(path, "rb") as file:
        for name, offset, size in chunks(file):
            if name == b"LIST" and size >= 4:
                file.seek(offset)
                content = file.read(min(size, _MAX_INFO_BYTES))
                if content[:4] == b"INFO":
                    return dict(_strings(content[4:]))
    return {}


def without_time(data: bytes) -> bytes:
    """Set the clock time in the PEAK chunk of a WAV file (32-bit float) to 0, so that equal sounds give equal bytes.

    Args:
        data: The file.

    Returns:
        The changed file.
    """
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


_FLAC_COMMENT, _FLAC_LAST = 4, 0x80
_MAX_FLAC_BLOCK = 2**24


def with_comments(data: bytes, comments: Mapping[str, str]) -> bytes:
    """The same FLAC, Ogg Vorbis or Opus file with more comments.

    Args:
        data: A file that libsndfile wrote, which has comments already.
        comments: By name, in ASCII.

    Returns:
        The bytes of the file.

    Source: RFC 9639, section 8; RFC 7845, section 5.2; the Vorbis I specification, section 5.
    """
    if not comments:
        return data
    if data[:4] == b"fLaC":
        return _with_flac_comments(data, comments)
    with_setup = data[28:35] == b"\x01vorbis"  # the packet after the comments is part of the headers, too
    packets = ogg.header_packets(data, 2 if with_setup else 1)
    start = 7 if with_setup else 8
    end = _comments_end(packets[0], start)
    packets[0] = packets[0][:start] + _with_entries(packets[0][start:end], comments) + packets[0][end:]
    return ogg.with_header_packets(data, packets)


def _with_flac_comments(data: bytes, comments: Mapping[str, str]) -> bytes:
    at = 4
    while True:
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        if kind & ~_FLAC_LAST == _FLAC_COMMENT:
            block = _with_entries(data[at + 4 : at + 4 + size], comments)
            if len(block) >= _MAX_FLAC_BLOCK:
                return data
            return data[: at + 1] + len(block).to_bytes(3, "big") + block + data[at + 4 + size :]
        if kind & _FLAC_LAST:
            return data
        at += 4 + size


def _with_entries(block: bytes, comments: Mapping[str, str]) -> bytes:
    """A block of comments (vendor, count, entries) with more of them."""
    count_at = 4 + int(struct.unpack_from("<I", block)[0])
    (count,) = struct.unpack_from("<I", block, count_at)
    entries = [f"{name}={value}".encode() for name, value in comments.items()]
    added = b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    return block[:count_at] + struct.pack("<I", count + len(entries)) + block[count_at + 4 :] + added


def _comments_end(packet: bytes, start: int) -> int:
    """Where the entries end in a packet of comments; padding or a framing bit follows."""
    at = start + 4 + int(struct.unpack_from("<I", packet, start)[0])
    (count,) = struct.unpack_from("<I", packet, at)
    at += 4
    for _ in range(count):
        at += 4 + int(struct.unpack_from("<I", packet, at)[0])
    return at


def with_id3_tempo(data: bytes, bpm: str) -> bytes:
    """The same MP3 file with its tempo, in the frame TBPM of its tag.

    Args:
        data: An MP3 file, with a tag of ID3v2.3 in front or none.
        bpm: Beats per minute, in ASCII digits.

    Returns:
        The bytes of the file.
    """
    text = b"\0" + bpm.encode()
    frame = b"TBPM" + len(text).to_bytes(4, "big") + b"\0\0" + text
    if data[:4] != b"ID3\3":
        return b"ID3\3\0\0" + _synchsafe(len(frame)) + frame + data
    size = sum(byte << 7 * (3 - place) for place, byte in enumerate(data[6:10]))
    return data[:6] + _synchsafe(size + len(frame)) + frame + data[10:]


def _synchsafe(size: int) -> bytes:
    """A size in four bytes of seven bits."""
    return bytes(size >> 7 * place & 0x7F for place in (3, 2, 1, 0))


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
    """Read the prompt from a record.

    Args:
        record: The record of a sound file.

    Returns:
        The prompt in one line; "" if the record states none.
    """
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
