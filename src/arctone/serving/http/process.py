"""The process around the application: its socket, its signals, its slow clients."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from arctone.errors import UsageError
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import Limits
from arctone.serving.http.middleware import HEADERS, Answered
from arctone.serving.http.service import Service

_KEEP_ALIVE_SECONDS = 15
# Fewer do not even carry a telephone call.
_SLOWEST_BYTES_PER_SECOND = 1_000
# Open files next to connections: graphs, takes, uploads, pipes.
_OTHER_FILES = 256
# Requests that start in one turn of the loop; each costs about a millisecond of a core.
_EACH_TURN = 8
_PROBES = (b"GET /health ", b"GET /ready ", b"HEAD /health ", b"HEAD /ready ")


class Server(uvicorn.Server):
    """uvicorn, but the first stop signal lets accepted jobs finish while the server still answers."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the drain, the second ends everything; both are an orderly end of the process."""
        if self._draining is None:
            self._service.is_draining = True
            self._loop.call_soon_threadsafe(self._begin_to_drain)
        else:
            self.should_exit = self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def _begin_to_drain(self) -> None:
        self._draining = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        await self._service.drain()
        self.should_exit = True


def is_probe(data: bytes) -> bool:
    """Whether the first bytes of a request are those of a health check."""
    return data.startswith(_PROBES)


class Intake:
    """Runs callbacks in the order in which they came, a few in each turn of the loop.

    So a burst of requests does not hold up whoever comes during it. Used on the event loop's thread only.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._turns: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, run: Callable[[], None]) -> None:
        """Schedule a callback."""
        self._waiting.append(run)
        if self._turns is None:
            self._turns = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        few = [self._waiting.popleft() for _ in range(min(_EACH_TURN, len(self._waiting)))]
        self._turns = asyncio.get_running_loop().call_soon(self._turn) if self._waiting else None
        for run in few:
            run()


class Protocol(H11Protocol):
    """HTTP/1.1 that hangs up on clients whose headers, or whose reading, do not come on, and keeps bursts in order.

    `settings` is what all connections of one server share.
    """

    settings: Connections
    _deadline: asyncio.TimerHandle | None = None
    _patience: asyncio.TimerHandle | None = None
    _is_surplus = False
    _held = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        # pause_writing is called for every byte that the client leaves unread, not only beyond some thousand.
        transport.set_write_buffer_limits(0)
        self._is_surplus = len(self.connections) > self.settings.limits.max_connections
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._held:
            self._held += data
        elif self._is_surplus and not is_probe(data):
            self.transport.write(self.settings.refusal())
            self.transport.close()
        elif self._is_between and not is_probe(data):
            self._held = data
            # What else comes waits in the system's buffers, which are bounded.
            self.transport.pause_reading()
            self.settings.intake.enter(self._start_request)
        else:
            super().data_received(data)
            self._expect_headers()

    def pause_writing(self) -> None:
        """See asyncio."""
        super().pause_writing()
        self._expect_reading(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """See asyncio."""
        self._set_patience(None)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._held = b""
        self._set_deadline(None)
        self._set_patience(None)
        super().connection_lost(exc)

    @property
    def _is_between(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _start_request(self) -> None:
        data, self._held = self._held, b""
        if not data or self.transport.is_closing():
            return
        super().data_received(data)
        if not self.flow.read_paused:
            self.transport.resume_reading()
        self._expect_headers()

    def _expect_headers(self) -> None:
        """The clock runs from the first byte of a request to the end of its headers, however slowly they come."""
        if not self._is_between:
            self._set_deadline(None)
        elif self._deadline is None:
            loop = asyncio.get_running_loop()
            seconds = self.settings.limits.header_timeout_seconds
            self._set_deadline(loop.call_later(seconds, self.transport.close))

    def _expect_reading(self, unread: int) -> None:
        """Look again after a while whether the client took a fair part of what is unread now; if not, hang up."""
        seconds = self.settings.limits.send_timeout_seconds

        def look() -> None:
            left = self.transport.get_write_buffer_size()
            if unread - left < min(unread, seconds * _SLOWEST_BYTES_PER_SECOND):
                self.transport.abort()
            else:
                self._expect_reading(left)

        self._set_patience(asyncio.get_running_loop().call_later(seconds, look))

    def _set_deadline(self, handle: asyncio.TimerHandle | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = handle

    def _set_patience(self, handle: asyncio.TimerHandle | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = handle


class Connections:
    """State that all connections of one server share.

    Args:
        limits: of the service.
        answered: called for each refusal here.
    """

    def __init__(self, limits: Limits, answered: Answered) -> None:
        self.limits, self.intake = limits, Intake()
        self._answered = answered

    def refusal(self) -> bytes:
        """The whole answer to a request on a connection too many; it costs next to nothing."""
        self._answered("other", "other", 503, 0.0)
        sentence = (
            f"{self.limits.max_connections} connections are open, which is all that this server keeps; try again later."
        )
        headers = {"Retry-After": "2", "Connection": "close"}
        return refusal_bytes(ApiError(503, "too_many_connections", sentence, headers=headers))


def refusal_bytes(error: ApiError) -> bytes:
    """An answer as it goes over the wire, made without the application."""
    request_id = secrets.token_hex(8)
    response = error.response(request_id)
    headers = {**HEADERS, "X-Request-Id": request_id, "Cache-Control": "no-store"}
    response.headers.update(headers)
    lines = [b"%s: %s" % line for line in response.raw_headers]
    status = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()
    return b"\r\n".join([status, *lines, b"", bytes(response.body)])


def bound_socket(host: str, port: int) -> socket.socket:
    """Bind a socket before any model is loaded.

    Args:
        host: Name or address.
        port: 0 = any free one.

    Returns:
        A socket that listens.

    Raises:
        UsageError: If the address is taken or not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except BaseException:
            listener.close()
            raise
        return listener
    except (OSError, OverflowError, UnicodeError) as problem:
        if getattr(problem, "errno", None) == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} on {host} is in use by another program; give another with --port.", field="port"
            ) from None
        reason = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise UsageError(f"host {host}, port {port} cannot be used: {reason}.", field="host") from None


def allow_files(num_connections: int) -> None:
    """Let this process open as many files as that many connections need, as far as the system permits."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def run(app: Starlette, listener: socket.socket) -> None:
    """Serve until a stop signal, then drain."""
    allow_files(app.state.service.limits.max_connections)
    try:
        server_of(app).run(sockets=[listener])
    finally:
        # A second signal leaves no time for the orderly end.
        app.state.service.abandon()


def server_of(app: Starlette) -> Server:
    """The server around an application that `create_app` made."""
    service: Service = app.state.service
    settings = Connections(service.limits, service.metrics.answered)
    protocol = type("BoundedProtocol", (Protocol,), {"settings": settings})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
    )
    return Server(config, service)
