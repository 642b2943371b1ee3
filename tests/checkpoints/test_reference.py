"""The values that the public stable-audio-tools computed on the same random weights, step by step.

Recorded by benchmarks/parity/record.py.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from arctone.audio.regions import faded_edges
from arctone.audio.waveform import Waveform
from arctone.checkpoints.parts import DIT, openers
from arctone.flow.guidance import guided
from arctone.flow.noise import item_noise
from arctone.flow.samplers import dpmpp_3m_sde, euler, ping_pong
from arctone.flow.schedules import cosine, exponential, log_snr
from arctone.inference.backends.base import TextEmbedding, VelocityInputs
from arctone.inference.backends.torch import load_backend
from arctone.inference.loading import load
from arctone.model_folder.folder import read_model_config
from arctone.model_folder.tokenizer import Tokenizer
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT
from benchmarks.parity.shapes import inpaint_example
from tests.checkpoints.published_folders import KINDS, recorded

PROMPT, SECONDS, SEED = "rain", 0.5, 7
SHAPE = (8, 16)
MASK = np.ones(16, bool)


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def text_of(folder: Path) -> TextEmbedding:
    config = read_model_config(folder)
    tokens = Tokenizer(folder, config.text.max_tokens).encode(PROMPT)
    return load_backend(folder, config).encode_text(tokens.ids, tokens.mask)


def conditions(folder: Path) -> Conditions:
    text = text_of(folder)
    values = [text.tokens, text.mask, text.pooled, np.float32(SECONDS), np.float32(0), MASK]
    if read_model_config(folder).dit.inpaint_channels:
        values.append(inpaint_example())
    return Conditions(*(torch.from_numpy(np.asarray(value)[None]) for value in values))


def transformer(folder: Path) -> ContinuousDiT:
    module = openers(folder, read_model_config(folder))[DIT]()
    assert isinstance(module, ContinuousDiT)
    return module


def noise(step: int) -> np.ndarray:
    return item_noise(SEED, step, SHAPE)


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_duration_conditioning(kind: str, converted: dict[str, Path]) -> None:
    dit = transformer(converted[kind])
    context, _ = dit.conditioning(conditions(converted[kind]))
    assert_close(context[0].numpy(), recorded(kind)["context"])
    # The recorded global vector is the one before its projection.
    projected = dit.global_vector(torch.from_numpy(recorded(kind)["global"])[None])
    assert_close(dit.conditioning(conditions(converted[kind]))[1].numpy(), projected.numpy())


@pytest.mark.parametrize("level", [1.0, 0.6, 0.05])
@pytest.mark.parametrize("kind", KINDS)
def test_each_call_of_the_transformer(kind: str, level: float, converted: dict[str, Path]) -> None:
    x, t = torch.from_numpy(noise(0))[None], torch.tensor([level])
    ours: Tensor = transformer(converted[kind]).output(x, t, conditions(converted[kind]))
    assert_close(ours[0].numpy(), recorded(kind)[f"output-{level}"])


@pytest.mark.parametrize("kind", KINDS)
def test_guidance_leads_away_from_an_empty_context(kind: str, converted: dict[str, Path]) -> None:
    dit, given = transformer(converted[kind]), conditions(converted[kind])
    away = given._replace(text_tokens=torch.zeros_like(given.text_tokens), text_mask=torch.zeros_like(given.text_mask))
    x, t = torch.from_numpy(noise(0))[None], torch.tensor([0.6])
    ours = guided(dit.output(x, t, given), dit.output(x, t, away), 4.0)
    assert_close(ours[0].numpy(), recorded(kind)["guided"])


@pytest.mark.parametrize("kind", ["small", "small-base", "adaln"])
def test_eight_ping_pong_steps(kind: str, converted: dict[str, Path]) -> None:
    folder = converted[kind]
    parts, text = load_backend(folder, read_model_config(folder)), text_of(folder)
    steps = ping_pong(
        lambda x, t: parts.velocity(VelocityInputs(x, t, text, SECONDS, 0.0, MASK)), noise(0), log_snr(8), noise
    )
    assert_close(list(steps)[-1].x, recorded(kind)["ping_pong"])


def test_eight_steps_around_a_known_part(converted: dict[str, Path]) -> None:
    """A checkpoint for inpainting, conditioned on mask and kept latents, gives what the public program gives."""
    folder = converted["inpaint"]
    parts, text, known = load_backend(folder, read_model_config(folder)), text_of(folder), inpaint_example()

    def sampled(known: np.ndarray) -> np.ndarray:
        velocity = lambda x, t: parts.velocity(VelocityInputs(x, t, text, SECONDS, 0.0, MASK, known))  # noqa: E731
        latents: np.ndarray = list(ping_pong(velocity, noise(0), log_snr(8), noise))[-1].x
        return latents

    assert_close(sampled(known), recorded("inpaint")["ping_pong"])
    # What is known matters: without it another sound is made.
    assert np.abs(sampled(np.zeros_like(known)) - recorded("inpaint")["ping_pong"]).max() > 1e-2


def test_a_converted_inpainting_model_keeps_all_but_the_region(converted: dict[str, Path]) -> None:
    model = load(converted["inpaint"], engine="torch")
    rng = np.random.default_rng(3)
    source = Waveform(rng.uniform(-0.3, 0.3, (2, 22_050)).astype(np.float32), 44_100)
    made = model.generate("rain", source=source, inpaint=("0.1:0.3",), seed=2, steps=2).waveforms[0].samples
    region = slice(4_410, 13_230)
    assert np.array_equal(np.delete(made, region, axis=1), np.delete(source.samples, region, axis=1))
    assert np.abs(made[:, region] - source.samples[:, region]).max() > 1e-2


def test_v_ddim_is_eulers_method_on_the_straight_path(converted: dict[str, Path]) -> None:
    folder = converted["1.0"]
    parts, text = load_backend(folder, read_model_config(folder)), text_of(folder)
    steps = euler(
        lambda x, t: parts.velocity(VelocityInputs(x, t, text, SECONDS, 0.0, MASK)), noise(0), cosine(8), noise
    )
    assert_close(list(steps)[-1].x, recorded("1.0")["v_ddim"])


def test_the_published_sampler_of_v_models(converted: dict[str, Path]) -> None:
    folder = converted["1.0"]
    parts, text = load_backend(folder, read_model_config(folder)), text_of(folder)

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        sides = (parts.velocity(VelocityInputs(x, t, side, SECONDS, 0.0, MASK)) for side in (text, None))
        return np.asarray(guided(*sides, 4.0))

    times = exponential(8)
    steps = dpmpp_3m_sde(velocity, noise(0) * np.float32(times[0]), times, noise)
    assert_close(list(steps)[-1].x, recorded("1.0")["dpmpp_3m_sde"])


def test_decoder_and_encoder(converted: dict[str, Path]) -> None:
    folder = converted["small"]
    parts, values = load_backend(folder, read_model_config(folder)), recorded("small")
    assert_close(parts.decode(noise(0)[:, :3]), values["decoded"])
    samples = 0.3 * np.random.default_rng(0).standard_normal((2, 2048 * 4)).astype(np.float32)
    assert_close(parts.encode(samples), values["encoded"][:8])


def test_a_whole_generation_is_the_published_one(converted: dict[str, Path]) -> None:
    """The engine's request for a sound gives the recorded latents, decoded, cut, and faded at the edges."""
    model = load(converted["small"], engine="torch")
    result = model.generate(PROMPT, duration_seconds=SECONDS, seed=SEED, normalize="off")
    folder = converted["small"]
    whole = load_backend(folder, read_model_config(folder)).decode(recorded("small")["ping_pong"])
    samples = result.waveforms[0].samples
    assert samples.shape == (2, 22_050)
    assert_close(samples, faded_edges(whole[:, :22_050], 44_100))
    assert (result.request.sampler, result.request.steps, result.request.cfg_scale) == ("ping_pong", 8, 1.0)


def test_a_tempo_that_has_no_effect_is_said(converted: dict[str, Path]) -> None:
    model = load(converted["small"], engine="torch")
    warnings = model.generate("rain", duration_seconds=0.1, steps=1, seed=1, bpm=120).warnings
    assert any("bpm 120 has no effect" in warning for warning in warnings)
    silent = model.generate("rain, 120 BPM", duration_seconds=0.1, steps=1, seed=1).warnings
    assert not any("bpm" in warning for warning in silent)


def test_parts_open_one_at_a_time_and_again(converted: dict[str, Path]) -> None:
    """Closing in between, and the parts dropped by each other, change no bit."""
    model = load(converted["small"], engine="torch")
    wanted, again = (model.generate("rain", duration_seconds=0.1, steps=1, seed=1).waveforms[0] for _ in range(2))
    model.close()
    third = model.generate("rain", duration_seconds=0.1, steps=1, seed=1).waveforms[0]
    assert np.array_equal(wanted.samples, again.samples)
    assert np.array_equal(wanted.samples, third.samples)
