"""Collections as they are published are recognised, and every file of theirs is used or named."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from arctone.data.check import check
from arctone.data.file_source import FileSource
from arctone.data.folder import open_folder, open_manifest
from arctone.data.sources import open_source, remarks, restricted
from arctone.errors import InputFileError, UsageError
from arctone.evaluation.scoring.takes import read_takes
from tests.data.test_sources import tone, write

MUSICGEN = {
    "key": "",
    "artist": "x",
    "sample_rate": 44_100,
    "description": "a slow piano",
    "keywords": "piano, slow",
    "duration": 1.0,
    "bpm": 90,
    "genre": "jazz",
    "title": "t",
    "name": "n",
    "instrument": "Piano",
    "moods": ["calm"],
}
PAIRS = (("a", "rain"), ("b", "wind"))
ROWS: dict[str, tuple[str, str]] = {
    "Hugging Face audio folder": ("list.csv", "file_name,text\na.wav,rain\nb.wav,wind\n"),
    "Clotho": ("clotho.csv", "file_name,caption_1,caption_2\na.wav,rain,it rains\nb.wav,wind,it blows\n"),
    "NeMo": (
        "m.json",
        '{"audio_filepath": "/elsewhere/a.wav", "duration": 1.0, "text": "rain"}\n'
        '{"audio_filepath": "b.wav", "duration": 9.0, "text": "wind"}\n',
    ),
    "AudioLDM": (
        "l.json",
        json.dumps({"data": [{"wav": f"{name}.wav", "caption": text} for name, text in PAIRS]}),
    ),
    "TangoFlux": (
        "t.json",
        json.dumps(
            [{"location": "a.wav", "captions": "rain", "duration": 1}, {"location": "b.wav", "captions": "wind"}]
        ),
    ),
    "MusicGen (audiocraft)": (
        "data.jsonl",
        '{"path": "a.wav", "duration": 1.0, "sample_rate": 44100, "amplitude": null, "description": "rain"}\n'
        '{"path": "b.wav", "duration": 1.0, "sample_rate": 44100, "amplitude": null, "description": "wind"}\n',
    ),
}


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for name in "ab":
        write(tmp_path / f"{name}.wav", tone(0.3))
    return tmp_path


@pytest.mark.parametrize("layout", ROWS)
def test_a_list_of_a_known_layout_gives_its_captions(sounds: Path, layout: str) -> None:
    name, content = ROWS[layout]
    (sounds / name).write_text(content)
    source = open_manifest(sounds / name)
    assert source.problems == ()
    assert [source.info(i).caption for i in range(len(source))] == ["rain", "wind"]
    assert source.layout == f"{layout} ({name})"
    report = check(source, num_workers=0)
    assert report.layout == source.layout
    assert report.examples[0][1].startswith("rain")


def test_rows_of_one_file_become_its_captions(sounds: Path) -> None:
    (sounds / "t.jsonl").write_text(
        '{"location": "a.wav", "captions": "rain"}\n{"location": "a.wav", "captions": "drops"}\n'
    )
    assert open_manifest(sounds / "t.jsonl").info(0).captions == ("rain", "drops")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_metadata_of_an_audio_folder_is_read_and_its_other_columns_are_named(sounds: Path, suffix: str) -> None:
    rows = [
        {"file_name": "a.wav", "text": "rain", "speaker": "7"},
        {"file_name": "b.wav", "text": "wind", "speaker": "8"},
    ]
    write_table(sounds / f"metadata.{suffix}", rows)
    source = open_folder(sounds)
    assert [source.info(i).caption for i in range(2)] == ["rain", "wind"]
    assert source.problems == source.passed_over == ()
    assert source.notes == (f"{sounds / f'metadata.{suffix}'}: these columns are not used: speaker.",)
    assert source.layout == f"folder of sounds, captions in metadata.{suffix} (Hugging Face audio folder)"


@pytest.mark.parametrize("layout", ROWS)
def test_a_folder_uses_the_tables_of_known_layouts_in_it(tmp_path: Path, layout: str) -> None:
    name, content = ROWS[layout]
    for sound in "ab":
        write(tmp_path / "development" / f"{sound}.wav", tone(0.3))
    (tmp_path / name).write_text(content)
    source = open_folder(tmp_path)
    assert [source.info(i).caption for i in range(len(source))] == ["rain", "wind"]
    assert source.problems == source.passed_over == ()
    assert source.layout == f"folder of sounds, captions in {name} ({layout})"


def test_a_table_of_a_larger_collection_is_used_for_what_is_there(sounds: Path) -> None:
    (sounds / "list.csv").write_text("file_name,caption_1\na.wav,rain\ngone.wav,x\nb.wav,wind\n")
    source = open_folder(sounds)
    assert [source.info(i).caption for i in range(2)] == ["rain", "wind"]
    assert source.problems == ()
    assert source.notes == (f"{sounds / 'list.csv'}: 1 of its rows name files that are not here.",)


def test_one_caption_from_two_places_counts_once(sounds: Path) -> None:
    (sounds / "list.csv").write_text("file_name,text\na.wav,rain\n")
    (sounds / "a.txt").write_text("rain\ndrops")
    assert open_folder(sounds).info(0).captions == ("rain", "drops")


@pytest.mark.parametrize("name", ["metadata.csv", "Metadata.CSV", "list.tsv"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_tables_with_another_sign_between_cells_and_names_without_endings(sounds: Path, name: str, sign: str) -> None:
    (sounds / name).write_text(f"file_name{sign}text\na{sign}rain\nb{sign}wind\n")
    source = open_folder(sounds)
    assert [source.info(i).caption for i in range(2)] == ["rain", "wind"]
    assert source.problems == ()


def test_sounds_inside_a_table_are_refused_by_their_reason(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    rows = [{"audio": {"bytes": b"RIFF", "path": "a.wav"}, "text": "rain"}]
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    source = open_manifest(tmp_path / "train.parquet")
    assert source.problems == (
        f"{tmp_path / 'train.parquet'} line 1: audio holds the sound itself; write the sounds into files of their own "
        "first.",
    )
    assert check(source, num_workers=0).layout == "Hugging Face dataset (train.parquet)"


def test_a_compressed_table_is_refused_by_its_reason(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl.gz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"data\.jsonl\.gz is compressed: unpack it"):
        open_source(str(tmp_path / "data.jsonl.gz"))


def test_a_row_whose_file_is_not_there_is_named(sounds: Path) -> None:
    write_table(sounds / "metadata.csv", [{"file_name": "gone.wav", "text": "x"}])
    assert open_folder(sounds).problems == (f"{sounds / 'gone.wav'} (metadata.csv line 2) does not exist.",)


def test_files_next_to_sounds_in_the_spellings_of_others(sounds: Path) -> None:
    (sounds / "a.caption").write_text("rain")
    (sounds / "b.json").write_text(json.dumps(MUSICGEN))
    source = open_folder(sounds)
    rain, piano = source.info(0), source.info(1)
    assert (rain.caption, piano.caption, piano.bpm) == ("rain", "a slow piano", 90)
    assert piano.attributes == {"genre": "jazz", "instrument": "Piano", "moods": "calm", "keywords": "piano, slow"}
    assert source.problems == ()


@pytest.mark.parametrize(("sound", "text"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_caption_is_found_whatever_the_unicode_form_of_its_name(tmp_path: Path, sound: Any, text: Any) -> None:
    write(tmp_path / f"{unicodedata.normalize(sound, 'café')}.wav", tone(0.3))
    (tmp_path / f"{unicodedata.normalize(text, 'café')}.TXT").write_text("a café")
    assert open_folder(tmp_path).info(0).caption == "a café"
    (tmp_path / "m.csv").write_text(f"file_name,text\n{unicodedata.normalize(text, 'café')}.wav,x\n")
    assert open_manifest(tmp_path / "m.csv").problems == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_captions_in_the_encodings_that_editors_write(sounds: Path, encoding: str) -> None:
    (sounds / "a.txt").write_bytes("Größe – “rain”".encode(encoding))
    assert open_folder(sounds).info(0).caption == "Größe – “rain”"


def test_what_is_no_sound_is_named(sounds: Path) -> None:
    (sounds / "cover.png").write_bytes(b"png")
    (sounds / "c.txt").write_text("the caption of nothing")
    (sounds / "other.csv").write_text("path\na.wav\n")
    source = open_folder(sounds)
    assert source.passed_over == ("c.txt", "cover.png", "other.csv")
    said = ["passed over, because they are no sounds: c.txt, cover.png and 1 more."]
    assert remarks(source, shown=2) == remarks(restricted(source, limit=1), shown=2) == said
    assert "cover.png is no sound." in read_takes(sounds)[1]


def test_a_pipe_among_the_sounds_does_not_hang(sounds: Path) -> None:
    os.mkfifo(sounds / "f.wav")
    os.mkfifo(sounds / "a.txt")
    source = open_folder(sounds)
    assert [problem.split("/")[-1] for problem in source.problems] == [
        "a.txt is no regular file.",
        "f.wav is no regular file.",
    ]
    assert len(source) == 1


def test_without_a_column_for_the_file_it_is_refused_with_the_known_ones(sounds: Path) -> None:
    (sounds / "x.jsonl").write_text('{"sound": "a.wav"}\n')
    with pytest.raises(InputFileError, match=r"no column names the sound \(path, file_name, .*\); it has sound"):
        open_manifest(sounds / "x.jsonl")


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]))


def test_a_source_of_files_says_what_it_is(sounds: Path) -> None:
    source = open_folder(sounds)
    assert isinstance(source, FileSource)
    assert source.layout == "folder of sounds, captions in no file"
