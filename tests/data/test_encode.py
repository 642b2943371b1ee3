import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.data.batches import load_batch
from arctone.data.encode import EncodeSettings, encode_corpus, map_in_order
from arctone.data.latents import LatentDataset, left_out
from arctone.data.sources import Subset
from arctone.errors import InputFileError, ModelError, UsageError
from tests.data.made_source import HOP, RATE, ToneSource, frame_means, letters

HASH = "a" * 64
SMALL = EncodeSettings(clips_per_shard=4, batch_frames=64, frames_multiple=8, num_workers=0)


def encode(folder, source=None, *, encoder=frame_means, settings=SMALL, text=letters, **options):
    arguments = {"autoencoder_hash": HASH, "text_encoder_hash": "t", **options}
    encode_corpus(ToneSource() if source is None else source, encoder, text, folder, settings=settings, **arguments)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return encode(tmp_path_factory.mktemp("whole"))


def test_latents_are_the_encoders_answer_for_each_clip(whole):
    dataset, source = LatentDataset(whole), ToneSource()
    assert len(dataset) == len(source)
    for index in range(len(source)):
        example, level = dataset[index], (index + 1) / 100
        full = source.num_samples(index) // HOP
        assert example["id"] == f"tone-{index:03d}"
        assert example["latents"].shape == (3, -(-source.num_samples(index) // HOP))
        np.testing.assert_allclose(example["latents"][0, :full], level, rtol=1e-3)
        np.testing.assert_allclose(example["latents"][1, :full], -level, rtol=1e-3)
        np.testing.assert_allclose(example["latents"][2, :full], level**2, rtol=1e-3)
        assert example["seconds"] == source.num_samples(index) / RATE
        assert example["bpm"] == (100 + index if index % 2 else 0)


def test_text_is_stored_for_every_caption_and_empty_for_a_clip_without(whole):
    dataset = LatentDataset(whole)
    for draw, caption in enumerate(dataset.info(3).captions):
        example = dataset.example(3, draw)
        tokens, pooled = letters([caption])[0]
        assert example["caption"] == caption
        np.testing.assert_allclose(example["text_tokens"], tokens, atol=1e-3)
        np.testing.assert_allclose(example["text_pooled"], pooled, rtol=1e-3)
    empty = dataset[6]
    assert empty["caption"] == ""
    assert empty["text_tokens"].shape == (0, 2)
    assert empty["text_pooled"].tolist() == [0, 0]


def test_splits_share_the_clips_out(whole):
    parts = {split: LatentDataset(whole, split) for split in ("train", "valid", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 12, "valid": 4, "test": 4}
    assert all(part.info(i).split == split for split, part in parts.items() for i in range(len(part)))
    kept = LatentDataset(whole, keep=lambda info: info.bpm is not None)
    assert len(kept) == 10


def test_statistics_are_the_mean_and_deviation_of_all_frames(whole):
    dataset = LatentDataset(whole, "train")
    frames = np.concatenate([dataset.latents(i) for i in range(len(dataset))], axis=1).astype(np.float64)
    mean, deviation = dataset.statistics()
    np.testing.assert_allclose(mean, frames.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(deviation, frames.std(axis=1), rtol=1e-6)


def test_a_batch_is_the_same_at_every_call_and_draws_other_captions_in_other_epochs(whole):
    dataset = LatentDataset(whole, "train")
    first, again = (load_batch(dataset, [0, 5, 7], seed=1, epoch=2) for _ in range(2))
    assert first["caption"] == again["caption"]
    np.testing.assert_array_equal(first["latents"], again["latents"])
    drawn = {load_batch(dataset, [1], seed=1, epoch=epoch)["caption"][0] for epoch in range(40)}
    assert drawn == set(dataset.info(1).captions)


def test_the_dataset_survives_pickling_small(whole):
    dataset = LatentDataset(whole)
    dataset.example(0)
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again[3]["latents"], dataset[3]["latents"])


def test_what_clips_share_is_loaded_once_before_workers_are_forked():
    class Sharing(ToneSource):
        def prepare(self, indices):
            self.loaded = [*getattr(self, "loaded", []), (os.getpid(), *indices)]
            raise InputFileError("of no consequence: the clips say so themselves.")

    found = map_in_order(Subset(Sharing(), range(3, 9)), lambda source, _: source.source.loaded, [0, 2, 5], 2)
    assert list(found) == 3 * [[(os.getpid(), 3, 5, 8)]]


def test_workers_change_no_byte(whole, tmp_path):
    settings = EncodeSettings(clips_per_shard=4, batch_frames=64, frames_multiple=8, num_workers=2)
    assert contents(encode(tmp_path / "w", settings=settings)) == contents(whole)


@pytest.mark.parametrize("num_calls", [0, 1, 3, 4, 7])
def test_an_encode_that_was_interrupted_continues_to_the_same_bytes(whole, tmp_path, num_calls):
    calls = 0

    def failing(audio):
        nonlocal calls
        calls += 1
        if calls > num_calls:
            raise KeyboardInterrupt
        return frame_means(audio)

    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path / "i", encoder=failing)
    with pytest.raises(InputFileError, match="run the encode again to finish"):
        LatentDataset(tmp_path / "i")
    encode(tmp_path / "i")
    assert contents(tmp_path / "i") == contents(whole)


def test_an_interruption_while_embedding_text_continues_to_the_same_bytes(whole, tmp_path):
    def failing(captions):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path / "i", text=failing)
    assert not list((tmp_path / "i" / "latents").iterdir())  # text comes first
    encode(tmp_path / "i")
    assert contents(tmp_path / "i") == contents(whole)


KILLED = """
import sys, time
sys.path[:0] = [{root!r}, {src!r}]
from pathlib import Path
from tests.data.made_source import ToneSource, frame_means, letters
from arctone.data.encode import EncodeSettings, encode_corpus

def slowly(audio):
    time.sleep(0.02)
    print("call", flush=True)
    return frame_means(audio)

settings = EncodeSettings(clips_per_shard=4, batch_frames=64, frames_multiple=8, num_workers=2)
encode_corpus(ToneSource(), slowly, letters, Path({out!r}), autoencoder_hash="a" * 64, text_encoder_hash="t",
              settings=settings)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_process_leaves_nothing_that_changes_the_result(whole, tmp_path):
    folders = {"root": str(Path(__file__).parents[2]), "src": str(Path(__file__).parents[2] / "src")}
    program = KILLED.format(out=str(tmp_path / "k"), **folders)
    for num_calls in (1, 4):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(num_calls):
            assert process.stdout.readline() == b"call\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert contents(tmp_path / "k").keys() < contents(whole).keys()
    (tmp_path / "k" / "latents" / ".arctone-0123456789abcdef.part").write_bytes(b"half")
    encode(tmp_path / "k")
    assert contents(tmp_path / "k") == contents(whole)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_killed_main_process(tmp_path):
    folders = {"root": str(Path(__file__).parents[2]), "src": str(Path(__file__).parents[2] / "src")}
    program = (
        KILLED.format(out=str(tmp_path / "k"), **folders)
        .replace("0.02", "60")
        .replace("time.sleep", "print('call', flush=True);time.sleep")
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(is_running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(child) for child in children)


def is_running(process_id: str) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{process_id}/status").read_text()
    except FileNotFoundError:
        return False


def test_running_again_calls_no_encoder(whole):
    def never(_):
        raise AssertionError("everything is there already")

    encode(whole, encoder=never, text=never)


def test_latents_of_another_autoencoder_are_refused(whole):
    before = contents(whole)
    with pytest.raises(ModelError, match=r"autoencoder aaaaaaaaaaaa, not of bbbbbbbbbbbb"):
        encode(whole, autoencoder_hash="b" * 64)
    with pytest.raises(ModelError, match="but the model's is bbbbbbbbbbbb"):
        LatentDataset(whole, autoencoder_hash="b" * 64)
    assert len(LatentDataset(whole, autoencoder_hash=HASH)) == 20
    assert contents(whole) == before


def test_another_source_text_encoder_or_cut_is_refused(whole):
    with pytest.raises(UsageError, match="was begun with source_hash"):
        encode(whole, ToneSource(19))
    with pytest.raises(UsageError, match="clips_per_shard = 4, not 8"):
        encode(whole, settings=EncodeSettings(clips_per_shard=8, batch_frames=64, frames_multiple=8, num_workers=0))
    with pytest.raises(ModelError, match="text encoder"):
        encode(whole, text_encoder_hash="other")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bad_clip_stops_the_encode_or_is_left_out_with_its_reason(tmp_path, num_workers):
    settings = EncodeSettings(clips_per_shard=4, num_workers=num_workers)
    with pytest.raises(InputFileError, match="clip 5 is broken"):
        encode(tmp_path / "b", ToneSource(9, broken=(5,)), settings=settings)
    skipping = EncodeSettings(clips_per_shard=4, num_workers=num_workers, skip_bad=True)
    encode(tmp_path / "b", ToneSource(9, broken=(5,)), settings=skipping)
    dataset = LatentDataset(tmp_path / "b")
    assert [dataset.info(i).id for i in range(len(dataset))] == [f"tone-{i:03d}" for i in range(9) if i != 5]
    assert left_out(tmp_path / "b") == [("tone-005", "clip 5 is broken.")]


def test_a_shard_of_bad_clips_only_is_no_obstacle(tmp_path):
    skipping = EncodeSettings(clips_per_shard=2, num_workers=0, skip_bad=True)
    encode(tmp_path / "b", ToneSource(6, broken=(0, 1)), settings=skipping)
    dataset = LatentDataset(tmp_path / "b")
    assert (len(dataset), dataset.num_channels) == (4, 3)


class MonoSource(ToneSource):
    def waveform(self, index):
        return Waveform(super().waveform(index).samples[:1], RATE)


@pytest.mark.parametrize(
    ("source", "encoder", "error", "message"),
    [
        (MonoSource(3), frame_means, InputFileError, "1 channels and .* stereo at 44100 Hz is needed"),
        (ToneSource(3), lambda audio: frame_means(audio)[:, :, 1:], ModelError, r"where \[\d, C, \d+\] is needed"),
        (ToneSource(3), lambda audio: frame_means(audio) * np.nan, ModelError, "not finite"),
        (ToneSource(3), lambda audio: frame_means(audio) * 1e9, ModelError, "float16"),
    ],
)
def test_unfit_sound_and_unfit_latents_are_refused(tmp_path, source, encoder, error, message):
    with pytest.raises(error, match=message):
        encode(tmp_path / "x", source, encoder=encoder)


def test_an_empty_source_is_refused(tmp_path):
    with pytest.raises(InputFileError, match="holds no clips"):
        encode(tmp_path / "x", ToneSource(0))


def test_damaged_folders_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputFileError, match="does not exist"):
        LatentDataset(tmp_path / "nothing")
    folder = encode(tmp_path / "d")
    (folder / "latents" / "00001.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputFileError, match=r"00001\.npy is damaged"):
        LatentDataset(folder)[5]
    records = folder / "latents" / "00002.jsonl"
    lines = records.read_bytes().splitlines()
    records.write_bytes(b"\n".join([lines[0], b"{", lines[2]]))
    with pytest.raises(InputFileError, match=r"00002\.jsonl line 2 is not a valid record"):
        LatentDataset(folder)
