"""The torch-free engine: a model's parts as LiteRT graphs.

Graphs have static lengths, one signature each ("T64", "T128", ...). A call takes the shortest that suffices and fills
up with zeros; a mask or an overlap of tiles sees to it that the result does not depend on the length taken.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arctone.inference.backends.base import Floats, Ints, Mask, TextEmbedding, no_text
from arctone.inference.backends.litert_codecs import native_codec
from arctone.inference.backends.litert_graph import Graph, load_graph
from arctone.inference.backends.litert_velocity import Call, velocity
from arctone.inference.backends.tiling import filled
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.graph_names import DIT, FLOW, TEXT, TEXT_SIGNATURE


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
        self._threads = threads
        self._weights_cache = weights_cache
        self._low_ram = low_ram
        self._graphs: dict[str, Graph] = {}
        self.has_flow = config.sampling.post_trained and (folder / FLOW).is_file()
        self._codec = native_codec(config, self._graph, self.close if low_ram else lambda: None)

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
        flow: bool = False,
    ) -> Floats:
        """See Parts."""
        call = Call(x, t, text or no_text(self._config.text), seconds, bpm if text else 0.0, frame_mask, inpaint)
        return velocity(self._graph(FLOW if flow else DIT), self._config.dit, call)

    def decode(self, latents: Floats, seed: int = 0) -> Floats:
        """See Parts."""
        return self._codec.decode(latents, seed, self._threads)

    def encode(self, samples: Floats) -> Floats:
        """See Parts."""
        missing = -samples.shape[1] % self._config.hop_length
        return self._codec.encode(filled(samples, samples.shape[1] + missing))

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

    def _graph(self, file: str) -> Graph:
        if file not in self._graphs:
            if self._low_ram:
                self.close()
            self._graphs[file] = load_graph(self._folder / file, self._threads, self._weights_cache)
        return self._graphs[file]
