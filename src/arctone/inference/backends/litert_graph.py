"""One .tflite file on the LiteRT runtime (XNNPACK kernels), called by signature and by input name."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arctone.errors import ArctoneError, MemoryLimitError, ModelError
from arctone.model_folder.folder import read_hashes

Arrays = Mapping[str, NDArray[Any]]

_STDERR = 2
_quiet_lock = threading.RLock()


class Graph(Protocol):
    """A loaded file with one or more signatures."""

    signatures: tuple[str, ...]

    def run(self, signature: str, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Run one signature of the graph.

        Args:
            signature: Its name.
            inputs: By name, shapes and types exactly as exported.

        Returns:
            Outputs by name.
        """

    def close(self) -> None:
        """Free the memory."""


def load_graph(path: Path, threads: int, weights_cache: Path | None = None) -> Graph:
    """Open a graph.

    Args:
        path: The .tflite file.
        threads: CPU threads.
        weights_cache: Folder for the kernels' own copy of the weights: start and memory are a quarter of what they are
            without, for as much disk as the graph takes; None = no files are written.

    Returns:
        The graph.

    Raises:
        ModelError: If the file is missing or no graph.
        MemoryLimitError: If memory does not suffice.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist, but this model's engine needs it.")
    try:
        with quiet():
            if weights_cache is None:
                return InterpreterGraph(path, threads)
            weights_cache.mkdir(parents=True, exist_ok=True)
            return CachedGraph(path, threads, weights_cache / f"{cache_key(path)}.xnnpack")
    except MemoryError:
        raise MemoryLimitError(f"{path.name} does not fit into the memory that this process may use.") from None
    except (ValueError, RuntimeError) as problem:
        raise ModelError(f"{path} is not a graph that this runtime can open: {_first_line(problem)}.") from None


def cache_key(path: Path) -> str:
    """Name of a cache file: packed weights hold for one file, one runtime and one CPU only."""
    import hashlib
    import platform
    from importlib.metadata import version

    facts = (_content(path), version("ai-edge-litert"), platform.machine(), _cpu_flags())
    return f"{path.stem}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def _content(path: Path) -> tuple[object, ...]:
    """What tells a file from others: its hash where the model's folder keeps one, which was checked on loading."""
    known = read_hashes(path.parent).get(path.name)
    if known is not None:
        return (known,)
    stat = path.stat()
    return (path.name, stat.st_size, stat.st_mtime_ns)


class InterpreterGraph:
    """Graph on the plain interpreter: no files written, weights packed again at each start."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._path = path
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._runners: dict[str, Any] = {}
        self.signatures = tuple(self._interpreter.get_signature_list())

    def run(self, signature: str, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """See Graph."""
        with _explained(self._path):
            if signature in self._runners:
                return dict(self._runners[signature](**inputs))
            with quiet():  # kernels are chosen, and talk, in the first call
                runner = self._interpreter.get_signature_runner(signature)
                out = dict(runner(**inputs))
            self._runners[signature] = runner
            return out

    def close(self) -> None:
        """See Graph."""
        self._runners.clear()
        self._interpreter = None


class CachedGraph:
    """Graph on the compiled-model interface, which can keep packed weights in a file and map them."""

    def __init__(self, path: Path, threads: int, cache: Path) -> None:
        from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options

        self._path = path
        options = Options(cpu_options=CpuOptions(num_threads=threads, xnnpack_weight_cache_path=str(cache)))
        self._model = CompiledModel.from_file(str(path), options=options)
        self._buffers: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {}
        self.signatures = tuple(self._model.get_signature_list())
        atexit.register(self.close)

    def run(self, signature: str, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """See Graph."""
        # Buffers are made, and the runtime talks, in the first call.
        with _explained(self._path), contextlib.nullcontext() if signature in self._buffers else quiet():
            enter, leave, details = self._buffers_of(signature)
            for name, buffer in enter.items():
                buffer.write(np.ascontiguousarray(inputs[name]))
            self._model.run_by_name(signature, enter, leave)
            return {name: self._read(buffer, details[name]) for name, buffer in leave.items()}

    def close(self) -> None:
        """See Graph."""
        with quiet():
            self._buffers.clear()
            self._model = None
        atexit.unregister(self.close)

    def _buffers_of(self, signature: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if signature not in self._buffers:
            names = self._model.get_signature_list()[signature]
            enter = {name: self._model.create_input_buffer_by_name(signature, name) for name in names["inputs"]}
            leave = {name: self._model.create_output_buffer_by_name(signature, name) for name in names["outputs"]}
            self._buffers[signature] = enter, leave, self._model.get_output_tensor_details(signature)
        return self._buffers[signature]

    @staticmethod
    def _read(buffer: Any, details: Mapping[str, Any]) -> NDArray[np.float32]:
        shape = tuple(details["shape"])
        values: NDArray[np.float32] = buffer.read(int(np.prod(shape)), np.float32).reshape(shape)
        return values


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the runtime's C++ start-up lines off the terminal; Python's own messages are flushed before."""
    with _quiet_lock, contextlib.ExitStack() as stack:
        try:
            sys.stderr.flush()
            saved = os.dup(_STDERR)
        except (OSError, ValueError, AttributeError):  # no terminal at all
            yield
            return
        stack.callback(os.close, saved)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        os.dup2(nowhere, _STDERR)
        stack.callback(os.dup2, saved, _STDERR)
        yield


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise MemoryLimitError(f"{path.name} needs more memory than this process may use.") from None
    except ArctoneError:
        raise
    except (ValueError, RuntimeError, KeyError) as problem:
        raise ModelError(f"{path} cannot be run: {_first_line(problem)}.") from None


def _first_line(problem: Exception) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")


def _cpu_flags() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith(("flags", "Features")):
                return line
    return ""
