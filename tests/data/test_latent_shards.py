"""Latents from WebDataset shards: what is stored is what was encoded, once, and what does not fit is refused."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arctone.data.latent_shards import are_shards, read_stored_latents, shard_names
from arctone.data.latents import LatentDataset
from arctone.errors import InputFileError, UsageError
from tests.training.published_parts import converted_model

CHANNELS = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shrunk base of Stable Audio Open small."""
    return converted_model("small-base", tmp_path_factory.mktemp("model"))


def drawn(seed: int, frames: int, channels: int = CHANNELS) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(channels, frames)).astype(np.float32)


def packed(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_shard(path: Path, samples: dict[str, dict[str, bytes]]) -> Path:
    """A tar file with these samples: key, then ending and bytes."""
    with tarfile.open(path, "w") as archive:
        for key, members in samples.items():
            for ending, raw in members.items():
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(raw)
                archive.addfile(member, io.BytesIO(raw))
    return path


def sample(seed: int, frames: int = 12, **facts: Any) -> dict[str, bytes]:
    return {"npy": packed(drawn(seed, frames)), "json": json.dumps(facts).encode()}


def write_two(folder: Path) -> str:
    """Two shards as the public trainer's data lie in them; returns their pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    first = {
        "0000000": sample(0, 12, prompt="rain", seconds_total=0.5, padding_mask=[1] * 9 + [0] * 3, sample_rate=44100),
        "0000001": sample(1, 8, prompt="a dog barks", path="/data/dog.wav"),
    }
    write_shard(folder / "00.tar", first)
    write_shard(folder / "01.tar", {"0000000": sample(2, 10, caption="wind", bpm=90.0)})
    return f"{folder}/{{00..01}}.tar"


def test_shards_are_stored_as_they_were_encoded(model: Path, tmp_path: Path) -> None:
    spec = write_two(tmp_path / "shards")
    folder = read_stored_latents(spec, model, tmp_path / "latents")
    dataset = LatentDataset(folder, split="train")
    assert dataset.frames.tolist() == [9, 8, 10]
    for index, (seed, frames) in enumerate(((0, 12), (1, 8), (2, 10))):
        wanted = drawn(seed, frames)[:, : dataset.frames[index]].astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(dataset.latents(index), wanted)
    assert [dataset.caption(index) for index in range(3)] == ["rain", "a dog barks", "wind"]
    assert dataset.info(0).duration_seconds == 0.5
    assert dataset.info(1).duration_seconds == pytest.approx(8 * dataset.header.hop_length / 44_100)
    assert dataset.example(2)["bpm"] == 90.0
    assert len(dataset.example(0)["text_tokens"]) > 0


def test_commands_that_write_shards_are_shards(model: Path, tmp_path: Path) -> None:
    write_two(tmp_path / "shards")
    spec = f"pipe:cat {tmp_path}/shards/{{00..01}}.tar"
    assert shard_names(spec) == [f"pipe:cat {tmp_path}/shards/0{number}.tar" for number in (0, 1)]
    piped = LatentDataset(read_stored_latents(spec, model, tmp_path / "piped"))
    plain = LatentDataset(read_stored_latents(f"{tmp_path}/shards/{{00..01}}.tar", model, tmp_path / "plain"))
    for index in range(3):
        np.testing.assert_array_equal(piped.latents(index), plain.latents(index))
        assert piped.info(index) == plain.info(index)


def test_a_storing_that_failed_goes_on_and_reads_no_shard_twice(model: Path, tmp_path: Path) -> None:
    spec = write_two(tmp_path / "shards")
    second = tmp_path / "shards/01.tar"
    whole = second.read_bytes()
    second.write_bytes(whole[:700])
    with pytest.raises(InputFileError, match=r"01\.tar cannot be read as a shard"):
        read_stored_latents(spec, model, tmp_path / "latents")
    with pytest.raises(InputFileError, match="1 of 2 shards"):
        LatentDataset(tmp_path / "latents")
    second.write_bytes(whole)
    (tmp_path / "shards/00.tar").unlink()
    assert len(LatentDataset(read_stored_latents(spec, model, tmp_path / "latents"))) == 3


def test_a_folder_keeps_the_shards_that_it_was_begun_with(model: Path, tmp_path: Path) -> None:
    spec = write_two(tmp_path / "shards")
    read_stored_latents(spec, model, tmp_path / "latents")
    with pytest.raises(UsageError, match="was begun with source_hash"):
        read_stored_latents(f"{tmp_path}/shards/00.tar", model, tmp_path / "latents")


def test_folders_are_no_shards(model: Path, tmp_path: Path) -> None:
    assert read_stored_latents(tmp_path, model, tmp_path / "out") == tmp_path
    assert not (tmp_path / "out").exists()
    (tmp_path / "named.tar.d").mkdir()
    assert not are_shards(tmp_path / "named.tar.d")
    assert are_shards("pipe:aws s3 cp s3://bucket/000 -")


BAD = {
    "no .npy": ({"json": b"{}"}, "the sample bad has no .npy file with its latents"),
    "channels": ({"npy": packed(drawn(0, 4, 3))}, r"has the shape \[3, 4\], but the model's is \[8, frames\]"),
    "empty": ({"npy": packed(drawn(0, 0))}, r"has the shape \[8, 0\]"),
    "pickle": ({"npy": packed(np.array([[{"a": 1}]], dtype=object))}, "has no readable array: object arrays cannot"),
    "no array": ({"npy": b"RIFF"}, "has no readable array"),
    "integers": ({"npy": packed(np.ones((CHANNELS, 4), np.int64))}, "holds int64, but latents are floats"),
    "not finite": ({"npy": packed(np.full((CHANNELS, 4), np.nan, np.float32))}, "not finite, or too great"),
    "mask": (sample(0, 4, padding_mask=[1, 1]), "has a padding_mask of 2 places for 4 frames"),
    "all padding": (sample(0, 4, padding_mask=[0] * 4), "has a padding_mask without any sound"),
    "facts": (sample(0, 4, prompt=7), "has facts that are not valid: expected `str`, got `int`"),
    "seconds": (sample(0, 4, seconds_total=-1.0), "seconds_total must be above 0 and at most 86400, got -1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_samples_that_do_not_fit_are_refused_by_name(model: Path, tmp_path: Path, kind: str) -> None:
    members, sentence = BAD[kind]
    shard = write_shard(tmp_path / "a.tar", {"bad": members})
    with pytest.raises(InputFileError, match=sentence):
        read_stored_latents(str(shard), model, tmp_path / "latents")
    assert not (tmp_path / "latents/latents/00000.jsonl").exists()


@pytest.mark.parametrize("spec", ["pipe:exit 3", "pipe:cat /nowhere/a.tar", "/nowhere/a.tar"])
def test_streams_that_break_are_refused_by_name(model: Path, tmp_path: Path, spec: str) -> None:
    with pytest.raises(InputFileError, match=r"cannot be read as a shard|holds no sample"):
        read_stored_latents(spec, model, tmp_path / "latents")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(InputFileError, match=r"shards of latents need webdataset .* not installed: .*shards"):
        shard_names("a.tar")
