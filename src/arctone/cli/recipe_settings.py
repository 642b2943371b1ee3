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
    settings: NAME=VALUE each; tuples are written 1,2,4, the optimiser of one network ROLE.NAME=VALUE.
    Raises: UsageError that names the setting, its value and what is allowed.
    """
    changes: dict[str, dict[str, Any]] = {}
    sections: dict[tuple[str, str], dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"set: {setting!r} must have the form NAME=VALUE", field="set")
        if "." in name:
            part, section, field = _section(recipe, parts, name)
            if not section:
                recipe = _with_role(recipe, parts, name, text)
                continue
            kind = typing.get_type_hints(type(section))[field]
            sections.setdefault((part, name.partition(".")[0]), {})[field] = _converted(name, text, kind)
            continue
        part = _owner(recipe, parts, name)
        kind = typing.get_type_hints(type(getattr(recipe, part)))[name]
        changes.setdefault(part, {})[name] = _converted(name, text, kind)
    for (part, title), values in sections.items():
        changed_section = dataclasses.replace(getattr(getattr(recipe, part), title), **values)
        changes.setdefault(part, {})[title] = changed_section
    # All at once, because some settings are only possible together.
    replaced = {part: dataclasses.replace(getattr(recipe, part), **values) for part, values in changes.items()}
    return dataclasses.replace(recipe, **replaced)


def _section(recipe: Any, parts: Sequence[str], name: str) -> tuple[str, Any, str]:
    """The part, the section and the field that a name such as teacher.weight means; no section for other names.

    A section may have the name of a network, whose optimiser then has all other fields.
    """
    title, _, field = name.partition(".")
    for part in parts:
        section = getattr(getattr(recipe, part), title, None)
        if dataclasses.is_dataclass(section):
            known = [one.name for one in dataclasses.fields(section)]
            if field in known:
                return part, section, field
            if not any(title in getattr(getattr(recipe, other), "roles", ()) for other in parts):
                near = difflib.get_close_matches(field, known, n=1)
                hint = f"did you mean {title}.{near[0]}?" if near else f"choose from {', '.join(sorted(known))}"
                raise UsageError(f"set: {name!r} is unknown, {hint}")
    return "", None, ""


def _with_role(recipe: Any, parts: Sequence[str], name: str, text: str) -> Any:
    """The recipe with a setting of the optimiser of one role changed."""
    role, _, field = name.partition(".")
    loops = {part: value for part in parts if getattr(value := getattr(recipe, part), "roles", None)}
    known = {owned: part for part, loop in loops.items() for owned in loop.roles}
    if role not in known:
        allowed = f"choose from {', '.join(known)}" if known else "this stage has one network; leave the role out"
        raise UsageError(f"set: {name!r} names no network of its own, {allowed}", field="set")
    loop = loops[known[role]]
    optimiser = changed(_Named(loop.of_role(role)), ("optimiser",), [f"{field}={text}"]).optimiser
    roles = {**loop.roles, role: optimiser}
    return dataclasses.replace(recipe, **{known[role]: dataclasses.replace(loop, roles=roles)})


@dataclasses.dataclass(frozen=True)
class _Named:
    optimiser: Any


def _owner(recipe: Any, parts: Sequence[str], name: str) -> str:
    known: dict[str, str] = {}
    for part in parts:
        for field in dataclasses.fields(getattr(recipe, part)):
            known.setdefault(field.name, part)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(sorted(known))}"
        raise UsageError(f"set: {name!r} is unknown, {hint}", field="set")
    return known[name]


def _converted(name: str, text: str, kind: Any) -> Any:
    raw: Any = text.split(",") if typing.get_origin(kind) is tuple else text
    try:
        return msgspec.convert(raw, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as problem:
        raise UsageError(
            f"set: {name} cannot be {text!r}: {str(problem)[:1].lower()}{str(problem)[1:]}", field="set"
        ) from None
