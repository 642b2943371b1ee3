"""What is drawn for a test, where captions come from, and what is refused."""

import shutil

import numpy as np
import pytest
import soundfile

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform
from arctone.errors import ArctoneError, InputFileError, UsageError
from arctone.evaluation.listening.build import BuildSettings, build
from arctone.evaluation.listening.choice import by_prompt, read_captions, read_clips
from tests.evaluation.listening.made_systems import PROMPTS, SYSTEMS, make_systems


def tone(hz: float = 440, seconds: float = 0.4) -> np.ndarray:
    t = np.arange(int(44_100 * seconds)) / 44_100
    return 0.2 * np.sin(2 * np.pi * hz * np.stack([t, t], axis=1))


def add(folder, name, caption=None, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(**options), 44_100)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


def two_systems(folder, captions=("rain", "wind")):
    for system in "ab":
        for number, caption in enumerate(captions):
            for take in range(2):
                add(folder / system, f"{number}-{take}.wav", caption, hz=200 + 50 * number + 7 * take)
    return {system: folder / system for system in "ab"}


def test_clips_of_equal_captions_belong_to_one_prompt(tmp_path):
    add(tmp_path, "a.wav", "  rain  on\ttin ")
    add(tmp_path, "below/b.wav", "rain on tin\nwater")
    add(tmp_path, "c.wav", "wind")
    clips = read_clips(tmp_path)
    assert {prompt: [clip.name for clip in found] for prompt, found in by_prompt(clips).items()} == {
        "rain on tin": ["a.wav", "below/b.wav"],
        "wind": ["c.wav"],
    }
    assert [clip.name for clip in by_prompt(clips, all_wordings=True)["water"]] == ["below/b.wav"]


def test_captions_come_from_a_list_a_text_file_or_the_tags_in_that_order(tmp_path):
    waveform = Waveform(tone().T, 44_100)
    folder = tmp_path / "sounds"
    folder.mkdir()
    write_audio(folder / "tagged.wav", waveform, metadata={"request": {"prompt": "from the tags"}})
    write_audio(folder / "neighbor.wav", waveform, metadata={"prompt": "from the tags"})
    (folder / "neighbor.txt").write_text("from the file")
    write_audio(folder / "listed.flac", waveform, metadata={"prompt": "from the tags"})
    (tmp_path / "captions.csv").write_text("path,caption\nlisted.wav,from the list\n")
    clips = read_clips(folder, read_captions(tmp_path / "captions.csv"))
    assert {clip.name: clip.prompts for clip in clips} == {
        "tagged.wav": ("from the tags",),
        "neighbor.wav": ("from the file",),
        "listed.flac": ("from the list",),
    }


def test_a_long_file_is_one_clip_its_beginning(tmp_path):
    add(tmp_path, "long.wav", "a tone", seconds=30.0)
    clips = read_clips(tmp_path)
    assert [clip.name for clip in clips] == ["long.wav"]
    assert clips[0].num_samples == 441_000  # the first of three equal windows


def test_only_shared_prompts_with_enough_clips_are_drawn(tmp_path):
    systems = two_systems(tmp_path, ("rain", "wind", "dog"))
    add(systems["a"], "more.wav", "only a")
    (systems["b"] / "2-1.wav").unlink()
    test = build(systems, tmp_path / "t", BuildSettings(seed=1))
    assert set(test.key.prompts) == {"rain", "wind"}
    quality = build(systems, tmp_path / "q", BuildSettings(seed=1, dimensions=("quality",)))
    assert set(quality.key.prompts) == {"rain", "wind", "dog"}


def test_the_practice_prompt_is_another_one_if_there_is_one(page_test, tmp_path):
    practised = {record.prompt for record in page_test.key.stimuli} - set(page_test.key.prompts)
    assert len(practised) == 1
    assert page_test.warnings == ()
    assert all(q.prompt == -1 for q in page_test.key.questions if q.is_practice)
    test = build(two_systems(tmp_path), tmp_path / "t", BuildSettings(seed=1))
    assert any("Practice uses a prompt that is judged later" in warning for warning in test.warnings)


def test_references_match_by_any_of_their_captions(tmp_path):
    systems = two_systems(tmp_path)
    add(tmp_path / "real", "x.wav", "a downpour\nrain")
    test = build(systems, tmp_path / "t", BuildSettings(seed=1), reference=tmp_path / "real")
    assert test.key.prompts == ("rain",)
    assert {q.system for q in test.key.questions if q.dimension == "quality"} == {"a", "b", "reference", "anchor35"}
    assert {q.system for q in test.key.questions if q.dimension == "adherence"} == {"a", "b", "reference"}
    assert {q.system for q in test.key.questions if q.dimension == "diversity"} == {"a", "b"}


def test_every_condition_is_asked_once_for_every_prompt_and_the_repeats_again(page_test):
    for dimension, conditions in (("diversity", 3), ("quality", 5), ("adherence", 4)):
        asked = [q for q in page_test.key.questions if q.dimension == dimension and not q.is_practice]
        first = {(q.system, q.prompt) for q in asked if q.occasion == 1}
        second = [(q.system, q.prompt) for q in asked if q.occasion == 2]
        assert len(first) == conditions * 8 == len([q for q in asked if q.occasion == 1])
        assert len(second) == len(set(second)) == 4
        assert set(second) <= first


def no_common_prompts(folder):
    systems = two_systems(folder)
    shutil.rmtree(systems["b"])
    add(systems["b"], "x.wav", "something else")
    return systems


def empty_folder(folder):
    systems = two_systems(folder)
    shutil.rmtree(systems["b"])
    systems["b"].mkdir()
    return systems


