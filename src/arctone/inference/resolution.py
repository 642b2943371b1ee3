"""Fill in the open fields of a request: from the prompt, the source and the model's defaults."""

from typing import Any

import msgspec

from arctone.audio.keys import stated_bpm
from arctone.audio.loops import bars_seconds
from arctone.errors import UsageError
from arctone.inference.load_options import usable_threads
from arctone.inference.request import (
    FIELDS,
    INIT_NOISE_LEVEL,
    MAX_BPM,
    MAX_DURATION_SECONDS,
    MAX_TOTAL_SECONDS,
    MIN_BPM,
    Defaults,
    GenerationRequest,
    validate,
)
from arctone.inference.request_fields import draw_seed

# Two lengths that differ less are the same to the sample at every rate of interest.
_SAME_SECONDS = 1e-6


def resolve(request: GenerationRequest, defaults: Defaults, source_seconds: float | None = None) -> GenerationRequest:
    """Check a request and fill in every open field.

    None stay only: bpm (free tempo), bars, and init_noise_level where there is no source. Nothing is clamped: a
    duration beyond the limit is refused. A missing seed is drawn.

    Args:
        request: The request.
        defaults: Values for the open fields.
        source_seconds: Length of the source audio, if there is one; then it is also the default length of the result.

    Returns:
        The request without open fields.

    Raises:
        UsageError: In one sentence.
    """
    validate(request)
    _check_source(request, source_seconds)
    bpm = _first(request.bpm, stated_bpm(request.prompt, MIN_BPM, MAX_BPM))
    filled = {
        "duration_seconds": _duration(request, bpm, defaults, source_seconds),
        "steps": _first(request.steps, defaults.steps),
        "cfg_scale": _first(request.cfg_scale, defaults.cfg_scale),
        "sampler": _first(request.sampler, defaults.sampler),
        "seed": _first(request.seed, draw_seed()),
        "threads": _first(request.threads, usable_threads()),
        "bpm": bpm,
        "init_noise_level": _noise_level(request, source_seconds),
        "normalize": _first(request.normalize, "off" if request.keeps_source else "peak"),
    }
    resolved = msgspec.structs.replace(request, **filled)
    _check_against_model(resolved, defaults)
    return _with_plain_numbers(resolved)


def _check_against_model(request: GenerationRequest, defaults: Defaults) -> None:
    seconds = request.duration_seconds
    if seconds is not None and seconds > defaults.max_duration_seconds:
        raise UsageError(
            f"duration_seconds is {seconds}, but this model makes at most {defaults.max_duration_seconds} seconds.",
            field="duration_seconds",
        )
    if seconds is not None and seconds * request.num_candidates > MAX_TOTAL_SECONDS:
        counted = f"{request.num_candidates}{' candidates' if request.diverse else ''}"
        raise UsageError(
            f"variations must leave the whole request at {MAX_TOTAL_SECONDS:g} seconds of sound or less, "
            f"got {counted} of {seconds:g} seconds.",
            field="variations",
        )


def _check_source(request: GenerationRequest, source_seconds: float | None) -> None:
    """Whether what is asked for and the source fit each other."""
    if source_seconds is None:
        for name in ("inpaint", "extend", "init_noise_level"):
            if getattr(request, name) not in ((), False, None):
                raise UsageError(
                    f"{name} needs a source, the sound that is to be edited, but none is given.", field=name
                )
    elif source_seconds > MAX_DURATION_SECONDS:
        raise UsageError(
            f"the source is {source_seconds:.1f} seconds long, but at most {MAX_DURATION_SECONDS:g} are edited.",
            field="audio",
        )


def _duration(request: GenerationRequest, bpm: float | None, defaults: Defaults, source_seconds: float | None) -> float:
    if request.bars is not None:
        return _seconds_of_bars(request, request.bars, bpm)
    if source_seconds is None:
        return float(_first(request.duration_seconds, defaults.duration_seconds))
    if not request.extend:
        return float(_first(request.duration_seconds, source_seconds))
    longer = min(source_seconds + defaults.duration_seconds, defaults.max_duration_seconds)
    seconds = float(_first(request.duration_seconds, longer))
    if seconds <= source_seconds:
        raise UsageError(
            f"duration_seconds must be more than the source's {source_seconds:g} seconds with extend, got {seconds:g}.",
            field="duration_seconds",
        )
    return seconds


def _seconds_of_bars(request: GenerationRequest, bars: int, bpm: float | None) -> float:
    if bpm is None:
        raise UsageError('bars needs a tempo: give bpm, or state it in the prompt ("120 BPM").', field="bars")
    seconds = bars_seconds(bars, bpm)
    given = request.duration_seconds
    if given is not None and abs(given - seconds) > _SAME_SECONDS:
        raise UsageError(
            f"duration_seconds is {given:g}, but {bars} bars at {bpm:g} BPM last {seconds:g} seconds; give only one.",
            field="duration_seconds",
        )
    return seconds


def _noise_level(request: GenerationRequest, source_seconds: float | None) -> float | None:
    if source_seconds is None:
        return None
    return float(_first(request.init_noise_level, 1.0 if request.inpaint or request.extend else INIT_NOISE_LEVEL))


def _with_plain_numbers(request: GenerationRequest) -> GenerationRequest:
    """numpy numbers become Python's, so that the record can be written as JSON."""
    plain = {f.name: f.kind(getattr(request, f.name)) for f in FIELDS if getattr(request, f.name) is not None}
    return msgspec.structs.replace(request, **plain)


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value
