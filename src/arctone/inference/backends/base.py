"""The four things an engine must be able to compute, numpy in and numpy out.

C latent channels, T latent frames, L text tokens, D text width, N audio samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from arctone.model_folder.config import TextEncoderConfig

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]


class TextEmbedding(NamedTuple):
    """A prompt as the transformer reads it: tokens [L, D] (zero at padding), mask [L], pooled [D] of length 1."""

    tokens: Floats
    mask: Mask
    pooled: Floats


def no_text(config: TextEncoderConfig) -> TextEmbedding:
    """What stands for a prompt where there is none: padding alone."""
    width, length = config.width, config.max_tokens
    return TextEmbedding(np.zeros((length, width), np.float32), np.zeros(length, bool), np.zeros(width, np.float32))


class Parts(Protocol):
    """Text encoder, transformer, decoder and encoder of one model; not safe for calls from two threads at once."""

    name: str
    """Which engine this is, for records: "native" or "torch"."""
    has_flow: bool
    """Whether a post-trained model has the flow model it was made from beside it."""

    def encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        """Tokens of one prompt, ids [L] with mask [L] (True = real), to its embedding."""

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
        """Velocity [C, T] at latents x [C, T] and time t (1 = noise); zero where frame_mask [T] is False.

        Args: text: None = unconditional. seconds: length of the sound. bpm: 0 = not given. inpaint: [1 + C, T], for
        models with inpaint channels and for them alone: 1 where latents are known, and these (0 elsewhere). flow: of
        the flow model that a post-trained one was made from; needs `has_flow`.
        """

    def decode(self, latents: Floats, seed: int = 0) -> Floats:
        """Audio [2, 2048 T] from latents [C, T]; the seed fixes the random part of the synthesis."""

    def encode(self, samples: Floats) -> Floats:
        """Latents [C, T] of stereo audio [2, N]; N need not be a multiple of 2048, zeros fill the last frame."""

    def set_threads(self, threads: int) -> None:
        """Use that many CPU threads from now on."""

    def close(self) -> None:
        """Give memory back; the next call loads again."""


class Order(NamedTuple):
    """Sounds of one window, from text alone, that differ in their noise only. B sounds, S steps.

    ids, mask: tokens of the prompt, [L]. away_ids, away_mask: of what guidance leads away from; masked out altogether =
    from anything. cfg_scale: 1 = no guidance; is_projected: see `flow.guidance.projected`. sampler: its name. times:
    S + 1 noise levels. noise: [S, B, C, T], at the start and after each step but the last. seconds, bpm: see Parts.
    num_heard: latent frames that are decoded. seeds: of the random part of each synthesis.
    """

    ids: Ints
    mask: Mask
    away_ids: Ints
    away_mask: Mask
    cfg_scale: float
    is_projected: bool
    sampler: str
    times: tuple[float, ...]
    noise: Floats
    seconds: float
    bpm: float
    num_heard: int
    seeds: tuple[int, ...]

    def one_by_one(self) -> Iterator[Order]:
        """An order for each of the sounds."""
        for item, seed in enumerate(self.seeds):
            yield self._replace(noise=self.noise[:, item : item + 1], seeds=(seed,))


@runtime_checkable
class WholeParts(Protocol):
    """Parts that can make whole sounds, from tokens to samples, without coming back in between."""

    at_once: int
    """How many sounds they make in one go; 0 = none."""

    def make(self, order: Order, flow: bool = False) -> Floats:
        """Audio [B, A, hop num_heard], the same as step by step, but for rounding; flow: see `Parts.velocity`.

        Raises: MemoryError if the device has not enough for one sound.
        """
