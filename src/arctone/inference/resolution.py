"""What a request means on one model: every open field filled in, and which of the model's networks answers."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

import msgspec

from arctone.audio.keys import stated_key
from arctone.inference.request import MAX_DURATION_SECONDS, Defaults, GenerationRequest, resolve
from arctone.inference.source import Source
from arctone.model_folder.config import FLOW_NETWORK, NETWORK, ModelConfig


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
    """Return what is used where a request leaves a field open, on a network that is sampled with this config."""
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
    """Decide which network answers a request.

    A post-trained model generates sounds from text, in one window, with the guidance that is built in. Where the flow
    model that it was made from lies next to it, that one answers what asks for guidance, by its scale or by a negative
    prompt, and what goes on from known sound: edits, loops and several windows; unless cfg_scale is 1. A model that
    receives known latents needs no other for these.

    Args:
        request: as the user gave it.
        config: of the model.
        has_flow: whether the flow model is there.
        source_seconds: length of the sound that is edited; None = there is none.
    """
    if not has_flow:
        return NETWORK
    is_guided = bool(request.negative_prompt.strip()) if request.cfg_scale is None else request.cfg_scale != 1
    if config.dit.inpaint_channels:
        return FLOW_NETWORK if is_guided else NETWORK
    if request.cfg_scale is not None:
        return FLOW_NETWORK if request.cfg_scale != 1 else NETWORK
    if request.negative_prompt.strip() or request.loop or source_seconds is not None:
        return FLOW_NETWORK
    seconds = resolve(request, defaults_of(config)).duration_seconds
    return FLOW_NETWORK if float(seconds or 0.0) > config.dit.max_seconds else NETWORK


def resolve_request(
    request: GenerationRequest, config: ModelConfig, *, has_flow: bool, source: Source | None, threads: int | None
) -> ResolvedRequest:
    """Check a request, fill in its open fields and choose the network that answers it.

    Args:
        request: as the user gave it.
        config: of the model.
        has_flow: whether the flow model is there.
        source: the sound that is edited; None = text alone.
        threads: CPU threads of requests that state none; None = all that the process may use.

    Raises:
        UsageError: in one sentence, for a request that cannot be met.
    """
    if request.threads is None:
        request = msgspec.structs.replace(request, threads=threads)
    seconds = source.duration_seconds if source else None
    network = choose_network(request, config, has_flow=has_flow, source_seconds=seconds)
    sampled = config.for_network(network)
    resolved = resolve(request, defaults_of(sampled), seconds)
    if "key" in config.dit.controls and resolved.key is None:
        resolved = msgspec.structs.replace(resolved, key=stated_key(resolved.prompt))
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
