import json
from pathlib import Path

import numpy as np
import pytest

from arctone.audio.files import read_audio
from arctone.data.check import check
from arctone.data.folder import open_folder, open_manifest
from arctone.data.render import render
from arctone.data.sources import open_source
from arctone.errors import InputFileError, UsageError
from arctone.files import atomic
from tests.data.made_source import ToneSource
from tests.data.test_sources import tone, write


def test_counts_hours_groups_and_batches_are_right():
    report = check(ToneSource(20), batch_size=5, num_workers=0)
    source = ToneSource(20)
    hours = sum(source.info(i).duration_seconds for i in range(20)) / 3600
    assert (report.total.clips, report.total.hours) == (20, pytest.approx(hours))
    assert {name: group.clips for name, group in report.splits.items()} == {"train": 12, "valid": 4, "test": 4}
    assert sum(group.hours for group in report.splits.values()) == pytest.approx(hours)
    assert list(report.categories) == ["tones"]
    assert report.licences["CC0-1.0"].clips == 20
    assert report.batches_per_epoch == 3
    assert report.without_caption == ("tone-006", "tone-013")
    assert len(report.silent) == 20  # constants make no sound
    assert report.is_usable


def test_findings_name_the_right_clips(tmp_path):
    sounds = {
        "good": tone(),
        "silent": np.zeros((44_100, 2), np.float32),
        "constant": np.full((44_100, 2), 0.3, np.float32),
        "clipped": np.clip(tone() * 4, -1, 1),
        "loud": tone() * 1.99,
        "short": tone(0.1),
    }
    for name, samples in sounds.items():
        write(tmp_path / f"{name}.wav", samples, subtype="FLOAT")
        (tmp_path / f"{name}.txt").write_text("the same" if name in ("good", "loud") else name)
    write(tmp_path / "low.wav", tone(1.0, 8000, 1), 8000)
    report = check(open_folder(tmp_path), num_workers=2)
    assert report.silent == ("constant.wav", "silent.wav")
    assert report.clipped == ("clipped.wav",)
    assert report.too_short == ("short.wav",)
    assert report.without_caption == ("low.wav",)
    assert report.duplicate_captions == {"the same": 2}
    assert len(report.without_licence) == 7
    assert report.sample_rates == {"44100": 6, "8000": 1}
    assert report.channels == {"2": 6, "1": 1}
    assert report.is_usable


def test_what_cannot_be_read_makes_the_source_unusable(tmp_path):
    write(tmp_path / "a.wav")
    samples = tone()
    samples[7] = np.inf
    write(tmp_path / "inf.wav", samples, subtype="FLOAT")
    (tmp_path / "junk.wav").write_text("junk")
    report = check(open_folder(tmp_path), num_workers=0)
    assert not report.is_usable
    assert {(entry.clip, entry.problem.split(" ")[0].split("/")[-1]) for entry in report.unusable} == {
        ("", "junk.wav"),
        ("inf.wav", "inf.wav"),
    }
    assert len(check(open_folder(tmp_path), listen=False).unusable) == 1


def test_the_budget_of_frames_counts_batches_as_the_sampler_does():
    assert check(ToneSource(20), max_frames=32, num_workers=0, listen=False).batches_per_epoch > 3
    assert check(ToneSource(20), max_frames=4096, num_workers=0, listen=False).batches_per_epoch == 1


def test_a_rendering_reads_back_as_the_same_clips(tmp_path):
    source = ToneSource(9)
    report = render(source, tmp_path / "r", num_workers=0)
    assert (report.num_clips, report.skipped, report.over_full_scale) == (9, (), ())
    back = open_manifest(report.manifest)
    assert back.problems == ()
    for index in range(9):
        assert back.info(index) == source.info(index)
        np.testing.assert_allclose(back.waveform(index).samples, source.waveform(index).samples, atol=1 / 32_768)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_rendering_continues_to_the_same_bytes(tmp_path, monkeypatch):
    render(ToneSource(9), tmp_path / "whole", num_workers=2)

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(ToneSource(9), tmp_path / "r", num_workers=0, progress=stop)
    assert not (tmp_path / "r" / "manifest.jsonl").exists()
    (tmp_path / "r" / "clips" / ".arctone-0123456789abcdef.part").write_bytes(b"half")
    monkeypatch.setattr(atomic, "_cleared", set())  # what a new process begins with
    render(ToneSource(9), tmp_path / "r", num_workers=0)
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")


def test_bad_clips_stop_a_rendering_or_are_left_out(tmp_path):
    with pytest.raises(InputFileError, match="clip 2 is broken"):
        render(ToneSource(4, broken=(2,)), tmp_path / "r", num_workers=0)
    report = render(ToneSource(4, broken=(2,)), tmp_path / "r", num_workers=0, skip_bad=True)
    assert report.skipped == (("tone-002", "clip 2 is broken."),)
    assert len(open_manifest(report.manifest)) == 3


def test_what_is_cut_off_at_full_scale_is_reported(tmp_path):
    write(tmp_path / "in" / "hot.wav", tone() * 3, subtype="FLOAT")
    report = render(open_folder(tmp_path / "in"), tmp_path / "r", num_workers=0)
    assert report.over_full_scale == ("hot.wav",)
    assert np.abs(read_audio(tmp_path / "r" / "clips" / "000000-hot-wav.flac").samples).max() <= 1.0


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="is not empty and holds no earlier rendering"):
        render(ToneSource(2), tmp_path, num_workers=0)
    render(ToneSource(2), tmp_path / "r", num_workers=0)
    with pytest.raises(UsageError, match="holds the rendering of other clips"):
        render(ToneSource(3), tmp_path / "r", num_workers=0)


def test_the_generated_corpus_renders_with_licence_and_source_of_every_clip(tmp_path):
    source = open_source("corpus:size=4")
    report = render(source, tmp_path / "r", num_workers=2)
    rows = [json.loads(line) for line in report.manifest.read_text().splitlines()]
    assert len(rows) == 4
    assert all(row["licence"] and row["source"] and row["caption"] for row in rows)
    back = open_manifest(report.manifest)
    assert [back.info(i) for i in range(4)] == [source.info(i) for i in range(4)]
