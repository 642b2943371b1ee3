"""Options made from the fields of GenerationRequest, so that names, help and limits have one home."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from arctone.inference.request import FIELDS, GenerationRequest, validate
from arctone.inference.request_fields import RequestField, as_written, option_names

_METAVARS = {int: "NUMBER", float: "NUMBER", str: "TEXT", tuple: "A:B"}
# Set by the option that brings the source (--continue), and so without one of its own.
_WITHOUT_OPTION = ("extend",)


def with_request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of a request but the prompt; it is called with `options`, a dict by
    field name that holds what the user wrote.
    """

    def called(**arguments: Any) -> None:
        written = {field.name: arguments.pop(field.name) for field in _optional_fields()}
        command(options={name: value for name, value in written.items() if value not in (None, [])}, **arguments)

    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
    parameters = [*own, *(_parameter(field) for field in _optional_fields())]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    described: Any = called
    described.__name__, described.__doc__ = command.__name__, command.__doc__
    described.__signature__ = inspect.Signature(parameters)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def request_from(prompt: str, options: dict[str, Any]) -> GenerationRequest:
    """The checked request of what was written. Raises: UsageError in one sentence."""
    request = GenerationRequest(prompt=prompt, **option_values(options))
    validate(request)
    return request


def option_values(options: dict[str, Any]) -> dict[str, Any]:
    """What was written, as the types of the fields; not checked yet."""
    kinds = {field.name: field.kind for field in FIELDS}
    return {name: as_written(written, kinds[name]) for name, written in options.items()}


def _optional_fields() -> list[RequestField]:
    return [field for field in FIELDS if not field.required and field.name not in _WITHOUT_OPTION]


def _parameter(field: RequestField) -> inspect.Parameter:
    if field.kind is bool:
        flag = typer.Option(*option_names(field), help=_help(field), show_default=False)
        return inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[bool | None, flag]
        )
    option = typer.Option(*option_names(field), help=_help(field), metavar=_metavar(field), show_default=False)
    if field.kind is tuple:
        return inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
        )
    # Text, because the request's own check gives the better sentence for "abc" and "nan".
    annotation = Annotated[str | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(field: RequestField) -> str:
    if field.default in (None, "", False, ()):
        default = "Default: the model's own." if field.name in _MODEL_DEFAULTS else ""
    else:
        default = f"Default: {field.default}."
    limits = "May be given several times." if field.kind is tuple else ""
    if field.kind in (int, float):
        limits = f"{field.allowed[0].upper()}{field.allowed[1:]}."
    return " ".join(part for part in (field.help, limits, default) if part)


def _metavar(field: RequestField) -> str:
    return "|".join(field.choices) if field.choices else _METAVARS[field.kind]


_MODEL_DEFAULTS = ("duration_seconds", "steps", "cfg_scale", "sampler")
