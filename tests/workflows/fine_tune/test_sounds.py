"""One's own sounds: captions where there are none, and what is kept apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.data.folder import open_folder
from arctone.workflows.fine_tune.run import MAX_PROMPTS
from arctone.workflows.fine_tune.sounds import GENERAL_PROMPTS, OwnSounds, caption_of_name, other_prompts


def _folder(root: Path, names: list[str], seconds: float = 0.2) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).uniform(-0.3, 0.3, round(44_100 * seconds))
        soundfile.write(path, noise, 44_100)
    return root


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kit/Tape-Stop_02.wav", "Tape Stop"),
        ("rain on tin.flac", "rain on tin"),
        ("808.wav", "sound"),
        ("___.wav", "sound"),
        ("Тихий дождь-3.wav", "Тихий дождь"),
        ("a.b.c.wav", "a b c"),
    ],
)
def test_names_become_words(name: str, words: str) -> None:
    assert caption_of_name(name) == words


def test_captions_next_to_the_sounds_count_before_made_up_ones(tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["glass_1.wav", "glass_2.wav"])
    (folder / "glass_1.txt").write_text("a wine glass is struck\nglass\n")
    sounds = OwnSounds(open_folder(folder))
    assert [sounds.info(i).captions for i in (0, 1)] == [("a wine glass is struck", "glass"), ("glass",)]
    assert sounds.uncaptioned == ("glass_2.wav",)
    assert OwnSounds(open_folder(folder), "my glasses").info(1).caption == "my glasses"
    assert OwnSounds(open_folder(folder), "my glasses").info(0).caption == "a wine glass is struck"


def test_a_fifth_is_kept_apart_at_most_eight_and_none_of_few(tmp_path: Path) -> None:
    counts = {}
    for number in (1, 4, 5, 10, 60):
        folder = _folder(tmp_path / str(number), [f"s{n}.wav" for n in range(number)], 0.02)
        sounds = OwnSounds(open_folder(folder))
        counts[number] = len(sounds.of_split("valid"))
        assert len(sounds.of_split("train")) + counts[number] == number
    assert counts == {1: 0, 4: 0, 5: 1, 10: 2, 60: 8}
    everything = OwnSounds(open_folder(tmp_path / "60"), keep_apart=False)
    assert len(everything.of_split("train")) == 60


def test_stated_splits_are_kept_and_windows_of_a_file_stay_together(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "stated", [f"s{n}.wav" for n in range(10)])
    (folder / "s3.json").write_text('{"split": "test"}')
    sounds = OwnSounds(open_folder(folder))
    assert sounds.of_split("valid", "test") == [3]
    long = OwnSounds(open_folder(_folder(tmp_path / "long", [f"s{n}.wav" for n in range(5)], 25.0)))
    apart = [long.info(i).id for i in long.of_split("valid")]
    assert len(long) == 15
    assert len(apart) == 3
    assert len({name.partition("#")[0] for name in apart}) == 1


@pytest.mark.parametrize(
    ("captions", "missing"),
    [
        (["a dog barks twice", "small dog"], {"a dog barking"}),
        (["Puppies at play"], {"a dog barking"}),
        (["808 kick drum"], {"a funky drum loop, 110 BPM", "a techno drum loop, 130 BPM"}),
        (["heavy rain"], {"rain on a tin roof"}),
        (
            ["a warm pad", "church bells"],
            {"a warm analog pad in a huge church", "a church organ playing chords", "a church bell"},
        ),
        (["a vibraphone"], set()),
        ([""], set()),
    ],
)
def test_prompts_of_the_rest_are_of_no_kind_that_the_captions_name(captions: list[str], missing: set[str]) -> None:
    found = other_prompts(captions, len(GENERAL_PROMPTS))
    assert set(GENERAL_PROMPTS) - set(found) == missing


def test_captions_of_all_kinds_leave_the_kinds_that_they_name_least() -> None:
    captions = [*GENERAL_PROMPTS, *list(GENERAL_PROMPTS)[:-1]]
    assert 0 < len(other_prompts(captions, MAX_PROMPTS)) <= MAX_PROMPTS
    assert len(other_prompts(["a vibraphone"], 3)) == 3
