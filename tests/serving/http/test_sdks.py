"""The official SDKs of ElevenLabs and OpenAI drive a real server with their typed methods."""

from __future__ import annotations

import io
from typing import Any

import elevenlabs
import numpy as np
import openai
import pytest
import soundfile

from tests.serving.http.conftest import Client


@pytest.fixture
def address(local: Any) -> str:
    _, port = local()
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def eleven(address: str) -> elevenlabs.ElevenLabs:
    return elevenlabs.ElevenLabs(base_url=address, api_key="any")


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)


def test_elevenlabs_makes_a_sound_effect_with_its_own_model_id(eleven: elevenlabs.ElevenLabs) -> None:
    data = b"".join(
        eleven.text_to_sound_effects.convert(text="rain", model_id="eleven_text_to_sound_v2", duration_seconds=0.5)
    )
    assert soundfile.info(io.BytesIO(data)).format == "MP3"


@pytest.mark.parametrize(("name", "size"), [("ulaw_8000", 4_000), ("alaw_8000", 4_000), ("pcm_16000", 32_000)])
def test_elevenlabs_gets_raw_samples_of_the_announced_rate(eleven: elevenlabs.ElevenLabs, name: Any, size: int) -> None:
    """G.711 is mono, PCM has the model's two channels of 16 bits."""
    data = b"".join(eleven.text_to_sound_effects.convert(text="rain", duration_seconds=0.5, output_format=name))
    assert len(data) == size


def test_elevenlabs_sends_nulls_and_they_mean_nothing(eleven: elevenlabs.ElevenLabs) -> None:
    nothing: Any = None
    data = b"".join(
        eleven.text_to_sound_effects.convert(
            text="rain", duration_seconds=0.5, loop=nothing, prompt_influence=nothing, model_id=nothing
        )
    )
    assert data


def test_openai_lists_and_retrieves_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list().data] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "arctone"
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.models.retrieve("tts-9")


@pytest.mark.parametrize(("name", "container"), [("mp3", "MP3"), ("wav", "WAV"), ("flac", "FLAC"), ("opus", "OGG")])
def test_openai_makes_speech_of_a_prompt(client: openai.OpenAI, name: Any, container: str) -> None:
    answer = client.audio.speech.create(
        input="rain", model="tts-1", voice="alloy", response_format=name, extra_body={"duration_seconds": 0.5}
    )
    assert soundfile.info(io.BytesIO(answer.content)).format == container
    warnings = answer.response.headers["x-arctone-warnings"]
    assert "voice has no effect." in warnings
    assert "model tts-1 is not here; tiny made the sound." in warnings


def test_openai_gets_aac(client: openai.OpenAI) -> None:
    av = pytest.importorskip("av")
    answer = client.audio.speech.create(
        input="rain", model="tiny", voice="alloy", response_format="aac", extra_body={"duration_seconds": 0.5}
    )
    with av.open(io.BytesIO(answer.content)) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        assert (file.format.name, file.streams.audio[0].rate) == ("aac", 44_100)
    samples = np.concatenate(frames, axis=1)
    assert samples.shape[1] / 44_100 == pytest.approx(0.5, abs=0.1)
    assert np.abs(samples).max() > 0.1


def test_openai_streams_to_a_file(client: openai.OpenAI, tmp_path: Any) -> None:
    with client.audio.speech.with_streaming_response.create(
        input="rain", model="tiny", voice="alloy", response_format="wav", extra_body={"duration_seconds": 0.5}
    ) as answer:
        answer.stream_to_file(tmp_path / "rain.wav")
    assert soundfile.info(tmp_path / "rain.wav").frames == 22_050


@pytest.mark.parametrize("refused", [{"speed": 2.0}, {"response_format": "x"}, {"stream_format": "sse"}])
def test_openai_is_refused_in_words(client: openai.OpenAI, refused: Any) -> None:
    with pytest.raises(openai.BadRequestError) as found:
        client.audio.speech.create(**{"input": "rain", "model": "tiny", "voice": "alloy", **refused})
    assert next(iter(refused)) in str(found.value)


def test_a_browser_may_send_the_headers_of_an_sdk(serve: Client) -> None:
    origin = "https://app.example"
    client = serve(cors_origins=[origin])
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang,x-stainless-os",
    }
    answer = client.options("/v1/audio/speech", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == origin
    assert "x-stainless-lang" in answer.headers["access-control-allow-headers"]
    assert client.options("/v1/audio/speech", headers={**headers, "Origin": "https://evil.example"}).status_code == 400


def test_seeds_of_other_programs(serve: Client) -> None:
    client = serve()
    quick = {"prompt": "rain", "duration_seconds": 0.5, "steps": 1, "response_format": "wav"}

    def sound(seed: int) -> Any:
        return client.post("/v1/audio/generations", json={**quick, "seed": seed})

    assert 0 <= int(sound(-1).headers["x-arctone-seed"]) < 2**32
    large = sound(2**64 - 1)
    assert large.headers["x-arctone-seed"] == str(2**63 - 1)
    assert "18446744073709551615 is above" in large.headers["x-arctone-warnings"]
    assert large.content == sound(2**63 - 1).content


def test_the_api_page_loads_nothing_from_elsewhere(serve: Client) -> None:
    client = serve(token="a-token-of-some-length")
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert client.get("/static/js/docs.js").status_code == 200
