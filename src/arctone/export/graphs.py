"""Convert modules to LiteRT graphs, and compare the graphs with the modules.

B batch, C latent channels, T latent frames, M = 4 T feature frames, L text tokens, D width.
A graph has a fixed length, so a shorter sound is filled up. Attention already ignores what a mask rules out;
convolutions do not, so here every convolution sees zeros there, as it sees beyond the end of a sound.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.audio.spectral.features import NUM_FEATURES
from arctone.errors import UsageError
from arctone.inference.backends.base import WINDOWS
from arctone.inference.backends.litert_graph import load_graph, quiet
from arctone.model_folder.config import ModelConfig
from arctone.models.conditions import Conditions
from arctone.models.dit import DiT
from arctone.models.spectral import FRAMES_PER_LATENT, ConvNeXtBlock, SpectralDecoder, SpectralEncoder
from arctone.models.text import TextEncoder


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep all that is printed, logged or warned of inside off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _no_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()), quiet():
        yield


@dataclass(frozen=True)
class Signature:
    """One entry of a graph file: a module and inputs of the shapes it is fixed to."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]


class TextGraph(nn.Module):
    """ids int32 [1, L], mask [1, L] -> tokens [1, L, D], pooled [1, D]."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        tokens, pooled = self.encoder(ids, mask)
        return {"tokens": tokens, "pooled": pooled}


class VelocityGraph(nn.Module):
    """The transformer: x, t and the fields of Conditions as inputs of their names, masks as floats."""

    def __init__(self, dit: DiT) -> None:
        super().__init__()
        self.dit = dit

    def forward(self, x: Tensor, t: Tensor, **conditions: Tensor) -> dict[str, Tensor]:
        return {"velocity": self.dit(x, t, Conditions(**conditions))}


class DecoderGraph(nn.Module):
    """latents [1, C, T], frame_mask [1, T] -> parameters [1, P, M]."""

    def __init__(self, decoder: SpectralDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        net = self.decoder
        mask = frame_mask.unsqueeze(-1)
        unit = latents.mT * net.std + net.mean
        x = masked_blocks(net.coarse, net.enter(unit), mask)
        frames, width = x.shape[1], x.shape[2]
        x = net.split(x).reshape(1, frames * FRAMES_PER_LATENT, width)
        x = net.leave(net.norm(masked_blocks(net.fine, x, _repeated(mask))))
        return {"parameters": net.parameters_of(x, unit).mT}


class EncoderGraph(nn.Module):
    """features [1, F, M], frame_mask [1, T] -> latents [1, C, T]."""

    def __init__(self, encoder: SpectralEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        net = self.encoder
        mask = frame_mask.unsqueeze(-1)
        x = masked_blocks(net.fine, net.enter(features.mT), _repeated(mask))
        x = net.join(x.reshape(1, x.shape[1] // FRAMES_PER_LATENT, FRAMES_PER_LATENT * x.shape[2]))
        x = net.leave(net.norm(masked_blocks(net.coarse, x, mask)))
        unit = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-4)
        if net.code is not None:
            unit = torch.cat([net.code(features.mT), unit], dim=-1)
        return {"latents": ((unit - net.mean) / net.std).mT}


def masked_blocks(blocks: nn.Sequential, x: Tensor, mask: Tensor) -> Tensor:
    """ConvNeXt blocks whose convolutions see zeros where the mask [1, M, 1] is 0; x: [1, M, D]."""
    for block in blocks:
        assert isinstance(block, ConvNeXtBlock)
        mixed = block.mix((x * mask).mT).mT
        x = x + block.scale * block.down(functional.gelu(block.up(block.norm(mixed))))
    return x


def _repeated(mask: Tensor) -> Tensor:
    """A mask of latent frames [1, T, 1] for feature frames, [1, 4 T, 1]."""
    return mask.expand(-1, -1, FRAMES_PER_LATENT).reshape(1, -1, 1)


def text_signatures(encoder: TextEncoder, config: ModelConfig) -> list[Signature]:
    """The text encoder's only length."""
    length = config.text.max_tokens
    inputs = {"ids": torch.ones(1, length, dtype=torch.int32), "mask": torch.ones(1, length)}
    return [Signature("text", TextGraph(encoder).eval(), inputs)]


def dit_signatures(dit: DiT, config: ModelConfig, windows: tuple[int, ...] = WINDOWS) -> list[Signature]:
    """The transformer at each static length."""
    module = VelocityGraph(dit).eval()
    return [Signature(f"T{window}", module, dit_inputs(config, window)) for window in windows]


