import json
from pathlib import Path

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.data.sound import ClipInfo
from arctone.evaluation.embedders import aisfx
from arctone.evaluation.metrics import probe
from benchmarks import adherence, clips, engines, stored_answers, train_probe
from benchmarks.adherence import Answer, Question
from benchmarks.clips import Chosen
from tests.evaluation.metrics.stand_ins import NoisyBackend, TinyCorpus, TinyEngine

CORPUS = TinyCorpus()


@pytest.fixture(scope="module")
def probe_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "open_corpus", lambda options: CORPUS)
        counts = ["--embedding", "mel", "--train", "20", "--valid", "20"]
        train_probe.main([*counts, "--output", str(folder / "family.npz"), "--results", str(folder)])
    return folder / "family.npz"


def measured(tmp_path: Path, probe_path: Path, engine: TinyEngine, *more: str) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "open_corpus", lambda options: CORPUS)
        patch.setattr(engines, "load", lambda model, threads: engine)
        folders = ["--cache", str(tmp_path / "cache"), "--results", str(tmp_path)]
        adherence.main(["--probe", str(probe_path), "--prompts", "24", *folders, *more])
    return json.loads((tmp_path / "adherence.json").read_text())


def test_the_probe_is_trained_on_the_training_split_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rendered: list[int] = []
    original = TinyCorpus.waveform

    class Listening(TinyCorpus):
        def waveform(self, index: int) -> Waveform:
            rendered.append(index)
            return original(self, index)

        def info(self, index: int) -> ClipInfo:
            return CORPUS.info(index)

    source = Listening()
    chosen = train_probe._sample(source, "train", 12)
    train_probe.embed_all(source, chosen, ["mel"], "")
    assert {source.info(index).split for index in rendered} == {"train"}
    assert len(rendered) == 12


def test_a_perfect_engine_scores_like_real_sounds(tmp_path: Path, probe_path: Path) -> None:
    result = measured(tmp_path, probe_path, TinyEngine(CORPUS))
    for condition in ("real", "decoded", "generated"):
        shares = {name: cell["value"] for name, cell in result["conditions"][condition].items()}
        assert shares == {"family": 1.0, "tempo": 1.0, "tempo_octave": 1.0, "key": 1.0, "key_relative": 1.0}
    assert result["settings"]["model_hash"] == TinyEngine.model_hash
    assert result["families"]["generated"]["organ"]["share"] == 1.0


def test_a_deaf_engine_scores_like_chance_and_real_sounds_do_not_suffer(tmp_path: Path, probe_path: Path) -> None:
    made = measured(tmp_path, probe_path, TinyEngine(CORPUS, deaf=True))["conditions"]
    assert made["real"]["family"]["value"] == 1.0
    assert made["generated"]["family"]["value"] <= 0.5
    assert made["generated"]["tempo"]["value"] <= 0.5


def test_a_noisy_autoencoder_shows_in_the_decoded_row(tmp_path: Path, probe_path: Path) -> None:
    engine = TinyEngine(CORPUS, NoisyBackend())
    made = measured(tmp_path, probe_path, engine, "--conditions", "real", "decoded")["conditions"]
    assert made["decoded"]["family"]["value"] < made["real"]["family"]["value"]
    assert "generated" not in made
    assert engine.num_calls == 0


def test_generated_sounds_are_made_once(tmp_path: Path, probe_path: Path) -> None:
    first, second = TinyEngine(CORPUS), TinyEngine(CORPUS)
    before = measured(tmp_path, probe_path, first)
    after = measured(tmp_path, probe_path, second)
    assert first.num_calls == before["settings"]["prompts"]
    assert second.num_calls == 0
    assert after["conditions"] == before["conditions"]


def test_only_what_the_prompt_says_is_asked() -> None:
    info = ClipInfo(
        id="a", caption="a loop", captions=("a loop",), duration_seconds=2, bpm=120, key="C major", category="drums"
    )
    assert adherence.question(Chosen(0, info)) is None
    asked = adherence.question(Chosen(0, ClipInfo(**{**_fields(info), "captions": ("a loop", "loop, 120 BPM")})))
    assert asked is not None
    assert (asked.prompt, asked.bpm, asked.key, asked.family) == ("loop, 120 BPM", 120, None, None)
    for wording in ("loop at 1200 BPM", "loop in C major7", "F#C major"):
        changed = ClipInfo(**{**_fields(info), "captions": (wording,)})
        assert adherence.question(Chosen(0, changed)) is None


