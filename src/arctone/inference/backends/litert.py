"""The torch-free backend: a model's parts as LiteRT graphs.

Graphs have static lengths, one signature each ("T64", "T128", ...). A call takes the shortest that suffices and pads
with zeros; a mask or an overlap of tiles makes the result independent of the length taken.
A audio channels, N audio samples, C latent channels, T latent frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from arctone.audio.spectral.features import features
from arctone.audio.spectral.synthesis import synthesise
from arctone.inference.backends.base import (
    Backend,
    Floats,
    Ints,
    Mask,
    TextEmbedding,
    VelocityInputs,
    filled,
    fitting_window,
    tiled,
    window_lengths,
)
from arctone.inference.backends.litert_graph import Arrays, Graph, load_graph
from arctone.model_folder.config import (
    AutoencoderConfig,
    ContinuousDiTConfig,
    ModelConfig,
    OobleckConfig,
    SpectralConfig,
    TransformerConfig,
    decoder_reach,
    encoder_reach,
    of_type,
)
from arctone.model_folder.folder import (
    DECODER,
    DECODER_TAIL,
    ENCODER,
    FLOW,
    NUM_FINE_BLOCKS,
    TEXT,
    TEXT_SIGNATURE,
    network_graph,
)


class LiteRTBackend(Backend):
    """Parts of a model folder on LiteRT; each graph is opened at its first use.

    Args:
        folder: the model's, with config already read.
        config: of the model.
        threads: CPU threads.
        weights_cache: see `load_graph`.
        low_ram: whether only one graph is open at a time; opening the next one closes it.
    """

    name = "native"

    def __init__(
        self, folder: Path, config: ModelConfig, threads: int, weights_cache: Path | None = None, low_ram: bool = False
    ) -> None:
        super().__init__(config, has_flow=config.sampling.post_trained and (folder / FLOW).is_file())
        self._folder = folder
        self._threads = threads
        self._weights_cache = weights_cache
        self._low_ram = low_ram
        self._graphs: dict[str, Graph] = {}
        self._codec = graph_codec(config, self._graph, self._close if low_ram else lambda: None)

    def _encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        inputs = {"ids": ids[None].astype(np.int32), "mask": mask[None].astype(np.float32)}
        out = self._graph(TEXT).run(TEXT_SIGNATURE, inputs)
        return TextEmbedding(out["tokens"][0], mask, out["pooled"][0])

    def _velocity(self, inputs: VelocityInputs, network: str) -> Floats:
        return _run_transformer(self._graph(network_graph(network)), self.config.dit, inputs)

    def _decode(self, latents: Floats, seed: int) -> Floats:
        return self._codec.decode(latents, seed, self._threads)

    def _encode(self, samples: Floats) -> Floats:
        missing = -samples.shape[1] % self.config.hop_length
        return self._codec.encode(filled(samples, samples.shape[1] + missing))

    def _set_threads(self, threads: int) -> None:
        if threads != self._threads:
            self._close()
            self._threads = threads

    def _close(self) -> None:
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()

    def _graph(self, file: str) -> Graph:
        if file not in self._graphs:
            if self._low_ram:
                self._close()
            self._graphs[file] = load_graph(self._folder / file, self._threads, self._weights_cache)
        return self._graphs[file]


def _run_transformer(graph: Graph, config: TransformerConfig, call: VelocityInputs) -> Floats:
    """Compute the velocity [C, T] of the straight path with either type of transformer."""
    if not isinstance(config, ContinuousDiTConfig):
        assert call.text is not None
        text, beat = {"text_pooled": call.text.pooled[None]}, {"bpm": np.array([call.bpm], np.float32)}
        mask = {"frame_mask": _frame_mask(graph, call)}
        return _run(graph, call, call.x, call.t, {**text, **beat, **mask, **_controls(graph, config, call)})
    out = _straight(graph, call) if config.objective == "v" else _run(graph, call, call.x, call.t, {})
    return out * call.frame_mask.astype(np.float32)


def _controls(graph: Graph, config: TransformerConfig, call: VelocityInputs) -> Arrays:
    window = fitting_window(graph.signatures, call.x.shape[1])
    found = call.controls(config.controls)
    return {name: filled(value[0], window)[None] if value.ndim == 3 else value for name, value in found.items()}


def _straight(graph: Graph, call: VelocityInputs) -> Floats:
    """Compute the velocity of the straight path with a network of variance-preserving diffusion.

    Both paths mix the same data and noise; the network's own x is x / |(1 - t, t)|, its own time the angle of
    (1 - t, t) as a part of a right angle; its velocity is alpha noise - sigma data.
    """
    size = math.hypot(1 - call.t, call.t)
    sigma, alpha = np.float32(call.t / size), np.float32((1 - call.t) / size)
    turned = call.x / np.float32(size)
    v = _run(graph, call, turned, math.atan2(call.t, 1 - call.t) * 2 / math.pi, {})
    data, noise = alpha * turned - sigma * v, sigma * turned + alpha * v
    return noise - data


def _run(graph: Graph, call: VelocityInputs, x: Floats, t: float, more: Arrays) -> Floats:
    assert call.text is not None
    window = fitting_window(graph.signatures, x.shape[1])
    inputs = {
        "x": filled(x, window)[None],
        "t": np.array([t], np.float32),
        "text_tokens": call.text.tokens[None],
        "text_mask": call.text.mask[None].astype(np.float32),
        "seconds": np.array([call.seconds], np.float32),
        **more,
    }
    if call.inpaint is not None:
        inputs["inpaint"] = filled(call.inpaint, window)[None]
    return graph.run(f"T{window}", inputs)["velocity"][0, :, : x.shape[1]]


def _frame_mask(graph: Graph, call: VelocityInputs) -> Floats:
    window = fitting_window(graph.signatures, call.x.shape[1])
    return filled(call.frame_mask.astype(np.float32)[None], window)


OpenGraph = Callable[[str], Graph]


class GraphCodec(Protocol):
    """Latents to samples and back, on graphs."""

    def decode(self, latents: Floats, seed: int, threads: int) -> Floats:
        """Decode latents to audio.

        Args:
            latents: [C, T].
            seed: Fixes the random part of the synthesis.
            threads: CPU threads of the synthesis.

        Returns:
            Samples [A, hop T].
        """

    def encode(self, samples: Floats) -> Floats:
        """Encode audio to latents.

        Args:
            samples: [A, N], N a multiple of the hop.

        Returns:
            [C, T].
        """


class SpectralGraphs:
    """Spectral features in, spectral parameters out; the phases are made here.

    Args:
        config: Of the model.
        hop_length: Audio samples per latent frame.
        open_graph: Opens a graph by its file name.
        done: Called when no graph is needed any more.
    """

    def __init__(self, config: SpectralConfig, hop_length: int, open_graph: OpenGraph, done: Callable[[], None]):
        self._config, self._hop_length, self._open, self._done = config, hop_length, open_graph, done

    def decode(self, latents: Floats, seed: int, threads: int) -> Floats:
        """See GraphCodec."""
        parameters = self._framewise(DECODER, "latents", latents, latents.shape[1])
        used = np.ascontiguousarray(parameters[:, : 4 * latents.shape[1]])
        del parameters
        self._done()  # the synthesis, which needs the most memory, needs no graph
        return synthesise(used, np.random.default_rng(seed), self._config.phase_iterations, threads)

    def encode(self, samples: Floats) -> Floats:
        """See GraphCodec."""
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
        """See GraphCodec; nothing is random."""
        up = math.prod(self._fine_strides)
        frames = self._coarse(latents.T * np.float32(self._config.scale), (self._hop // up, 1))
        graph = self._open(DECODER_TAIL)
        (window,) = window_lengths(graph.signatures)

        def part(tile: Floats) -> Floats:
            out: Floats = graph.run(f"T{window}", {"frames": _whole(tile, window)})["samples"][0]
            return out.T

        return tiled(part, frames, window, decoder_reach(self._fine_strides), (up, 1)).T

    def encode(self, samples: Floats) -> Floats:
        """See GraphCodec."""
        graph = self._open(ENCODER)
        (window,) = window_lengths(graph.signatures)

        def part(tile: Floats) -> Floats:
            mask = (np.arange(window) < len(tile) // self._hop).astype(np.float32)[None]
            inputs = {"samples": filled(tile.T, window * self._hop)[None], "frame_mask": mask}
            out: Floats = graph.run(f"T{window}", inputs)["latents"][0]
            return out.T

        reach = encoder_reach(self._config) * self._hop
        latents = tiled(part, samples.T, window * self._hop, reach, (1, self._hop))
        return np.ascontiguousarray(latents.T / np.float32(self._config.scale))

    def _coarse(self, latents: Floats, ratio: tuple[int, int]) -> Floats:
        """Frames of the fine blocks, time first, from latents [T, C]."""
        graph = self._open(DECODER)
        windows = window_lengths(graph.signatures)
        window = next((length for length in windows if length >= len(latents)), windows[-1])

        def part(tile: Floats) -> Floats:
            out: Floats = graph.run(f"T{window}", {"latents": filled(tile.T, window)[None]})["frames"][0]
            return out

        return tiled(part, latents, window, self._config.reach_frames, ratio)


def _whole(tile: Floats, window: int) -> Floats:
    """A tile [rows, columns] with zeros up to a window, as a batch of one."""
    return np.ascontiguousarray(filled(tile.T, window).T[None]) if len(tile) < window else tile[None]


class MixedGraphs:
    """The encoder of one type with the decoder of another.

    Args:
        encoding: Codec of the encoder.
        decoding: Codec of the decoder.
    """

    def __init__(self, encoding: GraphCodec, decoding: GraphCodec) -> None:
        self.encode, self.decode = encoding.encode, decoding.decode


def graph_codec(config: ModelConfig, open_graph: OpenGraph, done: Callable[[], None]) -> GraphCodec:
    """Choose the codec for the config's encoder and decoder.

    Args:
        config: Of the model.
        open_graph: Opens a graph by its file name.
        done: Called when no graph is needed any more.

    Returns:
        The codec.
    """

    def of(autoencoder: AutoencoderConfig) -> GraphCodec:
        if isinstance(autoencoder, OobleckConfig):
            return OobleckGraphs(autoencoder, open_graph)
        return SpectralGraphs(of_type(autoencoder, SpectralConfig), config.hop_length, open_graph, done)

    own = of(config.autoencoder)
    return own if config.decoder is None else MixedGraphs(own, of(config.decoder))
