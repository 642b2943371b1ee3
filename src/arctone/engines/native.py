"""The torch-free engine: a model's parts as LiteRT graphs.

Graphs have static lengths, one signature each ("T64", "T128", ...). A call takes the shortest that suffices, fills
up with zeros and says so in a mask, which the graphs honour exactly: the result does not depend on the length taken.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arctone.audio.spectral import features, synthesise
from arctone.config_model import ModelConfig, SpectralConfig, of_type
from arctone.engines.graph import Graph, load_graph
from arctone.engines.parts import Floats, Ints, Mask, TextEmbedding, no_text
from arctone.errors import ModelError, UsageError

TEXT, DIT, DECODER, ENCODER = "text.tflite", "dit.tflite", "decoder.tflite", "encoder.tflite"
TEXT_SIGNATURE = "text"


class NativeParts:
    """Parts of a model folder on LiteRT; each graph is opened at its first use.

    Args: folder: with config already read. threads: CPU threads. weights_cache: see `load_graph`. low_ram: only one
    graph is open at a time; opening the next one closes it.
    """

    name = "native"

    def __init__(
        self, folder: Path, config: ModelConfig, threads: int, weights_cache: Path | None = None, low_ram: bool = False
    ) -> None:
        self._folder = folder
        self._config = config
        self._phase_iterations = of_type(config.sounding, SpectralConfig).phase_iterations
        self._threads = threads
        self._weights_cache = weights_cache
        self._low_ram = low_ram
        self._graphs: dict[str, Graph] = {}

    def encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        """See Parts."""
        inputs = {"ids": ids[None].astype(np.int32), "mask": mask[None].astype(np.float32)}
        out = self._graph(TEXT).run(TEXT_SIGNATURE, inputs)
        return TextEmbedding(out["tokens"][0], mask, out["pooled"][0])

    def velocity(
        self,
        x: Floats,
        t: float,
        text: TextEmbedding | None,
        seconds: float,
        bpm: float,
        frame_mask: Mask,
        inpaint: Floats | None = None,
    ) -> Floats:
        """See Parts."""
        graph = self._graph(DIT)
        num_frames = x.shape[1]
        window = fitting_window(graph.signatures, num_frames)
        given = text or no_text(self._config.text)
        inputs = {
            "x": _filled(x, window)[None],
            "t": np.array([t], np.float32),
            "text_tokens": given.tokens[None],
            "text_mask": given.mask[None].astype(np.float32),
            "text_pooled": given.pooled[None],
            "seconds": np.array([seconds], np.float32),
            "bpm": np.array([bpm if text else 0.0], np.float32),
            "frame_mask": _filled(frame_mask.astype(np.float32)[None], window),
        }
        if inpaint is not None:
            inputs["inpaint"] = _filled(inpaint, window)[None]
        return graph.run(f"T{window}", inputs)["velocity"][0, :, :num_frames]

    def decode(self, latents: Floats, seed: int = 0) -> Floats:
        """See Parts."""
        parameters = self._framewise(DECODER, "latents", latents, latents.shape[1])
        used = np.ascontiguousarray(parameters[:, : 4 * latents.shape[1]])
        del parameters
        if self._low_ram:
            self.close()  # the synthesis, which needs the most memory, needs no graph
        return synthesise(used, np.random.default_rng(seed), self._phase_iterations, self._threads)

    def encode(self, samples: Floats) -> Floats:
        """See Parts."""
        hop = self._config.hop_length
        num_frames = -(-samples.shape[1] // hop)
        whole = _filled(samples, num_frames * hop)
        return self._framewise(ENCODER, "features", features(whole), num_frames)[:, :num_frames]

    def set_threads(self, threads: int) -> None:
        """See Parts."""
        if threads != self._threads:
            self.close()
            self._threads = threads

    def close(self) -> None:
        """See Parts."""
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()

    def _framewise(self, file: str, name: str, values: Floats, num_frames: int) -> Floats:
        """Run the decoder or the encoder on [rows, k T]; returns the whole window, [rows, k' window]."""
        graph = self._graph(file)
        window = fitting_window(graph.signatures, num_frames)
        mask = (np.arange(window) < num_frames).astype(np.float32)[None]
        per_frame = values.shape[1] // num_frames
        inputs = {name: _filled(values, window * per_frame)[None], "frame_mask": mask}
        (batch,) = graph.run(f"T{window}", inputs).values()
        out: Floats = batch[0]
        return out

    def _graph(self, file: str) -> Graph:
        if file not in self._graphs:
            if self._low_ram:
                self.close()
            self._graphs[file] = load_graph(self._folder / file, self._threads, self._weights_cache)
        return self._graphs[file]


def fitting_window(signatures: tuple[str, ...], num_frames: int) -> int:
    """The shortest static length that holds so many latent frames.

    Raises: ModelError if a graph has no lengths; UsageError if none is long enough.
    """
    windows = sorted(int(name[1:]) for name in signatures if name[:1] == "T" and name[1:].isdigit())
    if not windows:
        raise ModelError(f"the graph has the signatures {', '.join(signatures)}, but none for a number of frames.")
    for window in windows:
        if window >= num_frames:
            return window
    raise UsageError(f"the sound is {num_frames} latent frames long, but this model's graphs hold {windows[-1]}.")


def _filled(values: Floats, length: int) -> Floats:
    """Zeros after the last column up to a length."""
    if values.shape[1] == length:
        return np.ascontiguousarray(values, dtype=np.float32)
    out = np.zeros((values.shape[0], length), np.float32)
    out[:, : values.shape[1]] = values
    return out
