"""The public stable-audio-3 with random weights: built, saved as published, and asked for its intermediate values.

Needs the package stable_audio_3 (its repository on PYTHONPATH) with einops and transformers in the environment. Its
import of torchaudio is answered by a stand-in, because resampling is not asked for.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import T5GemmaConfig, T5GemmaEncoderModel

from arctone.flow.noise import item_noise
from arctone.flow.schedules import sampler_times
from arctone.model_folder.config import LogSnrRamp
from arctone.models.same import DECODER_SEED, ENCODER_SEED, LATENT_SEED, frame_noise
from benchmarks.parity.answers import PROMPT, SECONDS, SEED
from benchmarks.parity.shapes import drawn
from benchmarks.parity.shapes_3 import GEMMA_BASE, GEMMA_TINY, model_config_3

LETTERS = "▁ abcdefghijklmnopqrstuvwxyz0123456789,.-'"
TEXT_FOLDER = "t5gemma-b-b-ul2"


@contextlib.contextmanager
def _without_torchaudio() -> Iterator[None]:
    stand_in, transforms = ModuleType("torchaudio"), ModuleType("torchaudio.transforms")
    transforms.Resample = stand_in.transforms = transforms  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"torchaudio": stand_in, "torchaudio.transforms": transforms}):
        yield


with _without_torchaudio():
    from stable_audio_3.factory import create_diffusion_cond_from_config
    from stable_audio_3.inference.sampling import build_schedule, sample_discrete_euler, sample_flow_pingpong
    from stable_audio_3.models import transformer as their_transformer
    from stable_audio_3.models.conditioners import T5GemmaConditioner

# Its compiled attention would be built for minutes; without it, the same window is computed in pieces.
their_transformer.flex_attention_available = False

NoiseFn = Callable[[int], np.ndarray]


def _fill(module: torch.nn.Module) -> None:
    """Random values everywhere but in constant buffers."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(drawn(name, tuple(value.shape))))


def save_t5gemma(folder: Path, *, tiny: bool) -> None:
    """A T5Gemma encoder with random weights and a tokenizer of single letters, in the published layout."""
    sizes = GEMMA_TINY if tiny else GEMMA_BASE
    config = T5GemmaConfig(encoder=sizes, decoder=sizes, is_encoder_decoder=False, vocab_size=sizes["vocab_size"])
    module = T5GemmaEncoderModel(config)
    _fill(module)
    module.save_pretrained(folder)
    pieces = [("<pad>", 0.0), ("<eos>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in LETTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "<eos>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**names, "unk_token": "<unk>"}))