def dit_inputs(config: ModelConfig, window: int) -> dict[str, Tensor]:
    """Random but ordinary inputs of the transformer graph at one length."""
    generator = torch.Generator().manual_seed(window)
    length, width = config.text.max_tokens, config.text.width
    inputs = {
        "x": torch.randn(1, config.dit.latent_channels, window, generator=generator),
        "t": torch.full((1,), 0.6),
        "text_tokens": torch.randn(1, length, width, generator=generator),
        "text_mask": (torch.arange(length) < max(length // 4, 1)).float()[None],
        "text_pooled": functional.normalize(torch.randn(1, width, generator=generator), dim=-1),
        "seconds": torch.full((1,), window * config.hop_length / config.sample_rate),
        "bpm": torch.full((1,), 120.0),
        "frame_mask": torch.ones(1, window),
    }
    if config.dit.inpaint_channels:
        inputs["inpaint"] = torch.randn(1, config.dit.inpaint_channels, window, generator=generator)
    return inputs | _control_inputs(config, window)


def _control_inputs(config: ModelConfig, window: int) -> dict[str, Tensor]:
    """A key, a note, a number of steps and given curves, for the controls that the transformer has."""
    ramp = torch.linspace(0.2, 0.8, window)
    curves = {"loudness": ramp, "brightness": ramp, "pitch": 40 + 30 * ramp}
    inputs = {name: torch.stack([value, torch.ones(window)])[None] for name, value in curves.items()}
    inputs |= {"key": torch.full((1,), 10.0), "note": torch.full((1,), 60.0), "steps": torch.full((1,), 8.0)}
    return {name: inputs[name] for name in config.dit.controls}


def decoder_signatures(decoder: SpectralDecoder, config: ModelConfig, windows: tuple[int, ...]) -> list[Signature]:
    """The decoder at each static length."""
    return _framewise(DecoderGraph(decoder), "latents", config.autoencoder.latent_channels, 1, windows)


def encoder_signatures(encoder: SpectralEncoder, windows: tuple[int, ...]) -> list[Signature]:
    """The encoder at each static length."""
    return _framewise(EncoderGraph(encoder), "features", NUM_FEATURES, FRAMES_PER_LATENT, windows)


def _framewise(module: nn.Module, name: str, rows: int, rate: int, windows: tuple[int, ...]) -> list[Signature]:
    module = module.eval()
    return [
        Signature(f"T{n}", module, {name: torch.randn(1, rows, rate * n), "frame_mask": torch.ones(1, n)})
        for n in windows
    ]


PARITY = "parity.json"
_OWN_FILES = ("config.json", "tokenizer.json", "weights_map.json", PARITY, "hashes.json")


def parity(path: Path, signatures: Sequence[Signature]) -> dict[str, float]:
    """Size of a graph, and how closely each signature follows its module, over all outputs: SNR in dB, and the largest
    error as a part of the largest value.
    """
    graph = load_graph(path, threads=1)
    report = {"megabytes": round(path.stat().st_size / 1e6, 3)}
    for signature in signatures:
        values = {name: value.numpy() for name, value in signature.inputs.items()}
        report |= agreement(signature.name, answers(signature), graph.run(signature.name, values))
    graph.close()
    return report


def answers(signature: Signature) -> dict[str, np.ndarray]:
    """What the torch module gives for its inputs, by name."""
    with torch.inference_mode():
        return {name: value.numpy() for name, value in signature.module(**signature.inputs).items()}


def agreement(name: str, wanted: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compare the outputs of a graph with those of its module.

    Args:
        name: Of the signature.
        wanted: What the torch module gives, by name.
        got: What the graph gives, by name.

    Returns:
        SNR in dB and largest error.
    """
    pairs = [(value, got[output]) for output, value in wanted.items()]
    return {
        f"snr_db_{name}": round(min(snr_db(want, have) for want, have in pairs), 2),
        f"max_error_{name}": float(f"{max(_max_error(want, have) for want, have in pairs):.4g}"),
    }


def snr_db(wanted: np.ndarray, got: np.ndarray) -> float:
    """Power of the wanted values over the power of the difference, in dB; at most 200."""
    noise = float(np.square(wanted - got, dtype=np.float64).sum())
    power = float(np.square(wanted, dtype=np.float64).sum())
    return min(200.0, 10 * float(np.log10(power / noise))) if noise > 0 and power > 0 else 200.0


def _max_error(wanted: np.ndarray, got: np.ndarray) -> float:
    """Largest difference, as a part of the largest wanted value."""
    largest = float(np.abs(wanted).max())
    return float(np.abs(wanted - got).max()) / largest if largest > 0 else 0.0


def check_documents(documents: Mapping[str, str]) -> None:
    """Refuse a document with the name of one of the model's own files.

    Args:
        documents: Further text files by name.

    Raises:
        UsageError: for a value that is not allowed.
    """
    for name in documents:
        if name in _OWN_FILES or name.endswith((".tflite", ".onnx", ".safetensors")):
            raise UsageError(f"a document cannot be called {name}: the model's own file has that name.")