def _fields(info: ClipInfo) -> dict:
    return {name: getattr(info, name) for name in info.__struct_fields__}


def test_known_shares_and_chance() -> None:
    clip = Chosen(0, CORPUS.info(0))
    asked = [Question(clip, "", name, None, None) for name in ("organ", "organ", "wind", "piano")]
    answers = [Answer(name, None, None) for name in ("organ", "wind", "wind", "organ")]
    cell = adherence.score(asked, answers)["family"]
    # By chance: 2 of 4 prompts say organ and 2 of 4 answers do, 1 of 4 and 2 of 4 wind, 1 of 4 and none piano.
    assert (cell["value"], cell["count"], cell["chance"]) == (0.5, 4, 0.375)
    assert adherence.score(asked, answers)["tempo"] is None
    row = adherence.by_family(asked, answers)["organ"]
    assert (row["count"], row["share"]) == (2, 0.5)


def test_prompts_take_turns_between_families() -> None:
    asked = adherence.choose(CORPUS, 24, ("organ", "piano", "wind"))
    families = [q.family for q in asked]
    assert [families.count(name) for name in ("organ", "piano", "wind", None)] == [4, 4, 4, 12]
    assert sum(q.bpm is not None for q in asked) == 8
    assert {q.clip.info.split for q in asked} == {"test"}


def test_selection_does_not_depend_on_the_run() -> None:
    first, second = (clips.in_split(TinyCorpus(), ["test"]) for _ in range(2))
    assert [clip.index for clip in first] == [clip.index for clip in second]
    assert [clip.index for clip in first] != sorted(clip.index for clip in first)


@pytest.mark.skipif(not train_probe.PATH.exists(), reason="the probe is not trained yet")
def test_the_stored_probe_is_small_and_hears_at_least_the_embedding_it_names() -> None:
    assert train_probe.PATH.stat().st_size < 2**20
    stored = probe.load(train_probe.PATH)
    assert len(stored.classes) > 5
    assert stored.weights.shape == (len(stored.mean), len(stored.classes))
    assert np.isfinite(stored.weights).all()
    assert stored.recipe["credit"] == aisfx.CREDIT


def test_a_real_model_folder_has_what_the_benchmarks_need(tiny_model_folder: Path, tmp_path: Path) -> None:
    subject = engines.load(str(tiny_model_folder), threads=1)
    trip = engines.round_trip(subject.backend, CORPUS.waveform(1))
    assert trip.waveform.samples.shape == CORPUS.waveform(1).samples.shape
    asked = Question(Chosen(1, CORPUS.info(1)), "wind 0", "wind", None, None)
    options = adherence._parser().parse_args(["--cache", str(tmp_path), "--steps", "2"])
    made = adherence.generated(subject, asked, options)
    assert made.num_samples == round(CORPUS.info(1).duration_seconds * made.sample_rate)
    stored = adherence.generated(subject, asked, options)
    assert stored.samples == pytest.approx(made.samples, abs=1e-4)
    assert adherence._sampling(subject, options) == {"sampler": "euler", "steps": 2, "cfg_scale": 2.0}


def test_answers_are_remembered_and_a_cut_line_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.jsonl"
    first = stored_answers.StoredAnswers(path)
    assert first.recall("a", lambda: {"bpm": 90.0}) == {"bpm": 90.0}
    with path.open("a") as file:
        file.write('["b", {"bpm": 1')
    again = stored_answers.StoredAnswers(path)
    assert again.recall("a", lambda: {"bpm": 0.0}) == {"bpm": 90.0}
    assert again.recall("b", lambda: {"bpm": 120.0}) == {"bpm": 120.0}


def test_other_sounds_words_and_files_have_other_fingerprints(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"x")
    names = [
        stored_answers.fingerprint(*parts)
        for parts in (("a", "b"), ("ab", ""), (CORPUS.waveform(0),), (tmp_path / "probe",))
    ]
    assert len(set(names)) == 4
    assert stored_answers.fingerprint(CORPUS.waveform(0)) == names[2]


def test_an_interrupted_measurement_listens_only_to_the_rest(
    tmp_path: Path, probe_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = measured(tmp_path, probe_path, TinyEngine(CORPUS))
    monkeypatch.setattr(adherence, "listen", lambda *_: pytest.fail("a sound was listened to again"))
    after = measured(tmp_path, probe_path, TinyEngine(CORPUS))
    assert after["conditions"] == before["conditions"]
