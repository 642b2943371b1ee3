"""Audio that lets a person hear how far training has come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arctone.audio.files import write_audio
from arctone.audio.loudness import normalize_peak
from arctone.audio.spectral.synthesis import synthesise
from arctone.audio.waveform import Waveform
from arctone.checkpoints.folder import load_autoencoder
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.model_folder.config import DiTConfig, ModelConfig, SamplingConfig, SpectralConfig, of_type
from arctone.models.conditions import Conditions
from arctone.models.dit import DiT
from arctone.models.spectral import FRAMES_PER_LATENT, SpectralAutoencoder, SpectralDecoder
from arctone.training.batches import Batches
from arctone.training.network import guided_velocity
from arctone.training.randomness import generator
from arctone.training.task import Listener


@torch.no_grad()
def write_reconstruction(config: SpectralConfig, state: dict[str, Tensor], features: Tensor, path: Path) -> None:
    """Decode what the averaged autoencoder keeps of features [1, M, F], and write it as audio."""
    module = SpectralAutoencoder(config)
    module.load_state_dict(state)
    parameters = module.eval()(features.mT)[0].T.numpy()
    samples = synthesise(parameters, np.random.default_rng(0), config.phase_iterations)
    write_demo(path, samples)


@torch.no_grad()
def write_decoded(config: SpectralConfig, state: dict[str, Tensor], latents: Tensor, path: Path) -> None:
    """Decode latents [1, C, T] with the averaged decoder, and write them as audio."""
    module = SpectralDecoder(config)
    module.load_state_dict(state)
    parameters = module.eval()(latents)[0].numpy()
    write_demo(path, synthesise(parameters, np.random.default_rng(0), config.phase_iterations))


NUM_DEMOS = 2


def flow_listener(model: ModelConfig, folder: Path) -> Listener:
    """Build a listener that samples the first captions of the training set with the averaged weights and writes audio.

    Args:
        model: Its sampling defaults are used.
        folder: The model folder that holds the autoencoder.

    Returns:
        The listener.
    """
    decoder = load_autoencoder(folder).decoder
    phase_iterations = of_type(model.sounding, SpectralConfig).phase_iterations

    @torch.no_grad()
    def listen(batches: Batches, out: Path, state: dict[str, Tensor], step: int) -> None:
        dit = DiT(of_type(model.dit, DiTConfig))
        dit.load_state_dict(state)
        dit.eval()
        batch = {name: value[:NUM_DEMOS] for name, value in batches.batch(0, 0, 1).items() if value.ndim > 0}
        latents = sample_batch(dit, batch, model.sampling)
        for number, parameters in enumerate(decoder(latents)):
            frames = int(batch["frame_mask"][number].sum()) * FRAMES_PER_LATENT
            samples = synthesise(parameters[:, :frames].numpy(), np.random.default_rng(number), phase_iterations)
            write_demo(out / f"{step:07d}-{number}.wav", samples)

    return listen


def sample_batch(dit: DiT, batch: dict[str, Tensor], sampling: SamplingConfig) -> Tensor:
    """Latents [B, C, T] for a training batch's conditions, sampled as the model's config says."""
    shape = batch["latents"].shape
    velocity_fn = guided_velocity(dit, Conditions.of(batch), sampling.cfg_scale)
    times = sampler_times(sampling.sampler, sampling.steps, sampling.shift)
    start = torch.randn(shape, generator=generator(0))
    steps = SAMPLERS[sampling.sampler](
        velocity_fn, start, times, lambda index: torch.randn(shape, generator=generator(index))
    )
    return list(steps)[-1].x


def write_demo(path: Path, samples: np.ndarray) -> None:
    """Write stereo samples as audio at -1 dB peak; silence stays silent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, normalize_peak(Waveform(samples, 44_100)), force=True)
