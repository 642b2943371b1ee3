"""Stable Audio 3: the values that its public program computed on the same random weights, and what is refused.

Recorded by benchmarks/parity/record_3.py.
"""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from arctone.audio.regions import faded_edges
from arctone.audio.waveform import Waveform
from arctone.checkpoints.parts import DIT, openers
from arctone.checkpoints.published.convert import convert
from arctone.checkpoints.published.defaults import ONLY
from arctone.checkpoints.published.stable_audio_open import build_published_config, read_published
from arctone.checkpoints.published.tensor_names import list_expected_shapes, table
from arctone.errors import ModelError
from arctone.flow.guidance import projected
from arctone.flow.noise import item_noise
from arctone.flow.samplers import ping_pong
from arctone.flow.schedules import sampler_times
from arctone.inference.backends.base import VelocityInputs
from arctone.inference.backends.torch import load_backend
from arctone.inference.edit_plan import EditPlan
from arctone.inference.loading import load
from arctone.model_folder.config import LogSnrRamp, SameConfig
from arctone.model_folder.folder import read_model_config
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT
from arctone.models.same import SameDecoder, SameEncoder
from benchmarks.parity.shapes import KINDS, inpaint_example, model_config
from benchmarks.parity.shapes_3 import FRAMES, HOP, PROMPT, SECONDS, SEED, WINDOW, model_config_3
from tests.checkpoints.published_folders import KINDS_3, published_folder, recorded, t5_folder
from tests.checkpoints.test_reference import assert_close, text_of

POST_TRAINED = ("3-small", "3-medium")


def conditions(folder: Path, inpaint: np.ndarray | None = None) -> Conditions:
    text = text_of(folder)
    values = [text.tokens, text.mask, text.pooled, np.float32(SECONDS), np.float32(0), np.ones(FRAMES, bool)]
    if inpaint is not None:
        values.append(inpaint)
    return Conditions(*(torch.from_numpy(np.asarray(value)[None]) for value in values))


def transformer(folder: Path) -> ContinuousDiT:
    module = openers(folder, read_model_config(folder))[DIT]()
    assert isinstance(module, ContinuousDiT)
    return module


@pytest.mark.parametrize("kind", KINDS_3)
def test_text_with_its_learned_padding_and_duration(kind: str, converted: dict[str, Path]) -> None:
    dit, given = transformer(converted[kind]), conditions(converted[kind])
    context, global_vector = dit.conditioning(given)
    assert_close(context[0].numpy(), recorded(kind)["context"])
    projected = dit.global_vector(torch.from_numpy(recorded(kind)["global"])[None])
    assert_close(global_vector.numpy(), projected.numpy())
    # Five letters, then padding: all the same vector, and none of zeros.
    padding = context[0, 5:12]
    assert torch.equal(padding, padding[:1].expand_as(padding))
    assert padding.abs().max() > 0.01


@pytest.mark.parametrize("level", [1.0, 0.6, 0.05])
@pytest.mark.parametrize("kind", KINDS_3)
def test_each_call_of_the_transformer(kind: str, level: float, converted: dict[str, Path]) -> None:
    x = torch.from_numpy(item_noise(SEED, 0, (8, FRAMES)))[None]
    ours = transformer(converted[kind]).output(x, torch.tensor([level]), conditions(converted[kind]))
    assert_close(ours[0].numpy(), recorded(kind)[f"output-{level}"])


@pytest.mark.parametrize("kind", KINDS_3)
def test_every_block_is_conditioned_on_known_latents(kind: str, converted: dict[str, Path]) -> None:
    x = torch.from_numpy(item_noise(SEED, 0, (8, FRAMES)))[None]
    given = conditions(converted[kind], inpaint_example())
    ours = transformer(converted[kind]).output(x, torch.tensor([0.6]), given)[0].numpy()
    assert_close(ours, recorded(kind)["told"])
    assert np.abs(ours - recorded(kind)["output-0.6"]).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS_3)
def test_guidance_is_projected(kind: str, converted: dict[str, Path]) -> None:
    dit, given = transformer(converted[kind]), conditions(converted[kind])
    away = given._replace(text_tokens=torch.zeros_like(given.text_tokens), text_mask=torch.zeros_like(given.text_mask))
    x, t = item_noise(SEED, 0, (8, FRAMES)), 0.6
    batch = torch.from_numpy(x)[None], torch.tensor([t])
    ours = projected(dit.output(*batch, given)[0].numpy(), dit.output(*batch, away)[0].numpy(), x, t, 4.0)
    assert_close(ours, recorded(kind)["guided"])


