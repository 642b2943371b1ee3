"""The parts of a model folder as modules, chosen by the types in its config.

Parts of published models are large. They are mapped, not read: their tensors lie in the file, the operating system
brings in what is used and may take it away again, and no second copy is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import FLOW, fill, has_flow
from arctone.checkpoints.tensor_files import read_tensors
from arctone.checkpoints.text import OWN, find_text_folder, load_text_encoder
from arctone.checkpoints.weights_map import MAP, load_from_graphs, part_state
from arctone.errors import ModelError
from arctone.model_folder.config import (
    ContinuousDiTConfig,
    DiTConfig,
    ModelConfig,
    OobleckConfig,
    SameConfig,
    SpectralConfig,
    T5Config,
    T5GemmaConfig,
    TextConfig,
)
from arctone.models.continuous_dit import ContinuousDiT
from arctone.models.dit import DiT
from arctone.models.oobleck import OobleckDecoder, OobleckEncoder
from arctone.models.same import SameDecoder, SameEncoder
from arctone.models.spectral import SpectralDecoder, SpectralEncoder
from arctone.models.t5 import T5Encoder, T5GemmaEncoder
from arctone.models.text import TextEncoder

TEXT, DIT, ENCODER, DECODER = PARTS = ("text", "dit", "encoder", "decoder")
# The halves of the autoencoder share a file; a decoder of another type than the encoder has its own.
FILES = {TEXT: "text", DIT: "dit", FLOW: FLOW, ENCODER: "autoencoder", DECODER: "autoencoder"}
OWN_DECODER = "decoder"
Build = Callable[[Any], nn.Module]
Open = Callable[[], nn.Module]
Change = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def _bert(config: TextConfig) -> TextEncoder:
    return TextEncoder(config.vocabulary, config.max_tokens, config.width, config.depth, config.heads, config.mlp_width)


BUILDERS: dict[tuple[str, type], Build] = {
    (TEXT, TextConfig): _bert,
    (TEXT, T5Config): T5Encoder,
    (TEXT, T5GemmaConfig): T5GemmaEncoder,
    (DIT, DiTConfig): DiT,
    (DIT, ContinuousDiTConfig): ContinuousDiT,
    (FLOW, DiTConfig): DiT,
    (FLOW, ContinuousDiTConfig): ContinuousDiT,
    (ENCODER, SpectralConfig): SpectralEncoder,
    (DECODER, SpectralConfig): SpectralDecoder,
    (ENCODER, OobleckConfig): OobleckEncoder,
    (DECODER, OobleckConfig): OobleckDecoder,
    (ENCODER, SameConfig): SameEncoder,
    (DECODER, SameConfig): SameDecoder,
}
# Large, and without any tensor besides those in the file.
MAPPED = (T5Config, T5GemmaConfig, ContinuousDiTConfig, OobleckConfig, SameConfig)


def openers(
    folder: Path,
    config: ModelConfig,
    changes: Mapping[str, Change] | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, Open]:
    """List what opens each part of a model in evaluation mode: PARTS, and FLOW where a post-trained model has it.

    Mapped parts are opened again with each call.

    Args:
        folder: The folder of a model.
        config: Its config.
        changes: By part, a change of its tensors before they fill it.
        only: Names of the parts that are wanted; None = all.

    Returns:
        Functions by the name of the part.

    Raises:
        ModelError: If a file is missing, or a part that is not mapped does not fit the config.
    """
    graphs = load_from_graphs(folder) if (folder / MAP).is_file() else None
    change = changes or {}
    found: dict[str, Open] = {}
    has_own_flow = config.sampling.post_trained and has_flow(folder)
    for part in only or (*PARTS, *([FLOW] if has_own_flow else [])):
        settings = part_config(config, part)
        if isinstance(settings, MAPPED):
            build = BUILDERS[part, type(settings)]
            found[part] = _Mapped(build, settings, _file(folder, config, part), part, change.get(part, dict))
        else:
            state = part_state(graphs, FILES[part]) if graphs else _tensors(folder, config, part)
            module = BUILDERS[part, type(settings)](settings)
            fill(module, change.get(part, dict)(_half(state, part)), str(folder))
            found[part] = given(module.eval().requires_grad_(False))
    return found


def given(module: nn.Module) -> Open:
    """What "opens" a module that exists already."""
    return lambda: module


def part_config(config: ModelConfig, part: str) -> object:
    """Return the config that describes a part.

    Args:
        config: The model's config.
        part: TEXT, DIT, FLOW, ENCODER or DECODER.

    Returns:
        Its section of the config.
    """
    configs: dict[str, object] = {
        TEXT: config.text,
        DIT: config.dit,
        FLOW: config.dit,
        ENCODER: config.autoencoder,
        DECODER: config.sounding,
    }
    return configs[part]


class _Mapped:
    """Opens a large part; its values are checked the first time only."""

    def __init__(self, build: Build, settings: object, path: Path, part: str, change: Change) -> None:
        self._build, self._settings, self._path, self._part, self._change = build, settings, path, part, change
        self._is_checked = False

    def __call__(self) -> nn.Module:
        with torch.device("meta"):
            module = self._build(self._settings)
        state = self._change(_half(read_tensors(self._path), self._part))
        if self._is_checked:
            module.load_state_dict(state, assign=True)
        else:
            fill(module, state, str(self._path), assign=True)
        self._is_checked = True
        return module.eval().requires_grad_(False)


def _half(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The encoder's or the decoder's tensors out of an autoencoder's; other parts are returned as they are."""
    if part not in (ENCODER, DECODER):
        return dict(state)
    start = f"{part}."
    unknown = [name for name in state if not name.startswith((f"{ENCODER}.", f"{DECODER}."))]
    if unknown:
        raise ModelError(f"the autoencoder has the unknown tensor {unknown[0]}.")
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


def _tensors(folder: Path, config: ModelConfig, part: str) -> Mapping[str, Tensor]:
    """The tensors of a part. Training writes no text encoder: that is the installed one that encoded the captions."""
    if part == TEXT and isinstance(config.text, TextConfig) and not (folder / OWN).is_file():
        return load_text_encoder(find_text_folder(folder), config.text).state_dict()
    return read_tensors(_file(folder, config, part))


def _file(folder: Path, config: ModelConfig, part: str) -> Path:
    name = OWN_DECODER if part == DECODER and config.decoder is not None else FILES[part]
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise ModelError(f"{path} does not exist, but the torch engine needs it where there is no {MAP}.")
    return path
