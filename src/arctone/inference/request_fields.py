"""Fields of a request as every face needs them: type, default, limits, unit, help and other names; and their checks."""

import difflib
import math
import secrets
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta, Struct

from arctone.audio.regions import parse_regions
from arctone.errors import UsageError, shown
from arctone.flow.noise import MAX_SEED
from arctone.flow.samplers import SAMPLERS

MAX_FOREIGN_SEED = 2**64 - 1
"""Largest seed of other programs."""


def field(help: str, *, unit: str = "", aliases: tuple[str, ...] = (), short: str = "", **limits: Any) -> Meta:
    """Describe a field of a request: its limits for msgspec and the JSON schema, and what interfaces show.

    Args:
        help: One sentence for help texts and schemas.
        unit: Of the value.
        aliases: Other names of its option.
        short: One-letter flag, without the dash.
        **limits: Arguments of msgspec.Meta, such as ge, le and max_length.

    Returns:
        The annotation.
    """
    extra = {"unit": unit, "aliases": aliases, "short": short}
    return Meta(description=help, extra=extra, extra_json_schema={"x-unit": unit} if unit else None, **limits)


class RequestField(Struct, frozen=True, kw_only=True):
    """One field of GenerationRequest as faces need it, to build options, forms and schemas from."""

    name: str
    kind: type
    default: Any
    help: str
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    short: str = ""
    aliases: tuple[str, ...] = ()
    optional: bool = False
    required: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, in words that complete "must be ..."."""
        unit = f" {self.unit}" if self.unit else ""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        if self.kind is tuple:
            return "regions A:B in seconds with A < B"
        if self.kind is str:
            return f"text of at most {self.max_length} characters" if self.max_length else "text"
        number = "a whole number" if self.kind is int else "a number"
        if self.exclusive_minimum is not None:
            most = "" if self.maximum is None else f" and at most {self.maximum:g}"
            return f"{number} above {self.exclusive_minimum:g}{most}{unit}"
        return f"{number} from {self.minimum:g} to {_plain(self.maximum)}{unit}"


def fields_of(struct: type[Struct]) -> tuple[RequestField, ...]:
    """Describe every field of a struct whose annotations were made with `field`.

    Args:
        struct: The type.

    Returns:
        Its fields, in their order.
    """
    hints = get_type_hints(struct, include_extras=True)
    return tuple(_described(info, hints[info.name]) for info in msgspec.structs.fields(struct))


def option_names(field: RequestField) -> list[str]:
    """List the flags of a field: -d --duration --seconds --duration-seconds.

    Args:
        field: The field.

    Returns:
        The short flag, if there is one, then the long ones; for lengths in seconds the aliases stand first.
    """
    long = [field.name, *field.aliases]
    if field.name.endswith("_seconds"):
        long = [*field.aliases, field.name]
    return [*([f"-{field.short}"] if field.short else []), *(f"--{name.replace('_', '-')}" for name in long)]


def as_written(written: Any, kind: type) -> Any:
    """Convert a value to the type of its field.

    Args:
        written: The value as it came from outside.
        kind: Type of the field.

    Returns:
        The converted value; text that is no number is returned as it is, and refused by name by the request's check.
    """
    if kind is bool:
        return bool(written)
    if kind is tuple:
        return tuple(written)
    if kind is str:
        return written
    try:
        return kind(written)
    except ValueError:
        return written


def check(field: RequestField, value: Any) -> None:
    """Check one value.

    Args:
        field: The field.
        value: Its value.

    Raises:
        UsageError: In one sentence that names the field, its value and what is allowed.
    """
    if value is None and field.optional:
        return
    if field.kind is str:
        _check_text(field, value)
    elif field.kind is tuple:
        _check_regions(field, value)
    elif field.kind is bool:
        if not isinstance(value, bool):
            raise UsageError(field=field.name, value=value, allowed=field.allowed)
    elif not _is_number(field.kind, value) or not _in_range(field, value):
        raise UsageError(field=field.name, value=value, allowed=field.allowed)


def _check_text(field: RequestField, value: Any) -> None:
    if not isinstance(value, str):
        raise UsageError(field=field.name, value=value, allowed=field.allowed)
    if field.max_length is not None and len(value) > field.max_length:
        raise UsageError(field=field.name, value=len(value), allowed=field.allowed)
    if not _is_unicode(value):
        raise UsageError(
            f"{field.name} must be valid Unicode, but it holds broken characters: {shown(value)}.", field=field.name
        )
    if field.choices and value not in field.choices:
        near = difflib.get_close_matches(value, field.choices, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        message = f"{field.name} must be {field.allowed}, got {shown(value)}{hint}."
        raise UsageError(message, field=field.name, value=value, allowed=field.allowed)


def _check_regions(field: RequestField, value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(text, str) for text in value):
        raise UsageError(field=field.name, value=value, allowed=field.allowed)
    parse_regions(value, field.name)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(kind: type, value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return False
    if kind is int:
        return isinstance(value, int | np.integer)
    return isinstance(value, int | float | np.integer | np.floating) and _is_finite(value)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _in_range(field: RequestField, value: Any) -> bool:
    if field.exclusive_minimum is not None and value <= field.exclusive_minimum:
        return False
    if field.minimum is not None and value < field.minimum:
        return False
    return field.maximum is None or value <= field.maximum


def _plain(value: float | None) -> str:
    return "2**63 - 1" if value == MAX_SEED else f"{value:g}"


def _described(info: msgspec.structs.FieldInfo, hint: Any) -> RequestField:
    optional, annotated = _without_none(hint)
    kind, meta = get_args(annotated)[:2]
    kind = tuple if get_origin(kind) is tuple else kind
    choices = _choices(info.name, kind)
    return RequestField(
        name=info.name,
        kind=str if choices else kind,
        default=None if info.required else info.default,
        help=meta.description,
        minimum=meta.ge,
        exclusive_minimum=meta.gt,
        maximum=meta.le,
        max_length=meta.max_length,
        choices=choices,
        optional=optional,
        required=info.required,
        **meta.extra,
    )


def _choices(name: str, kind: Any) -> tuple[str, ...]:
    if name == "sampler":
        return tuple(SAMPLERS)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _without_none(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return True, next(member for member in get_args(hint) if member is not type(None))
    return False, hint


def draw_seed() -> int:
    """A fresh seed from the system's randomness, 0 to 2**32 - 1: short enough to be read out and typed."""
    return secrets.randbelow(2**32)


def wrapped_seed(seed: int) -> int:
    """Bring the seed of another program into the range of this one.

    Args:
        seed: 0 to 2^64 - 1.

    Returns:
        The seed without its highest bit if that is set; else the same seed.
    """
    return seed - MAX_SEED - 1 if MAX_SEED < seed <= MAX_FOREIGN_SEED else seed