def test_projected_guidance_has_no_part_along_the_estimate() -> None:
    rng = np.random.default_rng(0)
    towards, away, x = rng.standard_normal((3, 4, 20))
    pull = projected(towards, away, x, 0.7, 3.0) - towards
    assert abs((pull * (x - 0.7 * towards)).sum()) < 1e-9
    assert np.abs(pull).max() > 0.1
    assert np.array_equal(projected(towards, away, x, 0.7, 1.0), towards)


def test_a_base_model_is_guided_so_and_a_post_trained_one_not_at_all(converted: dict[str, Path]) -> None:
    base, fast = (read_model_config(converted[kind]).sampling for kind in ("3-base", "3-small"))
    assert (base.guidance, base.steps, base.sampler, base.post_trained) == ("projected", 50, "euler", False)
    assert (fast.cfg_scale, fast.steps, fast.sampler, fast.post_trained) == (1.0, 8, "ping_pong", True)
    sounds = []
    for guidance in ("projected", "plain"):
        folder = converted["3-base"]
        model = load(folder, engine="torch")
        sampling = msgspec.structs.replace(base, guidance=guidance)
        model.engine.config = msgspec.structs.replace(model.config, sampling=sampling)
        sounds.append(model.generate(PROMPT, duration_seconds=SECONDS, seed=1, steps=2, cfg_scale=4.0).waveforms[0])
    assert np.abs(sounds[0].samples - sounds[1].samples).max() > 1e-3


@pytest.mark.parametrize("kind", POST_TRAINED)
def test_eight_steps_on_the_published_grid(kind: str, converted: dict[str, Path]) -> None:
    folder = converted[kind]
    config, text = read_model_config(folder), text_of(folder)
    parts, shape = load_backend(folder, config), (8, WINDOW)
    ramp = config.sampling.log_snr
    times = sampler_times("ping_pong", 8, 1.0, config.sampling.schedule, log_snr_ends=(ramp.start, ramp.end))
    mask = np.ones(WINDOW, bool)
    velocity = lambda x, t: parts.velocity(VelocityInputs(x, t, text, SECONDS, 0.0, mask))  # noqa: E731
    given = recorded(kind)["times"]
    assert np.abs(np.array(times) - given).max() < 3e-7
    steps = ping_pong(
        velocity, item_noise(SEED, 0, shape), [float(t) for t in given], lambda step: item_noise(SEED, step, shape)
    )
    assert_close(list(steps)[-1].x, recorded(kind)["ping_pong"])


@pytest.mark.parametrize("kind", POST_TRAINED)
def test_decoder_and_encoder(kind: str, converted: dict[str, Path]) -> None:
    folder, values = converted[kind], recorded(kind)
    parts = load_backend(folder, read_model_config(folder))
    assert_close(parts.decode(values["ping_pong"]), values["decoded"])
    samples = 0.3 * np.random.default_rng(0).standard_normal((2, HOP * 6)).astype(np.float32)
    assert_close(parts.encode(samples), values["encoded"])


