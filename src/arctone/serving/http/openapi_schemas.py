"""JSON schemas of what goes in and out; those of requests are derived from the fields of GenerationRequest."""

from __future__ import annotations

from typing import Any, get_args

from arctone.inference.request import Stage
from arctone.inference.request_fields import RequestField
from arctone.serving.http.formats import OUTPUT_PATTERN
from arctone.serving.http.jobs import State

JSON = dict[str, Any]

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", tuple: "array"}
_REGION = r"^\d+(\.\d+)?:\d+(\.\d+)?$"
_NUMBER: JSON = {"type": "number"}
_TEXT: JSON = {"type": "string"}


def components(fields: tuple[RequestField, ...], models: list[str]) -> JSON:
    """All named schemas."""
    values = {field.name: field_schema(field) for field in fields}
    model: JSON = {"type": "string", "enum": models, "description": f"Default: {models[0]}."}
    resolved = {name: _or_null(schema) for name, schema in values.items()}
    unedited = {**values, **_without_source(values)}
    return {
        "JobRequest": _object({"model": model, **unedited}, required=["prompt"]),
        "EditRequest": _object({"model": model, **values}, required=["prompt"]),
        "SoundGeneration": _sound_generation(unedited, model),
        "AudioGeneration": _audio_generation(unedited, model),
        "Job": _job({"model": _TEXT, **resolved}),
        "Event": _EVENT,
        "Record": _object({"record": {"type": "object", "properties": resolved, "required": ["prompt"]}}, ["record"]),
        "Models": _object({"models": {"type": "array", "items": _MODEL}}, ["models"]),
        "Error": _object({"error": _ERROR}, ["error"]),
    }


def _without_source(values: JSON) -> JSON:
    """Fields that edit a sound, where there is none: they may only say that nothing is edited."""
    nothing: dict[str, list[Any]] = {"init_noise_level": [None], "extend": [False]}
    found: JSON = {
        name: {"enum": enum, "description": f"Needs a sound: {values[name]['description']}"}
        for name, enum in nothing.items()
        if name in values
    }
    if "inpaint" in values:
        found["inpaint"] = {**values["inpaint"], "maxItems": 0}
    return found


def field_schema(field: RequestField) -> JSON:
    """One field: type, limits, help, unit, other names."""
    schema: JSON = {"type": _TYPES[field.kind], "description": field.help}
    if field.kind is str:
        schema |= {"minLength": 1} if field.required else {}
        schema |= {"pattern": r"\S"} if field.required else {}
    if field.kind is tuple:
        schema["items"] = {"type": "string", "pattern": _REGION}
    if field.choices:
        schema["enum"] = list(field.choices)
    limits = {
        "maxLength": field.max_length,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "exclusiveMinimum": field.exclusive_minimum,
    }
    schema |= {name: value for name, value in limits.items() if value is not None}
    if field.default not in (None, "", ()):
        schema["default"] = field.default
    if field.unit:
        schema["x-unit"] = field.unit
    if field.aliases:
        schema["x-aliases"] = list(field.aliases)
    return _or_null(schema) if field.optional else schema


def _sound_generation(values: JSON, model: JSON) -> JSON:
    own = {
        "text": values["prompt"],
        "duration_seconds": values["duration_seconds"],
        "prompt_influence": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
            "description": "0 follows the prompt least; 0.3 is the model's own guidance.",
        },
        "model_id": model,
    }
    rest = {name: schema for name, schema in values.items() if name not in ("prompt", "variations", *own)}
    return _object({**own, **rest}, required=["text"])


def _audio_generation(values: JSON, model: JSON) -> JSON:
    rest = {name: schema for name, schema in values.items() if name not in ("prompt", "variations")}
    own = {
        "model": model,
        "prompt": values["prompt"],
        "input": {**values["prompt"], "description": "The same as prompt; one of the two is needed."},
        "response_format": {"type": "string", "pattern": OUTPUT_PATTERN, "default": "wav"},
    }
    return {
        **_object({**own, **rest}, []),
        "oneOf": [{"required": ["prompt"]}, {"required": ["input"]}],
    }


def _job(request: JSON) -> JSON:
    take = _object(
        {
            "index": {"type": "integer"},
            "seed": {"type": "integer"},
            "num_samples": {"type": "integer"},
            "duration_seconds": _NUMBER,
            "audio_url": {"type": "string", "format": "uri-reference"},
        }
    )
    result = _object(
        {
            "model_name": _TEXT,
            "model_hash": _TEXT,
            "version": _TEXT,
            "warnings": {"type": "array", "items": _TEXT},
            "timings_ms": {"type": "object", "additionalProperties": _NUMBER},
            "takes": {"type": "array", "items": take},
        }
    )
    count: JSON = {"type": "integer", "minimum": 0}
    progress = _object({"stage": {"type": "string"}, "item": count, "step": count, "num_steps": count})
    progress["properties"]["stage"]["enum"] = list(get_args(Stage))
    return _object(
        {
            "id": _TEXT,
            "state": {"type": "string", "enum": list(get_args(State))},
            "position": {"type": ["integer", "null"], "minimum": 0, "description": "0 is next."},
            "eta_seconds": {"type": ["number", "null"], "minimum": 0},
            "progress": _either(progress),
            "error": _either(_ERROR),
            "request": {"type": "object", "properties": request, "description": "As it is carried out."},
            "result": _either(result),
        }
    )


def _object(properties: JSON, required: list[str] | None = None) -> JSON:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _either(schema: JSON) -> JSON:
    return {"anyOf": [schema, {"type": "null"}]}


def _or_null(schema: JSON) -> JSON:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    wider = {**schema, "type": list(dict.fromkeys([*kinds, "null"]))}
    return {**wider, "enum": [*schema["enum"], None]} if "enum" in schema and None not in schema["enum"] else wider


_ERROR: JSON = _object(
    {"type": _TEXT, "message": _TEXT, "parameter": {"type": ["string", "null"]}, "request_id": _TEXT}
)
_EVENT: JSON = _object(
    {
        "event": {"type": "string", "enum": [*get_args(State), "progress"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Job"},
        },
    }
)
_MODEL: JSON = {
    **_object(
        {
            "name": _TEXT,
            "is_default": {"type": "boolean"},
            "sample_rate": {"type": "integer"},
            "channels": {"type": "integer"},
            "max_duration_seconds": _NUMBER,
            "window_seconds": {**_NUMBER, "description": "What the model makes at a time; longer sounds take longer."},
            "post_trained": {"type": "boolean"},
            "has_flow": {"type": "boolean"},
            "model_hash": _TEXT,
            "engine": _TEXT,
            "defaults": {"type": "object"},
            "fields": {"type": "array", "items": {"type": "object"}},
            "capabilities": {"type": "array", "items": _TEXT},
        }
    ),
}
