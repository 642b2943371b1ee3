"""What listeners get: one level, one length, one format, and nothing that tells a system."""

import filecmp
import json
import math
import re
from collections import defaultdict

import numpy as np
import pytest
import soundfile

from arctone.audio.files import read_audio
from arctone.audio.loudness import loudness_lufs, peak_db
from arctone.audio.tags import read_metadata
from arctone.audio.waveform import Waveform
from arctone.evaluation.listening.build import BuildSettings, build
from arctone.evaluation.listening.stimuli import lowpass
from tests.evaluation.listening.made_systems import RATES, SYSTEMS, built, files_below

CHUNKS_OF_A_PLAIN_WAV = {b"fmt ", b"data"}


def chunk_names(data: bytes) -> set[bytes]:
    names, at = set(), 12
    while at + 8 <= len(data):
        names.add(data[at : at + 4])
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    return names


@pytest.fixture(params=["page_test", "mushra_test"])
def test_built(request):
    return request.getfixturevalue(request.param)


def test_all_single_sounds_have_the_same_loudness(page_test):
    """The systems differ by 40 dB as they come."""
    found = [loudness_lufs(read_audio(path)) for path in (page_test.folder / "listeners/audio").glob("*.wav")]
    assert len(found) > 60
    assert max(found) - min(found) < 0.1
    assert found[0] == pytest.approx(page_test.key.loudness_lufs, abs=0.1)
    assert page_test.key.loudness_lufs == -23.0


def test_loudness_steps_down_together_where_peaks_have_no_room(sounds, tmp_path):
    """A click among noise: its loudness at -1 dBFS is what all get."""
    systems = {name: tmp_path / name for name in ("noise", "click")}
    for name, folder in systems.items():
        folder.mkdir()
        for take in range(2):
            samples = 0.1 * np.random.default_rng(take).standard_normal((44_100, 2))
            if name == "click":
                samples *= 0.001
                samples[20_000] = 0.9
            soundfile.write(folder / f"{take}.wav", samples, 44_100)
            (folder / f"{take}.txt").write_text("a sound")
    test = build(systems, tmp_path / "test", BuildSettings(seed=1))
    heard = [read_audio(path) for path in (tmp_path / "test/listeners/audio").glob("s*.wav")]
    levels = [loudness_lufs(sound) for sound in heard]
    assert test.key.loudness_lufs < -30
    assert max(levels) - min(levels) < 0.1
    assert max(peak_db(sound) for sound in heard) == pytest.approx(-1.0, abs=0.1)
    assert any("very soft" in warning for warning in test.warnings)
    assert "because of one sound's peaks" in (tmp_path / "test/key/protocol.md").read_text()


def test_all_sounds_of_a_prompt_have_the_same_length_and_format(page_test):
    lengths = defaultdict(set)
    for record in page_test.key.stimuli:
        info = soundfile.info(page_test.folder / "listeners/audio" / f"{record.name}.wav")
        assert (info.samplerate, info.channels, info.subtype) == (44_100, 2, "PCM_16")
        lengths[record.prompt].add(info.frames)
    assert len(lengths) == 9
    assert all(len(found) == 1 for found in lengths.values())


def test_nothing_that_listeners_get_names_a_system_or_a_file_of_it(test_built):
    """Names, texts, tags: `ember` even carries its model's name in the tags of its own files."""
    words = [*SYSTEMS, "real", "reference.wav", "anchor", str(test_built.key.seed)]
    sources = {file for record in test_built.key.stimuli for file in record.files}
    for path in files_below(test_built.folder / "listeners"):
        if path.suffix == ".wav":
            assert re.fullmatch(r"[sv][0-9a-f]{12}\.wav", path.name)
            assert chunk_names(path.read_bytes()) == CHUNKS_OF_A_PLAIN_WAV
            assert read_metadata(path) is None
        elif path.name not in ("index.html", "page.css", "page.js"):
            text = path.read_text()
            for word in (*words, *sources):
                assert not re.search(rf"(?<![\w<]){re.escape(word)}(?!\w)", without_keywords(text)), (path.name, word)


def without_keywords(text: str) -> str:
    """webMUSHRA's own words: its settings and the name of the open reference's setting."""
    return text.replace("createAnchor35", "").replace("createAnchor70", "")


def test_the_protocol_and_the_key_stay_outside_the_listeners_folder(test_built):
    assert {path.name for path in test_built.folder.iterdir()} == {".arctone", "key", "listeners"}
    assert {path.name for path in (test_built.folder / "key").iterdir()} == {"key.json", "protocol.md"}
    protocol = (test_built.folder / "key/protocol.md").read_text()
    assert "-23.0 LUFS (ITU-R BS.1770-4)" in protocol
    assert "keyed hash" in protocol
    for name in SYSTEMS:
        assert f"- {name}: a system under test" in protocol


