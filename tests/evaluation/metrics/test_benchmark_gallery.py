"""The gallery: its files are those of the stored result, its commands make them, and its measure counts right."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.audio.tags import read_metadata
from benchmarks import gallery, machine, results

STORED = results.read("gallery") or {}
ROWS = {row["name"]: row for row in STORED["sounds"]}


def test_every_sound_has_its_file_with_its_settings_and_all_are_small() -> None:
    assert list(ROWS) == [sound.name for sound in gallery.SOUNDS]
    assert {path.stem for path in gallery.FOLDER.iterdir()} == set(ROWS)
    for sound in gallery.SOUNDS:
        path, row = gallery.FOLDER / f"{sound.name}.opus", ROWS[sound.name]
        assert path.stat().st_size == row["bytes"]
        assert row["commands"] == gallery.commands(sound)
        record = read_metadata(path)
        assert record is not None
        assert (record["request"]["prompt"], record["request"]["seed"]) == (sound.prompt, sound.seed)
        assert soundfile.info(path).duration == pytest.approx(row["seconds"], abs=0.02)
    assert sum(row["bytes"] for row in ROWS.values()) <= gallery.MAX_BYTES


def test_commands_of_an_edit_begin_with_those_of_its_source() -> None:
    edits = [sound for sound in gallery.SOUNDS if sound.source]
    assert len(edits) >= 3
    for sound in edits:
        first, last = gallery.commands(sound)
        assert f"{sound.source}.wav" == shlex.split(first)[-1]
        assert f"{sound.source}.wav" in shlex.split(last)


def test_a_sound_generated_again_has_the_same_samples(tmp_path: Path) -> None:
    if machine.describe()["processor"] != STORED["machine"]["processor"]:
        pytest.skip("the samples were stored on another kind of processor, which may round differently")
    assert gallery.check(["kick", "laser"], tmp_path) == []


def test_other_samples_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wav = tmp_path / "kick.wav"
    soundfile.write(wav, np.zeros((100, 2), np.int16), 44_100)
    monkeypatch.setattr(gallery, "generate", lambda sound, folder: wav)
    assert gallery.check(["kick"], tmp_path) == ["kick: its samples are not those of the gallery."]


def test_a_prompt_counts_as_recognized_among_the_five_nearest() -> None:
    prompts = [sound.prompt for sound in gallery.SOUNDS if sound.is_plain][:7]
    sound = next(one for one in gallery.SOUNDS if one.prompt == prompts[2])
    falling = np.linspace(0.9, 0.3, 7).astype(np.float32)  # its own prompt is the third
    last = falling.copy()
    last[2] = 0.0
    cosines = {1: falling, 2: last, 3: None, sound.seed: falling}
    found = gallery.recognition(prompts, sound, cosines, takes=3)
    assert found["recognized"] == 1 + (sound.seed in (2, 3))
    assert found["silent"] == int(sound.seed != 3)
    assert (found["place"], found["nearest"]) == (3, prompts[0])


def test_what_it_does_badly_is_what_the_measure_says() -> None:
    for row in ROWS.values():
        found = row.get("recognition")
        if found is None:
            continue
        badly = row["section"] == gallery.BADLY
        assert (2 * found["recognized"] < found["takes"]) == badly, row["name"]


def test_the_page_has_a_section_a_table_and_the_commands_of_each_kind() -> None:
    page = gallery.block(STORED)
    for section in gallery.SECTIONS:
        assert f"## {section}\n" in page
    for row in ROWS.values():
        assert f"(gallery/{row['name']}.opus)" in page
        assert row["commands"][-1] in page
