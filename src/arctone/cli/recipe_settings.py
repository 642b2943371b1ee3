"""`--set NAME=VALUE`: one setting of a recipe changed from the command line, checked by its type."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Sequence
from typing import Any

import msgspec

from arctone.errors import UsageError


def changed(recipe: Any, parts: Sequence[str], settings: Sequence[str]) -> Any:
    """The recipe with settings of some of its parts changed.

    Args: recipe: a dataclass of dataclasses. parts: its fields that may be changed; the first that has a name counts.
    settings: NAME=VALUE each; tuples are written 1,2,4.
    Raises: UsageError that names the setting, its value and what is allowed.
    """
    changes: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"set: {setting!r} must have the form NAME=VALUE")
        part = _owner(recipe, parts, name)
        kind = typing.get_type_hints(type(getattr(recipe, part)))[name]
        changes.setdefault(part, {})[name] = _converted(name, text, kind)
    # All at once, because some settings are only possible together.
    replaced = {part: dataclasses.replace(getattr(recipe, part), **values) for part, values in changes.items()}
    return dataclasses.replace(recipe, **replaced)


def _owner(recipe: Any, parts: Sequence[str], name: str) -> str:
    known: dict[str, str] = {}
    for part in parts:
        for field in dataclasses.fields(getattr(recipe, part)):
            known.setdefault(field.name, part)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(sorted(known))}"
        raise UsageError(f"set: {name!r} is unknown, {hint}")
    return known[name]


def _converted(name: str, text: str, kind: Any) -> Any:
    raw: Any = text.split(",") if typing.get_origin(kind) is tuple else text
    try:
        return msgspec.convert(raw, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as problem:
        raise UsageError(f"set: {name} cannot be {text!r}: {str(problem)[:1].lower()}{str(problem)[1:]}") from None
