"""Store of finished takes, and idempotency keys."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arctone.audio.files import encode_audio
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.files.atomic import temporary_folder, write_atomically
from arctone.serving.http.answers import Take
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import Limits
from arctone.serving.http.jobs import Job

log = logging.getLogger("arctone.serving.http")
_RAW = "f32"


class Store:
    """Jobs by id, their takes in a private folder: samples as they are, files of any format encoded on request.

    Args:
        limits: Of which retention_* count.
        folder: Where the private folder is made at need; None = the system's folder for temporary files.
    """

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        self._limits = limits
        self._given = folder
        self._folder: Path | None = None
        self._open = contextlib.ExitStack()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._making_folder = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def num_bytes(self) -> int:
        """Bytes of all takes."""
        return sum(self._sizes.values())

    def add(self, job: Job) -> None:
        """Know a job from now on."""
        self._jobs[job.id] = job
        self.tidy()

    def get(self, job_id: str) -> Job:
        """Find a job.

        Args:
            job_id: Its id.

        Returns:
            The job.

        Raises:
            ApiError: 404 if it never was, or is not kept any more.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise ApiError(404, "not_found", "there is no such job, or it is not kept any more.")
        return job

    def has(self, job: Job) -> bool:
        """Whether a job is still known."""
        return job.id in self._jobs

    def jobs(self) -> tuple[Job, ...]:
        """All jobs, oldest first."""
        return tuple(self._jobs.values())

    def forget(self, job: Job) -> None:
        """Remove a job and its takes."""
        self._jobs.pop(job.id, None)
        self._sizes.pop(job.id, None)
        job.result = None
        if self._folder is not None:
            shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def tidy(self) -> None:
        """Forget the oldest finished jobs until all retention limits hold."""
        final = [job for job in self._jobs.values() if job.is_final]
        now = time.monotonic()
        too_many = len(final) - self._limits.retention_jobs
        for number, job in enumerate(final):
            is_old = now - (job.finished_at or now) > self._limits.retention_seconds
            # A job that is too large alone is still handed out until the next one is finished.
            is_too_large = self.num_bytes > self._limits.retention_bytes and job is not final[-1]
            if is_old or number < too_many or is_too_large:
                self.forget(job)

    def keep(self, job: Job, index: int, waveform: Waveform) -> None:
        """Write the samples of a take. Called off the event loop.

        Args:
            job: The job.
            index: Of the take, from 0.
            waveform: Its sound.

        Raises:
            ApiError: 507 if the disk is full or the folder cannot be written; then the earlier takes go, too.
        """
        try:
            folder = self._job_folder(job)
            write_atomically(folder / f"{index}.{_RAW}", waveform.samples.data, force=True)
            self._sizes[job.id] = _folder_size(folder)
        except (OSError, UsageError) as problem:
            log.error("take %d of job %s cannot be kept: %s", index, job.id, problem)
            self._discard(job)
            raise storage_error() from None

    def audio_file(self, job: Job, index: int, format: str) -> Path:
        """Return a file of one take, made at its first use. Called off the event loop.

        Args:
            job: The job.
            index: Of the take, from 0.
            format: Of the file.

        Returns:
            Its path.

        Raises:
            ApiError: 404 if the takes are gone; 507 if the file cannot be written.
        """
        result = job.result
        if result is None or self._folder is None:
            raise gone_error()
        folder = self._folder / job.id
        path = folder / f"{index}.{format}"
        _refuse_links(folder, path)
        if path.is_file():
            return path
        data = encode_audio(self.sound(job, index), format, metadata=result.to_metadata(index))
        try:
            write_atomically(path, data, force=True)
            self._sizes[job.id] = _folder_size(folder)
        except (OSError, UsageError) as problem:
            log.error("a take of job %s cannot be kept: %s", job.id, problem)
            raise storage_error() from None
        return path

    def sound(self, job: Job, index: int) -> Waveform:
        """Read the samples of one take. Called off the event loop.

        Args:
            job: The job.
            index: Of the take, from 0.

        Returns:
            The sound.

        Raises:
            ApiError: 404 if they are gone.
        """
        if self._folder is None:
            raise gone_error()
        path = self._folder / job.id / f"{index}.{_RAW}"
        _refuse_links(path.parent, path)
        return _read(path, job.takes[index])

    def close(self) -> None:
        """Remove every take and their folder."""
        for job in self.jobs():
            self.forget(job)
        self._open.close()
        self._folder = None

    def _job_folder(self, job: Job) -> Path:
        # Workers finish at the same moment: with a folder each, the takes of one would be lost.
        with self._making_folder:
            if self._given is not None:
                self._given.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._folder is None:
                self._folder = self._open.enter_context(temporary_folder(self._given))
            # Also when somebody has deleted the whole folder meanwhile; `parents` would let others read it.
            self._folder.mkdir(exist_ok=True, mode=0o700)
        folder = self._folder / job.id
        folder.mkdir(exist_ok=True, mode=0o700)
        _refuse_links(self._folder, folder)
        return folder

    def _discard(self, job: Job) -> None:
        self._sizes.pop(job.id, None)
        if self._folder is not None:
            shutil.rmtree(self._folder / job.id, ignore_errors=True)


def gone_error() -> ApiError:
    """The error of takes that were removed."""
    return ApiError(404, "not_found", "the takes of this job are not kept any more.")


def storage_error() -> ApiError:
    """The error of a sound that the disk cannot store; the log says why."""
    return ApiError(507, "storage_error", "the sound was made, but the server could not store it; nothing was kept.")


def _folder_size(folder: Path) -> int:
    """Bytes of the takes; files that are still being written have another name, and may be gone the next moment."""
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _refuse_links(*paths: Path) -> None:
    """Takes are files of this program; a link that somebody laid among them is neither read nor written through."""
    for path in paths:
        if path.is_symlink():
            log.error("%s is a link, which this server did not lay; it is not followed", path)
            raise gone_error()


def _read(path: Path, take: Take) -> Waveform:
    try:
        samples = np.frombuffer(path.read_bytes(), np.float32)
    except OSError:
        raise gone_error() from None
    return Waveform(samples.reshape(take.num_channels, take.num_samples), take.sample_rate)


_MAX_KEY_LENGTH = 255


class Keys:
    """The newest idempotency keys with the jobs they belong to.

    Args:
        max_keys: Older ones are forgotten.
    """

    def __init__(self, max_keys: int = 1_000) -> None:
        self._max_keys = max_keys
        self._known: OrderedDict[str, tuple[str, Job]] = OrderedDict()

    def find(self, key: str, mark: str) -> Job | None:
        """Find the job of a key.

        Args:
            key: The key.
            mark: Fingerprint of the request that is sent now.

        Returns:
            The job; None if the key is new.

        Raises:
            ApiError: 422 if the key came with another request before.
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
