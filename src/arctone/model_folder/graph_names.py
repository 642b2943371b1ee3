"""Names of a model folder's graphs, and which of them a model of what types has."""

from __future__ import annotations

from arctone.model_folder.config import ModelConfig, OobleckConfig

TEXT, DIT, DECODER, ENCODER = "text.tflite", "dit.tflite", "decoder.tflite", "encoder.tflite"
# The flow model that a post-trained transformer was made from.
FLOW = "flow.tflite"
# The fine blocks of an oobleck decoder; its coarse ones are in DECODER.
DECODER_TAIL = "decoder_tail.tflite"
TEXT_SIGNATURE = "text"

NUM_FINE_BLOCKS = 3
"""How many blocks of an oobleck decoder, counted from its end, are in DECODER_TAIL."""


def network_graph(network: str) -> str:
    """Return the graph of a network, see `config.NETWORK`."""
    return f"{network}.tflite"


def needed_for_generation(config: ModelConfig) -> tuple[str, ...]:
    """The graphs that making sound from text reads; editing reads ENCODER besides."""
    tail = (DECODER_TAIL,) if isinstance(config.sounding, OobleckConfig) else ()
    return (TEXT, DIT, DECODER, *tail)
