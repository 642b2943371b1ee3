"""Middleware of the HTTP API: hosts, origins, headers, identifiers, limits on connections."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Collection
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arctone.errors import UsageError
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import Limits

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
    """Find the token clients must show: from the option, the file or the environment, in that order.

    Args:
        host: Address that the server binds.
        token: Of the option.
        token_file: Holds the token.

    Returns:
        The token; None = none is needed.

    Raises:
        UsageError: If it is too weak, cannot be read, is given twice, or is missing where others reach the host.
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
    """Check an origin as browsers send it.

    Args:
        origin: Such as "https://example.org".

    Returns:
        The origin.

    Raises:
        UsageError: For "*", a path or another scheme.
    """
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


log = logging.getLogger("arctone.serving.http")

# wavesurfer and its kind write style elements; scripts come from this server's own files alone.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self' blob:; worker-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
# The page asks for the token, so it must load without one; probes have none.
OPEN_PATHS = ("/", "/docs", "/favicon.ico", "/health", "/ready")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_URL_BYTES = 8_192

Answered = Callable[[str, str, int, float], None]


class Identity:
    """Gives each request an id, answers unexpected errors, sets the headers of all answers and counts them.

    Args:
        app: the next application.
        answered: called with method, route, status and seconds.
    """

    def __init__(self, app: ASGIApp, answered: Answered) -> None:
        self._app, self._answered = app, answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        scope["request_id"] = given if _ID.fullmatch(given) else secrets.token_hex(8)
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = scope["request_id"]
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as problem:
            log.error("request %s failed", scope["request_id"], exc_info=problem)
            if not status:
                error = ApiError(500, "internal_error", "the server failed at this request; its log says why.")
                await error.response(scope["request_id"])(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "") or "other"
            seconds = time.perf_counter() - began
            # 499: the client went away before there was an answer.
            self._answered(_known_method(scope["method"]), route, status or 499, seconds)
            # As it was sent: decoded, an address could hold a line break and so a line of its own in the log.
            address = scope.get("raw_path", b"").decode("ascii", "replace")
            log.info("%s %s %s %.0f ms %s", scope["method"], address, status, 1000 * seconds, scope["request_id"])


class _Arrived:
    """Bytes of one request's body so far."""

    num_bytes = 0


class Guard:
    """Refuses foreign hosts, origins, wrong tokens and large bodies before anything of the body is read.

    Args:
        app: the next application.
        limits: of body sizes.
        token: needed for everything but the page and the probes; None = none is needed.
        hosts: names this server is called by, next to localhost and any address in figures.
        origins: origins whose pages may call it, next to its own.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, token: str | None, hosts: Collection[str], origins: Collection[str]
    ) -> None:
        self._app, self._limits = app, limits
        self._digest = None if token is None else sha256(token.encode()).digest()
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._origins = set(origins)
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = (
            self._foreign_host(headers)
            or self._foreign_origin(scope, headers)
            or self._wrong_token(scope, headers)
            or self._bad_message(scope, headers)
        )
        if refusal is not None:
            await refusal.response(scope["request_id"])(scope, receive, send)
            return
        arrived = _Arrived()
        try:
            await self._app(scope, self._counted(receive, arrived), send)
        finally:
            self._arriving -= arrived.num_bytes

    def _foreign_host(self, headers: Headers) -> ApiError | None:
        """A page elsewhere can point its own name at this address, but cannot hide that name (DNS rebinding)."""
        host = _host_name(headers.get("host", ""))
        if host is None or not (host in self._hosts or _is_address(host)):
            return ApiError(421, "wrong_host", "this server is not called by that name; see --allowed-host.")
        return None

    def _foreign_origin(self, scope: Scope, headers: Headers) -> ApiError | None:
        """Browsers say from whose page a request comes; other programs do not."""
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and not _is_own(origin, headers.get("host", "")):
            return ApiError(403, "foreign_origin", "pages of other origins may not use this server; see --cors-origin.")
        elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if origin is None and elsewhere and scope["method"] not in ("GET", "HEAD"):
            return ApiError(403, "foreign_origin", "pages of other origins may not use this server; see --cors-origin.")
        return None

    def _wrong_token(self, scope: Scope, headers: Headers) -> ApiError | None:
        path = scope["path"]
        if self._digest is None or path in OPEN_PATHS or path.startswith("/static/") or scope["method"] == "OPTIONS":
            return None
        given = _token(headers)
        if hmac.compare_digest(sha256(given.encode("utf-8", "replace")).digest(), self._digest):
            return None
        return ApiError(
            401,
            "unauthorized",
            "this server needs its token: Authorization: Bearer TOKEN.",
            headers={"WWW-Authenticate": 'Bearer realm="arctone"'},
        )

    def _bad_message(self, scope: Scope, headers: Headers) -> ApiError | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _MAX_URL_BYTES:
            return ApiError(414, "too_large", f"the address must have at most {_MAX_URL_BYTES} bytes.")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            # What is never unpacked cannot explode.
            return ApiError(415, "unsupported_encoding", "compressed bodies are not taken; send it as it is.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.max_body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            "too_large",
            f"the body must have at most {self._limits.max_body_bytes} bytes.",
            headers={"Connection": "close"},
        )

    def _counted(self, receive: Receive, arrived: _Arrived) -> Receive:
        """The body, counted as it comes in, because its announced length may be missing."""

        async def counted() -> Message:
            message = await receive()
            num_bytes = len(message.get("body", b""))
            arrived.num_bytes += num_bytes
            self._arriving += num_bytes
            if arrived.num_bytes > self._limits.max_body_bytes:
                raise self._too_large()
            if self._arriving > self._limits.max_arriving_bytes:
                raise ApiError(
                    503,
                    "too_many_bytes",
                    "the bodies of all open requests together are more than this server keeps; try again later.",
                    headers={"Retry-After": "5", "Connection": "close"},
                )
            return message

        return counted


def _token(headers: Headers) -> str:
    """What the client shows: Authorization: Bearer, or the header of ElevenLabs' own clients."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("xi-api-key", "")


def _host_name(host: str) -> str | None:
    """The name in a Host header, without its port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and host else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_own(origin: str, host: str) -> bool:
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _known_method(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH") else "other"
