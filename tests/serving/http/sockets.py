"""Clients below the level of any HTTP library, and what they wait for."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

import httpx2


def raw(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(data)
    return connection


def ends_within(connection: socket.socket, seconds: float) -> bytes:
    """What the server says until it hangs up, which it does in time."""
    began, said = time.monotonic(), b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            said += chunk
    assert time.monotonic() - began < seconds
    connection.close()
    return said


def count(client: httpx2.Client, name: str) -> float:
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    return float(lines.get(name, 0))


def until(is_true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


def request_bytes(address: str, body: bytes) -> bytes:
    head = (
        f"POST {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body
