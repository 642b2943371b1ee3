"""Editing on a tiny random model, both engines: what is refused, what is warned of, what is reported on the way."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import arctone
from arctone.audio.waveform import Waveform
from arctone.checkpoints.parts import DIT, given
from arctone.errors import Cancelled, ModelError, UsageError
from arctone.inference.backends.base import VelocityInputs
from arctone.inference.backends.torch import TorchBackend
from arctone.inference.engine import Engine, Model
from arctone.inference.request import GenerationRequest, GenerationResult, Progress
from arctone.models.dit import DiT

RATE = 44_100
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (2, RATE)).astype(np.float32)
SOURCE = Waveform(NOISE, RATE)


@pytest.fixture(scope="module", params=["native", "torch"])
def model(request: pytest.FixtureRequest, tiny_model_folder: Path) -> Iterator[Model]:
    loaded = arctone.load(tiny_model_folder, engine=request.param, threads=1)
    yield loaded
    loaded.close()


def edited(model: Model, source: Waveform = SOURCE, **fields: Any) -> GenerationResult:
    return model.generate("rain", source=source, **{"seed": 1, "steps": 2, **fields})


def test_outside_a_region_both_engines_keep_every_sample(model: Model) -> None:
    made = edited(model, inpaint=("0.25:0.5", "0.75:1")).waveforms[0].samples
    inside = np.zeros(RATE, bool)
    inside[RATE // 4 : RATE // 2] = inside[3 * RATE // 4 :] = True
    assert np.array_equal(made[:, ~inside], NOISE[:, ~inside])
    assert np.mean(made[:, inside] != NOISE[:, inside]) > 0.99


def test_the_length_follows_the_source_unless_it_is_asked_for(model: Model) -> None:
    assert edited(model).waveforms[0].num_samples == RATE
    shorter, longer = edited(model, duration_seconds=0.75), edited(model, duration_seconds=1.5)
    assert (shorter.waveforms[0].num_samples, longer.waveforms[0].num_samples) == (33_075, 66_150)
    assert shorter.warnings == ("The last 0.25 seconds of the source are cut off.",)
    assert longer.warnings == ("The source is filled up with 0.50 seconds of silence.",)
    assert edited(model, extend=True).waveforms[0].num_samples == 2 * RATE  # and the model's own length more


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (48_000, 2), (96_000, 1), (22_050, 5)])
def test_any_rate_and_number_of_channels_is_taken(model: Model, rate: int, channels: int) -> None:
    times = np.arange(rate) / rate
    source = Waveform(np.tile(0.5 * np.sin(2 * np.pi * 440 * times), (channels, 1)).astype(np.float32), rate)
    made = edited(model, source, init_noise_level=0)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert made.waveforms[0].samples.shape == (2, RATE)
    middle = slice(RATE // 4, 3 * RATE // 4)
    assert np.abs(made.waveforms[0].samples[:, middle] - wanted[middle]).max() < 0.02
    expected = ("The source has 5 channels; their mean is edited.",) if channels == 5 else ()
    assert made.warnings == expected


@pytest.mark.parametrize(
    ("source", "fields", "message"),
    [
        (None, {"inpaint": ("0:1",)}, "inpaint needs a source, the sound that is to be edited, but none is given."),
        (None, {"extend": True}, "extend needs a source"),
        (None, {"init_noise_level": 0.5}, "init_noise_level needs a source"),
        (SOURCE, {"inpaint": ("0.5:1.5",)}, "inpaint region 0.5:1.5 ends after the sound, which is 1 seconds long."),
        (SOURCE, {"inpaint": ("0:1",), "extend": True}, "inpaint and extend cannot be combined"),
        (SOURCE, {"inpaint": ("0:1",), "loop": True}, "loop cannot be combined with inpaint"),
        (SOURCE, {"extend": True, "loop": True}, "loop cannot be combined with extend"),
        (SOURCE, {"extend": True, "init_noise_level": 0.5}, "init_noise_level must be 1 or not given with extend"),
        (
            SOURCE,
            {"extend": True, "duration_seconds": 1.0},
            "duration_seconds must be more than the source's 1 seconds",
        ),
        (SOURCE, {"bars": 2}, "bars needs a tempo: give bpm, or state it in the prompt"),
        (SOURCE, {"bars": 2, "bpm": 240, "duration_seconds": 3}, "duration_seconds is 3, but 2 bars at 240 BPM last 2"),
        (Waveform(0 * NOISE, RATE), {}, "the source is silent: there is no sound above -70 dBFS in it."),
        (Waveform(0 * NOISE + 0.3, RATE), {}, "the source is silent"),
        (Waveform(NOISE[:, :0], RATE), {}, "the source holds no samples."),
        (Waveform(NOISE, 100), {}, "the source is 441.0 seconds long, but at most 300 are edited."),
    ],
)
def test_what_cannot_be_edited_is_refused_at_once(
    model: Model, source: Waveform | None, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        model.stream("rain", source=source, **fields)
    assert str(caught.value).startswith(message)


def test_a_source_that_is_not_finite_is_no_waveform() -> None:
    with pytest.raises(UsageError, match="samples must be finite"):
        Waveform(np.full((2, 9), np.nan), RATE)


def test_the_kept_parts_are_levelled_only_if_asked_and_then_with_a_warning(model: Model) -> None:
    asked = edited(model, inpaint=("0:0.5",), normalize="peak")
    assert asked.warnings == ("normalize peak also changes the level of the parts that are kept.",)
    assert np.abs(asked.waveforms[0].samples).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
    left = edited(model, inpaint=("0:0.5",))
    assert left.request.normalize == "off"
    # The random model's own level lies beyond full scale, and nothing else is warned of.
    assert all("beyond full scale" in warning for warning in left.warnings)
    assert len(left.warnings) == (left.num_over[0] > 0)
    assert edited(model, init_noise_level=0.5).request.normalize == "peak"


def test_the_record_names_the_source_by_the_hash_of_its_samples(model: Model) -> None:
    one, two, other = (
        model.generate("rain", source=source, source_name=name, steps=1)
        for source, name in ((SOURCE, "a.wav"), (SOURCE, "b.wav"), (Waveform(NOISE, 44_101), "a.wav"))
    )
    records = [result.to_metadata(0)["source"] for result in (one, two, other)]
    assert [record["name"] for record in records] == ["a.wav", "b.wav", "a.wav"]
    assert records[0]["sha256"] == records[1]["sha256"] != records[2]["sha256"]
    assert (records[0]["num_samples"], records[0]["num_channels"], records[0]["sample_rate"]) == (RATE, 2, RATE)
    assert "source" not in model.generate("rain", steps=1).to_metadata(0)


@pytest.mark.parametrize(
    "fields, stages",
    [
        ({"init_noise_level": 0.5}, {"encoding": 1, "sampling": 2, "decoding": 1}),
        ({"inpaint": ("0:.5",)}, {"encoding": 1, "sampling": 2, "decoding": 1}),
        ({"init_noise_level": 0}, {}),
        ({"extend": True, "duration_seconds": 5.0}, {"encoding": 1, "sampling": 6, "decoding": 3}),
        ({"loop": True, "init_noise_level": 0.5}, {"encoding": 1, "sampling": 4, "decoding": 2}),
    ],
)
def test_progress_counts_every_window_and_every_pass(
    model: Model, fields: dict[str, Any], stages: dict[str, int]
) -> None:
    *events, result = model.stream("rain", source=SOURCE, steps=2, variations=2, **fields)
    assert isinstance(result, GenerationResult)
    for stage, count in stages.items():
        for item in range(2):
            of_stage = [event for event in events if isinstance(event, Progress) and event.stage == stage]
            mine = [(event.step, event.num_steps) for event in of_stage if event.item == item]
            if stage == "encoding" and item == 1 and "loop" not in fields:
                assert mine == []  # the source is read once
                continue
            assert {num for _, num in mine} == {count}
            if stage != "encoding":  # a loop reads its source once and then, for its seam, itself
                assert [step for step, _ in mine] == sorted(step for step, _ in mine)
            assert mine[-1] == (count, count)
    assert {event.stage for event in events if isinstance(event, Progress)} == {"text", *stages}


def test_cancel_stops_within_one_step_in_a_later_window(model: Model) -> None:
    stop = threading.Event()
    seen: list[Progress] = []

    def on_progress(event: Progress) -> None:
        seen.append(event)
        if (event.stage, event.step) == ("sampling", 12):
            stop.set()

    with pytest.raises(Cancelled):
        model.generate("rain", duration_seconds=5.0, steps=10, on_progress=on_progress, cancel=stop.is_set)
    assert (seen[-1].stage, seen[-1].step) == ("sampling", 12)


def test_a_sound_of_many_windows_is_made_to_its_end(model: Model) -> None:
    made = model.generate("rain", duration_seconds=40, steps=1, seed=1, sampler="ping_pong")
    assert made.waveforms[0].num_samples == 40 * RATE
    tail = made.waveforms[0].samples[:, -RATE:]
    assert np.abs(tail).max() > 1e-4


@pytest.mark.parametrize("num_samples", [1, 2, 9, 2047, 2049])
def test_the_shortest_sounds_are_looped_continued_and_filled(model: Model, num_samples: int) -> None:
    source = Waveform(NOISE[:, :5] if num_samples < 5 else NOISE[:, :num_samples], RATE)
    seconds = num_samples / RATE
    assert model.generate("x", loop=True, duration_seconds=seconds, steps=1).waveforms[0].num_samples == num_samples
    longer = edited(model, source, extend=True, duration_seconds=seconds + 0.001)
    assert longer.waveforms[0].num_samples == round((seconds + 0.001) * RATE)
    if num_samples > 8:
        middle = f"{num_samples / 3 / RATE}:{num_samples / 2 / RATE}"
        made = edited(model, source, inpaint=(middle,)).waveforms[0].samples
        assert np.array_equal(made[:, : num_samples // 3], source.samples[:, : num_samples // 3])


@pytest.mark.parametrize(("bars", "bpm"), [(1, 120), (1, 133.7), (2, 97), (1, 400)])
def test_a_loop_has_the_length_of_its_bars_to_the_sample(model: Model, bars: int, bpm: float) -> None:
    made = model.generate("rain", loop=True, bars=bars, bpm=bpm, steps=1)
    assert made.waveforms[0].num_samples == round(bars * 4 * 60 / bpm * RATE)
    assert made.request.duration_seconds == pytest.approx(bars * 240 / bpm)


def with_inpaint_channels(tiny_model_folder: Path, channels: int) -> tuple[Engine, list[np.ndarray]]:
    """The tiny model with a transformer that is conditioned on known latents, and what it received."""
    loaded = arctone.load(tiny_model_folder, engine="torch")
    config = msgspec.structs.replace(
        loaded.config, dit=msgspec.structs.replace(loaded.config.dit, inpaint_channels=channels)
    )
    plain = loaded.engine.backend
    assert isinstance(plain, TorchBackend)
    modules = dict(plain._open_parts) | {DIT: given(DiT(config.dit).eval())}
    parts = TorchBackend(config, modules)
    received: list[np.ndarray] = []
    velocity = parts.velocity

    def recording(inputs: VelocityInputs, *network: str) -> Any:
        assert inputs.inpaint is not None
        received.append(inputs.inpaint)
        return velocity(inputs, *network)

    parts.velocity = recording  # type: ignore[method-assign]
    return Engine(parts, config, loaded.engine.tokenizer), received


def test_a_model_with_inpaint_channels_is_conditioned_on_known_latents(tiny_model_folder: Path) -> None:
    engine, received = with_inpaint_channels(tiny_model_folder, 9)
    request = GenerationRequest(prompt="rain", seed=1, steps=2, inpaint=("0.5:1",))
    made = engine.generate(request, source=SOURCE)
    assert np.array_equal(made.waveforms[0].samples[:, : RATE // 2], NOISE[:, : RATE // 2])
    mask, latents = received[0][0], received[0][1:]
    known = RATE // 2 // 2048
    assert np.array_equal(mask, np.arange(22) < known)
    assert np.all(latents[:, known:] == 0)
    assert np.all(np.any(latents[:, :known] != 0, axis=0))
    received.clear()
    engine.generate(GenerationRequest(prompt="rain", seed=1, steps=1, duration_seconds=1.0))
    assert not np.any(received[0])  # nothing is known of a sound from text


def test_other_numbers_of_inpaint_channels_are_refused(tiny_model_folder: Path) -> None:
    engine, _ = with_inpaint_channels(tiny_model_folder, 3)
    with pytest.raises(ModelError, match=r"dit\.inpaint_channels is 3, but it must be 0 or 9"):
        engine.generate(GenerationRequest(prompt="rain", steps=1))
