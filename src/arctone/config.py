"""Settings files: strict JSON in, strict JSON out, and an error that tells where and how to mend it."""

import difflib
import json
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from arctone.atomic import write_atomically
from arctone.errors import ArctoneError, ModelError

T = TypeVar("T")

_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_FIELD = re.compile(r"field `(?P<name>[^`]*)`")


def read_config(path: str | Path, config_type: type[T], *, error: type[ArctoneError] = ModelError) -> T:
    """Read a JSON settings file into a typed value; unknown, missing and unfit keys are refused.

    Args: path: the file. config_type: a msgspec struct (or any type msgspec can build). error: the kind to raise.
    Raises: `error` in one sentence that names the file, the key, its value and what is allowed.
    """
    raw = _read_bytes(Path(path), error)
    try:
        return msgspec.json.decode(raw, type=config_type)
    except msgspec.ValidationError as problem:
        raise error(f"{path}: {_explain(str(problem), msgspec.json.decode(raw), config_type)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise error(f"{path} is not valid JSON: {_lower_first(str(problem))}.") from None


def write_config(path: str | Path, value: Any) -> None:
    """Write a typed value as indented JSON, ending with a newline; the same value gives the same bytes."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n", force=True)


def _read_bytes(path: Path, error: type[ArctoneError]) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path} does not exist.") from None
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}.") from None


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
    return f"{_dotted(steps)} is {_shown(_value_at(raw, steps))}, but it must fit: {reason}."


def _explain_unknown(name: str, steps: list[str], raw: Any, config_type: Any) -> str:
    known = _field_names(inspect.type_info(config_type), raw, steps)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"allowed are {', '.join(known)}."
    value = _shown(_value_at(raw, [*steps, name]))
    return f"{_dotted([*steps, name])} (with the value {value}) is not a known key; {hint}"


def _field_names(info: Any, raw: Any, steps: list[str]) -> list[str]:
    """Keys that the struct at the end of the steps knows."""
    info = _chosen(info, raw)
    if isinstance(info, inspect.StructType):
        fields = {field.encode_name: field.type for field in info.fields}
        if steps and steps[0] in fields:
            return _field_names(fields[steps[0]], raw[steps[0]], steps[1:])
        return sorted(fields)
    if steps and isinstance(info, inspect.DictType):
        return _any_item(info.value_type, raw.values(), steps[1:])
    item_type = getattr(info, "item_type", None)
    return _any_item(item_type, raw, steps[1:]) if steps and item_type is not None else []


def _any_item(info: Any, items: Any, steps: list[str]) -> list[str]:
    return sorted({name for item in items for name in _field_names(info, item, steps)})


def _chosen(info: Any, raw: Any) -> Any:
    """The member of a union that the raw value selects: by its tag, or the only struct among them."""
    if not isinstance(info, inspect.UnionType):
        return info
    structs = [member for member in info.types if isinstance(member, inspect.StructType)]
    tagged = [s for s in structs if isinstance(raw, dict) and s.tag is not None and raw.get(s.tag_field) == s.tag]
    rest = [member for member in info.types if not isinstance(member, inspect.NoneType)]
    return (tagged or structs or rest)[0]


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
    return text[:1].lower() + text[1:].rstrip(".")
