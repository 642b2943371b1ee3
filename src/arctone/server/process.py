"""The process around the application: its socket, its signals, its slow clients."""

from __future__ import annotations

import asyncio
import errno
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from arctone.errors import UsageError
from arctone.server.service import Service

_KEEP_ALIVE_SECONDS = 15


class Server(uvicorn.Server):
    """uvicorn, but the first stop signal lets accepted jobs finish while the doors still answer."""

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


class Protocol(H11Protocol):
    """HTTP/1.1 that hangs up on clients whose headers do not arrive in time."""

    header_timeout_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        super().data_received(data)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._set_deadline(None)
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        """The clock runs from the first byte of a request to the end of its headers, however slowly they come."""
        is_between = self.cycle is None or self.cycle.response_complete
        if not is_between:
            self._set_deadline(None)
        elif self._deadline is None:
            loop = asyncio.get_running_loop()
            self._set_deadline(loop.call_later(self.header_timeout_seconds, self.transport.close))

    def _set_deadline(self, handle: asyncio.TimerHandle | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = handle


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens, before any model is loaded. Raises: UsageError if the address is taken or not ours."""
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
            raise UsageError(f"port {port} on {host} is in use by another program; give another with --port.") from None
        reason = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise UsageError(f"host {host}, port {port} cannot be used: {reason}.") from None


def run(app: Starlette, listener: socket.socket) -> None:
    """Serve until a stop signal, then drain."""
    try:
        server_of(app).run(sockets=[listener])
    finally:
        # A second signal leaves no time for the orderly end.
        app.state.service.abandon()


def server_of(app: Starlette) -> Server:
    """The server around an application that `create_app` made."""
    service: Service = app.state.service
    seconds = service.limits.header_timeout_seconds
    protocol = type("BoundedProtocol", (Protocol,), {"header_timeout_seconds": seconds})
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
