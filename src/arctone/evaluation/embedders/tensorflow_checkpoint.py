"""Tensors out of a TensorFlow checkpoint (format 2: an index beside one data file), in numpy alone.

The index is a sorted string table as LevelDB writes it: blocks of entries whose keys share prefixes, and at the end a
footer that says where the block of blocks lies. Each value is a small protocol buffer with type, shape, offset and
size.

Source: tensorflow/core/util/tensor_bundle and the table format of LevelDB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.errors import ModelError

Array = npt.NDArray[Any]

_MAGIC, _FOOTER_BYTES = 0xDB4775248B80FB57, 48
_UNCOMPRESSED = 0
# Numbers of tensorflow/core/framework/types.proto.
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE = 1, 2, 3, 4, 5


def read_checkpoint(index: Path, data: Path) -> dict[str, Array]:
    """All tensors by name. Raises: ModelError if the files are missing, damaged, compressed or of another type."""
    try:
        table, content = index.read_bytes(), data.read_bytes()
        return {name.decode(): _tensor(_fields(entry), content) for name, entry in _entries(table) if name}
    except OSError as problem:
        raise ModelError(f"{problem.filename} cannot be read: {(problem.strerror or '').lower()}.") from None
    except (IndexError, KeyError, ValueError, struct.error) as problem:
        raise ModelError(f"{index.parent} holds no readable TensorFlow checkpoint: {problem}.") from None


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = table[-_FOOTER_BYTES:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("the index does not end like a table")
    _, place = _handle(footer, 0)
    (offset, size), _ = _handle(footer, place)
    for _, handle in _block(table, offset, size):
        yield from _block(table, *_handle(handle, 0)[0])


def _handle(content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """(offset, size) of a block, and where the next handle begins."""
    offset, place = _varint(content, place)
    size, place = _varint(content, place)
    return (offset, size), place


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if table[offset + size] != _UNCOMPRESSED:
        raise ValueError("the index is compressed")
    block = table[offset : offset + size]
    # At the end stand the places where keys are spelt in full, and their number.
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    key, place = b"", 0
    while place < end:
        shared, place = _varint(block, place)
        added, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + added]
        place += added
        yield key, block[place : place + length]
        place += length


def _tensor(fields: dict[Any, Any], content: bytes) -> Array:
    if fields.get(_SHARD, 0) != 0:
        raise ValueError("the tensors lie in more than one data file")
    dtype: np.dtype[Any] = _TYPES[fields[_DTYPE]]
    offset, size = fields.get(_OFFSET, 0), fields[_SIZE]
    if offset + size > len(content):
        raise ValueError("the data file is too short")
    shape = [_fields(dimension).get(1, 0) for dimension in fields.get("dimensions", [])]
    flat: Array = np.frombuffer(content, dtype, size // dtype.itemsize, offset)
    return flat.reshape(shape)


def _fields(message: bytes) -> dict[Any, Any]:
    """The numbers of a protocol buffer by field; the dimensions of a shape are collected under "dimensions"."""
    found: dict[Any, Any] = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            found[field], place = _varint(message, place)
        elif kind == 5:
            place += 4
        elif kind == 2:
            length, place = _varint(message, place)
            part, place = message[place : place + length], place + length
            if field == _SHAPE:
                found["dimensions"] = list(_repeated(part, _SHAPE))
        else:
            raise ValueError(f"field {field} has the unknown kind {kind}")
    return found


def _repeated(message: bytes, wanted: int) -> Iterator[bytes]:
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == 0:
            _, place = _varint(message, place)
            continue
        length, place = _varint(message, place)
        if tag >> 3 == wanted:
            yield message[place : place + length]
        place += length


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """An unsigned number in groups of seven bits, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
