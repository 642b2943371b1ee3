"""The life of a job: ordered, watched, fetched, cancelled, forgotten."""

from __future__ import annotations

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from arctone.audio.files import encode_audio
from arctone.inference.engine import Model
from tests.serving.http.conftest import (
    QUICK,
    Client,
    Gate,
    error_of,
    finished,
    next_works,
    order,
    sound_file,
    take_of,
    upload,
)


def events(client: TestClient, job: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        blocks = "".join(stream.iter_text()).strip().split("\n\n")
    found = []
    for block in blocks:
        if not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_take_is_the_very_file_that_the_command_line_writes(client: TestClient, model: Model) -> None:
    job = order(client, seed=7, steps=3, variations=2)
    direct = model.generate(**{**QUICK, "seed": 7, "steps": 3, "variations": 2})
    for index in range(2):
        expected = encode_audio(direct.waveforms[index], metadata=direct.to_metadata(index))
        assert take_of(client, job, index) == expected


def test_diverse_takes_come_with_their_seeds_and_the_candidates(client: TestClient, model: Model) -> None:
    job = order(client, seed=7, variations=2, diverse=True)
    result = finished(client, job)["result"]
    seeds = [take["seed"] for take in result["takes"]]
    assert result["selection"] == {"num_candidates": 8, "first_seed": 7, "kept": seeds}
    direct = model.generate(**{**QUICK, "seed": 7, "variations": 2, "diverse": True})
    assert take_of(client, job, 1) == encode_audio(direct.waveforms[1], metadata=direct.to_metadata(1))
    assert finished(client, order(client, seed=7, variations=2))["result"]["selection"] is None


def test_the_job_tells_how_it_was_made(client: TestClient, model: Model) -> None:
    done = finished(client, order(client, seed=7, variations=2))
    result = done["result"]
    assert (result["model_name"], result["model_hash"]) == ("tiny", model.engine.model_hash)
    assert [take["seed"] for take in result["takes"]] == [7, 8]
    assert [take["num_samples"] for take in result["takes"]] == [22_050, 22_050]
    assert result["takes"][1]["audio_url"] == f"/v1/jobs/{done['id']}/takes/1"
    assert result["timings_ms"]["total"] > 0
    assert done["request"]["model"] == "tiny"
    assert "threads" not in done["request"]


def test_a_drawn_seed_is_known_at_once_and_makes_the_sound_again(client: TestClient) -> None:
    job = order(client)
    again = order(client, seed=job["request"]["seed"])
    assert take_of(client, job) == take_of(client, again)


def test_events_tell_every_step_and_end_with_the_job(
    client: TestClient, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    velocity = model.engine.backend.velocity

    def slow(*arguments: Any) -> Any:
        time.sleep(0.1)  # what changes faster than a client reads is sent as its newest state only
        return velocity(*arguments)

    monkeypatch.setattr(model.engine.backend, "velocity", slow)
    job = order(client, steps=3)
    reported = events(client, job)
    assert reported[-1][0] == "done"
    assert len(reported[-1][1]["result"]["takes"]) == 1
    progress = [data["progress"] for name, data in reported if name == "progress"]
    steps = [one["step"] for one in progress if one["stage"] == "sampling"]
    assert steps[:3] == [0, 1, 2]
    assert events(client, job) == [reported[-1]]


def test_waiting_jobs_know_their_place_and_move_up(client: TestClient, gate: Gate) -> None:
    jobs = [order(client) for _ in range(3)]
    gate.arrive()
    places = [client.get(f"/v1/jobs/{job['id']}").json()["position"] for job in jobs]
    assert places == [None, 0, 1]
    client.delete(f"/v1/jobs/{jobs[1]['id']}")
    assert client.get(f"/v1/jobs/{jobs[2]['id']}").json()["position"] == 0
    gate.open()
    assert finished(client, jobs[2])["state"] == "done"


def test_once_something_was_learnt_a_job_knows_about_when(client: TestClient, gate: Gate) -> None:
    assert order(client, steps=1)["eta_seconds"] is None
    gate.open()
    finished(client, order(client))
    short, long = order(client, steps=1), order(client, steps=100)
    assert 0 < short["eta_seconds"] < long["eta_seconds"]


def test_a_running_job_is_cancelled_within_one_step(client: TestClient, gate: Gate) -> None:
    job = order(client, steps=100)
    gate.arrive()
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 200
    gate.step()
    done = finished(client, job)
    assert (done["state"], done["error"]["type"], done["result"]) == ("cancelled", "cancelled", None)
    assert gate.passes == 1
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/0"), 409, "not_done")
    gate.open()
    next_works(client)


def test_finished_sounds_can_be_fetched_while_the_others_are_made(client: TestClient, gate: Gate) -> None:
    job = order(client, variations=3, seed=7)
    assert job["result"] is None
    gate.arrive()
    gate.step()
    gate.arrive()
    now = client.get(f"/v1/jobs/{job['id']}").json()
    assert now["state"] == "running"
    assert [take["seed"] for take in now["result"]["takes"]] == [7]
    first = client.get(f"/v1/jobs/{job['id']}/takes/0").content
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/1"), 409, "not_done")
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/3"), 404, "not_found")
    gate.open()
    done = finished(client, job)
    assert [(take["index"], take["seed"]) for take in done["result"]["takes"]] == [(0, 7), (1, 8), (2, 9)]
    assert take_of(client, job) == first == take_of(client, order(client, seed=7))


def test_a_cancelled_job_keeps_the_sounds_that_are_finished(client: TestClient, gate: Gate) -> None:
    job = order(client, variations=3, seed=7)
    gate.arrive()
    gate.step()
    gate.arrive()
    client.delete(f"/v1/jobs/{job['id']}")
    gate.open()
    done = finished(client, job)
    assert (done["state"], done["error"]["message"]) == (
        "cancelled",
        "the generation was cancelled; its first sound is kept.",
    )
    assert len(done["result"]["takes"]) == 1
    assert client.get(f"/v1/jobs/{job['id']}/takes/0").status_code == 200
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/1"), 409, "not_done")


def test_a_waiting_job_is_cancelled_at_once_and_never_begins(client: TestClient, gate: Gate) -> None:
    running, waiting = order(client), order(client, prompt="thunder")
    gate.arrive()
    assert client.delete(f"/v1/jobs/{waiting['id']}").json()["state"] == "cancelled"
    gate.open()
    assert finished(client, running)["state"] == "done"
    assert client.get(f"/v1/jobs/{waiting['id']}").json()["state"] == "cancelled"
    assert gate.passes == 1


def test_a_finished_job_is_forgotten_with_its_takes(client: TestClient, tmp_path: Any) -> None:
    job = order(client)
    take_of(client, job)
    assert len(list((tmp_path / "takes").rglob("0.*"))) == 2
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    error_of(client.get(f"/v1/jobs/{job['id']}"), 404, "not_found")
    assert [path for path in (tmp_path / "takes").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("format", "media_type", "container"),
    [
        ("wav", "audio/wav", "WAV"),
        ("flac", "audio/flac", "FLAC"),
        ("mp3", "audio/mpeg", "MP3"),
        ("ogg", "audio/ogg", "OGG"),
        ("opus", "audio/ogg", "OGG"),
    ],
)
def test_every_format_holds_the_sound_and_its_record(
    client: TestClient, format: str, media_type: str, container: str
) -> None:
    job = order(client, prompt="Rain on a tin roof!", seed=3)
    data = take_of(client, job, 0, format)
    answer = client.get(f"/v1/jobs/{job['id']}/takes/0", params={"format": format})
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="rain-on-a-tin-roof-3.{format}"'
    info = soundfile.info(io.BytesIO(data))
    assert info.format == container
    assert info.duration == pytest.approx(0.5, abs=0.1)
    record = client.post("/v1/records", content=data).json()["record"]
    assert (record["prompt"], record["seed"], record["model"]) == ("Rain on a tin roof!", 3, "tiny")


def test_takes_fetched_at_once_in_every_format_do_not_disturb_each_other(client: TestClient) -> None:
    """Each format is written at its first use, next to the others, which are counted meanwhile."""
    job = order(client, **QUICK, variations=4)
    finished(client, job)
    wanted = [(index, format) for index in range(4) for format in ("wav", "flac", "ogg", "mp3", "opus")]
    with ThreadPoolExecutor(10) as pool:
        answers = [
            pool.submit(client.get, f"/v1/jobs/{job['id']}/takes/{index}?format={format}") for index, format in wanted
        ]
        assert [answer.result().status_code for answer in answers] == [200] * len(wanted)


def test_a_record_orders_the_same_sound_again(client: TestClient) -> None:
    first = take_of(client, order(client, variations=3), 2)
    answer = client.post("/v1/records", files={"audio": ("take.wav", first)})
    record = answer.json()["record"]
    fields = {name: value for name, value in record.items() if name not in ("model_hash", "version", "engine")}
    assert take_of(client, order(client, **fields)) == first


def test_files_without_a_record_are_distinguished(client: TestClient) -> None:
    error_of(client.post("/v1/records", content=sound_file()), 422, "no_record")
    error = error_of(client.post("/v1/records", content=b"no sound at all"), 422, "invalid_audio")
    assert "/" not in error["message"]


def test_ranges_are_parts_of_the_file(client: TestClient) -> None:
    job = order(client, seed=1)
    whole = take_of(client, job)
    address = f"/v1/jobs/{job['id']}/takes/0"
    for header, part in (
        ("bytes=0-99", whole[:100]),
        ("bytes=100-", whole[100:]),
        ("bytes=-50", whole[-50:]),
        ("bytes=5-99999999", whole[5:]),
    ):
        answer = client.get(address, headers={"Range": header})
        assert (answer.status_code, answer.content) == (206, part), header
    assert client.get(address, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    assert client.head(address).headers["content-length"] == str(len(whole))


def test_an_uploaded_sound_is_edited(client: TestClient, model: Model) -> None:
    audio = sound_file(1.0)
    answer = upload(client, audio, init_noise_level=0.0, seed=1)
    assert answer.status_code == 202, answer.text
    given, _ = soundfile.read(io.BytesIO(audio))
    kept, _ = soundfile.read(io.BytesIO(take_of(client, answer.json())))
    assert np.abs(kept - given).max() < 2 / 2**15
    changed, _ = soundfile.read(io.BytesIO(take_of(client, upload(client, audio, init_noise_level=0.9, seed=1).json())))
    assert len(changed) == len(given)
    assert np.abs(changed - given).max() > 0.05


def test_inpainting_changes_its_region_only(client: TestClient) -> None:
    audio = sound_file(1.0)
    answer = upload(client, audio, inpaint=["0.4:0.6"], seed=1)
    given, _ = soundfile.read(io.BytesIO(audio))
    made, _ = soundfile.read(io.BytesIO(take_of(client, answer.json())))
    differs = np.flatnonzero(np.abs(made - given).max(axis=1) > 2 / 2**15)
    assert differs.min() >= round(0.4 * 44_100)
    assert differs.max() < round(0.6 * 44_100)


def test_editing_without_a_sound_is_refused_by_name(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json={**QUICK, "init_noise_level": 0.5})
    assert error_of(answer, 400, "invalid_request")["parameter"] == "init_noise_level"


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"steps": 0}, "steps"),
        ({"steps": True}, "steps"),
        ({"duration_seconds": -1}, "duration_seconds"),
        ({"sampler": "magic"}, "sampler"),
        ({"seed": 2**64}, "seed"),
        ({"seed": -2}, "seed"),
        ({"bpm": "fast"}, "bpm"),
        ({"threads": 4}, "threads"),
        ({"variations": 17}, "variations"),
        ({"duration_seconds": 100, "variations": 7}, "duration_seconds"),
    ],
)
def test_wrong_values_are_refused_by_name(client: TestClient, change: dict[str, Any], parameter: str) -> None:
    answer = client.post("/v1/jobs", json={**QUICK, **change})
    error = error_of(answer, 400, "invalid_request")
    assert error["parameter"] == parameter, error
    next_works(client)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"prompt": "\xff"}', b"[" * 20_000])
