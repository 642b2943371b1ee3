"""Idempotency-Key: a request that is sent twice, because its answer was lost, is carried out once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import msgspec

from arctone.serving.http.errors import ApiError
from arctone.serving.http.jobs import Job

_MAX_KEY_LENGTH = 255


class Keys:
    """The newest keys with the jobs they belong to. Args: max_keys: older ones are forgotten."""

    def __init__(self, max_keys: int = 1_000) -> None:
        self._max_keys = max_keys
        self._known: OrderedDict[str, tuple[str, Job]] = OrderedDict()

    def find(self, key: str, mark: str) -> Job | None:
        """The job of a key, if there is one. Args: mark: fingerprint of what is sent now.

        Raises: ApiError 422 if the key came with another request before.
        """
        if not 1 <= len(key) <= _MAX_KEY_LENGTH or not key.isprintable():
            raise ApiError(
                400, "invalid_request", f"Idempotency-Key must be 1 to {_MAX_KEY_LENGTH} printable characters."
            )
        known = self._known.get(key)
        if known is None:
            return None
        if known[0] != mark:
            raise ApiError(422, "key_reused", "this Idempotency-Key was used for another request before.")
        return known[1]

    def add(self, key: str, mark: str, job: Job) -> None:
        """Remember a job."""
        self._known[key] = mark, job
        while len(self._known) > self._max_keys:
            self._known.popitem(last=False)

    def remove(self, key: str) -> None:
        """Forget a key whose request was refused."""
        self._known.pop(key, None)


def fingerprint(values: dict[str, Any], sound: str = "") -> str:
    """SHA-256 of a request: its values whatever their sequence, and the hash of its sound."""
    digest = hashlib.sha256(msgspec.json.encode(values, order="deterministic"))
    digest.update(sound.encode())
    return digest.hexdigest()
