"""What comes in too much, too long or forged is refused early, and the server goes on."""

from __future__ import annotations

import gzip
import io
import json
import struct
import time
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from arctone.audio import formats as ogg
from arctone.audio.waveform import Waveform
from arctone.errors import TooLongError
from arctone.inference.engine import Model
from arctone.inference.source import open_source
from arctone.serving.http.formats import Limits
from arctone.serving.http.uploads import read_shape, read_upload
from tests.serving.http.conftest import QUICK, Client, Gate, error_of, finished, next_works, order, sound_file, upload
from tests.serving.http.sockets import raw


def test_a_full_line_says_when_to_come_again_and_empties(serve: Client, gate: Gate) -> None:
    client = serve(max_queue=2)
    running = order(client)
    gate.arrive()
    waiting = [order(client) for _ in range(2)]
    for address, body in (
        ("/v1/jobs", QUICK),
        ("/v1/audio/generations", QUICK),
        ("/v1/sound-generation", {"text": "rain"}),
    ):
        answer = client.post(address, json=body)
        error_of(answer, 429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
    gate.open()
    assert [finished(client, job)["state"] for job in (running, *waiting)] == ["done"] * 3
    next_works(client)


def test_a_full_queue_is_reported_before_the_upload_is_read(serve: Client, gate: Gate) -> None:
    client = serve(max_queue=1)
    order(client)
    gate.arrive()
    order(client)
    error_of(upload(client, b"never decoded"), 429, "queue_full")


def test_uploads_that_wait_fit_a_bounded_memory(serve: Client, gate: Gate) -> None:
    client = serve(max_waiting_audio_bytes=900_000)  # two seconds of stereo floats are 705,600 bytes
    order(client)
    gate.arrive()
    first = upload(client, sound_file(2.0), init_noise_level=0.5)
    assert first.status_code == 202
    second = upload(client, sound_file(2.0), init_noise_level=0.5)
    error_of(second, 429, "queue_full")
    assert "retry-after" in second.headers
    client.delete(f"/v1/jobs/{first.json()['id']}")
    assert upload(client, sound_file(2.0), init_noise_level=0.5).status_code == 202


@pytest.mark.parametrize(("size", "status"), [(99_990, 400), (200_000_000, 413)])
def test_an_announced_body_beyond_the_limit_is_not_even_read(serve: Client, size: int, status: int) -> None:
    client = serve(max_body_bytes=100_000, max_json_bytes=100_000)
    answer = client.post(
        "/v1/jobs", content=b"{", headers={"Content-Type": "application/json", "Content-Length": str(size)}
    )
    assert answer.status_code == status
    next_works(client)


def test_a_body_that_does_not_say_its_length_is_counted(serve: Client) -> None:
    client = serve(max_body_bytes=100_000)
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 10_000_000:
            sent += 10_000
            yield b"x" * 10_000

    error_of(client.post("/v1/records", content=endless()), 413, "too_large")
    next_works(client)


def test_json_has_a_limit_of_its_own(client: TestClient) -> None:
    at = {**QUICK, "prompt": "x" * 2000}
    assert client.post("/v1/jobs", json=at).status_code == 202
    padded = json.dumps(QUICK).encode() + b" " * 2**16
    answer = client.post("/v1/jobs", content=padded, headers={"Content-Type": "application/json"})
    error_of(answer, 413, "too_large")


def test_compressed_bodies_are_not_unpacked(client: TestClient) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    error_of(client.post("/v1/jobs", content=bomb, headers=headers), 415, "unsupported_encoding")
    next_works(client)


def test_another_type_of_body_is_refused(client: TestClient) -> None:
    error_of(
        client.post("/v1/jobs", content=b"prompt=rain", headers={"Content-Type": "text/plain"}),
        415,
        "unsupported_media_type",
    )


def test_a_small_file_of_days_is_refused_after_seconds_of_it(client: TestClient) -> None:
    """25 MB of Opus packets that say "silence" last eleven days; nothing beyond the limit is decoded."""
    bomb = opus_bomb(25_000_000)
    announced = soundfile.info(io.BytesIO(bomb)).duration
    assert announced > 200 * 3600
    began = time.perf_counter()
    with pytest.raises(TooLongError, match="at most 300 are read"):
        read_shape(io.BytesIO(bomb), Limits())
    assert time.perf_counter() - began < 5
    error_of(upload(client, bomb[:2_000_000], init_noise_level=0.5), 413, "too_large")
    next_works(client)


def test_a_long_upload_is_refused_and_the_next_works(serve: Client) -> None:
    client = serve(max_audio_seconds=2.0)
    error_of(upload(client, sound_file(2.1), init_noise_level=0.5), 413, "too_large")
    assert upload(client, sound_file(2.0), init_noise_level=0.5).status_code == 202
    next_works(client)


@pytest.mark.parametrize("rate", [1, 3_999, 384_001, 4_000_000_000])
def test_a_forged_sample_rate_is_refused(client: TestClient, rate: int) -> None:
    forged = bytearray(sound_file(0.5))
    struct.pack_into("<II", forged, 24, rate, min(4 * rate, 2**32 - 1))
    error_of(upload(client, bytes(forged), init_noise_level=0.5), 422, "invalid_audio")
    next_works(client)


def test_a_forged_length_allocates_nothing(client: TestClient) -> None:
    forged = bytearray(sound_file(0.5))
    at = forged.index(b"data") + 4
    struct.pack_into("<I", forged, at, 2**31)
    answer = upload(client, bytes(forged), init_noise_level=0.0)
    assert answer.status_code == 422, answer.text
    next_works(client)


@pytest.mark.parametrize(
    "audio",
    [
        b"",
        b"this is no sound " * 100,
        sound_file(0.5)[:30],
        sound_file(0.5, channels=9),
        sound_file(0.5, rate=3_999),
        b"RIFF\x00\x00\x00\x00WAVE",
    ],
)
def test_what_is_no_usable_sound_is_refused(client: TestClient, audio: bytes) -> None:
    error = error_of(upload(client, audio, init_noise_level=0.5), 422, "invalid_audio")
    assert error["parameter"] == "audio"
    next_works(client)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


@pytest.mark.parametrize(
    "audio",
    [
        cut(sound_file(2.0)),
        cut(sound_file(2.0, format="FLAC")),
        cut(sound_file(2.0, format="OGG")),
        cut(sound_file(2.0, format="OGG", subtype="OPUS", rate=48_000)),
        cut(sound_file(2.0, format="AIFF")),
        cut(sound_file(2.0, format="MP3")),
    ],
    ids=["wav", "flac", "ogg", "opus", "aiff", "mp3"],
)
def test_a_file_that_is_cut_off_is_refused(client: TestClient, audio: bytes) -> None:
    error = error_of(upload(client, audio, init_noise_level=0.5), 422, "invalid_audio")
    assert error["parameter"] == "audio"


@pytest.mark.parametrize(
    ("rate", "channels"), [(44_100, 2), (44_100, 1), (48_000, 2), (22_050, 1), (8_000, 2), (48_000, 5)]
)
def test_an_upload_is_the_source_that_the_command_line_opens(model: Model, rate: int, channels: int) -> None:
    """Resampled while it is decoded, but with the same samples and the same hash of the file's own samples."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (round(2.3 * rate), channels))
    buffer = io.BytesIO()
    soundfile.write(buffer, noise, rate, format="FLAC")
    shape = read_shape(buffer, Limits())
    found = read_upload(buffer, shape, model.config)
    buffer.seek(0)
    samples, _ = soundfile.read(buffer, dtype="float32", always_2d=True)
    expected = open_source(Waveform(samples.T, rate), "", model.config)
    assert found.record == expected.record
    assert found.waveform.samples.shape == expected.waveform.samples.shape
    assert np.abs(found.waveform.samples - expected.waveform.samples).max() < 1e-6
    assert shape.num_bytes(model.config) >= found.waveform.samples.nbytes


def test_an_upload_beyond_the_memory_is_refused_before_it_is_decoded(
    serve: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(max_waiting_audio_bytes=900_000)
    service = client.app.state.service  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr("arctone.serving.http.service.read_upload", lambda *_: pytest.fail("it was decoded"))
        error_of(upload(client, sound_file(3.0, rate=8_000), init_noise_level=0.5), 429, "queue_full")
    error_of(upload(client, sound_file(1.0), init_noise_level=0.5, steps=0), 400, "invalid_request")
    error_of(upload(client, np.zeros(80_000, np.int16).tobytes(), init_noise_level=0.5), 422, "invalid_audio")
    finished(client, upload(client, sound_file(1.0), init_noise_level=0.5).json())
    assert service.memory.num_bytes == 0


def test_a_body_that_trickles_holds_up_no_other(local: Any) -> None:
    """A body holds nothing that another needs while it arrives."""
    client, port = local(body_timeout_seconds=5.0)
    head = b"POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
    slow = [raw(port, head + b"RIFF") for _ in range(12)]
    error_of(client.post("/v1/records", content=b"no sound", timeout=3), 422, "invalid_audio")
    assert upload(client, sound_file(0.5), init_noise_level=0.5).status_code == 202
    for one in slow:
        one.close()


def test_bodies_of_all_requests_together_are_bounded(local: Any) -> None:
    client, port = local(max_arriving_bytes=300_000)
    head = b"POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n\r\n"
    slow = raw(port, head + b"x" * 250_000)
    time.sleep(0.3)
    error_of(client.post("/v1/records", content=b"x" * 100_000), 503, "too_many_bytes")
    slow.close()
    time.sleep(0.3)
    error_of(client.post("/v1/records", content=b"x" * 100_000), 422, "invalid_audio")


def test_silence_and_values_that_are_no_numbers_are_refused(client: TestClient) -> None:
    for samples in (np.zeros((22_050, 2), np.float32), np.full((22_050, 2), np.nan, np.float32)):
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, 44_100, format="WAV", subtype="FLOAT")
        error_of(upload(client, buffer.getvalue(), init_noise_level=0.5), 422, "invalid_audio")


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"request": json.dumps(QUICK), "url": "http://example.org/x.wav"}, "files": {"audio": b"x"}},
        {"data": {"request": json.dumps(QUICK), "audio": "/etc/passwd"}, "files": {"x": b""}},
        {"files": {"audio": ("x.wav", b"x")}},
        {"data": {"request": "{"}, "files": {"audio": ("x.wav", b"x")}},
    ],
)
def test_forms_hold_a_request_and_a_file_and_nothing_else(client: TestClient, form: dict[str, Any]) -> None:
    answer = client.post("/v1/jobs", **form)
    assert answer.status_code == 400, answer.text
    next_works(client)


def test_a_broken_form_is_refused(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"garbage"):
        answer = client.post("/v1/jobs", content=body, headers=headers)
        assert answer.status_code == 400, (body, answer.text)
    headers = {"Content-Type": "multipart/form-data"}
    assert client.post("/v1/jobs", content=b"x", headers=headers).status_code == 400


def test_many_ranges_get_the_whole_file(client: TestClient) -> None:
    job = order(client)
    finished(client, job)
    address = f"/v1/jobs/{job['id']}/takes/0"
    many = "bytes=" + ",".join(f"{n}-{n + 1}" for n in range(0, 4000, 4))
    answer = client.get(address, headers={"Range": many})
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["content-length"])
    overlapping = "bytes=" + ",".join(["0-"] * 1000)
    assert client.get(address, headers={"Range": overlapping}).status_code == 200
    few = client.get(address, headers={"Range": "bytes=0-,0-,0-"})
    assert len(few.content) < len(answer.content) + 1000
    for broken in ("bytes=", "bytes=b-a", "bytes=9-1", "lines=1-2", "bytes=-0", f"bytes={9**99}-", f"bytes=0-{9**99}"):
        answer = client.get(address, headers={"Range": broken})
        assert answer.status_code in (200, 206, 400, 416), broken
    next_works(client)


@pytest.mark.parametrize("index", ["1", "-1", "0x0", "99999999999999999999", "..%2f..", "²"])
def test_a_take_that_is_not_there_is_not_found(client: TestClient, index: str) -> None:
    job = order(client)
    finished(client, job)
    assert client.get(f"/v1/jobs/{job['id']}/takes/{index}").status_code == 404


def test_an_unknown_format_is_refused_with_the_known_ones(client: TestClient) -> None:
    job = order(client)
    finished(client, job)
    for name in ("exe", "../wav", ""):
        error = error_of(client.get(f"/v1/jobs/{job['id']}/takes/0", params={"format": name}), 400, "invalid_request")
        assert "wav, flac, ogg, opus, mp3" in error["message"]


def opus_bomb(size: int) -> bytes:
    """An Ogg Opus file (RFC 7845) of packets of two bytes that stand for 120 ms of silence each."""
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 0, 48_000, 0, 0)
    tags = struct.pack("<8sI4sI", b"OpusTags", 4, b"bomb", 0)
    silence = bytes([3 << 3 | 3, 2])  # 60 ms of narrow band, two such frames, both empty (RFC 6716, 3.2.5)
    pages = [ogg_page([head], 0, 0, 2), ogg_page([tags], 0, 1, 0)]
    per_page = 255
    length = len(ogg_page([silence] * per_page, 0, 0, 0))
    num_pages = size // length
    for number in range(num_pages):
        granule = (number + 1) * per_page * 5_760
        pages.append(ogg_page([silence] * per_page, granule, number + 2, 4 if number + 1 == num_pages else 0))
    return b"".join(pages)


def ogg_page(packets: list[bytes], granule: int, number: int, flags: int) -> bytes:
    table = bytes(len(packet) for packet in packets)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 1, number, 0, len(table))
    page = bytearray(head + table + b"".join(packets))
    struct.pack_into("<I", page, 22, ogg._checksum(bytes(page)))
    return bytes(page)