def test_what_is_no_json_object_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    error_of(answer, 400, "invalid_json")


def test_an_unknown_field_is_refused_with_the_nearest_known(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json={**QUICK, "stepps": 3})
    error = error_of(answer, 400, "invalid_request")
    assert error["parameter"] == "stepps"
    assert error["message"].endswith("did you mean steps?")


def test_an_unknown_model_is_refused_with_the_known_ones(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json={**QUICK, "model": "../tiny"})
    error = error_of(answer, 404, "unknown_model")
    assert error["message"] == "model must be one of tiny."


def test_a_key_carries_an_order_out_once(client: TestClient, gate: Gate) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = client.post("/v1/jobs", json=QUICK, headers=key)
    again = client.post("/v1/jobs", json=QUICK, headers=key)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    other = client.post("/v1/jobs", json={**QUICK, "steps": 2}, headers=key)
    error_of(other, 422, "key_reused")
    gate.open()
    finished(client, first.json())
    assert gate.passes == 1


def test_a_key_whose_order_failed_or_was_forgotten_is_free_again(client: TestClient) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = client.post("/v1/jobs", json=QUICK, headers=key).json()
    finished(client, first)
    client.delete(f"/v1/jobs/{first['id']}")
    assert client.post("/v1/jobs", json=QUICK, headers=key).json()["id"] != first["id"]


