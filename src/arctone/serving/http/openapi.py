"""The OpenAPI 3.1 document of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arctone.inference.request_fields import RequestField
from arctone.serving.http import schemas
from arctone.serving.http.formats import FILE_FORMATS, MEDIA_TYPES, OUTPUT_PATTERN, Limits, output_names
from arctone.serving.http.requests import offered_fields
from arctone.version import __version__

JSON = dict[str, Any]

_KEY: JSON = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body is carried out once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
_ID: JSON = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 64}}
_INDEX: JSON = {
    "name": "index",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 0, "maximum": 999},
}
_REFUSALS = {
    400: "The request cannot be met; the message says what is allowed.",
    401: "The token is missing or wrong.",
    403: "The page that calls is of a foreign origin.",
    404: "It does not exist, or is not kept any more.",
    408: "The body did not arrive in time.",
    409: "The job is in another state, or was cancelled.",
    413: "The body or the sound in it is too large.",
    415: "The body is of another type or compressed.",
    421: "The server is not called by that name.",
    422: "The sound cannot be used, or an Idempotency-Key was used before.",
    429: "The queue is full; Retry-After says when to come again.",
    500: "The server failed.",
    503: "The server is shutting down.",
    504: "The sound was not ready in time.",
    507: "The disk cannot store the sound.",
}
_ALWAYS = (400, 401, 403, 413, 415, 421)


def document(limits: Limits, models: list[str], *, needs_token: bool, adapters: Sequence[str] = ()) -> JSON:
    """Write the whole document.

    Args:
        limits: Of this server.
        models: Names; the first is the default.
        needs_token: Whether clients need a token.
        adapters: Names that requests may give strengths to.

    Returns:
        The OpenAPI description as JSON-ready values.
    """
    fields = offered_fields(limits)
    security: JSON = {"security": [{"token": []}]} if needs_token else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "arctone",
            "version": __version__,
            "description": "Text to audio.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_job_paths(), **_sound_paths(fields, models), **_about_paths()},
        "components": {
            "schemas": schemas.components(fields, models, adapters),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        **security,
    }


def _job_paths() -> JSON:
    body: JSON = {
        "application/json": {"schema": _ref("JobRequest")},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "request": _ref("EditRequest"),
                    "audio": {"type": "string", "format": "binary", "description": "The sound that is edited."},
                },
                "required": ["request"],
                "additionalProperties": False,
            },
            "encoding": {"request": {"contentType": "application/json"}},
        },
    }
    job = _json("JobAnswer")
    location = {"Location": {"description": "Address of the job.", "schema": {"type": "string"}}}
    return {
        "/v1/jobs": {
            "post": {
                "operationId": "createJob",
                "summary": "Create a job; the answer comes at once, the sounds follow.",
                "parameters": [_KEY],
                "requestBody": {"required": True, "content": body},
                "responses": {
                    "202": {
                        "description": "Accepted.",
                        "content": job,
                        "headers": location,
                        "links": _links(),
                    },
                    **_refused(404, 408, 422, 429, 503),
                },
            }
        },
        "/v1/estimates": {
            "post": _operation(
                "estimateJob",
                "Steps and seconds of a request, before it is made.",
                {"200": _answer("The estimate.", _json("EstimateAnswer")), **_refused(404, 408)},
                body=_json("EstimateRequest"),
            )
        },
        "/v1/jobs/{id}": {
            "parameters": [_ID],
            "get": _operation("getJob", "The job now.", {"200": _answer("The job.", job), **_refused(404)}),
            "delete": _operation(
                "deleteJob",
                "Cancel a job within one step, or forget a finished one with its takes.",
                {"200": _answer("Being cancelled.", job), "204": _answer("Forgotten."), **_refused(404)},
            ),
        },
        "/v1/jobs/{id}/events": {
            "parameters": [_ID],
            "get": _operation(
                "listenToJob",
                "Server-sent events: the job's state or `progress` as the event, the job as data; ends with the job.",
                {"200": _answer("Events.", {"text/event-stream": {"schema": _ref("Event")}}), **_refused(404)},
            ),
        },
        "/v1/jobs/{id}/takes/{index}": {"parameters": [_ID, _INDEX], "get": _take()},
    }


def _take() -> JSON:
    parameter = {
        "name": "format",
        "in": "query",
        "schema": {"type": "string", "enum": list(FILE_FORMATS), "default": "wav"},
    }
    audio = {MEDIA_TYPES[name]: _binary() for name in FILE_FORMATS}
    answers = {
        "200": _answer("The file; its record is in its comment tag.", audio),
        "206": _answer("A part of it.", {**audio, "multipart/byteranges": _binary()}),
        "416": {"description": "There is no such range."},
        **_refused(404, 409, 507),
    }
    return {**_operation("getTake", "A sound file, whole or in ranges.", answers), "parameters": [parameter]}


def _sound_paths(fields: tuple[RequestField, ...], models: list[str]) -> JSON:
    query = {
        "name": "output_format",
        "in": "query",
        "description": f"One of {', '.join(output_names())}; mp3 and opus also with a bitrate, mp3_44100_128.",
        "schema": {"type": "string", "pattern": OUTPUT_PATTERN, "default": "mp3"},
    }
    return {
        "/v1/sound-generation": {"post": _sound("createSoundEffect", "SoundGeneration", [query])},
        "/v1/audio/speech": {"post": _sound("createSpeech", "SpeechRequest", [])},
        "/v1/audio/generations": {"post": _sound("createAudio", "AudioGeneration", [])},
        "/v1/records": {
            "post": _operation(
                "readRecord",
                "What a sound file made by arctone says about itself.",
                {
                    "200": _answer("The record.", _json("RecordAnswer")),
                    **_refused(408, 422),
                },
                body={
                    "application/octet-stream": _binary(),
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "properties": {"audio": {"type": "string", "format": "binary"}},
                            "required": ["audio"],
                            "additionalProperties": False,
                        }
                    },
                },
            )
        },
    }


def _sound(operation_id: str, schema: str, parameters: list[JSON]) -> JSON:
    audio = {media_type: _binary() for media_type in sorted(set(MEDIA_TYPES.values()))}
    headers = {
        "X-Arctone-Seed": {"description": "Makes the same sound again.", "schema": {"type": "string"}},
        "X-Arctone-Warnings": {"description": "What could not be met exactly.", "schema": {"type": "string"}},
    }
    answers = {
        "200": {**_answer("The sound.", audio), "headers": headers},
        **_refused(404, 408, 409, 422, 429, 500, 503, 504, 507),
    }
    body = {"application/json": {"schema": _ref(schema)}}
    operation = _operation(operation_id, "A sound at once; hanging up cancels it.", answers, body)
    return {**operation, "parameters": [*parameters, _KEY]}


def _about_paths() -> JSON:
    def get(operation_id: str, summary: str, content: JSON, *refusals: int) -> JSON:
        return {"get": _operation(operation_id, summary, {"200": _answer(summary, content), **_refused(*refusals)})}

    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 200}}
    ready = get("ready", "Whether new jobs are accepted.", _json("ReadyAnswer"))
    ready["get"]["responses"]["503"] = _answer("Not now.", _json("ReadyAnswer"))
    return {
        "/v1/models": get("listModels", "Models, their limits and the fields of a request.", _json("ModelsAnswer")),
        "/v1/models/{name}": {"parameters": [name], **get("getModel", "One model.", _json("ModelAnswer"), 404)},
        "/v1/limits": get("getLimits", "The upper bounds of this server.", _json("LimitsAnswer")),
        "/health": get("health", "The process answers.", _json("HealthAnswer")),
        "/ready": ready,
        "/metrics": get("metrics", "Prometheus metrics.", {"text/plain": {"schema": {"type": "string"}}}),
    }


def _json(name: str) -> JSON:
    return {"application/json": {"schema": _ref(name)}}


def _operation(operation_id: str, summary: str, responses: JSON, body: JSON | None = None) -> JSON:
    given: JSON = {} if body is None else {"requestBody": {"required": True, "content": body}}
    return {"operationId": operation_id, "summary": summary, **given, "responses": responses}


def _refused(*statuses: int) -> JSON:
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return {
        str(status): {
            **_answer(_REFUSALS[status], {"application/json": {"schema": _ref("ErrorAnswer")}}),
            **({"headers": retry} if status in (429, 503) else {}),
        }
        for status in sorted({*_ALWAYS, *statuses})
    }


def _answer(description: str, content: JSON | None = None) -> JSON:
    return {"description": description, **({} if content is None else {"content": content})}


def _links() -> JSON:
    job = {"id": "$response.body#/id"}
    return {name: {"operationId": name, "parameters": job} for name in ("getJob", "deleteJob", "listenToJob")}


def _binary() -> JSON:
    return {"schema": {"type": "string", "format": "binary"}}


def _ref(name: str) -> JSON:
    return {"$ref": f"#/components/schemas/{name}"}
