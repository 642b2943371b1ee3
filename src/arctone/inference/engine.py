"""Models as users meet them: load one, ask it for sound, follow its progress. The work is done in `generation`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from arctone.audio.waveform import Waveform
from arctone.errors import MemoryLimitError, ModelError, UsageError
from arctone.inference.backends.base import Parts
from arctone.inference.pipeline import Cancel, Run
from arctone.inference.request import (
    MAX_DURATION_SECONDS,
    AdapterUse,
    Defaults,
    GenerationRequest,
    GenerationResult,
    Progress,
    from_dict,
    resolve,
    usable_threads,
)
from arctone.inference.shared import SharedParts
from arctone.inference.source import Source, opened
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.folder import check_hashes, find_model, folder_hash, read_model_config
from arctone.model_folder.tokenizer import Tokenizer

if TYPE_CHECKING:
    from arctone.inference.backends.torch import TorchParts

EngineName = Literal["auto", "native", "torch"]
OnProgress = Callable[[Progress], None]
PrecisionName = Literal["auto", "float32", "bfloat16", "int8"]
_ENGINES = ("auto", "native", "torch")


class Running(NamedTuple):
    """How the torch engine is to work; see `load`."""

    precision: str = "auto"
    device: str = "auto"
    compiled: bool = False

    @property
    def needs_torch(self) -> str:
        """What the native engine cannot do, in words; empty if it can do all."""
        if self.precision != "auto":
            return f"precision {self.precision!r}"
        if self.device not in ("auto", "cpu"):
            return f"device {self.device!r}"
        return "compiled" if self.compiled else ""


class Engine:
    """Generation on any parts.

    Args: parts: what computes. config: the model's. tokenizer: of the same model. model_hash: for the record.
        threads: CPU threads of requests that do not say; None = all that the process may use. adapters: that the parts
        were opened with, for the record. precision: that they were asked to compute in, for the record.
    Calls from several threads take turns, step by step.
    """

    def __init__(
        self,
        parts: Parts,
        config: ModelConfig,
        tokenizer: Tokenizer,
        model_hash: str = "",
        threads: int | None = None,
        adapters: tuple[AdapterUse, ...] = (),
        precision: str = "auto",
    ) -> None:
        self.config = config
        self.adapters = adapters
        self.precision = precision
        self.model_hash = model_hash
        self._parts = parts
        self._tokenizer = tokenizer
        self._threads = threads
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Which engine this is: "native" or "torch"."""
        return self._parts.name

    @property
    def has_flow(self) -> bool:
        """Whether a post-trained model has the flow model it was made from beside it; see `defaults_for`."""
        return self._parts.has_flow

    @property
    def parts(self) -> Parts:
        """What computes, for measuring one part alone; not safe for calls beside a running generation."""
        return self._parts

    @property
    def defaults(self) -> Defaults:
        """What is used where a request for one window of sound from text leaves a field open; see `defaults_for`."""
        return _defaults(self.config)

    def defaults_for(self, request: GenerationRequest, source_seconds: float | None = None) -> Defaults:
        """What is used where this request leaves a field open.

        A post-trained model makes sounds from text, in one window, with the guidance that is built in. Where the flow
        model that it was made from lies beside it, that one makes what asks for guidance, by its scale or by what it
        does not want, and what goes on from known sound: edits, loops and several windows; unless the scale is said to
        be 1.
        Args: source_seconds: length of the sound that is edited; None = there is none.
        """
        flow = self._asks_flow(request, source_seconds)
        return _defaults(self.config.of_flow if flow else self.config)

    def _asks_flow(self, request: GenerationRequest, source_seconds: float | None) -> bool:
        if not self.has_flow or request.cfg_scale is not None:
            return self.has_flow and request.cfg_scale != 1
        if request.negative_prompt.strip() or request.loop or source_seconds is not None:
            return True
        seconds = resolve(request, self.defaults).duration_seconds
        return float(seconds or 0.0) > self.config.dit.max_seconds

    def generate(
        self,
        request: GenerationRequest,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
        source: Waveform | None = None,
        source_name: str = "",
    ) -> GenerationResult:
        """All sounds of a request.

        Args: on_progress: called at each stage and step. cancel: asked between steps; True stops.
            source: the sound that is edited, of any rate and number of channels; None = made from text alone.
            source_name: of its file, for the record.
        Raises: UsageError for a request that cannot be met; Cancelled; MemoryLimitError; ModelError.
        """
        for event in self.stream(request, cancel, source, source_name):
            if isinstance(event, GenerationResult):
                return event
            if on_progress:
                on_progress(event)
        raise AssertionError("the stream ended without a result")

    def stream(
        self,
        request: GenerationRequest,
        cancel: Cancel | None = None,
        source: Waveform | Source | None = None,
        source_name: str = "",
    ) -> Iterator[Progress | GenerationResult]:
        """The same as a generator: Progress at each stage and step, the result last. The request is checked at once."""
        if request.threads is None:
            request = msgspec.structs.replace(request, threads=self._threads)
        given = opened(source, source_name, self.config) if isinstance(source, Waveform) else source
        seconds = given.duration_seconds if given else None
        resolved = resolve(request, self.defaults_for(request, seconds), seconds)
        run = self._run(resolved, cancel, given)
        if request.bpm is not None and not self.config.dit.hears_tempo:
            run.warn(f"bpm {request.bpm:g} has no effect: {self.config.name} knows tempo from the prompt alone.")
        return self._events(run)

    def _run(self, request: GenerationRequest, cancel: Cancel | None, source: Source | None) -> Run:
        flow = self._asks_flow(request, None)  # the scale is filled in and tells
        parts, config = SharedParts(self._parts, self._lock, flow), self.config.of_flow if flow else self.config
        return Run(parts, config, self._tokenizer, self.model_hash, request, cancel or (lambda: False), source)

    def close(self) -> None:
        """Give memory back; the engine loads again when it is used again."""
        with self._lock:
            self._parts.close()

    def _events(self, run: Run) -> Iterator[Progress | GenerationResult]:
        try:
            for event in run.events():
                is_last = isinstance(event, GenerationResult)
                how = {"adapters": self.adapters, "precision": self.precision}
                yield msgspec.structs.replace(event, **how) if is_last else event
        except MemoryError:
            seconds = run.request.duration_seconds
            raise MemoryLimitError(
                f"duration_seconds {seconds} needs more memory than this process may use; try less."
            ) from None


