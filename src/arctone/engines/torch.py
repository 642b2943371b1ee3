"""The torch engine: the same parts as modules, for GPUs, for 16 bit and for listening in on training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from arctone.audio.spectral import features, synthesise
from arctone.checkpoints.adapter import applied, load_adapter, refuse_other_base
from arctone.checkpoints.folder import fill
from arctone.checkpoints.weights_map import MAP, load_from_graphs, part_state
from arctone.config_model import ModelConfig
from arctone.engines.parts import Floats, Ints, Mask, TextEmbedding
from arctone.errors import ModelError
from arctone.models.conditions import Conditions
from arctone.models.dit import DiT
from arctone.models.spectral import SpectralAutoencoder
from arctone.models.text import TextEncoder
from arctone.request import AdapterUse


class TorchParts:
    """Parts of a model on torch.

    Args: modules in evaluation mode. device: "cpu", "cuda", "mps" or a torch device. adapters: what the transformer's
    weights hold of them, for the record.
    """

    name = "torch"

    def __init__(
        self,
        config: ModelConfig,
        text: TextEncoder,
        dit: DiT,
        autoencoder: SpectralAutoencoder,
        device: str | torch.device = "cpu",
        adapters: tuple[AdapterUse, ...] = (),
    ) -> None:
        self._config = config
        self.adapters = adapters
        self._device = torch.device(device)
        self._text = text.to(self._device).eval()
        self._dit = dit.to(self._device).eval()
        self._autoencoder = autoencoder.to(self._device).eval()

    @torch.inference_mode()
    def encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        """See Parts."""
        tokens, pooled = self._text(self._batch(ids), self._batch(mask.astype(np.float32)))
        return TextEmbedding(_numpy(tokens), mask, _numpy(pooled))

    @torch.inference_mode()
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
        given = text or self._no_text()
        numbers = (np.float32(seconds), np.float32(bpm if text else 0.0))
        conditions = (given.tokens, given.mask, given.pooled, *numbers, frame_mask)
        batch = Conditions(*(self._batch(value) for value in conditions))
        if inpaint is not None:
            batch = batch._replace(inpaint=self._batch(inpaint))
        return _numpy(self._dit(self._batch(x), self._batch(np.float32(t)), batch))

    @torch.inference_mode()
    def decode(self, latents: Floats, seed: int = 0) -> Floats:
        """See Parts."""
        parameters = _numpy(self._autoencoder.decoder(self._batch(latents)))
        return synthesise(parameters, np.random.default_rng(seed), self._config.autoencoder.phase_iterations)

    @torch.inference_mode()
    def encode(self, samples: Floats) -> Floats:
        """See Parts."""
        missing = -samples.shape[1] % self._config.hop_length
        whole = np.pad(samples, ((0, 0), (0, missing)))
        return _numpy(self._autoencoder.encoder(self._batch(features(whole))))

    def set_threads(self, threads: int) -> None:
        """Has no effect: torch's number of threads belongs to the whole process (`torch.set_num_threads`)."""

    def close(self) -> None:
        """Has no effect: the modules belong to the caller."""

    def _batch(self, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | np.generic) -> Tensor:
        """One item as a batch of one on the device."""
        return torch.from_numpy(np.ascontiguousarray(np.asarray(values)[None])).to(self._device)

    def _no_text(self) -> TextEmbedding:
        width, length = self._config.text.width, self._config.text.max_tokens
        return TextEmbedding(np.zeros((length, width), np.float32), np.zeros(length, bool), np.zeros(width, np.float32))


def _numpy(batch: Tensor) -> Floats:
    """The only item of a batch."""
    out: Floats = batch[0].float().cpu().numpy()
    return out


def load_parts(
    folder: Path,
    config: ModelConfig,
    device: str | torch.device = "cpu",
    adapters: Sequence[tuple[Path, float]] = (),
) -> TorchParts:
    """A model folder's parts on torch: from its graphs and weights map, or from its safetensors.

    Args: adapters: folders of adapters with their strengths, laid over the transformer's weights.
    Raises: ModelError if the folder holds neither, or something that does not fit the config, or an adapter was trained
    on other weights.
    """
    laid = [(load_adapter(path), strength) for path, strength in adapters]
    for adapter, _ in laid:
        refuse_other_base(adapter, folder)
    text = TextEncoder(
        config.text.vocabulary,
        config.text.max_tokens,
        config.text.width,
        config.text.depth,
        config.text.heads,
        config.text.mlp_width,
    )
    dit, autoencoder = DiT(config.dit), SpectralAutoencoder(config.autoencoder)
    graphs = load_from_graphs(folder) if (folder / MAP).is_file() else None
    modules: dict[str, nn.Module] = {"text": text, "dit": dit, "autoencoder": autoencoder}
    for part, module in modules.items():
        state = part_state(graphs, part) if graphs else _state(folder / f"{part}.safetensors")
        if part == "dit":
            state = applied(state, laid, origin=str(folder))
        fill(module, state, str(folder))
        module.eval().requires_grad_(False)
    used = tuple(AdapterUse(adapter.name, adapter.digest, strength) for adapter, strength in laid)
    return TorchParts(config, text, dit, autoencoder, device, used)


def _state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist, but the torch engine needs it where there is no {MAP}.")
    try:
        return load_file(path)
    except SafetensorError as problem:
        raise ModelError(f"{path} is not a whole safetensors file: {str(problem).rstrip('.')}.") from None