def test_names_do_not_sort_by_system(page_test):
    """The opaque names of the systems are mixed: no system comes first."""
    systems = [record.system for record in sorted(page_test.key.stimuli, key=lambda record: record.name)]
    means = [np.mean([place for place, system in enumerate(systems) if system == name]) for name in SYSTEMS]
    assert max(means) - min(means) < len(systems) / 4


def test_same_seed_same_test_other_seed_other_names(sounds, tmp_path, page_test):
    again = built(sounds, tmp_path / "again")
    other = built(sounds, tmp_path / "other", seed=700124)
    first = [path.relative_to(page_test.folder) for path in files_below(page_test.folder)]
    assert first == [path.relative_to(again.folder) for path in files_below(again.folder)]
    assert filecmp.cmpfiles(page_test.folder, again.folder, first, shallow=False)[0] == first
    assert {r.name for r in other.key.stimuli} & {r.name for r in page_test.key.stimuli} == set()


def test_the_key_tells_where_each_sound_comes_from(page_test, sounds):
    """Undoing the blinding leads back to the system's own file: same noise, other level."""
    record = next(record for record in page_test.key.stimuli if record.system == "zephyr")
    heard = read_audio(page_test.folder / "listeners/audio" / f"{record.name}.wav").samples[:, 2000:8000]
    source = read_audio(sounds / "zephyr" / record.files[0]).samples[:, 2000:8000]
    assert np.corrcoef(heard.ravel(), source.ravel())[0, 1] > 0.9999
    assert 20 * math.log10(heard.std() / source.std()) == pytest.approx(record.gains_db[0], abs=0.01)
    assert len(RATES) == 4


def test_diversity_for_webmushra_is_one_file_with_pauses(mushra_test):
    question = next(q for q in mushra_test.key.questions if q.dimension == "diversity" and q.occasion == 1)
    record = next(record for record in mushra_test.key.stimuli if record.name == question.stimulus)
    sound = read_audio(next((mushra_test.folder / "listeners").rglob(f"{record.name}.wav")))
    assert len(record.files) == 2
    assert sound.duration_seconds == pytest.approx(record.duration_seconds, abs=1e-3)
    middle = sound.num_samples // 2
    assert not sound.samples[:, middle - 10_000 : middle + 10_000].any()
    assert sound.samples[:, :10_000].std() == pytest.approx(sound.samples[:, -11_500:-1_500].std(), rel=0.1)


@pytest.mark.parametrize("cutoff_hz", [3500.0, 7000.0])
def test_the_anchor_low_pass_is_that_of_bs1534(cutoff_hz):
    impulse = np.zeros((1, 8192), np.float32)
    impulse[0, 4096] = 1.0
    filtered = lowpass(Waveform(impulse, 44_100), cutoff_hz).samples[0].astype(np.float64)
    frequency_hz = np.fft.rfftfreq(8192, 1 / 44_100)
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(filtered)) + 1e-12)
    assert np.abs(gain_db[frequency_hz <= cutoff_hz]).max() < 0.1
    assert gain_db[frequency_hz >= cutoff_hz + 500].max() < -25
    assert gain_db[frequency_hz >= cutoff_hz + 1000].max() < -50
    assert filtered.argmax() == 4096


def test_the_anchors_in_a_test_are_dull_and_the_rest_is_not(mushra_test):
    def share_above(name: str, hz: float) -> float:
        sound = read_audio(next((mushra_test.folder / "listeners").rglob(f"{name}.wav")))
        power = np.abs(np.fft.rfft(sound.samples[0])) ** 2
        return float(power[np.fft.rfftfreq(sound.num_samples, 1 / 44_100) > hz].sum() / power.sum())

    by_system = {record.system: record.name for record in mushra_test.key.stimuli}
    assert share_above(by_system["anchor35"], 4100) < 1e-4
    assert share_above(by_system["anchor70"], 7600) < 1e-4
    assert share_above(by_system["anchor70"], 4100) > 0.2
    assert share_above(by_system["reference"], 7600) > 0.4


def test_the_script_of_the_page_is_plain_data(page_test):
    text = (page_test.folder / "listeners/test.js").read_text()
    data = json.loads(text.removeprefix("window.ARCTONE_TEST = ").removesuffix(";\n"))
    trials = {q.trial: q for q in page_test.key.questions}
    assert set(data["trials"]) == set(trials)
    assert {len(t["clips"]) for t in data["trials"].values() if t["dimension"] == "diversity"} == {2}
    # Quality is judged without knowing what was asked for.
    assert {t["prompt"] for t in data["trials"].values() if t["dimension"] == "quality"} == {None}
    for dimension, orders in data["orders"].items():
        asked = sorted(q.trial for q in trials.values() if q.dimension == dimension and not q.is_practice)
        assert all(sorted(order) == asked for order in orders)
    assert sorted(map(tuple, data["blocks"])) == [
        ("adherence", "diversity", "quality"),
        ("diversity", "quality", "adherence"),
        ("quality", "adherence", "diversity"),
    ]
