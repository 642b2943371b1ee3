"""Sounds, their captions, and who belongs to whom."""

from pathlib import Path

import pytest

from arctone.audio.files import write_audio
from arctone.errors import InputFileError, UsageError
from arctone.evaluation.scoring.takes import Take, pair, read_takes
from tests.evaluation.metrics.metric_sounds import tone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "sounds"
    (root / "deep").mkdir(parents=True)
    for name in ("a.wav", "b.flac", "deep/c.wav"):
        write_audio(root / name, tone(seconds=0.1))
    (root / "a.txt").write_text("rain on a roof\nheavy rain\n")
    (root / "b.json").write_text('{"caption": "wind"}')
    return root


def test_captions_next_to_the_sounds(folder: Path) -> None:
    takes, problems = read_takes(folder)
    assert {take.name: take.captions for take in takes} == {
        "a.wav": ("rain on a roof", "heavy rain"),
        "b.flac": ("wind",),
        "deep/c.wav": (),
    }
    assert takes[0].prompt == "rain on a roof"
    assert (takes[2].prompt, takes[2].stem, problems) == ("", "deep/c", [])


def test_a_table_of_captions_with_and_without_endings(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("path,caption\na.wav,one\ndeep/c,two\na.wav,three\n")
    takes, _ = read_takes(folder, table)
    assert [take.captions for take in takes] == [("one", "three"), (), ("two",)]


def test_a_manifest_names_the_sounds(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text('{"path": "sounds/deep/c.wav", "caption": "x"}\n')
    takes, _ = read_takes(tmp_path / "list.jsonl")
    assert [(take.name, take.captions) for take in takes] == [("sounds/deep/c.wav", ("x",))]


def test_what_is_no_set_of_sounds_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "strangers.csv").write_text("path,caption\nother.wav,one\n")
    with pytest.raises(InputFileError, match=r"names none of the sounds; the first of them is a\.wav"):
        read_takes(folder, tmp_path / "strangers.csv")
    (tmp_path / "broken.jsonl").write_text("{}\n")
    with pytest.raises(InputFileError, match="no column names the sound"):
        read_takes(folder, tmp_path / "broken.jsonl")
    with pytest.raises(InputFileError, match="does not exist"):
        read_takes(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="neither a folder of sounds nor a manifest"):
        read_takes(folder / "a.wav")


def takes(*rows: tuple[str, str]) -> list[Take]:
    return [Take(name, Path(name), tuple(filter(None, caption.split("|")))) for name, caption in rows]


def test_names_pair_before_captions() -> None:
    real = takes(("x.flac", "rain"), ("y.flac", "rain|drizzle"), ("z.flac", "wind"))
    made = takes(("y.wav", "rain"), ("1.wav", "rain"), ("2.wav", "drizzle"), ("3.wav", "storm"), ("4.wav", ""))
    assert pair(made, real) == [(0, 1), (1, 0), (2, 1)]
