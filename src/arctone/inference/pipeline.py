"""One request on its way to sound: text once, the source once, then each variation, cut and levelled, with progress."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

from arctone.audio.loops import rotated
from arctone.audio.loudness import level
from arctone.audio.waveform import Samples, Waveform
from arctone.inference.backends.base import Floats
from arctone.inference.conditioning import Guide, Words
from arctone.inference.edit_plan import Job, first_job, seam_job, seam_of
from arctone.inference.fused import fits, whole_sounds
from arctone.inference.request import GenerationRequest, GenerationResult, Progress, Stage
from arctone.inference.sampling import Cancel, Counter, Pass, Work, encoded_for, needs_latents, planned
from arctone.inference.shared import SharedParts
from arctone.inference.source import Source
from arctone.inference.stopwatch import Stopwatch
from arctone.inference.warnings import foreseen
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.tokenizer import Tokenizer
from arctone.version import __version__

__all__ = ["Cancel", "Run"]


class Run:
    """One request.

    Args: parts, config, tokenizer, model_hash: of the model. request: resolved. cancel: asked between steps. source:
    the sound that is edited.
    Raises: UsageError if the request and the source do not fit each other.
    """

    def __init__(
        self,
        parts: SharedParts,
        config: ModelConfig,
        tokenizer: Tokenizer,
        model_hash: str,
        request: GenerationRequest,
        cancel: Cancel,
        source: Source | None = None,
    ) -> None:
        self.request = request
        self._parts, self._config, self._tokenizer, self._model_hash = parts, config, tokenizer, model_hash
        self._cancel = cancel
        self._source = source
        self._timings: dict[str, float] = {}
        self._warnings = foreseen(request, config, source)
        self._job = first_job(request, config, source)
        self._plan = planned(self._job, config, request.bpm)

    def events(self) -> Iterator[Progress | GenerationResult]:
        """Progress at each stage and step; the result last."""
        started = time.perf_counter()
        self._parts.set_threads(int(self.request.threads or 1))
        yield Progress("text", 0, 0, 1)
        words = Words.of(self.request, self._tokenizer, self._warnings)
        work = Work(self._parts, self._config, self.request, self._timings, self._cancel)
        seeds = tuple(int(self.request.seed or 0) + item for item in range(self.request.variations))
        if fits(work, self._job, self._plan):
            waveforms = yield from self._whole(work, words, seeds)
        else:
            waveforms = yield from self._step_by_step(work, words, seeds)
        self._timings["total"] = 1000 * (time.perf_counter() - started)
        yield self._result(tuple(waveforms), seeds)

    def _step_by_step(
        self, work: Work, words: Words, seeds: tuple[int, ...]
    ) -> Generator[Progress, None, list[Waveform]]:
        with Stopwatch(self._timings, "text"):
            is_projected = self._config.sampling.guidance == "projected"
            guide = Guide(self._parts, words, self.request, is_projected=is_projected)
        yield Progress("text", 0, 1, 1)
        base = yield from self._encoded(self._job, needs_latents(self._job, self._plan), Counter(0, {"encoding": 1}))
        waveforms = []
        for item, seed in enumerate(seeds):
            waveforms.append((yield from self._item(work, guide, base, item, seed)))
        return waveforms

    def _whole(self, work: Work, words: Words, seeds: tuple[int, ...]) -> Generator[Progress, None, list[Waveform]]:
        """All stages at once; there is no progress between them."""
        yield Progress("text", 0, 1, 1)
        steps, waveforms = len(work.times) - 1, []
        for item, sound in enumerate(whole_sounds(work, words, self._job, self._plan[0], seeds)):
            yield Progress("sampling", item, steps, steps)
            waveforms.append(self._levelled(sound))
            yield Progress("decoding", item, 1, 1)
        return waveforms

    def warn(self, warning: str) -> None:
        """Add a warning to the result, once."""
        if warning not in self._warnings:
            self._warnings.append(warning)

    def _item(
        self, work: Work, guide: Guide, base: Floats, item: int, seed: int
    ) -> Generator[Progress, None, Waveform]:
        counter = Counter(item, self._totals(len(work.times) - 1))
        sound = yield from Pass(work, guide, self._job, self._plan, base, seed, counter).run()
        if self.request.loop:
            sound = yield from self._looped(work, guide, sound, seed, counter)
        return self._levelled(sound)

    def _levelled(self, sound: Samples) -> Waveform:
        levelled = level(Waveform(sound, self._config.sample_rate), self.request.normalize or "peak")
        if levelled.warning:
            self.warn(levelled.warning)
        return levelled.waveform

    def _looped(
        self, work: Work, guide: Guide, sound: Samples, seed: int, counter: Counter
    ) -> Generator[Progress, None, Samples]:
        """The sound cut to the length of the loop and its seam made anew, while it lies in the middle."""
        num_samples = self._num_samples
        seam = seam_of(num_samples, self._config, self.request.bpm)
        turned = rotated(sound[:, :num_samples], num_samples - seam)
        job = seam_job(num_samples, seam, self._config, turned)
        base = yield from self._encoded(job, True, counter)
        plan = planned(job, self._config, self.request.bpm)
        made = yield from Pass(work, guide, job, plan, base, seed, counter).run()
        return rotated(made, seam - num_samples)

    def _encoded(self, job: Job, is_needed: bool, counter: Counter) -> Generator[Progress, None, Floats]:
        if not is_needed:
            return encoded_for(Job(job.num_samples, job.spans), self._parts, self._config)
        yield counter.at("encoding")
        with Stopwatch(self._timings, "encoding"):
            latents = encoded_for(job, self._parts, self._config)
        yield counter.at("encoding", 1)
        return latents

    @property
    def _num_samples(self) -> int:
        """Length of the result; the first pass of a loop makes more."""
        return max(1, round(float(self.request.duration_seconds or 0.0) * self._config.sample_rate))

    def _totals(self, steps_per_window: int) -> dict[Stage, int]:
        """How many steps each stage of one item has, a loop's seam included."""
        num_windows = len(self._plan)
        if self.request.loop:
            num_windows += self._num_seam_windows()
        return {"encoding": 1, "sampling": num_windows * steps_per_window, "decoding": num_windows}

    def _num_seam_windows(self) -> int:
        seam = seam_of(self._num_samples, self._config, self.request.bpm)
        return len(planned(seam_job(self._num_samples, seam, self._config), self._config, self.request.bpm))

    def _result(self, waveforms: tuple[Waveform, ...], seeds: tuple[int, ...]) -> GenerationResult:
        return GenerationResult(
            waveforms=waveforms,
            seeds=seeds,
            request=self.request,
            model_name=self._config.name,
            model_hash=self._model_hash,
            version=__version__,
            engine=self._parts.name,
            timings_ms=self._timings,
            warnings=tuple(self._warnings),
            source=self._source.record if self._source else None,
        )
