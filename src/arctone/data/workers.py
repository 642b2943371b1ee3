"""Waveforms of many clips, made in worker processes and handed over in the order asked for."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection

from arctone.audio.waveform import Waveform
from arctone.data.clip import ClipSource
from arctone.errors import ArctoneError, InputFileError, MemoryLimitError, UsageError

# How many clips are under way or wait to be fetched, for each worker: bounds the memory, hides uneven clips.
AHEAD_PER_WORKER = 4

Rendered = Waveform | ArctoneError

_source: ClipSource | None = None


def render_in_order(source: ClipSource, order: Sequence[int], num_workers: int) -> Generator[Rendered, None, None]:
    """Waveforms of the clips `order`, in that order.

    A clip that cannot be made is handed over as the error, not raised, so that the others still come.

    Args: source: must be picklable where processes cannot be forked. num_workers: 0 makes the clips in this process.
    Raises: UsageError for a negative num_workers, MemoryLimitError if a worker process died.
    """
    if num_workers < 0:
        raise UsageError(f"num_workers must be 0 or more, got {num_workers}.")
    if num_workers == 0:
        return (_rendered(source, index) for index in order)
    return _from_pool(source, order, num_workers)


def _from_pool(source: ClipSource, order: Sequence[int], num_workers: int) -> Generator[Rendered, None, None]:
    # Forked workers share what the source has already loaded (soundfonts, recordings) instead of loading it again.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker, initargs=(source,))
    pending: deque[Future[Rendered]] = deque()
    remaining = iter(order)
    try:
        for index in remaining:
            pending.append(pool.submit(_render, index))
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


def _start_worker(source: ClipSource) -> None:
    global _source
    _source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """A worker whose main process was killed would otherwise wait for work for ever."""
    connection.wait([sentinel])
    os._exit(1)


def _render(index: int) -> Rendered:
    assert _source is not None
    return _rendered(_source, index)


def _rendered(source: ClipSource, index: int) -> Rendered:
    try:
        return source.waveform(index)
    except ArctoneError as problem:
        return problem
    except OSError as problem:
        return InputFileError(f"clip {index} cannot be read: {(problem.strerror or str(problem)).lower()}.")