def _defaults(config: ModelConfig) -> Defaults:
    sampling = config.sampling
    return Defaults(
        duration_seconds=sampling.duration_seconds,
        max_duration_seconds=MAX_DURATION_SECONDS,
        steps=sampling.steps,
        cfg_scale=sampling.cfg_scale,
        sampler=sampling.sampler,
    )


class Model:
    """A loaded model: what `arctone.load` returns.

    Args: engine: its engine. folder: where it lies.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder

    @property
    def name(self) -> str:
        """The model's name, from its config."""
        return self.engine.config.name

    @property
    def config(self) -> ModelConfig:
        """The model's config."""
        return self.engine.config

    def generate(
        self,
        prompt: str,
        *,
        source: Waveform | None = None,
        source_name: str = "",
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
        **fields: Any,
    ) -> GenerationResult:
        """Sound from text, or from text and a sound.

        Args: prompt: what it should be. source: the sound that is edited (see init_noise_level, inpaint and extend).
            source_name: of its file, for the record. fields: any field of GenerationRequest, such as
            duration_seconds=8, seed=7.
        Raises: UsageError for a request that cannot be met, and what Engine.generate raises.
        """
        return self.engine.generate(self._request(prompt, fields), on_progress, cancel, source, source_name)

    def stream(
        self,
        prompt: str,
        *,
        source: Waveform | None = None,
        source_name: str = "",
        cancel: Cancel | None = None,
        **fields: Any,
    ) -> Iterator[Progress | GenerationResult]:
        """The same as a generator of Progress, with the result last."""
        return self.engine.stream(self._request(prompt, fields), cancel, source, source_name)

    def close(self) -> None:
        """Give memory back; the next generation loads again."""
        self.engine.close()

    def _request(self, prompt: str, fields: dict[str, Any]) -> GenerationRequest:
        return from_dict({"prompt": prompt, **fields})


