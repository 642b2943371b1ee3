"""Options made from the fields of GenerationRequest, so that names, help and limits have one home."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from arctone.request import FIELDS, GenerationRequest, RequestField, validate

_METAVARS = {int: "NUMBER", float: "NUMBER", str: "TEXT"}


def with_request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of a request but the prompt; it is called with `options`, a dict by
    field name that holds what the user wrote.
    """

    def called(**arguments: Any) -> None:
        written = {field.name: arguments.pop(field.name) for field in _optional_fields()}
        command(options={name: value for name, value in written.items() if value is not None}, **arguments)

    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
    parameters = [*own, *(_parameter(field) for field in _optional_fields())]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    described: Any = called
    described.__name__, described.__doc__ = command.__name__, command.__doc__
    described.__signature__ = inspect.Signature(parameters)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def request_from(prompt: str, options: dict[str, str]) -> GenerationRequest:
    """The checked request of what was written. Raises: UsageError in one sentence."""
    kinds = {field.name: field.kind for field in FIELDS}
    values = {name: _number(text, kinds[name]) for name, text in options.items()}
    request = GenerationRequest(prompt=prompt, **values)
    validate(request)
    return request


def option_names(field: RequestField) -> list[str]:
    """Flags of a field: short, then the names people know, then the full name: -d --duration --seconds ..."""
    long = [field.name, *field.aliases]
    if field.name.endswith("_seconds"):
        long = [*field.aliases, field.name]
    return [*([f"-{field.short}"] if field.short else []), *(f"--{name.replace('_', '-')}" for name in long)]


def _optional_fields() -> list[RequestField]:
    return [field for field in FIELDS if not field.required]


def _parameter(field: RequestField) -> inspect.Parameter:
    option = typer.Option(*option_names(field), help=_help(field), metavar=_metavar(field), show_default=False)
    # Text, because the request's own check gives the better sentence for "abc" and "nan".
    annotation = Annotated[str | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(field: RequestField) -> str:
    if field.default in (None, ""):
        default = "Default: the model's own." if field.name in _MODEL_DEFAULTS else ""
    else:
        default = f"Default: {field.default}."
    limits = "" if field.kind is str else f"{field.allowed[0].upper()}{field.allowed[1:]}."
    return " ".join(part for part in (field.help, limits, default) if part)


def _metavar(field: RequestField) -> str:
    return "|".join(field.choices) if field.choices else _METAVARS[field.kind]


def _number(text: str, kind: type) -> Any:
    """The number in a text, or the text itself, which the request's check then refuses by name."""
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError:
        return text


_MODEL_DEFAULTS = ("duration_seconds", "steps", "cfg_scale", "sampler")
