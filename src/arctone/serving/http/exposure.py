"""Who can reach the server, and what that demands: loopback is free, everything else needs a token."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from arctone.errors import UsageError

TOKEN_VARIABLE = "ARCTONE_TOKEN"
MIN_TOKEN_LENGTH = 16


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_for(host: str, token: str | None, token_file: Path | None) -> str | None:
    """The token clients must show, from the option, the file or the environment, in that order; None = none.

    Raises: UsageError if it is too weak, cannot be read, is given twice, or is missing where others reach the host.
    """
    if token is not None and token_file is not None:
        raise UsageError("token and token_file cannot both be given.")
    found = _read(token_file) if token_file is not None else token or os.environ.get(TOKEN_VARIABLE) or None
    if found is None:
        if not is_loopback(host):
            raise UsageError(
                f"host {host} can be reached by others, so a token is needed: --token-file FILE or {TOKEN_VARIABLE}; "
                "127.0.0.1 needs none.",
                field="host",
            )
        return None
    # Never the token itself in a message: it may end in a log.
    if len(found) < MIN_TOKEN_LENGTH or not all("!" <= sign <= "~" for sign in found):
        raise UsageError(
            f"token must be at least {MIN_TOKEN_LENGTH} ASCII letters, digits and signs without spaces.", field="token"
        )
    return found


def checked_origin(origin: str) -> str:
    """An origin as browsers send it. Raises: UsageError for "*", a path or another scheme."""
    scheme, separator, rest = origin.partition("://")
    if scheme not in ("http", "https") or not separator or not rest or set(rest) & set("/*?# "):
        raise UsageError(
            f"cors_origin must be like https://example.org, without path or *, got {origin!r}.", field="cors_origin"
        )
    return origin


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = (getattr(problem, "strerror", None) or "it is no text").lower()
        raise UsageError(f"token_file {path} cannot be read: {reason}.", field="token_file") from None
