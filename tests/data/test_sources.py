import io
import json
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from arctone.data.file_source import FileDefaults
from arctone.data.folder import open_folder, open_manifest
from arctone.data.render import ManifestRow
from arctone.data.sound import MAX_SAMPLES, ClipSource, SoundFormat, windows
from arctone.data.sources import open_source, open_webdataset
from arctone.errors import InputFileError, UsageError


def tone(seconds=1.0, rate=44_100, channels=2, hz=441.0):
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def write(path: Path, samples=None, rate=44_100, subtype=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone() if samples is None else samples, rate, subtype=subtype)
    return path


def test_a_folder_gives_its_files_in_order_of_names_with_captions_next_to_them(tmp_path):
    write(tmp_path / "b.wav")
    (tmp_path / "b.txt").write_text("rain on tin\n\n  it rains  \n", encoding="utf-8")
    write(tmp_path / "a" / "c.flac")
    facts = {"caption": "a dog", "bpm": 120, "licence": "CC-BY-4.0", "split": "test", "attributes": {"animal": "dog"}}
    (tmp_path / "a" / "c.json").write_text(json.dumps(facts), encoding="utf-8")
    write(tmp_path / "z.ogg")
    write(tmp_path / ".hidden.wav")
    source = open_folder(tmp_path, FileDefaults(licence="CC0-1.0"))
    assert isinstance(source, ClipSource)
    assert source.problems == ()
    dog, rain, bare = (source.info(i) for i in range(3))
    assert (dog.id, dog.caption, dog.bpm, dog.licence, dog.split) == ("a/c.flac", "a dog", 120, "CC-BY-4.0", "test")
    assert dog.attributes == {"animal": "dog"}
    assert (rain.caption, rain.captions) == ("rain on tin", ("rain on tin", "it rains"))
    assert (rain.licence, rain.split, rain.source) == ("CC0-1.0", "train", "b.wav")
    assert (bare.caption, bare.captions) == ("", ())


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22_050, 2), (44_100, 1), (48_000, 2), (96_000, 6)])
def test_any_rate_and_channels_become_stereo_at_44100_with_level_and_pitch_kept(tmp_path, rate, channels):
    write(tmp_path / "t.wav", tone(0.5, rate, channels), rate)
    source = open_folder(tmp_path)
    waveform = source.waveform(0)
    assert (waveform.num_channels, waveform.sample_rate, waveform.num_samples) == (2, 44_100, 22_050)
    assert source.info(0).duration_seconds == 0.5
    middle = waveform.samples[:, 4000:18_000]
    np.testing.assert_allclose(middle, tone(0.5).T[:, 4000:18_000], atol=2e-3)
    assert source.format(0) == SoundFormat(rate, channels, rate // 2)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_long_files_are_cut_into_equal_windows_that_lose_nothing(tmp_path, rate):
    length = 30 * rate + 17
    ramp = np.linspace(-0.5, 0.5, length, dtype=np.float32)[:, None].repeat(2, axis=1)
    write(tmp_path / "long.wav", ramp, rate, "FLOAT")
    (tmp_path / "long.txt").write_text("a long ramp")
    source = open_folder(tmp_path)
    assert [source.info(i).id for i in range(len(source))] == ["long.wav#0", "long.wav#1", "long.wav#2"]
    parts = [source.waveform(i) for i in range(3)]
    assert all(part.num_samples <= MAX_SAMPLES for part in parts)
    assert [source.info(i).duration_seconds for i in range(3)] == [part.duration_seconds for part in parts]
    assert {source.info(i).caption for i in range(3)} == {"a long ramp"}
    if rate == 44_100:
        np.testing.assert_array_equal(np.concatenate([part.samples for part in parts], axis=1), ramp.T)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("seconds", [0.01, 11.88, 11.9, 24.0, 3600.0])
def test_windows_cover_a_file_once(rate, seconds):
    length = round(seconds * rate)
    found = windows(SoundFormat(rate, 1, length))
    assert [start for start, _ in found] == np.cumsum([0, *(count for _, count in found[:-1])]).tolist()
    assert sum(count for _, count in found) == length
    assert max(count for _, count in found) - min(count for _, count in found) <= 1
    assert round(max(count for _, count in found) * 44_100 / rate) <= MAX_SAMPLES


def test_bad_files_are_named_with_their_reason_and_the_others_stay(tmp_path):
    write(tmp_path / "good.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.flac").write_text("not a sound")
    write(tmp_path / "typo.wav")
    (tmp_path / "typo.json").write_text('{"captoin": "x"}')
    write(tmp_path / "tempo.wav")
    (tmp_path / "tempo.json").write_text('{"bpm": 1200}')
    write(tmp_path / "latin.wav")
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    write(tmp_path / "none.wav", np.zeros((0, 2), np.float32))
    source = open_folder(tmp_path)
    assert [source.info(i).id for i in range(len(source))] == ["good.wav", "latin.wav"]
    assert source.info(1).caption == "café"
    assert source.notes == (f"{tmp_path / 'latin.txt'} is read as Windows-1252.",)
    wanted = {
        "empty.wav": "is empty",
        "text.flac": "is not a sound file that can be read",
        "typo.json": "did you mean 'caption'?",
        "tempo.json": "bpm must be from 20 to 400, got 1200",
        "none.wav": "holds no samples",
    }
    assert len(source.problems) == len(wanted)
    for name, reason in wanted.items():
        sentence = next(problem for problem in source.problems if name in problem)
        assert reason in sentence
        assert "\n" not in sentence


def test_nan_and_cut_files_are_refused_when_they_are_read(tmp_path):
    samples = tone()
    samples[100] = np.nan
    write(tmp_path / "nan.wav", samples, subtype="FLOAT")
    whole = write(tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    source = open_folder(tmp_path)
    for index, message in enumerate((r"cut\.flac (is cut off|cannot be read)", r"nan\.wav cannot be used: .*NaN")):
        with pytest.raises(InputFileError, match=message):
            source.waveform(index)


def test_unicode_names_and_captions_survive(tmp_path):
    write(tmp_path / "Größe 🎵" / "雨.wav")
    (tmp_path / "Größe 🎵" / "雨.txt").write_text("\ufeffdes gouttes sur l'étain 🌧", encoding="utf-8")
    info = open_folder(tmp_path).info(0)
    assert (info.id, info.caption) == ("Größe 🎵/雨.wav", "des gouttes sur l'étain 🌧")


def test_a_validation_share_is_drawn_by_name_and_stays_when_files_are_added(tmp_path):
    for number in range(40):
        write(tmp_path / f"{number}.wav", tone(0.01))
    before = {i.id: i.split for i in map(open_folder(tmp_path, FileDefaults(valid_share=0.3)).info, range(40))}
    assert 4 <= list(before.values()).count("valid") <= 20
    write(tmp_path / "00.wav", tone(0.01))
    source = open_folder(tmp_path, FileDefaults(valid_share=0.3))
    after = {source.info(i).id: source.info(i).split for i in range(41)}
    assert before.items() <= after.items()
    with pytest.raises(UsageError, match=r"valid_share must be from 0 to 0\.5, got 0\.9"):
        FileDefaults(valid_share=0.9)


def test_a_csv_manifest_with_all_kinds_of_columns(tmp_path):
    write(tmp_path / "sounds" / "a.wav")
    write(tmp_path / "b.wav")
    table = 'path,caption,captions,bpm,attributes.family,split\nsounds/a.wav,"drums, fast",one|two,120.5,drums,valid\n'
    (tmp_path / "m.csv").write_text(table + "b.wav,,,,,\n", encoding="utf-8")
    source = open_manifest(tmp_path / "m.csv")
    first, second = source.info(0), source.info(1)
    assert first.captions == ("drums, fast", "one", "two")
    assert (first.bpm, first.attributes, first.split) == (120.5, {"family": "drums"}, "valid")
    assert (second.caption, second.bpm, second.attributes) == ("", None, {})


def test_bad_rows_are_named_by_line_and_the_others_stay(tmp_path):
    write(tmp_path / "a.wav")
    rows = ["path,caption,bpm", "a.wav,ok,", "gone.wav,x,", "a.wav,x,fast", "a.wav,x", ",x,", "a.wav,again,"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    source = open_manifest(tmp_path / "m.csv")
    assert [source.info(i).caption for i in range(len(source))] == ["ok"]
    text = "\n".join(source.problems)
    assert f"{tmp_path / 'gone.wav'} (m.csv line 3) does not exist" in text
    assert "m.csv line 4: expected `float" in text
    assert "m.csv line 5: the row has another number of cells" in text
    assert "m.csv line 6: path is empty" in text
    assert "a.wav (m.csv line 7) has the id a.wav, which an earlier one has too" in text
    lines = ['{"path": "a.wav"}', "{", '{"path": 3}', '{"caption": "x"}', '{"path": "a.wav", "oops": 1}', ""]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    source = open_manifest(tmp_path / "m.jsonl")
    assert len(source) == 1
    assert [problem.split(" line ")[1][:2] for problem in source.problems] == ["2:", "3:", "4:", "5:"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "sound,caption\na.wav,x\n", "no column names the sound .*; it has sound, caption"),
        ("m.csv", "path,captoin\na.wav,x\n", "unknown column 'captoin'; allowed are id, caption"),
        ("m.csv", "", "no column names the sound"),
        ("m.jsonl", "\n", "holds no rows"),
    ],
)
def test_unfit_manifests_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputFileError, match=message):
        open_manifest(tmp_path / name)


