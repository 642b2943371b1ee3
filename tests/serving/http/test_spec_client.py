"""A client that knows nothing but the description does everything, and every answer fits its schema."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import jsonschema_rs
import pytest
import soundfile
from starlette.testclient import TestClient

from arctone.inference.request import FIELDS
from arctone.serving.http.answers import ANSWERS
from tests.serving.http.conftest import QUICK, Client


class FromDescription:
    """One call for each operation of an OpenAPI document: call("getJob", id="...")."""

    def __init__(self, client: TestClient) -> None:
        self._client = client
        self.document = client.get("/openapi.json").json()
        self.operations = {
            operation["operationId"]: (method, path, operation, item.get("parameters", []))
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if method != "parameters"
        }

    def __call__(self, name: str, body: Any = None, /, **values: Any) -> Any:
        method, path, operation, shared = self.operations[name]
        query: dict[str, Any] = {}
        headers: dict[str, str] = {}
        for parameter in (*shared, *operation.get("parameters", [])):
            value = values.pop(parameter["name"].replace("-", "_"), None)
            if value is None:
                assert not parameter.get("required"), parameter
            elif parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", str(value))
            else:
                (query if parameter["in"] == "query" else headers)[parameter["name"]] = value
        assert not values
        sent = self._sent(operation, body)
        headers |= sent.pop("headers", {})
        answer = self._client.request(method, path, params=query, headers=headers, **sent)
        return self._checked(operation, answer)

    def _sent(self, operation: dict[str, Any], body: Any) -> dict[str, Any]:
        if body is None:
            return {}
        content = operation["requestBody"]["content"]
        if isinstance(body, bytes):
            assert "application/octet-stream" in content
            return {"content": body, "headers": {"Content-Type": "application/octet-stream"}}
        self.validate(content["application/json"]["schema"], body)
        return {"json": body}

    def _checked(self, operation: dict[str, Any], answer: Any) -> Any:
        described = operation["responses"][str(answer.status_code)]
        if "content" not in described:
            assert answer.content == b""
            return None
        media_type = answer.headers["content-type"].partition(";")[0]
        schema = described["content"][media_type]["schema"]
        if media_type != "application/json":
            return answer.content
        self.validate(schema, answer.json())
        return answer.json()

    def validate(self, schema: dict[str, Any], value: Any) -> None:
        whole = {**schema, "components": self.document["components"]}
        jsonschema_rs.Draft202012Validator(whole).validate(value)


@pytest.fixture
def call(client: TestClient) -> FromDescription:
    return FromDescription(client)


def test_a_client_made_from_the_description_works(call: FromDescription) -> None:
    (model,) = call("listModels")["models"]
    job = call("createJob", {**QUICK, "model": model["name"], "seed": 3}, Idempotency_Key="once")
    while (now := call("getJob", id=job["id"]))["state"] != "done":
        time.sleep(0.01)
    assert b"event: done" in call("listenToJob", id=job["id"])
    take = call("getTake", id=job["id"], index=now["result"]["takes"][0]["index"], format="flac")
    assert soundfile.info(io.BytesIO(take)).frames == 22_050
    assert call("readRecord", take)["record"]["seed"] == 3
    assert call("deleteJob", id=job["id"]) is None
    assert call("getJob", id=job["id"])["error"]["type"] == "not_found"
    effect = {"text": "rain", "duration_seconds": 0.5, "steps": 1, "prompt_influence": 0.5}
    assert soundfile.info(io.BytesIO(call("createSoundEffect", effect, output_format="wav_16000"))).frames == 8_000
    assert call("createAudio", {"input": "rain", "steps": 1, "response_format": "mp3"})
    assert call("getLimits")["max_queue"] == 32
    assert (call("health")["status"], call("ready")["status"]) == ("ok", "ready")
    assert b"arctone_jobs_accepted_total" in call("metrics")


def test_every_operation_is_described_and_every_description_is_an_operation(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    described = {
        (path, method.upper()) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    served = {
        (route.path, method)
        for route in client.app.routes  # type: ignore[attr-defined]
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD" and route.path not in ("/", "/docs", "/openapi.json")
    }
    assert described == served


def test_the_description_of_an_order_is_that_of_the_fields(serve: Client) -> None:
    document = serve(max_steps=50).get("/openapi.json").json()
    schema = document["components"]["schemas"]["EditRequest"]["properties"]
    assert set(schema) == {field.name for field in FIELDS} - {"threads"} | {"model"}
    for field in FIELDS:
        if field.name != "threads":
            assert schema[field.name]["description"] == field.help
            assert schema[field.name].get("x-aliases", []) == list(field.aliases)
    assert (schema["steps"]["minimum"], schema["steps"]["maximum"]) == (1, 50)
    assert "max_steps" not in json.dumps(schema)


def test_the_description_of_an_answer_is_that_of_its_struct(call: FromDescription) -> None:
    schemas = call.document["components"]["schemas"]
    for struct in ANSWERS:
        schema = schemas[struct.__name__]
        assert list(schema["properties"]) == list(struct.__struct_fields__)
    found = call("getModel", name="tiny")
    assert found == call("listModels")["data"][0]
    assert (found["id"], found["object"]) == ("tiny", "model")
    assert call("getModel", name="other")["error"]["type"] == "unknown_model"


def test_the_token_is_described_where_it_is_needed(serve: Client, client: TestClient) -> None:
    token = "a-token-of-some-length"
    needed = serve(token=token).get("/openapi.json", headers={"Authorization": f"Bearer {token}"}).json()
    assert needed["security"] == [{"token": []}]
    assert "security" not in client.get("/openapi.json").json()