def load(
    name_or_folder: str | Path,
    engine: EngineName = "auto",
    threads: int | None = None,
    weights_cache: str | Path | None = None,
    adapters: Sequence[tuple[str | Path, float]] = (),
    low_ram: bool = False,
    precision: PrecisionName = "auto",
    device: str = "auto",
    compiled: bool = False,
) -> Model:
    """Open a model; its parts load when they are first used.

    Args:
        name_or_folder: the name of a bundled model, or a model folder.
        engine: "native" (no torch needed), "torch", or "auto": native where the folder has graphs.
        threads: CPU threads, unless a request says otherwise; None = all that the process may use.
        weights_cache: folder for the native engine's packed weights (faster starts, less memory); None = none is kept.
        adapters: folders that `arctone train lora` wrote, each with its strength (1 = as trained); what they change
            adds up. They need the torch engine.
        low_ram: the native engine keeps one graph open at a time: less memory, and each graph is opened anew for each
            sound.
        precision: what the torch engine computes in: "auto" = that of the folder's files, "float32", "bfloat16" (models
            converted from published ones) or "int8" (the transformer's large layers; see docs/checkpoints.md). The
            native engine's graphs have theirs, so any but "auto" means the torch engine.
        device: of the torch engine: "cpu", "cuda", "mps" or "auto" (CUDA where there is some).
        compiled: the torch engine's transformer and decoder are compiled: minutes once, and on CPUs with a compiler.
    Raises: ModelError if the model is unknown, incomplete or altered; UsageError for another engine, precision or
    device.
    """
    folder = find_model(name_or_folder)
    config = read_model_config(folder)
    check_hashes(folder)
    tokenizer = Tokenizer(folder, config.text.max_tokens)
    cache = None if weights_cache is None else Path(weights_cache)
    running = Running(precision, device, compiled)
    if running.needs_torch and engine == "native":
        raise UsageError(
            f"{running.needs_torch} is for the torch engine: the native engine runs on the CPU, and its graphs have "
            "their precision from export."
        )
    if adapters:
        return _load_adapted(folder, config, tokenizer, engine, threads, adapters, running)
    if running.needs_torch and engine == "auto":
        engine = "torch"
    parts = _parts(folder, config, engine, threads or usable_threads(), cache, low_ram, running)
    return Model(Engine(parts, config, tokenizer, folder_hash(folder), threads, precision=precision), folder)


def _load_adapted(
    folder: Path,
    config: ModelConfig,
    tokenizer: Tokenizer,
    engine: str,
    threads: int | None,
    adapters: Sequence[tuple[str | Path, float]],
    running: Running,
) -> Model:
    if engine == "native":
        raise UsageError(
            "lora: the native engine runs no adapters; use the torch engine, or merge them into a model "
            "(arctone lora merge) and export that."
        )
    given = [(Path(path).expanduser(), float(strength)) for path, strength in adapters]
    parts = _torch_parts(folder, config, running, given)
    whole = [folder_hash(folder), *(f"{one.digest}:{one.strength:g}" for one in parts.adapters)]
    model_hash = hashlib.sha256("\n".join(whole).encode()).hexdigest()
    return Model(Engine(parts, config, tokenizer, model_hash, threads, parts.adapters, running.precision), folder)


def _parts(
    folder: Path,
    config: ModelConfig,
    engine: str,
    threads: int,
    weights_cache: Path | None,
    low_ram: bool,
    running: Running,
) -> Parts:
    if engine not in _ENGINES:
        raise UsageError(f"engine must be one of {', '.join(_ENGINES)}, got {engine!r}.")
    has_graphs = (folder / "dit.tflite").is_file()
    if not has_graphs and (folder / "dit.onnx").is_file():
        raise ModelError(
            f"{folder} holds ONNX graphs, which are for other programs; arctone runs what they were exported from, or "
            "LiteRT graphs (arctone export litert)."
        )
    if engine == "native" or (engine == "auto" and has_graphs):
        if not has_graphs:
            raise ModelError(f"{folder} has no dit.tflite, so the native engine cannot run it; export it first.")
        from arctone.inference.backends.litert import NativeParts

        return NativeParts(folder, config, threads, weights_cache, low_ram)
    return _torch_parts(folder, config, running)


def _torch_parts(
    folder: Path, config: ModelConfig, running: Running, adapters: Sequence[tuple[Path, float]] = ()
) -> TorchParts:
    try:
        from arctone.inference.backends.torch import found_device, load_parts
    except ImportError:
        raise ModelError(
            "the torch engine needs torch, which is not installed: pip install 'arctone[train]'."
        ) from None
    device = found_device(running.device)
    return load_parts(folder, config, device, adapters, running.precision, compiled=running.compiled)