def test_jobs_are_kept_for_their_time_and_number_only(serve: Client) -> None:
    client = serve(retention_jobs=2)
    jobs = [order(client, seed=seed) for seed in range(4)]
    for job in jobs[2:]:
        take_of(client, job)
    for job in jobs[:2]:
        error_of(client.get(f"/v1/jobs/{job['id']}"), 404, "not_found")


def test_takes_are_kept_within_their_bytes(serve: Client, tmp_path: Any) -> None:
    client = serve(retention_bytes=400_000)  # two takes of 176,400 bytes
    jobs = [order(client, seed=seed) for seed in range(4)]
    finished(client, jobs[-1])
    sizes = [path.stat().st_size for path in (tmp_path / "takes").rglob("*.f32")]
    assert sizes == [176_400] * 2
    error_of(client.get(f"/v1/jobs/{jobs[0]['id']}"), 404, "not_found")
    take_of(client, jobs[-1])


def test_a_job_that_is_too_large_alone_is_kept_until_the_next(serve: Client) -> None:
    client = serve(retention_bytes=100_000)
    job = order(client)
    take_of(client, job)
    take_of(client, order(client))
    error_of(client.get(f"/v1/jobs/{job['id']}"), 404, "not_found")


def test_old_takes_go_by_themselves(serve: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("arctone.serving.http.service._TIDY_SECONDS", 0.05)
    client = serve(retention_seconds=0.3)
    job = order(client)
    take_of(client, job)
    time.sleep(0.6)
    error_of(client.get(f"/v1/jobs/{job['id']}"), 404, "not_found")
    assert [path for path in (tmp_path / "takes").rglob("*") if path.is_file()] == []


def test_a_job_that_takes_too_long_is_stopped_and_says_so(serve: Client, gate: Gate) -> None:
    client = serve(job_timeout_seconds=0.2)
    job = order(client, steps=100)
    gate.arrive()
    time.sleep(0.3)
    gate.step()
    done = finished(client, job)
    assert (done["state"], done["error"]["type"]) == ("failed", "timeout")
    assert gate.passes == 1
    gate.open()
    next_works(client)


def test_models_tell_limits_and_fields(serve: Client) -> None:
    (model,) = serve(max_steps=50, max_duration_seconds=20).get("/v1/models").json()["models"]
    assert (model["name"], model["is_default"], model["sample_rate"], model["channels"]) == ("tiny", True, 44_100, 2)
    assert (model["window_seconds"], model["max_duration_seconds"]) == (2.97, 20)
    assert model["capabilities"] == ["generate", "init", "inpaint", "extend", "loop"]
    assert model["defaults"] == {"duration_seconds": 1.0, "steps": 4, "cfg_scale": 2.0, "sampler": "euler"}
    fields = {field["name"]: field for field in model["fields"]}
    assert "threads" not in fields
    assert (fields["steps"]["maximum"], fields["duration_seconds"]["maximum"]) == (50, 20)
    assert (fields["sampler"]["kind"], fields["inpaint"]["kind"], fields["loop"]["kind"]) == (
        "choice",
        "regions",
        "boolean",
    )


def test_the_output_folder_gets_every_take_with_its_record_and_keeps_it(serve: Client, tmp_path: Any) -> None:
    folder = tmp_path / "drop"
    client = serve(output_folder=folder)
    job = order(client, seed=4, variations=2)
    first = take_of(client, job)
    take_of(client, order(client, seed=4, steps=2))
    client.delete(f"/v1/jobs/{job['id']}")
    assert sorted(path.name for path in folder.iterdir()) == ["rain-4-2.wav", "rain-4.wav", "rain-5.wav"]
    assert (folder / "rain-4.wav").read_bytes() == first


def test_an_estimate_tells_steps_and_length_and_after_a_job_also_seconds(client: TestClient) -> None:
    body = {"request": {**QUICK, "steps": 3, "variations": 2}}
    assert client.post("/v1/estimates", json=body).json() == {"steps": 3, "duration_seconds": 0.5, "seconds": None}
    finished(client, order(client))
    assert client.post("/v1/estimates", json=body).json()["seconds"] >= 0
    edit = {"request": {"prompt": "rain", "extend": True}, "source_seconds": 1.0}
    assert client.post("/v1/estimates", json=edit).json()["duration_seconds"] == 2.0
    error_of(client.post("/v1/estimates", json={"request": {**QUICK, "steps": 0}}), 400, "invalid_request")
    error_of(client.post("/v1/estimates", json={**body, "source_seconds": -1}), 400, "invalid_request")
