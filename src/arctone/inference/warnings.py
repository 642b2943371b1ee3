"""What a user should know about a request before its sound is made."""

from __future__ import annotations

from arctone.inference.request import GenerationRequest
from arctone.inference.source import Source
from arctone.model_folder.config import ModelConfig


def foreseen(request: GenerationRequest, config: ModelConfig, source: Source | None) -> list[str]:
    """Warnings that a resolved request and its source call for."""
    warnings = [source.warning] if source and source.warning else []
    if config.sampling.post_trained and request.cfg_scale != 1:
        warnings.append(
            f"cfg_scale is {request.cfg_scale:g}, but {config.name} is post-trained and has its guidance built in: "
            "1 suits it."
        )
    if request.negative_prompt.strip() and request.cfg_scale == 1:
        warnings.append("negative_prompt has no effect at cfg_scale 1.")
    if source is not None:
        warnings += _about_editing(request, source)
    return warnings


def _about_editing(request: GenerationRequest, source: Source) -> list[str]:
    warnings = []
    missing = float(request.duration_seconds or 0.0) - source.duration_seconds
    if missing < -1 / source.waveform.sample_rate:
        warnings.append(f"The last {-missing:.2f} seconds of the source are cut off.")
    elif missing > 1 / source.waveform.sample_rate and not request.extend:
        warnings.append(f"The source is filled up with {missing:.2f} seconds of silence.")
    if request.keeps_source and request.normalize != "off":
        warnings.append(f"normalize {request.normalize} also changes the level of the parts that are kept.")
    return warnings
