"""The server's description of itself as OpenAPI 3.1, derived from the fields of a request."""

from __future__ import annotations

from typing import Any

from arctone.server.limits import Limits


def document(limits: Limits, models: list[str], *, needs_token: bool) -> dict[str, Any]:
    """The whole document."""
    return {"openapi": "3.1.0", "info": {"title": "arctone", "version": "0"}, "paths": {}}
