"""From a request as the user gave it to one that is ready to run: open fields, the network that answers, warnings."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import msgspec

from arctone.audio.keys import parse_bpm, parse_stated_key
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
from arctone.inference.source import Source
from arctone.model_folder.config import FLOW_NETWORK, NETWORK, ModelConfig

# Two lengths that differ less are the same to the sample at every rate of interest.
_SAME_SECONDS = 1e-6


class ResolvedRequest(NamedTuple):
    """A request ready to run.

    Args:
        request: with every open field filled in.
        network: name of the network that gives its velocities.
        warnings: that the user should see before the sound.
        has_drawn_seed: whether nobody gave the seed, so that another will do.
    """

    request: GenerationRequest
    network: str
    warnings: list[str]
    has_drawn_seed: bool = False


def defaults_of(config: ModelConfig) -> Defaults:
    """Return the values of the fields that a request leaves open.

    Args:
        config: The config that a network is sampled with.

    Returns:
        The defaults.
    """
    sampling = config.sampling
    return Defaults(
        duration_seconds=sampling.duration_seconds,
        max_duration_seconds=MAX_DURATION_SECONDS,
        steps=sampling.steps,
        cfg_scale=sampling.cfg_scale,
        sampler=sampling.sampler,
    )


def choose_network(
    request: GenerationRequest, config: ModelConfig, *, has_flow: bool, source_seconds: float | None
) -> str:
    """Choose the network that answers a request.

    A post-trained model generates sounds from text, in one window, with the guidance that is built in. Where the flow
    model that it was made from lies next to it, that one answers what asks for guidance, by its scale or by a negative
    prompt, and what goes on from known sound: edits, loops and several windows; unless cfg_scale is 1. A model that
    receives known latents needs no other for these.

    Args:
        request: As the user gave it.
        config: Of the model.
        has_flow: Whether the flow model is there.
        source_seconds: Length of the sound that is edited; None = there is none.

    Returns:
        The name of the network.
    """
    if not has_flow:
        return NETWORK
    is_guided = bool(request.negative_prompt.strip()) if request.cfg_scale is None else request.cfg_scale != 1
    if config.dit.inpaint_channels:
        return FLOW_NETWORK if is_guided else NETWORK
    if request.cfg_scale is not None:
        return FLOW_NETWORK if request.cfg_scale != 1 else NETWORK
    # At level 1 nothing of a source is left, so that the sound is the one that the seed gives without it.
    is_forgotten = request.init_noise_level == 1 and not (request.inpaint or request.extend)
    is_edit = source_seconds is not None and not is_forgotten
    if request.negative_prompt.strip() or request.loop or is_edit:
        return FLOW_NETWORK
    seconds = resolve(request, defaults_of(config), source_seconds).duration_seconds
    return FLOW_NETWORK if float(seconds or 0.0) > config.dit.max_seconds else NETWORK


def resolve_request(
    request: GenerationRequest, config: ModelConfig, *, has_flow: bool, source: Source | None, threads: int | None
) -> ResolvedRequest:
    """Check a request, fill in its open fields and choose the network that answers it.

    Args:
        request: As the user gave it.
        config: Of the model.
        has_flow: Whether the flow model is there.
        source: The sound that is edited; None = text alone.
        threads: CPU threads of requests that state none; None = all that the process may use.

    Returns:
        The request, the network and the warnings.

    Raises:
        UsageError: In one sentence, for a request that cannot be met.
    """
    if request.threads is None:
        request = msgspec.structs.replace(request, threads=threads)
    seconds = source.duration_seconds if source else None
    network = choose_network(request, config, has_flow=has_flow, source_seconds=seconds)
    sampled = config.for_network(network)
    resolved = resolve(request, defaults_of(sampled), seconds)
    if "key" in config.dit.controls and resolved.key is None:
        resolved = msgspec.structs.replace(resolved, key=parse_stated_key(resolved.prompt))
    warnings = _warnings(resolved, sampled, source)
    if request.bpm is not None and not config.dit.hears_tempo:
        warnings.append(f"bpm {request.bpm:g} has no effect: {config.name} knows tempo from the prompt alone.")
    if request.key is not None and "key" not in config.dit.controls:
        warnings.append(f"key {request.key} has no effect: {config.name} knows keys from the prompt alone.")
    if not seems_english(request.prompt):
        warnings.append(f"The prompt does not seem to be English, which is what {config.name} reads.")
    return ResolvedRequest(resolved, network, warnings, has_drawn_seed=request.seed is None)


# Function words of German, French, Spanish, Italian, Portuguese and Dutch that are no English words.
_FOREIGN = frozenset(
    (
        "und", "der", "ein", "eine", "einen", "auf", "mit", "ist", "von", "le", "la", "les", "des", "une", "et", "dans",
        "avec", "sur", "los", "las", "una", "con", "del", "y", "il", "gli", "di", "che", "nel", "della", "uma", "um",
        "em", "een", "het",
    )
)  # fmt: skip


def seems_english(prompt: str) -> bool:
    """Return whether a prompt may be English: most letters are Latin, and it has at most one foreign function word.

    Args:
        prompt: Words of the user.

    Returns:
        True if it may be.
    """
    letters = [character for character in prompt if character.isalpha()]
    latin = sum("LATIN" in unicodedata.name(character, "") for character in letters)
    if 2 * latin < len(letters):
        return False
    return len(_FOREIGN & set(re.findall(r"\w+", prompt.lower()))) < 2


def _warnings(request: GenerationRequest, config: ModelConfig, source: Source | None) -> list[str]:
    warnings = [source.warning] if source and source.warning else []
    if config.sampling.post_trained and request.cfg_scale != 1:
        warnings.append(
            f"cfg_scale is {request.cfg_scale:g}, but {config.name} is post-trained and has its guidance built in: "
            "1 suits it."
        )
    if request.negative_prompt.strip() and request.cfg_scale == 1:
        warnings.append("negative_prompt has no effect at cfg_scale 1.")
    if source is not None:
        warnings += _edit_warnings(request, source)
    return warnings


def _edit_warnings(request: GenerationRequest, source: Source) -> list[str]:
    warnings = []
    missing = float(request.duration_seconds or 0.0) - source.duration_seconds
    if missing < -1 / source.waveform.sample_rate:
        warnings.append(f"The last {-missing:.2f} seconds of the source are cut off.")
    elif missing > 1 / source.waveform.sample_rate and not request.extend:
        warnings.append(f"The source is filled up with {missing:.2f} seconds of silence.")
    if request.keeps_source and request.normalize != "off":
        warnings.append(f"normalize {request.normalize} also changes the level of the parts that are kept.")
    return warnings


def resolve(request: GenerationRequest, defaults: Defaults, source_seconds: float | None = None) -> GenerationRequest:
    """Check a request and fill in every open field.

    None stay only: bpm (free tempo), key, bars, near, and init_noise_level where there is no source. Nothing is
    clamped: a duration beyond the limit is refused. A missing seed is drawn.

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
    bpm = _first(request.bpm, parse_bpm(request.prompt, MIN_BPM, MAX_BPM))
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
