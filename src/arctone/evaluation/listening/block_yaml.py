"""Plain data as block YAML of the simplest kind, which the small parsers in web pages read like the large ones."""

import json
from collections.abc import Iterator, Mapping, Sequence

Plain = str | int | float | bool | Mapping[str, "Plain"] | Sequence["Plain"]


def to_yaml(value: Mapping[str, Plain]) -> str:
    """Lines with two more spaces a level; strings are always in double quotes.

    Args: value: keys are plain words; no empty maps or lists.

    >>> print(to_yaml({"pages": [["random", {"id": "a"}]], "size": 2}), end="")
    pages:
      -
        - "random"
        - id: "a"
    size: 2
    """
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Plain) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{key}:", item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _item(item)


def _entry(head: str, value: Plain) -> Iterator[str]:
    if _is_scalar(value):
        yield f"{head} {json.dumps(value, ensure_ascii=False)}"
        return
    yield head
    yield from (f"  {line}" for line in _lines(value))


def _item(value: Plain) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield from _entry("-", value)
        return
    for number, line in enumerate(_lines(value)):
        yield f"{'  ' if number else '- '}{line}"


def _is_scalar(value: Plain) -> bool:
    return isinstance(value, str) or not isinstance(value, Mapping | Sequence)
