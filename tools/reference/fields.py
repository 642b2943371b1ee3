"""The table of request fields in docs/reference/python.md."""

from __future__ import annotations

import re
from typing import Any

from tools.reference.markdown import code, table


def with_table(text: str) -> str:
    """Replace the table of fields in a page by that of the program."""
    from arctone.inference.request import FIELDS

    rows = [[code(field.name), default_of(field), f"{field.help} {limits_of(field)}"] for field in FIELDS]
    fresh = table(["field", "default", "meaning"], rows)
    return re.sub(r"(<!-- fields -->\n).*?(<!-- /fields -->)", lambda m: f"{m[1]}{fresh}\n{m[2]}", text, flags=re.S)


def default_of(field: Any) -> str:
    """Render the default of a field."""
    return "required" if field.required else code(repr(field.default))


def limits_of(field: Any) -> str:
    """Render what a field allows as a sentence."""
    return f"{field.allowed[0].upper()}{field.allowed[1:]}."
