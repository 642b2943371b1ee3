"""What stands between the native engine's graphs and sound, for each type of autoencoder.

A audio channels, N audio samples, C latent channels, T latent frames. Graphs are asked for by file name when needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from arctone.audio.spectral.features import features
from arctone.audio.spectral.synthesis import synthesise
from arctone.inference.backends.base import Floats
from arctone.inference.backends.litert_graph import Graph
from arctone.inference.backends.tiling import filled, fitting_window, tiled, window_lengths
from arctone.model_folder.config import (
    AutoencoderConfig,
    ModelConfig,
    OobleckConfig,
    SpectralConfig,
    decoder_reach,
    encoder_reach,
    of_type,
)
from arctone.model_folder.graph_names import DECODER, DECODER_TAIL, ENCODER, NUM_FINE_BLOCKS

OpenGraph = Callable[[str], Graph]


class NativeCodec(Protocol):
    """Latents to samples and back, on graphs."""

    def decode(self, latents: Floats, seed: int, threads: int) -> Floats:
        """Samples [A, hop T] from latents [C, T]; the seed fixes what is random in the synthesis."""

    def encode(self, samples: Floats) -> Floats:
        """Latents [C, T] of samples [A, N], N a multiple of the hop."""


class SpectralGraphs:
    """Spectral features in, spectral parameters out; the phases are made here.

    Args: open_graph: opens a graph by its file name. done: called when no graph is needed any more.
    """

    def __init__(self, config: SpectralConfig, hop_length: int, open_graph: OpenGraph, done: Callable[[], None]):
        self._config, self._hop_length, self._open, self._done = config, hop_length, open_graph, done

    def decode(self, latents: Floats, seed: int, threads: int) -> Floats:
        """See NativeCodec."""
        parameters = self._framewise(DECODER, "latents", latents, latents.shape[1])
        used = np.ascontiguousarray(parameters[:, : 4 * latents.shape[1]])
        del parameters
        self._done()  # the synthesis, which needs the most memory, needs no graph
        return synthesise(used, np.random.default_rng(seed), self._config.phase_iterations, threads)

    def encode(self, samples: Floats) -> Floats:
        """See NativeCodec."""
        num_frames = samples.shape[1] // self._hop_length
        return self._framewise(ENCODER, "features", features(samples), num_frames)[:, :num_frames]

    def _framewise(self, file: str, name: str, values: Floats, num_frames: int) -> Floats:
        """Run the decoder or the encoder on [rows, k T]; returns the whole window, [rows, k' window]."""
        graph = self._open(file)
        window = fitting_window(graph.signatures, num_frames)
        mask = (np.arange(window) < num_frames).astype(np.float32)[None]
        per_frame = values.shape[1] // num_frames
        inputs = {name: filled(values, window * per_frame)[None], "frame_mask": mask}
        (batch,) = graph.run(f"T{window}", inputs).values()
        out: Floats = batch[0]
        return out


class OobleckGraphs:
    """Waveforms in and out, in tiles that overlap by what the convolutions see: the result is that of the whole.

    Of the encoder's normal distribution the mean is taken, so that encoding is repeatable. Latents that are shorter
    than the decoder's shortest window are followed by zeros: the last `reach_frames` sound as if the sound went on.
    """

    def __init__(self, config: OobleckConfig, open_graph: OpenGraph):
        self._config, self._open = config, open_graph
        self._hop = config.hop_length
        self._fine_strides = tuple(reversed(config.strides))[-NUM_FINE_BLOCKS:]

    def decode(self, latents: Floats, seed: int, threads: int) -> Floats:
        """See NativeCodec; nothing is random."""
        up = math.prod(self._fine_strides)
        frames = self._coarse(latents.T * np.float32(self._config.scale), (self._hop // up, 1))
        graph = self._open(DECODER_TAIL)
        (window,) = window_lengths(graph.signatures)

        def part(tile: Floats) -> Floats:
            made: Floats = graph.run(f"T{window}", {"frames": _whole(tile, window)})["samples"][0]
            return made.T

        return tiled(part, frames, window, decoder_reach(self._fine_strides), (up, 1)).T

    def encode(self, samples: Floats) -> Floats:
        """See NativeCodec."""
        graph = self._open(ENCODER)
        (window,) = window_lengths(graph.signatures)

        def part(tile: Floats) -> Floats:
            mask = (np.arange(window) < len(tile) // self._hop).astype(np.float32)[None]
            inputs = {"samples": filled(tile.T, window * self._hop)[None], "frame_mask": mask}
            made: Floats = graph.run(f"T{window}", inputs)["latents"][0]
            return made.T

        reach = encoder_reach(self._config) * self._hop
        latents = tiled(part, samples.T, window * self._hop, reach, (1, self._hop))
        return np.ascontiguousarray(latents.T / np.float32(self._config.scale))

    def _coarse(self, latents: Floats, ratio: tuple[int, int]) -> Floats:
        """Frames of the fine blocks, time first, from latents [T, C]."""
        graph = self._open(DECODER)
        windows = window_lengths(graph.signatures)
        window = next((length for length in windows if length >= len(latents)), windows[-1])

        def part(tile: Floats) -> Floats:
            made: Floats = graph.run(f"T{window}", {"latents": filled(tile.T, window)[None]})["frames"][0]
            return made

        return tiled(part, latents, window, self._config.reach_frames, ratio)


def _whole(tile: Floats, window: int) -> Floats:
    """A tile [rows, columns] with zeros up to a window, as a batch of one."""
    return np.ascontiguousarray(filled(tile.T, window).T[None]) if len(tile) < window else tile[None]


class MixedGraphs:
    """The encoder of one type with the decoder of another.

    Args: encoding, decoding: what each half comes from.
    """

    def __init__(self, encoding: NativeCodec, decoding: NativeCodec) -> None:
        self.encode, self.decode = encoding.encode, decoding.decode


def native_codec(config: ModelConfig, open_graph: OpenGraph, done: Callable[[], None]) -> NativeCodec:
    """The codec that the config's encoder and decoder need. Args: done: called when no graph is needed any more."""

    def of(autoencoder: AutoencoderConfig) -> NativeCodec:
        if isinstance(autoencoder, OobleckConfig):
            return OobleckGraphs(autoencoder, open_graph)
        return SpectralGraphs(of_type(autoencoder, SpectralConfig), config.hop_length, open_graph, done)

    own = of(config.autoencoder)
    return own if config.decoder is None else MixedGraphs(own, of(config.decoder))
