"""The page of the HTTP API, made of the server's own OpenAPI document with default limits."""

from __future__ import annotations

from typing import Any

from tools.reference.markdown import code, plain, table

JSON = dict[str, Any]
NOTE = "<!-- Written by `make docs` from the server's OpenAPI. Change src/arctone/serving/http/, not this page. -->"
INTRODUCTION = (
    "Every path of `arctone serve`, with the limits of a server that is started without options; a running server "
    "describes itself, with its own limits, under `/openapi.json`. [How to serve](../how-to/serve.md) has examples, "
    "the table of errors and advice for operation."
)
METHODS = ("get", "post", "put", "patch", "delete")


def page() -> str:
    """Render the whole page."""
    from arctone.serving.http.formats import Limits
    from arctone.serving.http.openapi import document

    described = document(Limits(), ["spark"], needs_token=False)
    parts = [NOTE, "# HTTP API", INTRODUCTION, "## Paths"]
    for path, operations in described["paths"].items():
        shared = operations.get("parameters", [])
        for method in METHODS:
            if method in operations:
                parts += operation(method, path, operations[method], shared)
    parts.append("## Schemas")
    for name, schema in described["components"]["schemas"].items():
        parts += named_schema(name, schema)
    return "\n\n".join(parts) + "\n"


def operation(method: str, path: str, described: JSON, shared: list[JSON]) -> list[str]:
    """Render one method of a path: summary, parameters, body and answers."""
    parts = [f"### {method.upper()} {path}", plain(described["summary"])]
    parameters = [*shared, *described.get("parameters", [])]
    if parameters:
        rows = [[code(each["name"]), each["in"], kind_of(each["schema"]), meaning_of(each)] for each in parameters]
        parts.append(table(["parameter", "in", "type", "meaning"], rows))
    body = described.get("requestBody", {}).get("content", {})
    if body:
        parts.append(
            "Body: " + ", or ".join(f"{code(name)} ({kind_of(each['schema'])})" for name, each in body.items()) + "."
        )
    parts.append(table(["status", "answer", "content"], [answer(*item) for item in described["responses"].items()]))
    return parts


def answer(status: str, described: JSON) -> list[str]:
    """Render one answer: status, description, and the types it may have."""
    content = described.get("content", {})
    kinds = ", ".join(dict.fromkeys(kind_of(each["schema"]) for each in content.values()))
    types = ", ".join(code(name) for name in content if name != "application/json")
    return [status, plain(described["description"]), " ".join(part for part in (kinds, types) if part)]


def named_schema(name: str, schema: JSON) -> list[str]:
    """Render a schema: its description and a table of its properties."""
    parts = [f"### {name}"]
    if "description" in schema:
        parts.append(plain(schema["description"]))
    rows = properties(schema)
    parts.append(table(["field", "type", "meaning"], rows) if rows else f"Type: {kind_of(schema)}.")
    return parts


def properties(schema: JSON, prefix: str = "") -> list[list[str]]:
    """Render the properties of an object, those of nested objects below it with dotted names."""
    required = schema.get("required", [])
    rows = []
    for name, described in schema.get("properties", {}).items():
        kind = kind_of(described) + (", required" if name in required else "")
        rows.append([code(prefix + name), kind, meaning_of(described)])
        inner = described.get("items", described)
        if inner.get("properties"):
            rows += properties(inner, f"{prefix}{name}{'[]' if 'items' in described else ''}.")
    return rows


def meaning_of(described: JSON) -> str:
    """Render description, default and limits of a parameter or property."""
    schema = described.get("schema", described)
    parts = [plain(described.get("description", ""))]
    limits = {
        "at least {}": schema.get("minimum"),
        "more than {}": schema.get("exclusiveMinimum"),
        "at most {}": schema.get("maximum"),
        "at most {} characters": schema.get("maxLength"),
        "at most {} items": schema.get("maxItems"),
        "default {}": schema.get("default"),
    }
    stated = [words.format(code(str(value))) for words, value in limits.items() if value is not None]
    if stated:
        sentence = ", ".join(stated) + "."
        parts.append(sentence[0].upper() + sentence[1:])
    return " ".join(part for part in parts if part)


def kind_of(schema: JSON) -> str:
    """Name the type of a schema; a reference links to its heading."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(kind_of(each) for each in schema[key]))
    if "enum" in schema or "const" in schema:
        return ", ".join(code(str(value)) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"array of {kind_of(schema.get('items', {}))}"
    return "binary" if schema.get("format") == "binary" else str(kind)
