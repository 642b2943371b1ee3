"""The public stable-audio-tools with random weights: built, saved as it saves, and asked for its intermediate values.

Needs stable-audio-tools 0.0.19 (with einops, k-diffusion and transformers) in the environment; see docs/checkpoints.md.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from k_diffusion import external, sampling
from safetensors.torch import load_file, save_file
from stable_audio_tools.inference.sampling import sample, sample_discrete_euler, sample_flow_pingpong
from stable_audio_tools.models import conditioners
from stable_audio_tools.models.factory import create_model_from_config
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import T5Config, T5EncoderModel

from arctone.flow.noise import item_noise
from benchmarks.parity.answers import PROMPT, SECONDS, SEED
from benchmarks.parity.shapes import T5_BASE, T5_TINY, drawn, model_config

NoiseFn = Callable[[int], np.ndarray]
# The published default for sampling 1.0.
CFG_SCALE = 7.0
LETTERS = "▁ abcdefghijklmnopqrstuvwxyz0123456789,.-'"


def save_t5(folder: Path, *, tiny: bool) -> None:
    """A T5 encoder with random weights and a tokenizer of single letters, in the published layout."""
    config = T5Config(**(T5_TINY if tiny else T5_BASE))
    module = T5EncoderModel(config)
    _fill(module)
    module.save_pretrained(folder)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in LETTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**names, "unk_token": "<unk>"}))


def _fill(module: torch.nn.Module) -> None:
    """Random values everywhere but in constant buffers."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(torch.from_numpy(drawn(name, tuple(value.shape))))


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """The reference finds "t5-base" by its name, which may also be a folder here."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class Reference:
    """A model of the public program, in float32.

    Args: kind, shrunken: see model_config. folder: its checkpoint and its T5 (folder t5-base) are written there.
    """

    def __init__(self, kind: str, folder: Path, *, shrunken: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_t5(folder / "t5-base", tiny=shrunken)
        settings = model_config(kind, shrunken=shrunken)
        width = (T5_TINY if shrunken else T5_BASE)["d_model"]
        dims = mock.patch.dict(conditioners.T5Conditioner.T5_MODEL_DIMS, {"t5-base": width})
        with _inside(folder), dims:
            self.model = create_model_from_config(settings).eval().requires_grad_(False)
        self._folder, self._dims = folder, dims
        # It rounds T5 to 16 bit; the comparison is one of arithmetic in 32.
        _fill(self.model.conditioner.conditioners["prompt"].model.float())
        _fill(self.model)
        state = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        (folder / "model_config.json").write_text(json.dumps(settings, indent=2))
        self.shapes = {name: tuple(value.shape) for name, value in state.items()}

    def load(self, folder: Path) -> None:
        """This function loads another published folder, strictly; the text encoder stays."""
        settings = json.loads((folder / "model_config.json").read_text())
        words = self.model.conditioner.conditioners["prompt"].model
        with _inside(self._folder), self._dims:
            self.model = create_model_from_config(settings).eval().requires_grad_(False)
        self.model.conditioner.conditioners["prompt"].__dict__["model"] = words
        self.model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)

    def condition(self, prompt: str, seconds: float, inpaint: np.ndarray | None = None) -> dict[str, Any]:
        """Its conditioning tensors: cross_attn_cond [1, L, D], global_cond [1, D], masks, and for inpainting models
        input_concat_cond [1, 1 + C, T].

        Args: inpaint: [1 + C, T], the mask (1 = known) and the latents where they are known.
        """
        tensors = self.model.conditioner([{"prompt": prompt, "seconds_start": 0, "seconds_total": seconds}], "cpu")
        if inpaint is not None:
            tensors["inpaint_mask"] = [torch.from_numpy(inpaint[None, :1])]
            tensors["inpaint_masked_input"] = [torch.from_numpy(inpaint[None, 1:])]
        return self.model.get_conditioning_inputs(tensors)

    def output(self, x: np.ndarray, t: float, given: dict[str, Any], cfg_scale: float = 1.0) -> np.ndarray:
        """Output of its network, [C, T]."""
        with torch.no_grad():
            batch = torch.from_numpy(x[None])
            return self.model.model(batch, torch.tensor([t]), **given, cfg_scale=cfg_scale)[0].numpy()

    def ping_pong(
        self, times: tuple[float, ...], start: np.ndarray, noise: NoiseFn, given: dict[str, Any]
    ) -> np.ndarray:
        """Its ping-pong sampler with noise from outside, latents [C, T]."""
        counter = iter(range(1, len(times)))

        def drawn_like(_: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(noise(next(counter)))[None]

        with mock.patch("torch.randn_like", drawn_like), torch.no_grad():
            begin = torch.from_numpy(start[None])
            return sample_flow_pingpong(self.model.model, begin, sigmas=torch.tensor(times), **given)[0].numpy()

    def euler(self, times: tuple[float, ...], start: np.ndarray, given: dict[str, Any]) -> np.ndarray:
        """Its sampler for base models, latents [C, T]."""
        begin, grid = torch.from_numpy(start[None]), torch.tensor(times)
        with torch.no_grad():
            return sample_discrete_euler(self.model.model, begin, sigmas=grid, disable_tqdm=True, **given)[0].numpy()

    def v_ddim(self, steps: int, start: np.ndarray, given: dict[str, Any]) -> np.ndarray:
        """Its deterministic v sampler, latents [C, T]."""
        return sample(self.model.model, torch.from_numpy(start[None]), steps, 0.0, **given)[0].numpy()

    def dpmpp_3m_sde(
        self, steps: int, start: np.ndarray, noise: NoiseFn, given: dict[str, Any], cfg_scale: float
    ) -> np.ndarray:
        """Its default sampler for v models, with noise from outside, latents [C, T]."""
        sigmas = sampling.get_sigmas_polyexponential(steps, 0.3, 500.0, 1.0)
        counter = iter(range(1, steps + 1))
        denoiser = external.VDenoiser(self.model.model)
        with torch.no_grad():
            return sampling.sample_dpmpp_3m_sde(
                denoiser,
                torch.from_numpy(start[None]) * sigmas[0],
                sigmas,
                extra_args={**given, "cfg_scale": cfg_scale},
                noise_sampler=lambda *_: torch.from_numpy(noise(next(counter)))[None],
                disable=True,
            )[0].numpy()

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Its decoder, samples [2, N]."""
        with torch.no_grad():
            return self.model.pretransform.model.decoder(torch.from_numpy(latents[None]))[0].numpy()

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Its encoder before the draw: mean and raw scale of the latents, [2 C, T]."""
        with torch.no_grad():
            return self.model.pretransform.model.encoder(torch.from_numpy(samples[None]))[0].numpy()


def log_snr_times(steps: int) -> tuple[float, ...]:
    """The published grid, by its own formula."""
    t = torch.sigmoid(-torch.linspace(-6, 2, steps + 1))
    t[0], t[-1] = 1, 0
    return tuple(float(value) for value in t)


class Theirs:
    """The public program as one side of a comparison (see answers.Side)."""

    def __init__(self, kind: str, reference: Reference) -> None:
        self._kind, self._reference = kind, reference
        self._given = reference.condition(PROMPT, SECONDS)

    def context(self) -> np.ndarray:
        """See Side."""
        found: np.ndarray = self._given["cross_attn_cond"][0].numpy()
        return found

    def output(self, x: np.ndarray, t: float) -> np.ndarray:
        """See Side."""
        return self._reference.output(x, t, self._given)

    def sampled(self, steps: int, shape: tuple[int, int]) -> np.ndarray:
        """See Side."""
        start = item_noise(SEED, 0, shape)
        noise = lambda step: item_noise(SEED, step, shape)  # noqa: E731
        if self._kind == "1.0":
            return self._reference.dpmpp_3m_sde(steps, start, noise, self._given, CFG_SCALE)
        if self._kind == "small-base":
            return self._reference.euler(log_snr_times(steps), start, self._given)
        return self._reference.ping_pong(log_snr_times(steps), start, noise, self._given)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """See Side; the transformer goes, which is most of what is in memory."""
        self._reference.model.model = None
        return self._reference.decode(latents)
