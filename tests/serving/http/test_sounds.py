"""Sounds at once, in the shapes of ElevenLabs and OpenAI."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

import arctone
from arctone.inference.engine import Engine, Model
from arctone.serving.http.formats import encoded, output_format
from tests.serving.http.conftest import QUICK, Client, Gate, error_of, next_works

EFFECT = {"text": "rain", "duration_seconds": 0.5, "steps": 1}


def effect(client: TestClient, name: str = "mp3", **values: Any) -> Any:
    return client.post("/v1/sound-generation", params={"output_format": name}, json={**EFFECT, **values})


@pytest.mark.parametrize(
    ("name", "media_type", "container", "rate"),
    [
        ("mp3", "audio/mpeg", "MP3", 44_100),
        ("mp3_44100_128", "audio/mpeg", "MP3", 44_100),
        ("mp3_22050_32", "audio/mpeg", "MP3", 22_050),
        ("wav", "audio/wav", "WAV", 44_100),
        ("wav_16000", "audio/wav", "WAV", 16_000),
        ("flac", "audio/flac", "FLAC", 44_100),
        ("ogg", "audio/ogg", "OGG", 44_100),
        ("opus_48000_96", "audio/ogg", "OGG", 48_000),
    ],
)
def test_the_answer_is_the_sound_in_the_format_asked_for(
    client: TestClient, name: str, media_type: str, container: str, rate: int
) -> None:
    answer = effect(client, name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == media_type
    info = soundfile.info(io.BytesIO(answer.content))
    assert (info.format, info.samplerate, info.channels) == (container, rate, 2)
    assert info.duration == pytest.approx(0.5, abs=0.1)
    assert ("variable bitrate" in answer.headers.get("x-arctone-warnings", "")) == (name.count("_") == 2)


def test_raw_samples_are_those_of_the_wav_file(client: TestClient) -> None:
    wav = effect(client, "wav", seed=3).content
    raw = effect(client, "pcm", seed=3)
    samples, _ = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert np.array_equal(np.frombuffer(raw.content, "<i2").reshape(-1, 2), samples)
    assert raw.headers["x-arctone-sample-rate"] == "44100"
    assert len(effect(client, "pcm_16000", seed=3).content) == 8_000 * 2 * 2


def test_raw_samples_stop_at_full_scale() -> None:
    loud = arctone.audio.waveform.Waveform(np.array([[2.0, -2.0, 0.5]], np.float32), 44_100)
    assert np.frombuffer(encoded(loud, output_format("pcm"), {}), "<i2").tolist() == [32_767, -32_768, 16_384]


def test_the_sound_is_that_of_the_engine_and_the_header_tells_its_seed(client: TestClient, model: Model) -> None:
    answer = effect(client, "wav")
    seed = int(answer.headers["x-arctone-seed"])
    direct = model.generate("rain", duration_seconds=0.5, steps=1, seed=seed)
    samples, _ = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    assert np.array_equal(samples, np.rint(direct.waveforms[0].samples.T.astype(np.float64) * 2**15))


@pytest.mark.parametrize(
    "name", ["", "aac_8000", "mp3_44100_", "mp3_96000", "wav_44100_128", "pcm_1", "opus_44100", "../x", "mp3 ", "MP3"]
)
def test_formats_that_are_not_made_are_refused_before_any_work(client: TestClient, name: str) -> None:
    assert error_of(effect(client, name), 400, "invalid_request")["message"].startswith("output_format must be")


@pytest.mark.parametrize(("influence", "scale"), [(0, 1.0), (0.15, 1.5), (0.3, 2.0), (0.65, 4.0), (1, 6.0)])
def test_prompt_influence_runs_through_the_models_own_guidance(
    client: TestClient, influence: float, scale: float
) -> None:
    """The tiny model's own scale is 2."""
    plain = effect(client, "wav", seed=5, prompt_influence=influence).content
    direct = client.post("/v1/audio/generations", json={**QUICK, "seed": 5, "cfg_scale": scale}).content
    one, two = (soundfile.read(io.BytesIO(data))[0] for data in (plain, direct))
    assert np.abs(one - two).max() < 1e-3


@pytest.mark.parametrize("influence", [-0.1, 1.1, "0.3", True])
def test_a_wrong_prompt_influence_is_refused(client: TestClient, influence: Any) -> None:
    error = error_of(effect(client, prompt_influence=influence), 400, "invalid_request")
    assert error["message"].startswith("prompt_influence must be a number from 0 to 1")


