"""What breaks beneath a running server, and that the next request works."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from starlette.testclient import TestClient

from arctone.errors import ModelError, UsageError
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


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB, where mounting is allowed; a take of half a second needs 176 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root on Linux")
    how = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(how, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_fails_the_job_in_words_and_leaves_nothing(serve: Client, tiny_disk: Path) -> None:
    client = serve(folder=tiny_disk)
    failed = finished(client, order(client, variations=3))
    assert (failed["state"], failed["error"]["type"]) == ("failed", "storage_error")
    assert "disk" not in failed["error"]["message"].split("/")
    assert files_in(tiny_disk) == []
    job = order(client)
    assert finished(client, job)["state"] == "done"
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/0?format=wav"), 507, "storage_error")
    client.delete(f"/v1/jobs/{job['id']}")
    assert client.post("/v1/audio/generations", json=QUICK).status_code == 200


def test_an_upload_that_does_not_fit_the_disk_is_refused_in_words(
    client: TestClient, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tiny_disk))
        error_of(upload(client, sound_file(10.0), init_noise_level=0.5), 507, "storage_error")
        error_of(client.post("/v1/records", content=sound_file(10.0)), 507, "storage_error")
    assert files_in(tiny_disk) == []
    next_works(client)


def test_a_disk_that_fails_while_writing_is_the_same(
    serve: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = serve()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("arctone.files.atomic.os.fsync", full)
        failed = finished(client, order(client))
        assert failed["error"]["type"] == "storage_error"
        assert client.post("/v1/audio/generations", json=QUICK).status_code == 200
    assert files_in(tmp_path / "takes") == []
    next_works(client)


def test_a_read_only_folder_is_the_same(serve: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "takes"
    client = serve(folder=folder)
    next_works(client)
    with read_only(next(folder.iterdir()), monkeypatch):
        assert finished(client, order(client))["error"]["type"] == "storage_error"
    next_works(client)


def test_a_deleted_folder_is_made_again_and_its_takes_are_gone(serve: Client, tmp_path: Path) -> None:
    client = serve()
    job = order(client)
    take_of(client, job)
    shutil.rmtree(tmp_path / "takes")
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/0"), 404, "not_found")
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/0?format=mp3"), 404, "not_found")
    next_works(client)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "takes").iterdir()] == [0o700]


def test_a_link_among_the_takes_is_neither_served_nor_written_through(serve: Client, tmp_path: Path) -> None:
    client = serve()
    job = order(client)
    take_of(client, job)
    secret = tmp_path / "secret"
    secret.write_bytes(b"private")
    folder = next((tmp_path / "takes").rglob("0.f32")).parent
    (folder / "0.flac").symlink_to(secret)
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/0?format=flac"), 404, "not_found")
    (folder / "0.f32").unlink()
    (folder / "0.f32").symlink_to(secret)
    error_of(client.get(f"/v1/jobs/{job['id']}/takes/0?format=mp3"), 404, "not_found")
    assert secret.read_bytes() == b"private"
    next_works(client)


def test_jobs_of_one_prompt_and_seed_at_once_all_reach_the_output_folder(serve: Client, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    client = serve(output_folder=folder)
    jobs = [order(client, seed=7) for _ in range(6)]
    assert all(finished(client, job)["state"] == "done" for job in jobs)
    assert len(list(folder.glob("*.wav"))) == 6


def test_an_output_folder_that_is_deleted_or_read_only_costs_a_warning_not_the_sound(
    serve: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "drop"
    client = serve(output_folder=folder)
    shutil.rmtree(folder)
    done = finished(client, order(client))
    assert done["state"] == "done"
    assert done["result"]["warnings"] == ["the take could not be written to the server's output folder."]
    folder.mkdir()
    with read_only(folder, monkeypatch):
        assert len(finished(client, order(client))["result"]["warnings"]) == 1
    assert finished(client, order(client))["result"]["warnings"] == []
    next_works(client)


def test_an_output_folder_that_cannot_be_is_refused_at_the_start(serve: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"output_folder .* cannot be used"):
        serve(output_folder=tmp_path / "file" / "below")


@pytest.mark.parametrize("part", ["encode_text", "velocity", "decode"])
@pytest.mark.parametrize(
    "problem", [RuntimeError("secret /path"), MemoryError(), ModelError("secret /path"), SystemExit(3), StopIteration()]
)
def test_a_worker_that_crashes_takes_nobody_with_it(
    client: TestClient, model: Model, monkeypatch: pytest.MonkeyPatch, part: str, problem: BaseException
) -> None:
    def crash(*_: Any) -> None:
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(model.engine.backend, part, crash)
        failed = finished(client, order(client))
        assert failed["state"] == "failed"
        assert failed["error"]["type"] in ("internal_error", "model_error", "too_large")
        assert "secret" not in str(failed)
        answer = client.post("/v1/audio/generations", json=QUICK)
        assert answer.status_code in (500, 413)
        assert "secret" not in answer.text
    assert client.get("/ready").status_code == 200
    next_works(client)


def test_a_crash_in_a_batch_spares_the_others(serve: Client, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = model.engine.backend.decode

    def sometimes(latents: Any, seed: int) -> Any:
        if seed == 2:
            raise RuntimeError("crash")
        return decode(latents, seed)

    monkeypatch.setattr(model.engine.backend, "decode", sometimes)
    client = serve(max_batch=3)
    jobs = [order(client, seed=seed, steps=3) for seed in (1, 2, 3)]
    assert [finished(client, job)["state"] for job in jobs] == ["done", "failed", "done"]


def test_a_worker_that_is_lost_makes_the_server_not_ready(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    assert client.portal is not None
    client.portal.call(service._tasks[0].cancel)
    error = client.get("/ready")
    assert error.status_code == 503
    error_of(client.post("/v1/jobs", json=QUICK), 503, "shutting_down")


def test_draining_takes_nothing_new_but_finishes_and_hands_out(client: TestClient, gate: Gate) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    job, waiting = order(client), order(client)
    gate.arrive()
    service.is_draining = True
    for address, body in (
        ("/v1/jobs", QUICK),
        ("/v1/audio/generations", QUICK),
        ("/v1/sound-generation", {"text": "x"}),
    ):
        answer = client.post(address, json=body)
        error_of(answer, 503, "shutting_down")
        assert int(answer.headers["retry-after"]) > 0
    assert (client.get("/ready").status_code, client.get("/health").status_code) == (503, 200)
    gate.open()
    # Their files are not equally long: they hold drawn seeds, which have more digits or fewer.
    lengths = [soundfile.info(io.BytesIO(take_of(client, one))).frames for one in (job, waiting)]
    assert lengths == [22_050, 22_050]


@pytest.mark.parametrize("max_batch", [1, 4])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_seed_gives_the_same_bytes_alone_and_in_any_company(
    serve: Client, model: Model, tiny_model_folder: Path, max_batch: int, num_workers: int
) -> None:
    import arctone

    alone = serve()
    orders: list[dict[str, Any]] = [
        {"seed": 1, "steps": 4},
        {"seed": 2, "steps": 4, "prompt": "a bell"},
        {"seed": 3, "steps": 4, "sampler": "ping_pong"},
        {"seed": 1, "steps": 4, "cfg_scale": 3.0},
        {"seed": 4, "steps": 4, "duration_seconds": 1.0, "bpm": 120},
        {"seed": 5, "steps": 4},
    ]
    expected = [take_of(alone, order(alone, **one)) for one in orders]
    more = [[arctone.load(tiny_model_folder, threads=1)] for _ in range(num_workers - 1)]
    together = serve(max_batch=max_batch, more_workers=more)
    jobs = [order(together, **one) for one in orders for _ in range(2)]
    assert [take_of(together, job) for job in jobs] == [data for data in expected for _ in range(2)]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextlib.contextmanager
def read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody may write into a folder; root may anyway, so the answer of the system is replaced by no."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return

    open_file = os.open

    def refused(path: Any, flags: int, *mode: Any, **how: Any) -> int:
        if flags & os.O_CREAT and Path(path).is_relative_to(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open_file(path, flags, *mode, **how)

    with monkeypatch.context() as patch:
        patch.setattr("arctone.files.atomic.os.open", refused)
        yield
