"""Recordings: facts from names, sound on demand, and their place in the corpus, with a small pack made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.data.corpus import Corpus
from arctone.data.corpus.recordings import (
    Recording,
    load_recording,
    pack_recordings,
    sonic_pi_recordings,
    strum_recordings,
)
from arctone.errors import InputFileError

SOURCES = {
    "cc0-sfx": ["repo/kenney_impactsounds/Audio/impactWood_light_001.ogg",
        "repo/kenney_casinoaudio/Audio/dieThrow1.ogg",
    ],
    "esc10": [f"karolpiczak+ESC-10/001 - Dog bark/{fold}-100-A.ogg" for fold in (1, 5)],
    "noixer": ["abetusk+noixer/assets/433783__cagancelik__campfire.mp3"],
    "blanket": ["rafaelmardojai+blanket/data/resources/sounds/city.ogg"],
    "inst-iowa-and-vowels": [
        "swesterfeld+spectmorph-instruments/trumpet/trumpet-ff-dis4.flac",
        "swesterfeld+spectmorph-instruments/cello/a-note-63.flac",
        "swesterfeld+spectmorph-instruments/claudia-oh/claudia-oh-1-81.flac",
        "swesterfeld+spectmorph-instruments/viola/Vla_ff-50-D3.flac",
    ],
    "inst-body_percussion": ["sfzinstruments+body_percussion/Samples/body/stomp_l_vl1_rr4.wav"],
}  # fmt: skip


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of sines, each a second long, mono, at 44.1 kHz."""
    folder = tmp_path_factory.mktemp("pack")
    entries = []
    for group, sources in SOURCES.items():
        for source in sources:
            path = f"{len(entries):02d}.flac"
            tone = 0.5 * np.sin(2 * np.pi * (300 + 50 * len(entries)) * np.arange(44_100) / 44_100)
            soundfile.write(folder / path, tone, 44_100)
            entry = {"group": group, "licence": "CC0-1.0", "seconds": 1.0, "path": path, "source": source}
            entries.append(entry | ({"clip_licence": "CC-BY", "licence": "CC-BY-3.0"} if group == "esc10" else {}))
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(scope="module")
def by_source(pack: Path) -> dict[str, Recording]:
    return {recording.source: recording for recording in pack_recordings(pack)}


def test_facts_come_from_names(by_source: dict[str, Recording]) -> None:
    assert len(by_source) == sum(map(len, SOURCES.values()))
    pitches = [by_source[source].pitch for source in SOURCES["inst-iowa-and-vowels"]]
    assert pitches == [63, 63, 81, 50]
    dog = by_source[SOURCES["esc10"][1]]
    assert (dog.fold, dog.kind, dog.wordings[0]) == ("5", "effect", "a dog barking")
    assert by_source[SOURCES["noixer"][0]].kind == "ambience"
    assert by_source[SOURCES["blanket"][0]].licence == "CC-BY"
    assert by_source[SOURCES["inst-body_percussion"][0]].piece == "kick"


def test_esc10_names_the_licences_of_the_set_and_of_the_clip(by_source: dict[str, Recording]) -> None:
    assert by_source[SOURCES["esc10"][0]].licence == "CC-BY-3.0 AND CC-BY"


def test_recordings_load_as_stereo_at_the_right_rate(tmp_path: Path) -> None:
    seconds = np.arange(96_000) / 96_000
    soundfile.write(tmp_path / "tone.flac", 0.5 * np.sin(2 * np.pi * 1_000 * seconds), 96_000)
    audio = load_recording(str(tmp_path / "tone.flac"), 0.25, 0.5)
    assert audio.shape == (2, 22_050)
    assert np.array_equal(audio[0], audio[1])
    spectrum = np.abs(np.fft.rfft(audio[0] * np.hanning(22_050)))
    assert np.argmax(spectrum) * 44_100 / 22_050 == pytest.approx(1_000, abs=2)


def test_what_is_read_may_be_changed_without_harm(pack: Path) -> None:
    first = load_recording(str(pack / "00.flac"), 0.0, 1.0)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(load_recording(str(pack / "00.flac"), 0.0, 1.0), kept)


def test_a_corpus_with_a_pack_keeps_fold_five_for_the_test(pack: Path) -> None:
    corpus = Corpus(seed=1, size=600, soundfonts=(), sonic_pi=None, pack=pack)
    with_dogs = [info for k in range(600) if "ESC-10" in (info := corpus.info(k)).source]
    trained = [info for info in with_dogs if info.split != "test"]
    assert len(trained) > 20
    assert not any("/5-100-A" in info.source for info in trained)
    tested = [info for info in with_dogs if "/5-100-A" in info.source]
    assert tested
    assert all("unseen_recording" in info.held_out for info in tested)
    assert all("CC-BY-3.0" in info.licence.split(" AND ") for info in with_dogs)


def test_clips_of_recordings_sound(pack: Path) -> None:
    corpus = Corpus(seed=1, size=120, soundfonts=(), sonic_pi=None, pack=pack)
    recorded = [k for k in range(120) if corpus.plan(k).recordings()]
    assert len(recorded) > 8
    for k in recorded[:8]:
        audio = corpus.waveform(k).samples
        assert audio.shape[1] == corpus.plan(k).num_samples
        assert 0.4 < np.abs(audio).max() < 1


def test_sonic_pi_and_strums_are_named_by_their_files(tmp_path: Path) -> None:
    strums = tmp_path / "kits" / "belofilms_GuitarStrums"
    strums.mkdir(parents=True)
    for path in (tmp_path / "bd_haus.flac", tmp_path / "ambi_choir.flac", tmp_path / "loop_amen.flac"):
        soundfile.write(path, np.zeros(8_000) + 0.1, 44_100)
    soundfile.write(strums / "Fsharp minor7b5_UP_02.flac", np.zeros(8_000), 44_100)
    names = {recording.wordings[0]: recording for recording in sonic_pi_recordings(tmp_path)}
    assert set(names) == {"an electronic kick", "an ambient choir"}
    assert names["an electronic kick"].piece == "kick"
    (strum,) = strum_recordings(tmp_path)
    assert strum.wordings[1] == "up strum of an F sharp half-diminished chord on acoustic guitar"
    assert strum.licence == "CC-BY-3.0"


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"holds no readable manifest\.json"):
        Corpus(size=3, soundfonts=(), sonic_pi=None, pack=tmp_path)


def test_a_broken_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.ogg").write_bytes(b"no sound")
    with pytest.raises(InputFileError, match=r"broken\.ogg cannot be read as sound"):
        load_recording(str(tmp_path / "broken.ogg"), 0.0, 1.0)