class Reference3:
    """A model of the public program, in float32, its text encoder with the soft limit that it was trained with.

    Args: kind, shrunken: see model_config_3. folder: its checkpoint is written there, with its T5Gemma.
    """

    def __init__(self, kind: str, folder: Path, *, shrunken: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        words = folder / TEXT_FOLDER
        save_t5gemma(words, tiny=shrunken)
        settings = model_config_3(kind, shrunken=shrunken)
        width = (GEMMA_TINY if shrunken else GEMMA_BASE)["hidden_size"]
        self._words = words
        self._dims = mock.patch.dict(T5GemmaConditioner.T5GEMMA_MODEL_DIMS, {"google/t5gemma-b-b-ul2": width})
        self.model = self._built(settings)
        self.text = self.model.conditioner.conditioners["prompt"].model.float()
        # torch's own attention, the default there, leaves the soft limit of the scores out.
        self.text.set_attn_implementation("eager")
        _fill(self.model)
        state = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        (folder / "model_config.json").write_text(json.dumps(settings, indent=2))
        self.shapes = {name: tuple(value.shape) for name, value in state.items()}

    def _built(self, settings: dict[str, Any]) -> Any:
        used = json.loads(json.dumps(settings))
        text = used["model"]["conditioning"]["configs"][0]["config"]
        text.pop("subfolder", None)
        text.pop("repo_id", None)
        text["model_path"] = str(self._words)
        with self._dims:
            return create_diffusion_cond_from_config(used).eval().requires_grad_(False)

    def load(self, folder: Path) -> None:
        """This function loads another published folder, strictly; the text encoder stays."""
        self.model = self._built(json.loads((folder / "model_config.json").read_text()))
        self.model.conditioner.conditioners["prompt"].__dict__["model"] = self.text
        self.model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)

    def condition(self, prompt: str, seconds: float, frames: int, inpaint: np.ndarray | None = None) -> dict[str, Any]:
        """Its conditioning tensors. inpaint: [1 + C, frames], mask (1 = known) and the latents where they are known."""
        tensors = self.model.conditioner([{"prompt": prompt, "seconds_total": seconds}], "cpu")
        known = np.zeros((1 + self.model.io_channels, frames), np.float32) if inpaint is None else inpaint
        tensors["inpaint_mask"] = [torch.from_numpy(known[None, :1])]
        tensors["inpaint_masked_input"] = [torch.from_numpy(known[None, 1:])]
        return self.model.get_conditioning_inputs(tensors)

    @torch.no_grad()
    def output(self, x: np.ndarray, t: float, given: dict[str, Any], cfg_scale: float = 1.0) -> np.ndarray:
        """Output of its network, [C, T]; guidance is projected, as its program does."""
        batch = torch.from_numpy(x[None])
        found: np.ndarray = self.model.model(batch, torch.tensor([t]), **given, cfg_scale=cfg_scale)[0].numpy()
        return found

    def times(self, steps: int, frames: int) -> np.ndarray:
        """Its own grid, in float32."""
        found: np.ndarray = build_schedule(
            steps, dist_shift=self.model.sampling_dist_shift, fallback_seq_len=frames
        ).numpy()
        return found

    @torch.no_grad()
    def ping_pong(self, times: np.ndarray, start: np.ndarray, noise: NoiseFn, given: dict[str, Any]) -> np.ndarray:
        """Its ping-pong sampler with noise from outside, latents [C, T].

        The times come from outside as well: its fastest waves turn 63,000 radians in the unit of time, so that the last
        bit of a time in float32 changes them.
        """
        counter = iter(range(1, len(times)))

        def drawn_like(_: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(noise(next(counter)))[None]

        with mock.patch("torch.randn_like", drawn_like):
            begin, grid = torch.from_numpy(start[None]), torch.from_numpy(times)
            found = sample_flow_pingpong(self.model.model, begin, sigmas=grid, disable_tqdm=True, **given)
        latents: np.ndarray = found[0].numpy()
        return latents

    @torch.no_grad()
    def euler(self, times: np.ndarray, start: np.ndarray, given: dict[str, Any]) -> np.ndarray:
        """This function runs its sampler for base models, latents [C, T]."""
        begin, grid = torch.from_numpy(start[None]), torch.from_numpy(times)
        found = sample_discrete_euler(self.model.model, begin, sigmas=grid, disable_tqdm=True, **given)
        latents: np.ndarray = found[0].numpy()
        return latents

    def decode(self, latents: np.ndarray, *, is_noisy: bool = False) -> np.ndarray:
        """This function gives the samples [2, N] of its decoder.

        Args:
            latents: [C, T].
            is_noisy: Whether it adds its noise, with the values that ours has; otherwise that noise is zero.
        """
        with _noise((LATENT_SEED, DECODER_SEED) if is_noisy else ()), torch.no_grad():
            found: np.ndarray = self.model.pretransform.decode(torch.from_numpy(latents[None]))[0].numpy()
        return found

    def encode(self, samples: np.ndarray, *, is_noisy: bool = False) -> np.ndarray:
        """This function gives the latents [C, T] of its encoder; see `decode`."""
        with _noise((ENCODER_SEED,) if is_noisy else ()), torch.no_grad():
            found: np.ndarray = self.model.pretransform.encode(torch.from_numpy(samples[None]))[0].numpy()
        return found


@contextlib.contextmanager
def _noise(seeds: tuple[int, ...]) -> Iterator[None]:
    """This function answers each draw of noise with ours, by seed in the order of the draws, or with zeros."""
    rest = list(seeds)

    def drawn_like(value: torch.Tensor) -> torch.Tensor:
        if not seeds:
            return torch.zeros_like(value)
        seed = rest.pop(0)
        # Latents are [1, C, T], tokens [T, tokens, W].
        frames = value.mT if seed == LATENT_SEED else value[None]
        made = frame_noise(seed, torch.arange(frames.shape[1]), frames)
        return made.mT if seed == LATENT_SEED else made[0]

    with mock.patch("torch.randn_like", drawn_like):
        yield


class Theirs3:
    """The public program as one side of a comparison (see answers.Side)."""

    def __init__(self, reference: Reference3) -> None:
        self._reference = reference

    def context(self) -> np.ndarray:
        """See Side."""
        found: np.ndarray = self._given(1)["cross_attn_cond"][0].numpy()
        return found

    def output(self, x: np.ndarray, t: float) -> np.ndarray:
        """See Side."""
        return self._reference.output(x, t, self._given(x.shape[1]))

    def sampled(self, steps: int, shape: tuple[int, int]) -> np.ndarray:
        """See Side."""
        noise = lambda step: item_noise(SEED, step, shape)  # noqa: E731
        ramp = LogSnrRamp(start=-6.2)
        grid = np.float32(sampler_times("ping_pong", steps, log_snr_ends=(ramp.start, ramp.end)))
        if self._reference.model.diffusion_objective == "rectified_flow":
            return self._reference.euler(grid, item_noise(SEED, 0, shape), self._given(shape[1]))
        return self._reference.ping_pong(grid, item_noise(SEED, 0, shape), noise, self._given(shape[1]))

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """See Side; the transformer goes, which is most of what is in memory."""
        self._reference.model.model = None
        return self._reference.decode(latents)

    def _given(self, frames: int) -> dict[str, Any]:
        return self._reference.condition(PROMPT, SECONDS, frames)
