"""What a backend provides, its lock, and tiling of long decoders.

C latent channels, T latent frames, L text tokens, D text width, A audio channels, N audio samples.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arctone.errors import ModelError, UsageError
from arctone.model_folder.config import (
    CURVE_CONTROLS,
    NETWORK,
    NUMBER_CONTROLS,
    ModelConfig,
    TextEncoderConfig,
)

WINDOWS = (64, 128, 192, 256)
"""Lengths in latent frames that sounds are filled up to where a length is fixed; 64 frames are 2.97 s."""


def window_lengths(signatures: tuple[str, ...]) -> list[int]:
    """List the static lengths of a graph's signatures "T64", "T128", ..., in order.

    Args:
        signatures: Names of signatures.

    Returns:
        Lengths in latent frames.

    Raises:
        ModelError: If there are none.
    """
    windows = sorted(int(name[1:]) for name in signatures if name[:1] == "T" and name[1:].isdigit())
    if not windows:
        raise ModelError(f"the graph has the signatures {', '.join(signatures)}, but none for a number of frames.")
    return windows


def fitting_window(signatures: tuple[str, ...], num_frames: int) -> int:
    """Find the shortest static length that holds a number of latent frames.

    Args:
        signatures: Names of signatures, "T64" and so on.
        num_frames: Latent frames.

    Returns:
        The length in latent frames.

    Raises:
        ModelError: If a graph has no lengths.
        UsageError: If none is long enough.
    """
    windows = window_lengths(signatures)
    for window in windows:
        if window >= num_frames:
            return window
    raise UsageError(f"the sound is {num_frames} latent frames long, but this model's graphs hold {windows[-1]}.")


def filled(values: Floats, length: int) -> Floats:
    """Append zeros to an array up to a length.

    Args:
        values: [rows, columns].
        length: Number of columns of the result, at least those of `values`.

    Returns:
        [rows, length].
    """
    if values.shape[1] == length:
        return np.ascontiguousarray(values, dtype=np.float32)
    out = np.zeros((values.shape[0], length), np.float32)
    out[:, : values.shape[1]] = values
    return out


def tiled(part: Callable[[Floats], Floats], values: Floats, window: int, reach: int, ratio: tuple[int, int]) -> Floats:
    """Compute part(values), where part takes at most `window` rows; tiles overlap by what the network sees beyond a
    row.

    The first tile begins and the last one ends where the values do, so that the network meets their true ends; with a
    reach that is large enough the result is that of the whole.

    Args:
        part: The network.
        values: [rows, columns], time first.
        window: Rows of a tile.
        reach: In rows.
        ratio: (m, n) if n rows of the values become m of the result; window and reach are multiples of n.

    Returns:
        [rows * m / n, columns'].

    Raises:
        ModelError: If a tile is so short that nothing of it could be kept.
    """
    length, (up, down) = len(values), ratio
    if length <= window:
        return part(values)[: length * up // down]
    if window <= 2 * reach:
        raise ModelError(f"the graph holds {window} frames, but each needs {reach} more on either side.")
    out: Floats | None = None
    kept = 0
    while kept < length:
        first = min(max(kept - reach, 0), length - window)
        stop = first + window
        end = length if stop == length else stop - reach
        made = part(values[first:stop])
        if out is None:
            out = np.empty((length * up // down, made.shape[1]), np.float32)
        out[kept * up // down : end * up // down] = made[(kept - first) * up // down : (end - first) * up // down]
        kept = end
    assert out is not None
    return out


Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]


class TextEmbedding(NamedTuple):
    """A prompt as the transformer reads it: tokens [L, D] (zero at padding), mask [L], pooled [D] of length 1."""

    tokens: Floats
    mask: Mask
    pooled: Floats


def no_text(config: TextEncoderConfig) -> TextEmbedding:
    """Build the embedding that stands for no prompt: padding alone."""
    width, length = config.width, config.max_tokens
    return TextEmbedding(np.zeros((length, width), np.float32), np.zeros(length, bool), np.zeros(width, np.float32))


class VelocityInputs(NamedTuple):
    """One call of a transformer.

    Args:
        x: latents, [C, T].
        t: time, 1 = noise.
        text: embedding of the prompt; None = unconditional, which has no tempo either.
        seconds: length of the sound.
        bpm: tempo in beats per minute; 0 = unknown.
        frame_mask: [T], True = real; the velocity is zero elsewhere.
        inpaint: [1 + C, T], for models with inpaint channels and for them alone: 1 where latents are known, and these
            latents (0 elsewhere).
        key: number of the key, see `audio.keys`; 0 = unknown. Key, note and curves are read by models whose config
            names them among its controls.
        note: MIDI number of a single note; 0 = unknown.
        loudness: curve, [2, T]: values as `audio.curves.loudness_to_unit` gives them, and 1 where they are given.
        brightness: curve, [2, T]: MIDI numbers of the spectral centroid / 127, and 1 where they are given.
        pitch: curve, [2, T]: MIDI numbers, 0 = no pitch, and 1 where they are given.
        steps: number of steps that a few-step model's sampler takes; 0 = not given.
    """

    x: Floats
    t: float
    text: TextEmbedding | None
    seconds: float
    bpm: float
    frame_mask: Mask
    inpaint: Floats | None = None
    key: float = 0.0
    note: float = 0.0
    loudness: Floats | None = None
    brightness: Floats | None = None
    pitch: Floats | None = None
    steps: float = 0.0

    def with_curves(self, curves: Mapping[str, Floats]) -> VelocityInputs:
        """Return the call with these curves and no others.

        Args:
            curves: [2, T] by name of the control.

        Returns:
            The call.
        """
        loudness, brightness, pitch = (curves.get(name) for name in CURVE_CONTROLS)
        return self._replace(loudness=loudness, brightness=brightness, pitch=pitch)

    def controls(self, names: Sequence[str]) -> dict[str, Floats]:
        """Return the controls of a model as batches of one: numbers [1], curves [1, 2, T]; zeros where not given.

        Args:
            names: Of the model's controls.

        Returns:
            Arrays by the name of the control.
        """
        found: dict[str, Floats] = {}
        for name in names:
            value = getattr(self, name)
            if name in NUMBER_CONTROLS:
                found[name] = np.array([value], np.float32)
            else:
                found[name] = np.zeros((1, 2, self.x.shape[1]), np.float32) if value is None else value[None]
        return found


class FusedInputs(NamedTuple):
    """Sounds of one window, from text alone, that differ in their noise only. B sounds, S steps.

    Args:
        ids: tokens of the prompt, [L].
        mask: their mask, [L].
        away_ids: tokens of the prompt that guidance leads away from, [L].
        away_mask: their mask, [L]; all False = guidance leads away from the unconditional estimate.
        cfg_scale: guidance scale; 1 = no guidance.
        is_projected: whether guidance is projected, see `flow.guidance.projected`.
        sampler: name of the sampler.
        times: S + 1 noise levels.
        noise: [S, B, C, T], at the start and after each step but the last.
        seconds: length of the sound.
        bpm: tempo in beats per minute; 0 = unknown.
        num_decoded: latent frames that are decoded.
        seeds: seed of the random part of each synthesis.
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
    num_decoded: int
    seeds: tuple[int, ...]

    def split(self) -> Iterator[FusedInputs]:
        """Yield the inputs of each sound alone."""
        for item, seed in enumerate(self.seeds):
            yield self._replace(noise=self.noise[:, item : item + 1], seeds=(seed,))


class Backend(abc.ABC):
    """Text encoder, transformer, decoder and encoder of one model.

    Calls from several threads take turns: each holds the backend's lock. Subclasses compute in the methods that begin
    with an underscore, which are called with the lock held.

    Args:
        config: of the model.
        has_flow: whether a post-trained model has the flow model it was made from next to it.
    """

    name: str
    """Name of the engine in records: "native" or "torch"."""

    def __init__(self, config: ModelConfig, *, has_flow: bool = False) -> None:
        self.config = config
        self.has_flow = has_flow
        self.fused_batch_size = 0
        """Number of sounds that `generate_fused` computes at a time; 0 = the backend has no fused path."""
        self._lock = threading.RLock()

    def encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        """Embed the tokens of one prompt.

        Args:
            ids: [L].
            mask: [L], True = real.

        Returns:
            States of the tokens and the pooled vector.
        """
        with self._lock:
            return self._encode_text(ids, mask)

    def velocity(self, inputs: VelocityInputs, network: str = NETWORK) -> Floats:
        """Compute the velocity of one of the model's networks.

        Args:
            inputs: Of the call.
            network: "dit", or "flow" for the flow model that a post-trained one was made from (needs `has_flow`).

        Returns:
            [C, T].
        """
        text = inputs.text
        if text is None:
            inputs = inputs._replace(text=no_text(self.config.text), bpm=0.0, key=0.0, note=0.0)
        with self._lock:
            return self._velocity(inputs, network)

    def decode(self, latents: Floats, seed: int = 0) -> Floats:
        """Decode latents to audio.

        Args:
            latents: [C, T].
            seed: Fixes the random part of the synthesis.

        Returns:
            Samples [A, hop T].
        """
        with self._lock:
            return self._decode(latents, seed)

    def encode(self, samples: Floats) -> Floats:
        """Encode audio to latents.

        Args:
            samples: [A, N]; zeros fill the last frame.

        Returns:
            [C, T].
        """
        with self._lock:
            return self._encode(samples)

    def generate_fused(self, inputs: FusedInputs, network: str = NETWORK) -> Floats:
        """Compute whole sounds from tokens to samples, with nothing handed back in between.

        They equal those of single steps, but for rounding.

        Args:
            inputs: of the sounds.
            network: see `velocity`.

        Returns:
            Audio, [B, A, hop num_decoded].

        Raises:
            MemoryError: if the device has not enough for one sound.
        """
        with self._lock:
            return self._generate_fused(inputs, network)

    def set_threads(self, threads: int) -> None:
        """Set the number of CPU threads for the calls that follow.

        Args:
            threads: At least 1.
        """
        with self._lock:
            self._set_threads(threads)

    def close(self) -> None:
        """Give memory back; the next call loads again."""
        with self._lock:
            self._close()

    @abc.abstractmethod
    def _encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding: ...

    @abc.abstractmethod
    def _velocity(self, inputs: VelocityInputs, network: str) -> Floats:
        """Compute a velocity; `inputs.text` is never None."""

    @abc.abstractmethod
    def _decode(self, latents: Floats, seed: int) -> Floats: ...

    @abc.abstractmethod
    def _encode(self, samples: Floats) -> Floats: ...

    def _generate_fused(self, inputs: FusedInputs, network: str) -> Floats:
        raise NotImplementedError(f"the {self.name} backend has no fused path")

    @abc.abstractmethod
    def _set_threads(self, threads: int) -> None: ...

    @abc.abstractmethod
    def _close(self) -> None: ...
