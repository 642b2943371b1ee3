"""Keys, known latents, edges and silence on their way through the engine, on a backend whose answers are known."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from arctone.audio.keys import parse_bpm
from arctone.audio.regions import EDGE_OUT_SECONDS, faded_edges
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.inference.backends.base import Backend, TextEmbedding, VelocityInputs
from arctone.inference.context import GenerationContext
from arctone.inference.edit_plan import plan_request
from arctone.inference.engine import Engine
from arctone.inference.pipeline import generate
from arctone.inference.request import GenerationRequest, GenerationResult, Progress, validate
from arctone.inference.resolution import choose_network, defaults_of, resolve, seems_english
from arctone.model_folder.config import (
    CURVE_CONTROLS,
    FLOW_NETWORK,
    NETWORK,
    NUMBER_CONTROLS,
    DiTConfig,
    ModelConfig,
    SamplingConfig,
    SpectralConfig,
    TextConfig,
)
from arctone.model_folder.tokenizer import Tokens

RATE, HOP, CHANNELS = 44_100, 2048, 4
CONTROLS: Any = (*NUMBER_CONTROLS, *CURVE_CONTROLS)
CONFIG = ModelConfig(
    name="fake",
    autoencoder=SpectralConfig(latent_channels=CHANNELS),
    dit=DiTConfig(
        latent_channels=CHANNELS, max_frames=64, max_seconds=2.97, controls=CONTROLS, inpaint_channels=1 + CHANNELS
    ),
    text=TextConfig(max_tokens=8, width=4),
    sampling=SamplingConfig(sampler="euler", steps=4, cfg_scale=1.0, duration_seconds=0.5, post_trained=True),
    flow_sampling=SamplingConfig(sampler="euler", steps=20, cfg_scale=4.0, duration_seconds=0.5),
)
PLAIN = msgspec.structs.replace(CONFIG, dit=DiTConfig(latent_channels=CHANNELS, max_frames=64, max_seconds=2.97))


class FakeBackend(Backend):
    """Removes all noise; decodes to a loud constant, or to silence for the first `num_silent` sounds."""

    name = "fake"

    def __init__(self, config: ModelConfig = CONFIG, num_silent: int = 0, has_flow: bool = True) -> None:
        super().__init__(config, has_flow=has_flow)
        self.calls: list[tuple[VelocityInputs, str]] = []
        self.num_silent = num_silent

    def _encode_text(self, ids: Any, mask: Any) -> TextEmbedding:
        return TextEmbedding(np.ones((8, 4), np.float32), mask, np.ones(4, np.float32))

    def _velocity(self, inputs: VelocityInputs, network: str) -> Any:
        self.calls.append((inputs, network))
        return inputs.x / max(inputs.t, 1e-3)

    def _decode(self, latents: Any, seed: int) -> Any:
        self.num_silent -= 1
        return np.full((2, latents.shape[1] * HOP), 1e-6 if self.num_silent >= 0 else 0.5, np.float32)

    def _encode(self, samples: Any) -> Any:
        return np.ones((CHANNELS, -(-samples.shape[1] // HOP)), np.float32)

    def _set_threads(self, threads: int) -> None: ...

    def _close(self) -> None: ...


class FakeTokenizer:
    def encode(self, text: str) -> Tokens:
        return Tokens(np.ones(8, np.int32), np.ones(8, bool), False)


def generate_with(
    backend: FakeBackend, source: Waveform | None = None, **fields: Any
) -> Iterator[Progress | GenerationResult]:
    engine = Engine(backend, backend.config, FakeTokenizer())  # type: ignore[arg-type]
    return engine.stream(GenerationRequest(**{"prompt": "a tone", "threads": 1, **fields}), source=source)


def _made(backend: FakeBackend, source: Waveform | None = None, **fields: Any) -> GenerationResult:
    return next(event for event in generate_with(backend, source, **fields) if isinstance(event, GenerationResult))


@pytest.mark.parametrize(("fields", "number"), [
    ({"prompt": "sad piano in C# minor"}, 14), ({"prompt": "piano", "key": "Bb major"}, 11),
    ({"prompt": "piano in C minor", "key": "D major"}, 3), ({"prompt": "piano"}, 0),
])  # fmt: skip
def test_the_key_reaches_the_network(fields: dict[str, Any], number: int) -> None:
    backend = FakeBackend()
    result = _made(backend, **fields)
    assert {call.key for call, _ in backend.calls} == {float(number)}
    if "C#" in fields["prompt"]:
        assert result.request.key == "C sharp minor"


def test_a_model_without_keys_receives_none_and_says_so() -> None:
    backend = FakeBackend(PLAIN)
    result = _made(backend, key="C minor")
    assert any("key C minor has no effect" in warning for warning in result.warnings)
    assert backend.calls[0][0].controls(PLAIN.dit.controls) == {}
    assert _made(FakeBackend(PLAIN), prompt="piano in C minor").request.key is None


@pytest.mark.parametrize("key", ["H minor", "C", "loud", "C minor or D major"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="key must be one such as"):
        validate(GenerationRequest(prompt="piano", key=key))


def test_the_unconditional_side_has_neither_key_nor_note() -> None:
    backend = FakeBackend(has_flow=False)
    _made(backend, prompt="flute, single note, A4, in A minor", cfg_scale=3.0)
    sides = {(call.key, call.note, call.text is not None and bool(call.text.mask.any())) for call, _ in backend.calls}
    assert sides == {(22.0, 69.0, True), (0.0, 0.0, False)}


def test_controls_of_a_call_are_batches_of_one_and_zeros_where_not_given() -> None:
    call = VelocityInputs(np.zeros((CHANNELS, 6), np.float32), 1.0, None, 0.3, 0.0, np.ones(6, bool), key=3.0)
    found = call.controls(CONTROLS)
    assert found["key"].tolist() == [3.0]
    assert found["loudness"].shape == (1, 2, 6)
    assert not found["loudness"].any()


CURVE = np.stack([np.arange(200) / 200, np.ones(200)]).astype(np.float32)


def _run(backend: FakeBackend, curves: dict[str, Any], **fields: Any) -> list[VelocityInputs]:
    """Run a request with curves over the latent frames of its sound; the calls that the backend received."""
    request = resolve(GenerationRequest(prompt="a tone", seed=1, threads=1, **fields), defaults_of(backend.config))
    context = GenerationContext(backend, NETWORK, backend.config, request, lambda: False, curves=curves)
    steps = generate(context, plan_request(request, backend.config, None), FakeTokenizer())  # type: ignore[arg-type]
    collections.deque(steps, maxlen=0)
    return [call for call, _ in backend.calls]


def test_every_window_of_a_long_sound_receives_its_part_of_the_curves() -> None:
    calls = _run(FakeBackend(), {"loudness": CURVE}, duration_seconds=5.0)
    starts = list(dict.fromkeys(round(float(call.loudness[0, 0]) * 200) for call in calls if call.loudness is not None))
    assert starts[0] == 0
    assert len(starts) == len(calls) // 4 > 1
    for call in calls:
        assert call.loudness is not None
        first = round(float(call.loudness[0, 0]) * 200)
        assert np.array_equal(call.loudness, CURVE[:, first : first + call.x.shape[1]])
        assert call.pitch is None


def test_a_short_curve_is_not_given_beyond_its_end_and_guidance_follows_it_on_both_sides() -> None:
    calls = _run(FakeBackend(has_flow=False), {"pitch": CURVE[:, :4]}, cfg_scale=3.0)
    assert {call.text is None or not call.text.mask.any() for call in calls} == {True, False}
    for call in calls:
        assert call.pitch is not None
        assert np.array_equal(call.pitch[:, :4], CURVE[:, :4])
        assert not call.pitch[:, 4:].any()


def test_the_seam_of_a_loop_receives_the_curves_turned_as_the_loop_is() -> None:
    calls = _run(FakeBackend(), {"brightness": CURVE}, loop=True, duration_seconds=1.0)
    first, seam = calls[0].brightness, calls[-1].brightness
    assert first is not None
    assert seam is not None
    frames = seam.shape[1]
    begins = round(float(seam[0, 0]) * 200)
    assert 0 < begins < frames
    assert np.array_equal(seam, np.roll(CURVE[:, :frames], -begins, axis=1))


@pytest.mark.parametrize(("steps", "stated"), [(2, 2), (4, 4), (50, 4), (None, 4)])
def test_a_few_step_model_receives_the_number_of_steps_up_to_its_own(steps: int | None, stated: int) -> None:
    backend = FakeBackend()
    _made(backend, steps=steps)
    assert {call.steps for call, _ in backend.calls} == {float(stated)}
    guided = FakeBackend()
    _made(guided, steps=steps, cfg_scale=2.0)
    assert {call.steps for call, network in guided.calls if network == FLOW_NETWORK} == {0.0}


SOURCE = Waveform(np.random.default_rng(0).uniform(-0.1, 0.1, (2, RATE)).astype(np.float32), RATE)


@pytest.mark.parametrize(("fields", "source"), [
    ({"inpaint": ("0.2:0.5",)}, SOURCE), ({"extend": True, "duration_seconds": 2.0}, SOURCE),
    ({"loop": True, "duration_seconds": 1.0}, None), ({"duration_seconds": 5.0}, None),
    ({"init_noise_level": 0.6}, SOURCE),
])  # fmt: skip
def test_a_network_that_receives_known_latents_does_everything_itself(
    fields: dict[str, Any], source: Waveform | None
) -> None:
    backend = FakeBackend()
    _made(backend, source, **fields)
    assert {network for _, network in backend.calls} == {NETWORK}
    times = [call.t for call, _ in backend.calls]
    # Four steps each time, begun at the level that was asked for; no step is taken twice.
    assert len(times) == len({round(t, 6) for t in times}) * times.count(times[0])
    assert all(call.inpaint is not None for call, _ in backend.calls)
    known = [call.inpaint[0].mean() for call, _ in backend.calls if call.inpaint is not None]
    assert max(known) > 0 or "init_noise_level" in fields


def test_without_mask_channels_edits_are_the_flow_models_as_before() -> None:
    request = GenerationRequest(prompt="x", inpaint=("0:1",))
    assert choose_network(request, PLAIN, has_flow=True, source_seconds=2.0) == FLOW_NETWORK
    assert choose_network(request, CONFIG, has_flow=True, source_seconds=2.0) == NETWORK
    forgotten = GenerationRequest(prompt="x", init_noise_level=1)
    assert choose_network(forgotten, PLAIN, has_flow=True, source_seconds=2.0) == NETWORK
    assert choose_network(forgotten, PLAIN, has_flow=True, source_seconds=100.0) == FLOW_NETWORK
    looped = msgspec.structs.replace(forgotten, loop=True)
    assert choose_network(looped, PLAIN, has_flow=True, source_seconds=2.0) == FLOW_NETWORK
    guided = msgspec.structs.replace(request, cfg_scale=4.0)
    assert choose_network(guided, CONFIG, has_flow=True, source_seconds=2.0) == FLOW_NETWORK


def test_a_drawn_seed_that_gives_silence_is_drawn_again_and_the_used_one_is_reported() -> None:
    backend = FakeBackend(num_silent=2)
    result = _made(backend)
    assert np.abs(result.waveforms[0].samples).max() > 0.5
    assert any("another one was drawn" in warning for warning in result.warnings)
    assert result.seeds != (result.request.seed,)
    assert result.to_metadata(0)["request"]["seed"] == result.seeds[0]


def test_a_given_seed_stays_and_its_silence_is_reported() -> None:
    result = _made(FakeBackend(num_silent=1), seed=5)
    assert result.seeds == (5,)
    assert any("silent" in warning for warning in result.warnings)
    assert not any("another one" in warning for warning in result.warnings)


def test_after_a_few_draws_silence_is_the_answer() -> None:
    backend = FakeBackend(num_silent=100)
    result = _made(backend)
    assert any("The sound is silent" in warning for warning in result.warnings)
    assert len(backend.calls) == 5 * 4


def test_one_silent_variation_leaves_the_seeds_of_the_others() -> None:
    result = _made(FakeBackend(num_silent=1), variations=3)
    first = int(result.request.seed or 0)
    assert result.seeds[1:] == (first + 1, first + 2)
    assert result.seeds[0] != first


def test_sounds_begin_and_end_at_zero_unless_they_go_on() -> None:
    plain = _made(FakeBackend()).waveforms[0].samples
    assert np.abs(plain[:, [0, -1]]).max() < 1e-3
    assert np.abs(plain[:, 1000:-1000]).min() > 0.5
    loop = _made(FakeBackend(), loop=True, duration_seconds=1.0).waveforms[0].samples
    assert np.abs(loop[:, [0, -1]]).min() > 0.1


def test_edges_touch_milliseconds_only() -> None:
    ones = np.ones((2, RATE), np.float32)
    faded = faded_edges(ones, RATE)
    assert faded[0, 0] == faded[0, -1] == 0
    assert np.all(faded[:, 50 : -round(EDGE_OUT_SECONDS * RATE)] == 1)
    assert faded_edges(ones[:, :3], RATE).shape == (2, 3)


@pytest.mark.parametrize("prompt", ["60 to 90 BPM", "60-90 bpm groove", "between 60 and 90 BPM", "100\u2013120 BPM"])
def test_a_range_of_tempi_is_none(prompt: str) -> None:
    assert parse_bpm(prompt, 20, 400) is None


@pytest.mark.parametrize(("prompt", "bpm"), [("120 BPM", 120), ("808 and 120 BPM", 120), ("4-120 BPM", 120)])
def test_other_numbers_before_a_tempo_do_not_matter(prompt: str, bpm: float) -> None:
    assert parse_bpm(prompt, 20, 400) == bpm


@pytest.mark.parametrize(("prompt", "is_english"), [
    ("rain on a tin roof", True), ("\u96e8\u6253\u5c4b\u9876", False), ("der Regen und der Wind auf dem Dach", False),
    ("la pluie et le vent dans les arbres", False), ("\u0434\u043e\u0436\u0434\u044c", False), ("120 BPM", True),
    ("El Paso train passing", True), ("caf\u00e9 d\u00e9j\u00e0 vu ambience", True), ("808", True),
])  # fmt: skip
def test_prompts_that_are_not_english_get_a_hint(prompt: str, is_english: bool) -> None:
    assert seems_english(prompt) == is_english
    result = _made(FakeBackend(), prompt=prompt)
    assert any("does not seem to be English" in warning for warning in result.warnings) != is_english


def test_old_records_have_no_key_and_resolve() -> None:
    defaults = Engine(FakeBackend(), CONFIG, FakeTokenizer()).defaults  # type: ignore[arg-type]
    assert resolve(GenerationRequest(prompt="piano in C minor"), defaults).key is None
