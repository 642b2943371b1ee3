"""Strict JSON and JSON lines: unknown keys, wrong types and depth are refused in one sentence."""

import difflib
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import inspect

from arctone.errors import ArctoneError, InputFileError, ModelError
from arctone.files.atomic import write_atomically
from arctone.files.text import has_huge_number, parse_json, read_bytes

T = TypeVar("T")

MAX_BYTES = 64_000_000

_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_FIELD = re.compile(r"field `(?P<name>[^`]*)`")


def read_config(path: str | Path, config_type: type[T], *, error: type[ArctoneError] = ModelError) -> T:
    """Read a JSON settings file into a typed value; unknown, missing and unfit keys are refused.

    Args:
        path: The file.
        config_type: A msgspec struct (or any type msgspec can build); if it has an `upgraded`, the raw JSON passes
            through it first, so that files of earlier versions can be read.
        error: The kind to raise.

    Returns:
        The settings.

    Raises:
        ArctoneError: Of the kind `error`, in one sentence that names the file, the key, its value and what is allowed.
    """
    data = read_bytes(Path(path), max_bytes=MAX_BYTES, error=error)
    try:
        raw = parse_json(data)
    except ValueError as problem:
        raise error(f"{path} is not valid JSON: {problem}.") from None
    if has_huge_number(raw):
        raise error(f"{path} holds a whole number of more than 64 bits.")
    upgraded = getattr(config_type, "upgraded", None)
    if upgraded is not None:
        raw = upgraded(raw)
        data = msgspec.json.encode(raw)
    try:
        return msgspec.json.decode(data, type=config_type)
    except msgspec.ValidationError as problem:
        raise error(f"{path}: {_explain(str(problem), raw, config_type)}") from None


def write_config(path: str | Path, value: Any) -> None:
    """Write a typed value as indented JSON, ending with a newline; the same value gives the same bytes."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n", force=True)


def _explain(problem: str, raw: Any, config_type: Any) -> str:
    """One sentence from msgspec's message, with the value and, for a misspelt key, the nearest known one."""
    match = _AT.search(problem)
    steps = [name or index for name, index in _STEP.findall(match["path"])] if match else []
    reason = _lower_first(problem[: match.start()] if match else problem)
    field = _FIELD.search(reason)
    if field and "unknown" in reason:
        return _explain_unknown(field["name"], steps, raw, config_type)
    if field and "missing" in reason:
        return f"{_dotted([*steps, field['name']])} is required but missing."
    choices = [str(choice) for node in _nodes(config_type, raw, steps) for choice in getattr(node, "values", ())]
    allowed = f"be {' or '.join(choices)}" if choices else f"fit: {reason}"
    return f"{_dotted(steps)} is {_shown(_value_at(raw, steps))}, but it must {allowed}."


def _explain_unknown(name: str, steps: list[str], raw: Any, config_type: Any) -> str:
    structs = [node for node in _nodes(config_type, raw, steps) if isinstance(node, inspect.StructType)]
    known = sorted({field.encode_name for struct in structs for field in struct.fields})
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"allowed are {', '.join(known)}."
    value = _shown(_value_at(raw, [*steps, name]))
    return f"{_dotted([*steps, name])} (with the value {value}) is not a known key; {hint}"


def _nodes(config_type: Any, raw: Any, steps: list[str]) -> list[Any]:
    """msgspec's descriptions of what may stand at the end of the steps; several, if a step goes to any item."""
    return list(_walk(inspect.type_info(config_type), raw, steps))


def _walk(info: Any, raw: Any, steps: list[str]) -> Iterator[Any]:
    if steps and isinstance(info, inspect.UnionType):
        tags = [s.tag for s in info.types if isinstance(s, inspect.StructType) and s.tag_field == steps[0]]
        if tags:
            yield inspect.LiteralType(tuple(tags))
            return
    info = _chosen(info, raw)
    if not steps:
        yield info
        return
    for item_info, item in _inside(info, raw, steps[0]):
        yield from _walk(item_info, item, steps[1:])


def _inside(info: Any, raw: Any, step: str) -> Iterator[tuple[Any, Any]]:
    """Description and value one step further: the field's, the item's, or those of every item for "..."."""
    if isinstance(info, inspect.StructType):
        yield from ((field.type, raw.get(step)) for field in info.fields if field.encode_name == step)
    elif isinstance(info, inspect.DictType):
        yield from ((info.value_type, item) for item in raw.values())
    elif hasattr(info, "item_type"):
        items = [raw[int(step)]] if step.isdigit() else raw
        yield from ((info.item_type, item) for item in items)


def _chosen(info: Any, raw: Any) -> Any:
    """The member of a union that the raw value selects: by its tag, or the first that is not null."""
    if not isinstance(info, inspect.UnionType):
        return info
    members = [member for member in info.types if not isinstance(member, inspect.NoneType)]
    return next((member for member in members if _is_tagged(member, raw)), members[0])


def _is_tagged(info: Any, raw: Any) -> bool:
    return isinstance(info, inspect.StructType) and isinstance(raw, dict) and raw.get(info.tag_field) == info.tag


def _value_at(raw: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(raw, dict) and step in raw:
            raw = raw[step]
        elif isinstance(raw, list) and step.isdigit():
            raw = raw[int(step)]
        else:
            break
    return raw


def _dotted(steps: list[str]) -> str:
    return ".".join(steps) if steps else "the whole file"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _lower_first(text: str) -> str:
    return (text if text[1:2].isupper() else text[:1].lower() + text[1:]).rstrip(".")


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