@pytest.mark.parametrize("kind", POST_TRAINED)
def test_the_noise_of_the_public_autoencoder_can_be_switched_on(
    kind: str, published: dict[str, Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    config = convert(published[kind], tmp_path / "noisy", None, noise=True)
    values = recorded(kind)
    parts = load_backend(tmp_path / "noisy", config)
    assert_close(parts.decode(values["ping_pong"]), values["decoded-noisy"])
    assert np.abs(values["decoded-noisy"] - values["decoded"]).max() > 1e-3 * np.abs(values["decoded"]).max()
    samples = 0.3 * np.random.default_rng(0).standard_normal((2, HOP * 6)).astype(np.float32)
    assert_close(parts.encode(samples), values["encoded-noisy"])
    assert read_model_config(converted[kind]).autoencoder.decoder_noise == 0


@pytest.mark.parametrize("kind", POST_TRAINED)
def test_a_whole_generation_is_the_published_one(kind: str, converted: dict[str, Path]) -> None:
    model = load(converted[kind], engine="torch")
    result = model.generate(PROMPT, duration_seconds=SECONDS, seed=SEED, normalize="off")
    samples = result.waveforms[0].samples
    assert samples.shape == (2, 4_410)
    assert_close(samples, faded_edges(recorded(kind)["decoded"][:, :4_410], 44_100))


def test_inpainting_keeps_all_but_the_region(converted: dict[str, Path]) -> None:
    model = load(converted["3-small"], engine="torch")
    rng = np.random.default_rng(3)
    source = Waveform(rng.uniform(-0.3, 0.3, (2, 4_410)).astype(np.float32), 44_100)
    made = model.generate("rain", source=source, inpaint=("0.03:0.06",), seed=2, steps=2).waveforms[0].samples
    region = slice(1_323, 2_646)
    assert np.array_equal(np.delete(made, region, axis=1), np.delete(source.samples, region, axis=1))
    assert np.abs(made[:, region] - source.samples[:, region]).max() > 1e-2


SAME = SameConfig(
    latent_channels=4,
    patch=4,
    width=24,
    head_size=8,
    mlp_width=48,
    encoder_depth=4,
    decoder_depth=4,
    stride=4,
    chunk=8,
)
# With windows instead of chunks, and with noise, which belongs to a frame wherever the tiles begin.
WINDOWED = msgspec.structs.replace(SAME, window=(1, 1), sine_blocks=2)
NOISY = msgspec.structs.replace(SAME, encoder_noise=0.1, decoder_noise=0.1, latent_noise=0.1)


@torch.no_grad()
@pytest.mark.parametrize("config", [SAME, WINDOWED, NOISY], ids=["chunks", "windows", "noise"])
@pytest.mark.parametrize("frames", [1, 2, 7, 64, 129, 200])
def test_tiles_of_a_long_sound_are_the_whole(frames: int, config: SameConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    decoder, encoder = SameDecoder(config).eval(), SameEncoder(config).eval()
    for module in (decoder, encoder):
        module.new_tokens.normal_()
    latents, samples = torch.randn(1, 4, frames), torch.randn(1, 2, frames * SAME.hop_length)
    tiled = decoder(latents), encoder(samples)
    monkeypatch.setattr("arctone.models.same.TILE_FRAMES", 10_000)
    whole = decoder(latents), encoder(samples)
    assert tiled[0].shape == (1, 2, frames * SAME.hop_length)
    assert tiled[1].shape == (1, 4, frames)
    for ours, theirs in zip(tiled, whole, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("config", [SAME, WINDOWED], ids=["chunks", "windows"])
def test_a_frame_reaches_no_further_than_the_config_says(config: SameConfig) -> None:
    torch.manual_seed(0)
    decoder = SameDecoder(config).eval().requires_grad_(False)
    decoder.new_tokens.normal_()
    latents, hop = torch.randn(1, 4, 24), config.hop_length
    for place in (10, 11):
        moved = latents.clone()
        moved[:, :, place] += 1
        changed = (decoder(moved) - decoder(latents)).abs().amax(dim=(0, 1)).unflatten(0, (-1, hop)).amax(dim=1) > 0
        far = [abs(int(frame) - place) for frame in changed.nonzero()]
        assert 2 <= max(far) <= config.reach_frames


def test_a_sound_is_given_what_it_needs_and_headroom(tmp_path: Path) -> None:
    (tmp_path / "model_config.json").write_text(json.dumps(model_config_3("3-small")))
    config = read_published(tmp_path / "model_config.json", "true")
    rate, hop = 44_100, 4096
    for seconds in (1.0, 10.0, 30.0):
        frames = EditPlan(config, round(seconds * rate), ((0, 1),)).num_frames
        wanted = math.ceil((seconds + 6) * rate / hop)
        assert frames == wanted + wanted % 2
    # The longest sound has no headroom left.
    longest = round(config.dit.max_seconds * rate)
    assert EditPlan(config, longest, ((0, 1),)).num_frames == config.dit.max_frames == 1292


@pytest.mark.parametrize(
    ("kind", "transformer", "autoencoder"),
    [("3-small", (0.40e9, 0.48e9), (0.08e9, 0.13e9)), ("3-medium", (1.35e9, 1.50e9), (0.82e9, 0.88e9))],
)
def test_true_sizes_have_the_published_number_of_parameters(
    kind: str, transformer: tuple[float, float], autoencoder: tuple[float, float], tmp_path: Path
) -> None:
    (tmp_path / "model_config.json").write_text(json.dumps(model_config_3(kind)))
    shapes = list_expected_shapes(table(read_published(tmp_path / "model_config.json", "true")))
    for part, (least, most) in (("model.", transformer), ("pretransform.", autoencoder)):
        assert least < sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(part)) < most


def test_a_longer_sound_starts_at_a_lower_log_snr() -> None:
    ramp = LogSnrRamp(start=-6.2, per_doubling=1.0, frames=2000)
    assert ramp.start_for(2000) == -6.2
    assert ramp.start_for(4000) == pytest.approx(-7.2)
    assert LogSnrRamp().start_for(4000) == -6.0


def test_one_more_module_around_a_part_is_looked_through(
    published: dict[str, Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    source = shutil.copytree(published["3-small"], tmp_path / "source")
    state = load_file(source / "model.safetensors")
    wrapped = {name.replace("layers.0.ff.ff", "layers.0.ff.inner.ff"): value for name, value in state.items()}
    assert wrapped.keys() != state.keys()
    save_file(wrapped, source / "model.safetensors")
    convert(source, tmp_path / "out", None)
    ours, wanted = (load_file(folder / "dit.safetensors") for folder in (tmp_path / "out", converted["3-small"]))
    assert all(torch.equal(ours[name], value) for name, value in wanted.items())


def changed(path: tuple[str, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        *outer, last = path
        for key in outer:
            config = config[key]
        config[last] = value

    return change


ENCODER = ("model", "pretransform", "config", "encoder", "config")
TRANSFORMER = ("model", "diffusion", "config")
DECODER = ("model", "pretransform", "config", "decoder", "config")
REFUSED = [
    ((*ENCODER, "sliding_window"), [1, 1], "sliding_window must be the same"),
    ((*ENCODER, "strides"), [4, 4], "the encoder must have one level of strides"),
    ((*ENCODER, "chunk_midpoint_shift"), False, "chunk_midpoint_shift of the encoder must be true"),
    ((*ENCODER, "dim_heads"), 8, "dim_heads must be the same"),
    ((*ENCODER, "other"), 1, "other"),
    ((*ENCODER, "sinusoidal_blocks"), 2, "sinusoidal_blocks of the encoder must be unused"),
    ((*ENCODER, "mapping_style"), "film", "mapping_style is 'film', but this version reads only 'none'"),
    ((*DECODER, "conformer"), True, "conformer is True, but this version reads only False"),
    ((*TRANSFORMER, "attn_kwargs"), {"qk_norm": "rms", "qk_norm_eps": 1e-3}, "qk_norm_eps is 0.001"),
    ((*TRANSFORMER, "attn_kwargs"), {"qk_norm": "rms", "feat_scale": True}, "attn_kwargs.feat_scale is True"),
    ((*TRANSFORMER, "norm_kwargs"), {"eps": 1e-3}, "norm_kwargs.eps is 0.001, but this version reads only 1e-05"),
    ((*TRANSFORMER, "norm_kwargs"), {"unheard": 1}, "norm_kwargs.unheard"),
    ((*TRANSFORMER, "ff_kwargs"), {"mult": 3}, "ff_kwargs.mult is 3"),
    ((*TRANSFORMER, "input_concat_dim"), 9, "must be empty"),
    (("model", "pretransform", "scale"), 2.0, "scale of the pretransform must be 1"),
    ((*TRANSFORMER, "patch_size"), 2, "patch_size is 2, but this version reads only 1"),
    ((*TRANSFORMER, "patch_size"), True, "patch_size is True"),
    ((*TRANSFORMER, "local_add_cond_dim"), 8, "local_add_cond_dim must be 9"),
    (("model", "diffusion", "local_add_cond_ids"), [], "local_add_cond_ids must be"),
    (("model", "diffusion", "diffusion_objective"), "v", "diffusion_objective"),
    (("model", "diffusion", "sampling_distribution_shift_options"), {"type": "full"}, "type"),
    (("model", "pretransform", "config", "downsampling_ratio"), 128, "downsampling_ratio must be"),
]


def test_keys_at_their_default_change_nothing(tmp_path: Path) -> None:
    config, path = model_config_3("3-small", shrunken=True), tmp_path / "model_config.json"
    path.write_text(json.dumps(config))
    wanted = read_published(path, "x")
    for section, keys in ONLY.items():
        inner = config
        for key in section.split("."):
            inner = inner.setdefault(key, {})
        for key, value in keys.items():
            inner.setdefault(key, value)
    path.write_text(json.dumps(config))
    assert read_published(path, "x") == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_of_the_earlier_models_as_well(kind: str, tmp_path: Path) -> None:
    config, path = model_config(kind, shrunken=True), tmp_path / "model_config.json"
    path.write_text(json.dumps(config))
    wanted = read_published(path, "x")
    transformer = config["model"]["diffusion"]["config"]
    transformer |= {"patch_size": 1, "causal": False, "ff_kwargs": {"mult": 4}, "norm_kwargs": {"force_fp32": True}}
    config["model"]["pretransform"] |= {"enable_grad": False, "chunked": True}
    path.write_text(json.dumps(config))
    assert read_published(path, "x") == wanted
    transformer["patch_size"] = 2
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"patch_size is 2, but this version reads only 1\.$"):
        read_published(path, "x")


@pytest.mark.parametrize(("path", "value", "sentence"), REFUSED, ids=lambda each: str(each)[-40:])
def test_settings_that_cannot_be_run_are_named(
    path: tuple[str, ...], value: Any, sentence: str, tmp_path: Path
) -> None:
    config = model_config_3("3-small", shrunken=True)
    changed(path, value)(config)
    (tmp_path / "model_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=sentence):
        read_published(tmp_path / "model_config.json", "x")


def test_the_wrong_text_encoder_is_named(published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds a T5, but the model reads prompts with T5Gemma"):
        convert(published["3-small"], tmp_path / "out", t5)
    with pytest.raises(ModelError, match="holds a T5Gemma, but the model reads prompts with T5"):
        convert(published["small"], tmp_path / "out", published["3-small"] / "t5gemma-b-b-ul2")
    alone = published_folder("3-small", tmp_path / "alone")
    shutil.rmtree(alone / "t5gemma-b-b-ul2")
    with pytest.raises(ModelError, match="name the folder of t5gemma-b-b-ul2 with --text"):
        convert(alone, tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_a_whole_t5gemma_serves_as_well_as_its_encoder(
    published: dict[str, Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    words = shutil.copytree(published["3-small"] / "t5gemma-b-b-ul2", tmp_path / "whole")
    state = {f"model.{name}": value for name, value in load_file(words / "model.safetensors").items()}
    save_file({**state, "model.decoder.norm.weight": torch.zeros(32)}, words / "model.safetensors")
    convert(published["3-small"], tmp_path / "out", words)
    ours, wanted = (load_file(folder / "text.safetensors") for folder in (tmp_path / "out", converted["3-small"]))
    assert all(torch.equal(ours[name], value) for name, value in wanted.items())
    damaged = dict(list(state.items())[1:])
    save_file(damaged, words / "model.safetensors")
    with pytest.raises(ModelError, match="lacks"):
        convert(published["3-small"], tmp_path / "again", words)


def test_16_bit_stays_near(published: dict[str, Path], converted: dict[str, Path], tmp_path: Path) -> None:
    convert(published["3-small"], tmp_path / "half", None, precision="bfloat16")
    sounds = [
        load(folder, engine="torch").generate(PROMPT, duration_seconds=SECONDS, seed=1, steps=1, normalize="off")
        for folder in (tmp_path / "half", converted["3-small"])
    ]
    half, whole = (sound.waveforms[0].samples for sound in sounds)
    assert 0 < np.abs(half - whole).std() < 0.1 * whole.std()


def test_a_t5_next_to_it_is_not_taken(tmp_path: Path) -> None:
    source = published_folder("3-small", tmp_path / "source")
    shutil.rmtree(source / "t5gemma-b-b-ul2")
    t5_folder(source / "t5gemma-b-b-ul2")
    with pytest.raises(ModelError, match="T5Gemma"):
        convert(source, tmp_path / "out", None)


def test_a_config_of_ours_has_each_half_in_the_form_its_public_class_takes(converted: dict[str, Path]) -> None:
    """The encoder takes a number of such blocks and the decoder a list: the other way round, neither can be built."""
    halves = build_published_config(read_model_config(converted["3-small"]))["model"]["pretransform"]["config"]
    assert halves["encoder"]["config"]["sinusoidal_blocks"] == 0
    assert halves["decoder"]["config"]["sinusoidal_blocks"] == [0]
    medium = build_published_config(read_model_config(converted["3-medium"]))["model"]["pretransform"]["config"]
    assert (medium["decoder"]["config"]["sinusoidal_blocks"], medium["decoder"]["config"]["sliding_window"]) == (
        [3],
        [1, 1],
    )
    assert (halves["encoder"]["config"]["in_channels"], halves["decoder"]["config"]["out_channels"]) == (32, 32)
