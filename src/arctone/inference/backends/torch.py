"""The torch backend: a model's parts as modules, for GPUs, for 16 bit and for demos during training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import FLOW
from arctone.checkpoints.lora import applied, load_adapter, refuse_other_base
from arctone.checkpoints.parts import DECODER, DIT, ENCODER, TEXT, Open, given, openers
from arctone.errors import UsageError
from arctone.inference.backends.base import (
    WINDOWS,
    Backend,
    Floats,
    FusedInputs,
    Ints,
    Mask,
    TextEmbedding,
    VelocityInputs,
)
from arctone.inference.backends.torch_codecs import codec
from arctone.inference.backends.torch_fused import Networks, Plan, Recorded, sounds
from arctone.inference.request import AdapterUse
from arctone.model_folder.config import ModelConfig
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT, Prepared
from arctone.models.precision import check_precision, in_precision

DEVICES = ("auto", "cpu", "cuda", "mps")
# Guidance has two sides, and so has a change of length in the middle of a long sound.
NUM_PREPARED = 4
# Each recorded request keeps its own memory.
NUM_RECORDED = 4
MAX_FUSED_BATCH = 4


class TorchBackend(Backend):
    """Parts of a model on torch.

    Args:
        config: Of the model.
        open_parts: What opens "text", "dit", "encoder", "decoder" and, if there is one, "flow" in evaluation mode.
        device: "cpu", "cuda", "mps" or a torch device.
        adapters: What the transformer's weights hold of them, for the record.
        one_at_a_time: Before a part opens, the others are dropped: the least memory, where parts are mapped files that
            open in an instant.
        precision: One of `precision.PRECISIONS`; parts change to it when they open.
        compiled: Transformer and decoder are compiled (torch.compile), the transformer for the lengths of WINDOWS; on
            CUDA its call is a recorded graph.
        fused_batch_size: See Backend; None = MAX_FUSED_BATCH on CUDA, where whole requests are recorded, and 0
            elsewhere: other devices gain nothing from it.
    """

    name = "torch"

    def __init__(
        self,
        config: ModelConfig,
        open_parts: Mapping[str, Open],
        device: str | torch.device = "cpu",
        adapters: tuple[AdapterUse, ...] = (),
        one_at_a_time: bool = False,
        precision: str = "auto",
        compiled: bool = False,
        fused_batch_size: int | None = None,
    ) -> None:
        super().__init__(config, has_flow=config.sampling.post_trained and FLOW in open_parts)
        self.adapters = adapters
        self._device = torch.device(device)
        self._open_parts = open_parts
        self._one_at_a_time = one_at_a_time
        self._precision = precision
        self._is_compiled = compiled
        self._compiled: dict[tuple[str, str], Callable[..., Tensor]] = {}
        self._opened: dict[str, nn.Module] = {}
        self._prepared: dict[tuple[bytes, ...], Prepared] = {}
        self._recorded: dict[Hashable, Recorded] = {}
        self._codec = codec(config)
        on_device = MAX_FUSED_BATCH if self._device.type == "cuda" else 0
        self.fused_batch_size = on_device if fused_batch_size is None else fused_batch_size

    @classmethod
    def of(
        cls, config: ModelConfig, text: nn.Module, dit: nn.Module, autoencoder: nn.Module, device: str = "cpu"
    ) -> TorchBackend:
        """Build a backend from modules that exist already, in evaluation mode.

        Args:
            config: The model's config.
            text: Text encoder.
            dit: Diffusion transformer.
            autoencoder: Encoder and decoder.
            device: Name of a torch device.

        Returns:
            The backend.
        """
        encoder, decoder = autoencoder.get_submodule(ENCODER), autoencoder.get_submodule(DECODER)
        modules = {TEXT: text, DIT: dit, ENCODER: encoder, DECODER: decoder}
        return cls(config, {part: given(module) for part, module in modules.items()}, device)

    @torch.inference_mode()
    def _encode_text(self, ids: Ints, mask: Mask) -> TextEmbedding:
        tokens, pooled = self._part(TEXT)(self._batch(ids), self._batch(mask.astype(np.float32)))
        return TextEmbedding(_numpy(tokens), mask, _numpy(pooled))

    @torch.inference_mode()
    def _velocity(self, inputs: VelocityInputs, network: str) -> Floats:
        words, num_frames = inputs.text, inputs.x.shape[1]
        assert words is not None
        numbers = (np.float32(inputs.seconds), np.float32(inputs.bpm))
        window = self._window(num_frames)
        conditions = (words.tokens, words.mask, words.pooled, *numbers, _filled(inputs.frame_mask, window))
        batch = Conditions(*(self._batch(value) for value in conditions))
        if inputs.inpaint is not None:
            batch = batch._replace(inpaint=self._batch(_filled(inputs.inpaint, window)))
        for name, value in inputs.controls(self.config.dit.controls).items():
            whole = _filled(value, window) if value.ndim == 3 else value
            batch = batch._replace(**{name: torch.from_numpy(whole).to(self._device)})
        module = self._part(network)
        arguments = (self._batch(_filled(inputs.x, window)), self._batch(np.float32(inputs.t)), batch)
        if isinstance(module, ContinuousDiT):
            out = self._fast(network)(*arguments, self._prepare(network, module, batch, words, inputs.seconds))
        else:
            out = self._fast(network)(*arguments)
        return _numpy(out)[:, :num_frames]

    @torch.inference_mode()
    def _decode(self, latents: Floats, seed: int) -> Floats:
        return self._codec.decode(self._fast(DECODER), self._batch(latents), seed)

    @torch.inference_mode()
    def _encode(self, samples: Floats) -> Floats:
        missing = -samples.shape[1] % self.config.hop_length
        whole = np.pad(samples, ((0, 0), (0, missing)))
        return _numpy(self._codec.encode(self._part(ENCODER), self._batch(self._codec.prepared(whole))))

    @torch.inference_mode()
    def _generate_fused(self, inputs: FusedInputs, network: str) -> Floats:
        """What was recorded is used again for inputs of the same kind; the latest NUM_RECORDED recordings stay."""
        try:
            return self._run_fused(inputs, network)
        except torch.OutOfMemoryError:
            # What is recorded keeps its memory; without it, and one by one, there may be enough.
            self._forget_recorded()
            self.fused_batch_size = 1
        try:
            return np.concatenate([self._run_fused(one, network) for one in inputs.split()])
        except torch.OutOfMemoryError as problem:
            self._forget_recorded()
            raise MemoryError(str(problem)) from None

    def _forget_recorded(self) -> None:
        self._recorded.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _run_fused(self, fused: FusedInputs, network: str) -> Floats:
        num_frames = fused.noise.shape[-1]
        window, num_sounds = self._window(num_frames), len(fused.seeds)
        frame_mask = _filled(np.ones(num_frames, bool), window)
        drawn = zip(*(self._codec.draws(seed, fused.num_decoded) for seed in fused.seeds), strict=True)
        values = (
            *(np.asarray(value)[None] for value in (fused.ids, fused.mask, fused.away_ids, fused.away_mask)),
            _filled(fused.noise, window),
            frame_mask[None],
            *(np.array([value], np.float32) for value in (fused.seconds, fused.bpm)),
            *(np.stack(each) for each in drawn),
        )
        inputs = [torch.from_numpy(np.ascontiguousarray(value)).to(self._device) for value in values]
        plan = Plan(num_sounds, fused.num_decoded, fused.cfg_scale, fused.is_projected, fused.sampler, fused.times)
        out: Floats = self._recording(plan, network, inputs)(*inputs).float().cpu().numpy()
        return out

    def _recording(self, plan: Plan, name: str, inputs: Sequence[Tensor]) -> Recorded:
        key = (plan, name, tuple(value.shape for value in inputs))
        if key not in self._recorded:
            if len(self._recorded) == NUM_RECORDED:
                del self._recorded[next(iter(self._recorded))]
            # Parts open before, because reading files cannot be recorded; nor can what torch.compile records itself.
            networks = Networks(
                self._part(TEXT), self._fast(name, "default"), self._part(name), self._fast(DECODER, "default")
            )
            self._recorded[key] = Recorded(functools.partial(sounds, networks, self.config, self._codec, plan), inputs)
        return self._recorded[key]

    def _set_threads(self, threads: int) -> None:
        """Do nothing: torch's number of threads belongs to the whole process (`torch.set_num_threads`)."""

    def _close(self) -> None:
        self._opened.clear()
        self._compiled.clear()
        self._prepared.clear()
        self._recorded.clear()

    def _fast(self, name: str, mode: str | None = None) -> Callable[..., Tensor]:
        """Return a part, compiled if the backend is.

        Args:
            name: Of the part.
            mode: Of torch.compile; None = what suits the part.

        Returns:
            The part.
        """
        if not self._is_compiled:
            return self._part(name)
        # The transformer is given few lengths, and its many small kernels become one graph on CUDA; sounds are
        # decoded once, at any length.
        is_transformer = name in (DIT, FLOW)
        if mode is None:
            mode = "reduce-overhead" if is_transformer and self._device.type == "cuda" else "default"
        if (name, mode) not in self._compiled:
            dynamic = False if is_transformer else None
            self._compiled[name, mode] = torch.compile(self._part(name), mode=mode, dynamic=dynamic)
        return self._compiled[name, mode]

    def _window(self, num_frames: int) -> int:
        """Frames that the transformer receives for `num_frames`: where it is compiled, each length is compiled once."""
        lengths = sorted({*WINDOWS, self.config.dit.max_frames}) if self._is_compiled else []
        return next((length for length in lengths if length >= num_frames), num_frames)

    def _prepare(
        self, name: str, network: ContinuousDiT, batch: Conditions, words: TextEmbedding, seconds: float
    ) -> Prepared:
        """What the steps of a sound share, computed in the first of them."""
        key = (name.encode(), words.tokens.tobytes(), words.mask.tobytes(), np.float32(seconds).tobytes())
        if key not in self._prepared:
            if len(self._prepared) == NUM_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[key] = network.prepare(batch)
        return self._prepared[key]

    def _part(self, name: str) -> nn.Module:
        if name not in self._opened:
            if self._one_at_a_time:
                self._opened.clear()
            # Tensors made in inference mode cannot be changed outside of it.
            with torch.inference_mode(False), torch.no_grad():
                module = in_precision(self._open_parts[name](), self._precision, is_transformer=name == DIT)
                self._opened[name] = module.to(self._device).eval()
        return self._opened[name]

    def _batch(self, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | np.generic) -> Tensor:
        """One item as a batch of one on the device."""
        return torch.from_numpy(np.ascontiguousarray(np.asarray(values)[None])).to(self._device)


