"""Work on many clips, done in worker processes and handed over in the order asked for."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, TypeVar

from arctone.audio.waveform import Waveform
from arctone.data.clip import ClipSource
from arctone.errors import ArctoneError, InputFileError, MemoryLimitError, UsageError

# How many clips are under way or wait to be fetched, for each worker: bounds the memory, hides uneven clips.
AHEAD_PER_WORKER = 4

T = TypeVar("T")
Rendered = Waveform | ArctoneError
# Called with the source and a clip's number.
Work = Callable[[ClipSource, int], T]

_job: tuple[ClipSource, Work[Any]] | None = None


def map_in_order(
    source: ClipSource, work: Work[T], order: Sequence[int], num_workers: int
) -> Generator[T | ArctoneError, None, None]:
    """work(source, index) for the clips `order`, in that order.

    A clip that fails is handed over as the error, not raised, so that the others still come. Close the generator when
    leaving early.

    Args: source, work: must be picklable where processes cannot be forked. num_workers: 0 works in this process.
    Raises: UsageError for a negative num_workers, MemoryLimitError if a worker process died.
    """
    if num_workers < 0:
        raise UsageError(f"num_workers must be 0 or more, got {num_workers}.", field="num_workers")
    if num_workers == 0 or len(order) < 2:
        return (_done(source, work, index) for index in order)
    return _from_pool(source, work, order, num_workers)


def render_in_order(
    source: ClipSource, order: Sequence[int], num_workers: int
) -> Generator[Waveform | ArctoneError, None, None]:
    """Waveforms of the clips `order`, in that order: see map_in_order."""
    return map_in_order(source, _waveform, order, num_workers)


def _waveform(source: ClipSource, index: int) -> Waveform:
    return source.waveform(index)


def _from_pool(
    source: ClipSource, work: Work[T], order: Sequence[int], num_workers: int
) -> Generator[T | ArctoneError, None, None]:
    # Forked workers share what the source has already loaded (soundfonts, recordings) instead of loading it again.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker, initargs=(source, work))
    pending: deque[Future[Any]] = deque()
    try:
        for index in order:
            pending.append(pool.submit(_do, index))
            if len(pending) >= AHEAD_PER_WORKER * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise MemoryLimitError(
            f"a worker process ended unexpectedly, most often for lack of memory: try fewer than {num_workers} workers."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(source: ClipSource, work: Work[Any]) -> None:
    global _job
    _job = (source, work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """A worker whose main process was killed would otherwise wait for work for ever."""
    connection.wait([sentinel])
    os._exit(1)


def _do(index: int) -> Any:
    assert _job is not None
    return _done(*_job, index)


def _done(source: ClipSource, work: Work[T], index: int) -> T | ArctoneError:
    try:
        return work(source, index)
    except ArctoneError as problem:
        return problem
    except OSError as problem:
        return InputFileError(f"clip {index} cannot be read: {(problem.strerror or str(problem)).lower()}.")