def unreadable(folder):
    systems = two_systems(folder)
    (systems["b"] / "0-0.wav").write_text("this is no sound")
    return systems


def cut_off(folder):
    systems = two_systems(folder)
    whole = (systems["b"] / "0-0.wav").read_bytes()
    (systems["b"] / "0-0.wav").write_bytes(whole[: len(whole) // 2])
    return systems


def no_caption(folder):
    systems = two_systems(folder)
    (systems["b"] / "0-0.txt").unlink()
    return systems


def silent(folder):
    systems = two_systems(folder)
    soundfile.write(systems["b"] / "0-0.wav", np.zeros((20_000, 2)), 44_100)
    return systems


def too_short(folder):
    systems = two_systems(folder)
    soundfile.write(systems["b"] / "0-0.wav", tone(seconds=0.1), 44_100)
    return systems


def one_system(folder):
    return {"a": two_systems(folder)["a"]}


def missing(folder):
    return two_systems(folder) | {"b": folder / "nowhere"}


def corpus(folder):
    return two_systems(folder) | {"b": "corpus:size=3"}


REFUSED = {
    no_common_prompts: (UsageError, "the systems a and b share no prompt: their captions must be equal"),
    empty_folder: (InputFileError, "holds no sound file"),
    unreadable: (InputFileError, "0-0.wav is not a sound file that can be read"),
    cut_off: (InputFileError, "0-0.wav"),
    no_caption: (InputFileError, "0-0.wav has no caption: put one into a .txt file of the same name"),
    silent: (InputFileError, "0-0.wav is silent"),
    too_short: (InputFileError, "0-0.wav is 0.10 s long, but a sound to be judged needs 0.25 s"),
    one_system: (UsageError, "system must be given 2 to 16 times, as NAME=FOLDER, got 1"),
    missing: (InputFileError, "nowhere does not exist"),
    corpus: (UsageError, "corpus:size=3 is no collection of sound files"),
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_bad_input_is_refused_in_one_sentence_and_leaves_nothing(tmp_path, case):
    kind, message = REFUSED[case]
    systems = case(tmp_path / "in")
    with pytest.raises(ArctoneError) as refused:
        build(systems, tmp_path / "test", BuildSettings(seed=1))
    assert type(refused.value) is kind
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_prompts": 3}, "prompts is 3, but only 2 are shared"),
        ({"clips_per_prompt": 3}, "clips_per_prompt is 3, but no shared prompt has more than 2 clips"),
        ({"clips_per_prompt": 1}, "diversity needs at least 2 clips of a prompt, but clips_per_prompt is 1"),
        ({"num_repeats": -1}, "repeats must be at least 0, got -1"),
        ({"dimensions": ("loudness",)}, "dimension must be diversity, quality, adherence, got 'loudness'"),
        ({"kind": "paper"}, "kind must be page or webmushra, got 'paper'"),
        ({"title": " "}, "title must have 1 to 100 letters"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        build(two_systems(tmp_path / "in"), tmp_path / "test", BuildSettings(**{"seed": 1, **settings}))


@pytest.mark.parametrize("name", ["reference", "anchor35", "", "a/b", "x" * 41])
def test_names_that_would_be_confused_are_refused(tmp_path, name):
    systems = two_systems(tmp_path)
    with pytest.raises(UsageError, match="system has the name"):
        build({name: systems["a"], "b": systems["b"]}, tmp_path / "test", BuildSettings(seed=1))


def test_single_clips_leave_no_room_for_diversity(tmp_path):
    for system in "ab":
        add(tmp_path / system, "x.wav", "rain")
    systems = {system: tmp_path / system for system in "ab"}
    with pytest.raises(UsageError, match="no shared prompt has two clips of every system; leave that dimension out"):
        build(systems, tmp_path / "test", BuildSettings(seed=1))
    test = build(systems, tmp_path / "test", BuildSettings(seed=1, dimensions=("quality", "adherence")))
    assert set(test.key.limits) == {"quality", "adherence"}


def test_an_existing_folder_is_replaced_only_with_force_and_only_if_it_is_a_test(tmp_path):
    systems = two_systems(tmp_path)
    first = build(systems, tmp_path / "test", BuildSettings(seed=1))
    before = (tmp_path / "test/key/key.json").read_bytes()
    with pytest.raises(UsageError, match="already exists; it is replaced only with force"):
        build(systems, tmp_path / "test", BuildSettings(seed=2))
    assert (tmp_path / "test/key/key.json").read_bytes() == before
    again = build(systems, tmp_path / "test", BuildSettings(seed=2), force=True)
    names = {path.stem for path in (tmp_path / "test/listeners/audio").glob("s*.wav")}
    assert names == {record.name for record in again.key.stimuli} != {record.name for record in first.key.stimuli}
    with pytest.raises(UsageError, match="holds something that is no listening test folder"):
        build(systems, systems["a"], BuildSettings(seed=1), force=True)
    assert len(list(systems["a"].iterdir())) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "test"]


def test_a_failure_while_writing_leaves_the_old_test_alone(tmp_path, monkeypatch):
    systems = two_systems(tmp_path)
    build(systems, tmp_path / "test", BuildSettings(seed=1))
    before = (tmp_path / "test/key/key.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("arctone.evaluation.listening.build._write", full)
    with pytest.raises(UsageError, match="cannot be written: no space left on device"):
        build(systems, tmp_path / "test", BuildSettings(seed=2), force=True)
    assert (tmp_path / "test/key/key.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "test"]


def test_made_systems_are_what_the_other_tests_think(tmp_path):
    make_systems(tmp_path)
    found = {name: by_prompt(read_clips(tmp_path / name)) for name in SYSTEMS}
    assert all(set(clips) == set(PROMPTS) for clips in found.values())