def found_device(name: str) -> str:
    """Find the device of a name of DEVICES.

    Args:
        name: Such as "auto" or "cuda".

    Returns:
        The name of a device of torch.

    Raises:
        UsageError: For a name that is none, or a device that is not there.
    """
    if name not in DEVICES:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, got {name!r}.", field="device")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return "cuda" if present["cuda"] else "cpu"
    if not present[name]:
        raise UsageError(f"device {name} was asked for, but torch finds none on this machine.", field="device")
    return name


def _filled(values: np.ndarray[Any, Any], length: int) -> np.ndarray[Any, Any]:
    """Zeros (or False) after the last entry of the last axis, up to a length."""
    missing = length - values.shape[-1]
    return np.pad(values, [*[(0, 0)] * (values.ndim - 1), (0, missing)]) if missing else values


def _numpy(batch: Tensor) -> Floats:
    """The only item of a batch."""
    out: Floats = batch[0].float().cpu().numpy()
    return out


def load_backend(
    folder: Path,
    config: ModelConfig,
    device: str | torch.device = "cpu",
    adapters: Sequence[tuple[Path, float]] = (),
    precision: str = "auto",
    *,
    compiled: bool = False,
    fused_batch_size: int | None = None,
    only: Sequence[str] | None = None,
) -> TorchBackend:
    """Load a model folder's parts on torch: from its graphs and weights map, or from its safetensors.

    On the CPU one part is in memory at a time, unless parts change their precision, which is done once; with the parts
    that are small that makes no difference.

    Args:
        folder: The model folder.
        config: Its config.
        device: "cpu", "cuda", "mps" or a torch device.
        adapters: Folders of adapters with their strengths, laid over the transformer's weights.
        precision: Of PRECISIONS; "auto" = that of the files.
        compiled: See TorchBackend.
        fused_batch_size: See TorchBackend.
        only: Parts that are used; None = all.

    Returns:
        The backend.

    Raises:
        UsageError: For an unknown precision.
        ModelError: If the folder holds neither graphs nor safetensors, or something that does not fit the config, or an
            adapter was trained on other weights.
    """
    check_precision(precision)
    laid = [(load_adapter(path), strength) for path, strength in adapters]
    for adapter, _ in laid:
        refuse_other_base(adapter, folder)
    used = tuple(AdapterUse(adapter.name, adapter.digest, strength) for adapter, strength in laid)
    change = functools.partial(applied, adapters=laid, origin=str(folder))
    changes = {DIT: change, FLOW: change} if laid else {}
    # What was dropped would be changed, or compiled, again.
    one_at_a_time = torch.device(device).type == "cpu" and precision == "auto" and not compiled
    opened = openers(folder, config, changes, only)
    return TorchBackend(config, opened, device, used, one_at_a_time, precision, compiled, fused_batch_size)
