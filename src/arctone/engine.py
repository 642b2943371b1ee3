"""From a request to sound: text once, then each variation sampled, decoded, cut and levelled, with progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from arctone import __version__
from arctone.audio.levels import level
from arctone.audio.waveform import Waveform
from arctone.config_model import ModelConfig
from arctone.engines.parts import Floats, Parts, TextEmbedding
from arctone.errors import Cancelled, MemoryLimitError, ModelError, UsageError
from arctone.flow.guidance import guided
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.model_folder import check_hashes, find_model, folder_hash, read_model_config
from arctone.request import Defaults, GenerationRequest, GenerationResult, Progress, from_dict, resolve, usable_threads
from arctone.tokenizer import Tokenizer

EngineName = Literal["auto", "native", "torch"]
OnProgress = Callable[[Progress], None]
Cancel = Callable[[], bool]
_ENGINES = ("auto", "native", "torch")


class Engine:
    """Generation on any parts.

    Args: parts: what computes. config: the model's. tokenizer: of the same model. model_hash: for the record.
        threads: CPU threads of requests that do not say; None = all that the process may use.
    Calls from several threads take turns, step by step.
    """

    def __init__(
        self,
        parts: Parts,
        config: ModelConfig,
        tokenizer: Tokenizer,
        model_hash: str = "",
        threads: int | None = None,
    ) -> None:
        self.config = config
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
    def parts(self) -> Parts:
        """What computes, for measuring one part alone; not safe for calls beside a running generation."""
        return self._parts

    @property
    def defaults(self) -> Defaults:
        """What is used where a request leaves a field open."""
        sampling = self.config.sampling
        return Defaults(
            duration_seconds=sampling.duration_seconds,
            max_duration_seconds=self.config.dit.max_seconds,
            steps=sampling.steps,
            cfg_scale=sampling.cfg_scale,
            sampler=sampling.sampler,
        )

    def generate(
        self, request: GenerationRequest, on_progress: OnProgress | None = None, cancel: Cancel | None = None
    ) -> GenerationResult:
        """All sounds of a request.

        Args: on_progress: called at each stage and step. cancel: asked between steps; True stops.
        Raises: UsageError for a request that cannot be met; Cancelled; MemoryLimitError; ModelError.
        """
        for event in self.stream(request, cancel):
            if isinstance(event, GenerationResult):
                return event
            if on_progress:
                on_progress(event)
        raise AssertionError("the stream ended without a result")

    def stream(self, request: GenerationRequest, cancel: Cancel | None = None) -> Iterator[Progress | GenerationResult]:
        """The same as a generator: Progress at each stage and step, the result last. The request is checked at once."""
        if request.threads is None:
            request = msgspec.structs.replace(request, threads=self._threads)
        resolved = resolve(request, self.defaults)
        run = _Run(self, resolved, cancel or (lambda: False))
        if request.bpm is not None and not self.config.dit.hears_tempo:
            run.warn(f"bpm {request.bpm:g} has no effect: {self.config.name} knows tempo from the prompt alone.")
        return self._events(run)

    def close(self) -> None:
        """Give memory back; the engine loads again when it is used again."""
        with self._lock:
            self._parts.close()

    def _events(self, run: _Run) -> Iterator[Progress | GenerationResult]:
        try:
            yield from run.events()
        except MemoryError:
            seconds = run.request.duration_seconds
            raise MemoryLimitError(
                f"duration_seconds {seconds} needs more memory than this process may use; try less."
            ) from None


class _Run:
    """One request on its way."""

    def __init__(self, engine: Engine, request: GenerationRequest, cancel: Cancel) -> None:
        self.request = request
        self._engine = engine
        self._config = engine.config
        self._cancel = cancel
        self._warnings = _foreseen(request, engine.config)
        self._timings: dict[str, float] = {}
        self._seconds = float(request.duration_seconds or 0.0)
        self._num_samples = max(1, round(self._seconds * engine.config.sample_rate))
        # The longest duration is stated in rounded seconds, so it may pass the last frame by a few samples.
        self._sound_frames = -(-self._num_samples // engine.config.hop_length)
        longest = engine.config.dit.max_frames
        self._num_frames = longest if engine.config.dit.full_window else min(self._sound_frames, longest)

    def events(self) -> Iterator[Progress | GenerationResult]:
        started = time.perf_counter()
        self._call("set_threads", self.request.threads)
        yield Progress("text", 0, 0, 1)
        with _Stopwatch(self._timings, "text"):
            text, negative = self._embed()
        yield Progress("text", 0, 1, 1)
        waveforms: list[Waveform] = []
        seeds = tuple(int(self.request.seed or 0) + item for item in range(self.request.variations))
        for item, seed in enumerate(seeds):
            waveforms.append((yield from self._item(item, seed, text, negative)))
        self._timings["total"] = 1000 * (time.perf_counter() - started)
        yield self._result(tuple(waveforms), seeds)

    def _item(
        self, item: int, seed: int, text: TextEmbedding, negative: TextEmbedding | None
    ) -> Generator[Progress, None, Waveform]:
        latents = yield from self._sample(item, seed, text, negative)
        self._stop_if_cancelled()
        yield Progress("decoding", item, 0, 1)
        with _Stopwatch(self._timings, "decoding"):
            waveform = self._decode(latents, seed)
        yield Progress("decoding", item, 1, 1)
        return waveform

    def _embed(self) -> tuple[TextEmbedding, TextEmbedding | None]:
        """Embeddings of the prompt and of what guidance leads away from (None = anything)."""
        text = self._embed_one("prompt", self.request.prompt)
        wanted = self.request.negative_prompt.strip()
        return text, self._embed_one("negative_prompt", wanted) if wanted else None

    def _embed_one(self, field: str, words: str) -> TextEmbedding:
        tokens = self._engine._tokenizer.encode(words)
        if tokens.was_cut:
            self.warn(f"{field} is longer than the {len(tokens.ids)} tokens the model reads; the rest was not heard.")
        embedding: TextEmbedding = self._call("encode_text", tokens.ids, tokens.mask)
        return embedding

    def _sample(
        self, item: int, seed: int, text: TextEmbedding, negative: TextEmbedding | None
    ) -> Generator[Progress, None, Floats]:
        shape = (self._config.dit.latent_channels, self._num_frames)
        sampler_name, num_steps = str(self.request.sampler), int(self.request.steps or 1)
        sampling = self._config.sampling
        times = sampler_times(sampler_name, num_steps, sampling.shift, sampling.schedule)
        sampler = SAMPLERS[sampler_name]
        start = item_noise(seed, 0, shape) * np.float32(times[0])
        steps = sampler(
            lambda x, t: self._velocity(x, t, text, negative),
            start,
            times,
            lambda step: item_noise(seed, step, shape),
        )
        yield Progress("sampling", item, 0, len(times) - 1)
        latents = np.empty(shape, np.float32)
        while True:
            self._stop_if_cancelled()
            with _Stopwatch(self._timings, "sampling"):
                step = next(steps, None)
            if step is None:
                break
            latents = step.x
            yield Progress("sampling", item, step.index, step.num_steps)
        if not np.isfinite(latents).all():
            raise ModelError(f"the model {self._config.name} gave values that are not finite; the sound was not made.")
        return latents.astype(np.float32, copy=False)

    def _velocity(self, x: Floats, t: float, text: TextEmbedding, negative: TextEmbedding | None) -> Floats:
        scale = float(1.0 if self.request.cfg_scale is None else self.request.cfg_scale)
        bpm = float(self.request.bpm or 0.0)
        towards = self._one_velocity(x, t, text, bpm) if scale != 0 else None
        away = self._one_velocity(x, t, negative, 0.0) if scale != 1 else None
        if towards is None or away is None:
            only: Floats = towards if away is None else away  # type: ignore[assignment]
            return only
        return np.asarray(guided(towards, away, scale), np.float32)

    def _one_velocity(self, x: Floats, t: float, text: TextEmbedding | None, bpm: float) -> Floats:
        mask = np.ones(x.shape[1], bool)
        velocity: Floats = self._call("velocity", x.astype(np.float32, copy=False), t, text, self._seconds, bpm, mask)
        return velocity

    def _decode(self, latents: Floats, seed: int) -> Waveform:
        # What comes after the sound is not decoded, apart from the frames that the sound's last ones hear.
        needed = latents[:, : self._sound_frames + self._config.autoencoder.reach_frames]
        samples = self._call("decode", needed, seed)[:, : self._num_samples]
        missing = self._num_samples - samples.shape[1]
        whole = Waveform(np.pad(samples, ((0, 0), (0, missing))), self._config.sample_rate)
        levelled = level(whole, self.request.normalize)
        if levelled.warning:
            self.warn(levelled.warning)
        return levelled.waveform

    def _result(self, waveforms: tuple[Waveform, ...], seeds: tuple[int, ...]) -> GenerationResult:
        return GenerationResult(
            waveforms=waveforms,
            seeds=seeds,
            request=self.request,
            model_name=self._config.name,
            model_hash=self._engine.model_hash,
            version=__version__,
            engine=self._engine.name,
            timings_ms=self._timings,
            warnings=tuple(self._warnings),
        )

    def _call(self, part: str, *arguments: Any) -> Any:
        with self._engine._lock:
            return getattr(self._engine._parts, part)(*arguments)

    def warn(self, warning: str) -> None:
        """Add a warning to the result, once."""
        if warning not in self._warnings:
            self._warnings.append(warning)

    def _stop_if_cancelled(self) -> None:
        if self._cancel():
            raise Cancelled("the generation was cancelled; nothing was kept.")


class _Stopwatch:
    """Adds the time of a block, in milliseconds, to an entry."""

    def __init__(self, timings: dict[str, float], name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        passed = 1000 * (time.perf_counter() - self._started)
        self._timings[self._name] = self._timings.get(self._name, 0.0) + passed


def _foreseen(request: GenerationRequest, config: ModelConfig) -> list[str]:
    """Warnings that the request alone calls for."""
    warnings = []
    if config.sampling.post_trained and request.cfg_scale != 1:
        warnings.append(
            f"cfg_scale is {request.cfg_scale:g}, but {config.name} is post-trained and has its guidance built in: "
            "1 suits it."
        )
    if request.negative_prompt.strip() and request.cfg_scale == 1:
        warnings.append("negative_prompt has no effect at cfg_scale 1.")
    return warnings


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
        self, prompt: str, *, on_progress: OnProgress | None = None, cancel: Cancel | None = None, **fields: Any
    ) -> GenerationResult:
        """Sound from text.

        Args: prompt: what it should be. fields: any field of GenerationRequest, such as duration_seconds=8, seed=7.
        Raises: UsageError for a request that cannot be met, and what Engine.generate raises.
        """
        return self.engine.generate(self._request(prompt, fields), on_progress, cancel)

    def stream(
        self, prompt: str, *, cancel: Cancel | None = None, **fields: Any
    ) -> Iterator[Progress | GenerationResult]:
        """The same as a generator of Progress, with the result last."""
        return self.engine.stream(self._request(prompt, fields), cancel)

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
) -> Model:
    """Open a model; its parts load when they are first used.

    Args:
        name_or_folder: the name of a bundled model, or a model folder.
        engine: "native" (no torch needed), "torch", or "auto": native where the folder has graphs.
        threads: CPU threads, unless a request says otherwise; None = all that the process may use.
        weights_cache: folder for the native engine's packed weights (faster starts, less memory); None = none is kept.
    Raises: ModelError if the model is unknown, incomplete or altered; UsageError for another engine name.
    """
    folder = find_model(name_or_folder)
    config = read_model_config(folder)
    check_hashes(folder)
    tokenizer = Tokenizer(folder, config.text.max_tokens)
    cache = None if weights_cache is None else Path(weights_cache)
    parts = _parts(folder, config, engine, threads or usable_threads(), cache)
    return Model(Engine(parts, config, tokenizer, folder_hash(folder), threads), folder)


def _parts(folder: Path, config: ModelConfig, engine: str, threads: int, weights_cache: Path | None) -> Parts:
    if engine not in _ENGINES:
        raise UsageError(f"engine must be one of {', '.join(_ENGINES)}, got {engine!r}.")
    has_graphs = (folder / "dit.tflite").is_file()
    if engine == "native" or (engine == "auto" and has_graphs):
        if not has_graphs:
            raise ModelError(f"{folder} has no dit.tflite, so the native engine cannot run it; export it first.")
        from arctone.engines.native import NativeParts

        return NativeParts(folder, config, threads, weights_cache)
    return _torch_parts(folder, config)


def _torch_parts(folder: Path, config: ModelConfig) -> Parts:
    try:
        from arctone.engines.torch import load_parts
    except ImportError:
        raise ModelError(
            "the torch engine needs torch, which is not installed: pip install 'arctone[train]'."
        ) from None
    return load_parts(folder, config)
