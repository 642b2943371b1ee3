"""The model that generates: what callers open, ask for sounds, and close."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from arctone.audio.loudness import num_over
from arctone.audio.waveform import Waveform
from arctone.errors import MemoryLimitError
from arctone.inference import pipeline
from arctone.inference.backends.base import Backend
from arctone.inference.context import Cancel, GenerationContext, OnPart
from arctone.inference.edit_plan import EditPlan, plan_request
from arctone.inference.request import (
    AdapterUse,
    Defaults,
    GenerationRequest,
    GenerationResult,
    Progress,
    from_dict,
)
from arctone.inference.resolution import choose_network, defaults_of, resolve_request
from arctone.inference.source import Source, open_source
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.tokenizer import Tokenizer
from arctone.version import __version__

OnProgress = Callable[[Progress], None]
# Receives the index of a variation and a result that holds its sound alone.
OnTake = Callable[[int, GenerationResult], None]


class Engine:
    """Generation on any backend. Calls from several threads take turns, step by step.

    Args:
        backend: computes.
        config: of the model.
        tokenizer: of the same model.
        model_hash: for the record.
        threads: CPU threads of requests that state none; None = all that the process may use.
        adapters: that the backend was opened with, for the record.
        precision: that it was asked to compute in, for the record.
    """

    def __init__(
        self,
        backend: Backend,
        config: ModelConfig,
        tokenizer: Tokenizer,
        model_hash: str = "",
        threads: int | None = None,
        adapters: tuple[AdapterUse, ...] = (),
        precision: str = "auto",
    ) -> None:
        self.backend = backend
        self.config = config
        self.tokenizer = tokenizer
        self.model_hash = model_hash
        self.adapters = adapters
        self.precision = precision
        self._threads = threads

    @property
    def name(self) -> str:
        """Name of the engine: "native" or "torch"."""
        return self.backend.name

    @property
    def has_flow(self) -> bool:
        """Whether a post-trained model has the flow model it was made from next to it; see `choose_network`."""
        return self.backend.has_flow

    @property
    def defaults(self) -> Defaults:
        """What is used where a request for one window of sound from text leaves a field open; see `defaults_for`."""
        return defaults_of(self.config)

    def defaults_for(self, request: GenerationRequest, source_seconds: float | None = None) -> Defaults:
        """Return the defaults for the fields that a request leaves open.

        Args:
            request: As the user gave it.
            source_seconds: Length of the sound that is edited; None = there is none.

        Returns:
            The defaults.
        """
        network = choose_network(request, self.config, has_flow=self.has_flow, source_seconds=source_seconds)
        return defaults_of(self.config.for_network(network))

    def generate(
        self,
        request: GenerationRequest,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
        source: Waveform | None = None,
        source_name: str = "",
    ) -> GenerationResult:
        """Generate all sounds of a request.

        Args:
            request: what to generate.
            on_progress: called at each stage and step.
            cancel: called between steps; True stops.
            source: the sound that is edited, of any rate and number of channels; None = text alone.
            source_name: name of its file, for the record.

        Returns:
            The sounds and how they were generated.

        Raises:
            UsageError: for a request that cannot be met.
            Cancelled: if `cancel` said so.
            MemoryLimitError: if memory does not suffice.
            ModelError: if the model gives no usable values.
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
        *,
        on_part: OnPart | None = None,
        on_take: OnTake | None = None,
    ) -> Iterator[Progress | GenerationResult]:
        """Generate as `generate` does, as a generator: Progress at each step, then the result.

        Args:
            request: what to generate.
            cancel: called between steps; True stops.
            source: the sound that is edited; None = text alone.
            source_name: name of its file, for the record.
            on_part: receives the samples of a sound of several windows from text as they are made, before its level is
                known; see `GenerationContext`.
            on_take: receives the index of each variation and a result that holds its sound alone, as soon as it is
                finished.

        Returns:
            The generator.
        """

        def hand_over(item: int, waveform: Waveform) -> None:
            assert on_take is not None
            on_take(item, self._result(context, (waveform,), (context.seeds[item],), edited))

        edited = open_source(source, source_name, self.config) if isinstance(source, Waveform) else source
        resolved = resolve_request(request, self.config, has_flow=self.has_flow, source=edited, threads=self._threads)
        config = self.config.for_network(resolved.network)
        context = GenerationContext(
            backend=self.backend,
            network=resolved.network,
            config=config,
            request=resolved.request,
            cancel=cancel or (lambda: False),
            warnings=resolved.warnings,
            has_drawn_seed=resolved.has_drawn_seed,
            on_part=on_part,
            on_sound=None if on_take is None else hand_over,
        )
        return self._events(context, plan_request(resolved.request, config, edited), edited)

    def close(self) -> None:
        """Give memory back; the engine loads again when it is used again."""
        self.backend.close()

    def _events(
        self, context: GenerationContext, plan: EditPlan, source: Source | None
    ) -> Iterator[Progress | GenerationResult]:
        try:
            waveforms = yield from pipeline.generate(context, plan, self.tokenizer)
        except MemoryError:
            seconds = context.request.duration_seconds
            raise MemoryLimitError(
                f"duration_seconds {seconds} needs more memory than this process may use; try less.",
                field="duration_seconds",
            ) from None
        yield self._result(context, waveforms, context.seeds, source)

    def _result(
        self, context: GenerationContext, waveforms: tuple[Waveform, ...], seeds: tuple[int, ...], source: Source | None
    ) -> GenerationResult:
        return GenerationResult(
            waveforms=waveforms,
            seeds=seeds,
            request=context.request,
            model_name=context.config.name,
            model_hash=self.model_hash,
            version=__version__,
            engine=self.backend.name,
            timings_ms=context.timings_ms,
            warnings=tuple(context.warnings),
            source=source.record if source else None,
            adapters=self.adapters,
            precision=self.precision,
            num_over=tuple(num_over(waveform) for waveform in waveforms),
            selection=context.selection,
        )


class Model:
    """A loaded model: what `arctone.load` returns.

    Args:
        engine: its engine.
        folder: its folder.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder

    @property
    def name(self) -> str:
        """Name of the model, from its config."""
        return self.engine.config.name

    @property
    def config(self) -> ModelConfig:
        """Config of the model."""
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
        """Generate sound from text, or from text and a sound.

        Args:
            prompt: What the sound should be.
            source: The sound that is edited (see init_noise_level, inpaint and extend); None = text alone.
            source_name: Name of its file, for the record.
            on_progress: Called at each stage and step.
            cancel: Called between steps; True stops.
            **fields: Of a GenerationRequest, such as duration_seconds and seed.

        Returns:
            The sounds and how they were generated.

        Raises:
            UsageError: For a request that cannot be met.
            Cancelled: If `cancel` returned True.
            MemoryLimitError: If memory does not suffice.
            ModelError: If the model gives no usable values.
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
        """Generate as `generate` does, and report progress on the way.

        Args:
            prompt: What to generate.
            source: Sound to edit; None = generate from the prompt alone.
            source_name: Name of the source in the record.
            cancel: Asked between two steps whether to stop.
            **fields: Further fields of `GenerationRequest`, such as duration_seconds, seed, variations.

        Returns:
            An iterator of progress after each step, with the result last.
        """
        return self.engine.stream(self._request(prompt, fields), cancel, source, source_name)

    def close(self) -> None:
        """Give memory back; the next generation loads again."""
        self.engine.close()

    def _request(self, prompt: str, fields: dict[str, Any]) -> GenerationRequest:
        return from_dict({"prompt": prompt, **fields})
