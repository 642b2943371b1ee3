"""Tables as JSON lines: one typed record a line, written whole, read strictly."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from arctone.errors import InputFileError
from arctone.files.atomic import write_atomically
from arctone.files.text import read_bytes

T = TypeVar("T")


def write_records(path: Path, records: Iterable[msgspec.Struct]) -> None:
    """Write one record a line; the same records give the same bytes, and a reader sees all of them or nothing."""
    encode = msgspec.json.Encoder().encode
    write_atomically(path, b"".join(encode(record) + b"\n" for record in records), force=True)


def read_records(path: Path, record_type: type[T]) -> list[T]:
    """Read a table written by write_records.

    Args:
        path: The table.
        record_type: The type of a line.

    Returns:
        The records, in the order of the lines.

    Raises:
        InputFileError: With file, line number and problem.
    """
    decoder = msgspec.json.Decoder(record_type)
    return [
        _decoded(decoder, line, path, number)
        for number, line in enumerate(read_bytes(path, max_bytes=4_000_000_000).splitlines(), start=1)
    ]


def write_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write a numpy array as .npy, whole or not at all."""
    header = _npy_header(array)
    write_atomically(path, header + np.ascontiguousarray(array).tobytes(), force=True)


def _npy_header(array: npt.NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(buffer, description)
    return buffer.getvalue()


def _decoded(decoder: "msgspec.json.Decoder[T]", line: bytes, path: Path, number: int) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise InputFileError(f"{path} line {number} is not a valid record: {problem}.") from None
