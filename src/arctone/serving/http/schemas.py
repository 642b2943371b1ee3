"""JSON schemas: of requests from the fields of GenerationRequest, of answers from their structs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from arctone.inference.near import PATTERN
from arctone.inference.request_fields import MAX_FOREIGN_SEED, RequestField
from arctone.serving.http.adapters import MAX_STRENGTH
from arctone.serving.http.answers import ANSWERS, State
from arctone.serving.http.formats import OUTPUT_PATTERN

JSON = dict[str, Any]

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", tuple: "array"}
_REGION = r"^\d+(\.\d+)?:\d+(\.\d+)?$"
_TEXT: JSON = {"type": "string"}
# Left out where the answer is one sound; the prompt has other names there.
_OF_MANY = ("prompt", "variations", "diverse")
_STREAM: JSON = {
    "type": "boolean",
    "default": False,
    "description": "Send a sound of several windows while it is made, as wav or pcm; its level follows the first one.",
}


def components(fields: tuple[RequestField, ...], models: list[str], adapters: Sequence[str] = ()) -> JSON:
    """All named schemas."""
    values = {field.name: field_schema(field) for field in fields}
    if adapters:
        values["lora"] = _lora(adapters)
    model: JSON = {"type": "string", "enum": models, "description": f"Default: {models[0]}."}
    resolved = {name: _or_null(schema) for name, schema in values.items()}
    # Seeds of other programs: -1 draws one, above 2**63 - 1 the highest bit is dropped.
    values["seed"] |= {"minimum": -1, "maximum": MAX_FOREIGN_SEED}
    unedited = {**values, **_without_source(values)}
    return {
        "JobRequest": _object({"model": model, **unedited}, required=["prompt"]),
        "EditRequest": _object({"model": model, **values}, required=["prompt"]),
        "EstimateRequest": _object(
            {
                "request": {"$ref": "#/components/schemas/EditRequest"},
                "source_seconds": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 300},
            },
            required=["request"],
        ),
        "SoundGeneration": _sound_generation(unedited, model),
        "AudioGeneration": _audio_generation(unedited, model),
        "SpeechRequest": _speech(unedited, models),
        "Event": _EVENT,
        **_answers(resolved),
    }


def _answers(resolved: JSON) -> JSON:
    """Schemas of the answers, from their structs, and the request's fields where an answer repeats them."""
    _, schemas = msgspec.json.schema_components(ANSWERS, ref_template="#/components/schemas/{name}")
    schemas["JobAnswer"]["properties"]["request"]["properties"] = {"model": _TEXT, **resolved}
    schemas["RecordAnswer"]["properties"]["record"] |= {"properties": resolved, "required": ["prompt"]}
    return schemas


def _lora(adapters: Sequence[str]) -> JSON:
    strength: JSON = {"type": "number", "minimum": 0, "maximum": MAX_STRENGTH}
    return {
        "type": "object",
        "description": "Adapters and their strengths; 1 is as trained.",
        "properties": dict.fromkeys(adapters, strength),
        "additionalProperties": False,
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
    if field.name == "near":
        schema["pattern"] = PATTERN
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
        "model_id": {**model, "enum": [*model["enum"], "eleven_text_to_sound_v2"]},
    }
    rest = {name: schema for name, schema in values.items() if name not in (*_OF_MANY, *own)}
    return _object({"text": own.pop("text"), **_all_or_null({**own, **rest})}, required=["text"])


def _audio_generation(values: JSON, model: JSON) -> JSON:
    rest = {name: schema for name, schema in values.items() if name not in _OF_MANY}
    own = {
        "model": model,
        "prompt": values["prompt"],
        "input": {**values["prompt"], "description": "The same as prompt; one of the two is needed."},
        "response_format": {"type": "string", "pattern": OUTPUT_PATTERN, "default": "wav"},
        "stream": _STREAM,
    }
    return {
        **_object({**own, **rest}, []),
        "oneOf": [{"required": ["prompt"]}, {"required": ["input"]}],
    }


def _speech(values: JSON, models: list[str]) -> JSON:
    rest = {name: schema for name, schema in values.items() if name not in _OF_MANY}
    own: JSON = {
        "model": {"type": "string", "enum": [*models, "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]},
        "voice": {"type": ["string", "object"], "description": "Has no effect."},
        "instructions": {"type": "string", "description": "Has no effect."},
        "response_format": {"type": "string", "pattern": OUTPUT_PATTERN, "default": "mp3"},
        "stream": _STREAM,
        "speed": {"type": "number", "enum": [1]},
        "stream_format": {"type": "string", "enum": ["audio"]},
    }
    return _object({"input": values["prompt"], **_all_or_null({**own, **rest})}, required=["input"])


def _all_or_null(values: JSON) -> JSON:
    return {name: _or_null(schema) if "type" in schema else schema for name, schema in values.items()}


def _object(properties: JSON, required: list[str] | None = None) -> JSON:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _or_null(schema: JSON) -> JSON:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    wider = {**schema, "type": list(dict.fromkeys([*kinds, "null"]))}
    return {**wider, "enum": [*schema["enum"], None]} if "enum" in schema and None not in schema["enum"] else wider


_EVENT: JSON = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": [*get_args(State), "progress"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/JobAnswer"},
        },
    },
    "required": ["event", "data"],
    "additionalProperties": False,
}
