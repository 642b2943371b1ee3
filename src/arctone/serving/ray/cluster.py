"""Joining a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from arctone.errors import UsageError
from arctone.model_folder.folder import find_model
from arctone.version import install_hint

LOCAL = "local"
_CONNECT_SECONDS = 5.0
# What passes through the shared memory are requests and sounds of some megabytes.
_OBJECT_STORE_BYTES = 200 * 2**20


def ray_module() -> ModuleType:
    """Ray, which is no part of the base install. Raises: UsageError that says how to get it."""
    # Read when Ray is imported: nothing about the use of this program goes to anybody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError(f"ray is not installed: {install_hint('scale')}.") from None
    module: ModuleType = ray
    return module


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Ray, connected. A cluster that was started here ends with the context; another one goes on.

    Args: address: "auto" (the cluster that this machine is part of), "HOST:PORT", or "local" for one of this machine
        alone. A connection that is there already is used as it is.
    Raises: UsageError if no cluster answers there.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield ray
        return
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    _refuse_if_silent(address)
    if address == LOCAL:
        how |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address=address, **how)
    except (ConnectionError, RuntimeError, ValueError) as problem:
        reason = str(problem).strip().partition("\n")[0]
        raise UsageError(f"ray {address} is no cluster that answers: {reason[:200]}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_if_silent(address: str) -> None:
    """Ray itself tries for minutes. Raises: UsageError if nothing listens at HOST:PORT."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as problem:
        reason = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise UsageError(f"ray {address} is no cluster that answers: {reason}.") from None


def name_everywhere(model: str) -> str:
    """The name of a model, or its folder as other working folders see it. Raises: ModelError if it is not here."""
    folder = find_model(model)
    return str(folder.absolute()) if folder.absolute() == Path(model).absolute() else model


def num_workers_that_fit(ray: Any, threads: int) -> int:
    """How many workers of n threads the cluster's processors hold, at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