def test_prompt_influence_on_a_post_trained_model_says_that_it_does_nothing(serve: Client, model: Model) -> None:
    sampling = msgspec.structs.replace(model.config.sampling, post_trained=True, cfg_scale=1.0)
    engine = Engine(
        model.engine.backend, msgspec.structs.replace(model.config, sampling=sampling), model.engine.tokenizer
    )
    client = serve(engine)
    answer = effect(client, "wav", prompt_influence=0.9, seed=1)
    assert "prompt_influence has no effect" in answer.headers["x-arctone-warnings"]
    assert "cfg_scale" not in answer.headers["x-arctone-warnings"]
    plain = effect(client, "wav", seed=1)
    assert answer.content == plain.content


def test_prompt_influence_on_a_post_trained_model_with_its_flow_is_the_flows(
    serve: Client, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual influence is what the model has built in; any other is guidance, and made by the flow model."""
    parts, flows = model.engine.backend, []
    velocity = parts.velocity

    def noting(*arguments: Any) -> Any:
        flows.append(arguments[-1] == "flow")
        return velocity(arguments[0])

    monkeypatch.setattr(parts, "has_flow", True)
    monkeypatch.setattr(parts, "velocity", noting)
    sampling = msgspec.structs.replace(model.config.sampling, post_trained=True, cfg_scale=1.0)
    config = msgspec.structs.replace(model.config, sampling=sampling, flow_sampling=model.config.sampling)
    client = serve(Engine(parts, config, model.engine.tokenizer))
    for influence, is_flow in ((0.3, False), (0.9, True), (None, False)):
        flows.clear()
        more = {} if influence is None else {"prompt_influence": influence}
        assert effect(client, "wav", seed=1, **more).headers.get("x-arctone-warnings", "") == ""
        assert set(flows) == {is_flow}


def test_loop_and_model_id_are_taken_and_unknown_names_are_not(client: TestClient) -> None:
    assert effect(client, loop=True, model_id="tiny").status_code == 200
    error_of(effect(client, model_id="elevenlabs"), 404, "unknown_model")
    error_of(effect(client, texxt="x"), 400, "invalid_request")
    error_of(effect(client, prompt="x"), 400, "invalid_request")
    error_of(client.post("/v1/sound-generation", json={"duration_seconds": 1}), 400, "invalid_request")


def test_openai_like_orders_take_prompt_or_input(client: TestClient) -> None:
    base = {name: value for name, value in QUICK.items() if name != "prompt"} | {"seed": 9, "model": "tiny"}
    one = client.post("/v1/audio/generations", json={**base, "prompt": "rain", "response_format": "wav"})
    two = client.post("/v1/audio/generations", json={**base, "input": "rain"})
    assert one.headers["content-type"] == "audio/wav"
    assert one.content == two.content
    error_of(client.post("/v1/audio/generations", json={**base, "prompt": "a", "input": "b"}), 400, "invalid_request")
    error_of(client.post("/v1/audio/generations", json={**QUICK, "response_format": 3}), 400, "invalid_request")
    error_of(client.post("/v1/audio/generations", json={**QUICK, "variations": 2}), 400, "invalid_request")


def test_a_sound_at_once_leaves_nothing_on_disk(client: TestClient, tmp_path: Any) -> None:
    assert effect(client).status_code == 200
    assert not (tmp_path / "takes").exists()
    assert "arctone_jobs_stored 0.0" in client.get("/metrics").text


def test_a_key_gives_the_same_sound_without_making_it_again(client: TestClient, gate: Gate) -> None:
    gate.open()
    sounds = [
        client.post("/v1/audio/generations", json=QUICK, headers={"Idempotency-Key": "k"}).content for _ in range(2)
    ]
    assert sounds[0] == sounds[1]
    assert gate.passes == 1
    next_works(client)


def test_a_sound_that_takes_too_long_is_given_up(serve: Client, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    velocity = model.engine.backend.velocity

    def slow(*arguments: Any) -> Any:
        time.sleep(0.05)
        return velocity(*arguments)

    client = serve(job_timeout_seconds=0.2)
    with monkeypatch.context() as patch:
        patch.setattr(model.engine.backend, "velocity", slow)
        error_of(client.post("/v1/audio/generations", json={**QUICK, "steps": 100}), 504, "timeout")
    next_works(client)


def test_metrics_count_what_happened(client: TestClient) -> None:
    effect(client)
    effect(client, duration_seconds=-1)
    text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    route = 'method="POST",route="/v1/sound-generation"'
    assert lines[f'arctone_http_requests_total{{{route},status="200"}}'] == "1.0"
    assert lines[f'arctone_http_requests_total{{{route},status="400"}}'] == "1.0"
    assert lines['arctone_jobs_ended_total{model="tiny",state="done"}'] == "1.0"
    assert lines['arctone_audio_seconds_total{model="tiny"}'] == "0.5"
    assert lines["arctone_jobs_waiting"] == "0.0"