def test_a_manifest_that_states_another_length_is_not_believed(tmp_path):
    write(tmp_path / "a.wav")
    row = ManifestRow(path="a.wav", duration_seconds=3.0)
    (tmp_path / "m.jsonl").write_bytes(msgspec.json.encode(row))
    assert "is 1.00 s long, but duration_seconds says 3.00" in open_manifest(tmp_path / "m.jsonl").problems[0]


def shard(path: Path, members: dict[str, bytes], mode="w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def flac(**options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(**options), options.get("rate", 44_100), format="FLAC")
    return buffer.getvalue()


def test_shards_give_any_sample_at_any_time(tmp_path):
    one = {"s/000.flac": flac(hz=441), "s/000.txt": b"low", "s/000.json": b'{"bpm": 90}', "s/001.flac": flac(hz=882)}
    shard(tmp_path / "x-00.tar", one)
    shard(
        tmp_path / "x-01.tar",
        {"002.audio.flac": flac(seconds=0.5, rate=22_050, channels=1), "002.txt": b"short\nbrief"},
    )
    for spec in ("x-{00..01}.tar", "x-*.tar"):
        source = open_source(tmp_path / spec)
        infos = [source.info(i) for i in range(len(source))]
        assert [info.id for info in infos] == ["x-00.tar/s/000", "x-00.tar/s/001", "x-01.tar/002"]
        assert [info.captions for info in infos] == [("low",), (), ("short", "brief")]
        assert infos[0].bpm == 90
        for index, wanted in ((2, tone(0.5)), (0, tone(hz=441)), (1, tone(hz=882))):
            samples = source.waveform(index).samples
            np.testing.assert_allclose(samples[:, 2000:-2000], wanted.T[:, 2000:-2000], atol=2e-3)


def test_shards_written_by_the_webdataset_library_are_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as sink:
        sink.write({"__key__": "k1", "flac": flac(), "txt": "a tone", "json": {"licence": "CC0-1.0"}})
    info = open_webdataset([tmp_path / "w.tar"]).info(0)
    assert (info.id, info.caption, info.licence) == ("w.tar/k1", "a tone", "CC0-1.0")


def test_bad_samples_and_bad_shards(tmp_path):
    members = {
        "a.txt": b"no sound",
        "b.flac": flac(),
        "b.wav": flac(),
        "c.flac": b"junk",
        "d.flac": flac(),
        "e.flac": flac(),
    }
    source = open_webdataset([shard(tmp_path / "x.tar", members | {"d.json": b'{"bpm": "fast"}'})])
    assert [source.info(i).id for i in range(len(source))] == ["x.tar/e"]
    text = "\n".join(source.problems)
    for part in (
        "sample a holds 0 sound files",
        "sample b holds 2 sound files",
        "c.flac is not a sound",
        "facts of d are",
    ):
        assert part in text
    with pytest.raises(InputFileError, match="not a whole, uncompressed tar file"):
        open_webdataset([shard(tmp_path / "y.tar", members, "w:gz")])
    with pytest.raises(InputFileError, match="does not exist"):
        open_source(tmp_path / "gone-{0..1}.tar")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("gone", InputFileError, "gone does not exist; name a folder, a manifest"),
        ("gone.csv", InputFileError, "gone.csv does not exist"),
        ("gone-*.tar", InputFileError, "matches no file"),
        ("song.wav", UsageError, "is no source of clips"),
        ("corpus:sed=1", UsageError, "no option 'sed'; did you mean 'seed'?"),
        ("corpus:seed=x", UsageError, "seed must be a whole number, 0 or more, got 'x'"),
        ("corpus:pack=nowhere", InputFileError, "pack must be a folder, but 'nowhere' is none"),
        ("corpus:size=0", UsageError, "size must be at least 1"),
    ],
)
def test_unknown_sources_are_refused_in_one_sentence(tmp_path, monkeypatch, spec, error, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "song.wav")
    with pytest.raises(error, match=message.replace("?", r"\?")):
        open_source(spec)


def test_folders_without_sound_are_refused(tmp_path):
    with pytest.raises(InputFileError, match=r"holds no sound file \(looked for \.3gp, \.aac, \.aif"):
        open_source(tmp_path)


def test_the_corpus_opens_with_its_options():
    source = open_source("corpus:seed=3", size=40)
    assert len(source) == 40
    assert source.info(0).id == "corpus-3-000000"
    assert len(open_source("corpus:size=30", size=40)) == 30


def test_split_and_limit_take_a_part(tmp_path):
    for number in range(6):
        write(tmp_path / f"{number}.wav", tone(0.1, hz=100 * (number + 1)))
        (tmp_path / f"{number}.json").write_text(json.dumps({"split": "valid" if number % 2 else "train"}))
    part = open_source(tmp_path, split="valid", limit=2)
    assert [part.info(i).id for i in range(len(part))] == ["1.wav", "3.wav"]
    np.testing.assert_array_equal(part.waveform(1).samples, open_folder(tmp_path).waveform(3).samples)
    with pytest.raises(UsageError, match="limit must be 1 or more, got 0"):
        open_source(tmp_path, limit=0)
    with pytest.raises(UsageError, match="split must be train, valid or test, got 'dev'"):
        open_source(tmp_path, split="dev")
