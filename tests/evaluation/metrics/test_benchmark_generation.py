"""The table of generation with engines and embedders whose answers are known."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders import corpus_clap
from benchmarks import clips, engines, generation_table, latency, measured_run, train_corpus_clap, train_probe
from benchmarks.engines import Subject
from benchmarks.results import ORIGIN
from tests.evaluation.metrics.stand_ins import TinyCorpus, TinyEngine
from tests.evaluation.metrics.tiny_embedder import TinyReader

CORPUS = TinyCorpus()


def sound_of(caption: str) -> Waveform:
    return CORPUS.waveform(TinyEngine(CORPUS).clips[caption])


class Named(TinyReader):
    def __init__(self, name: str) -> None:
        super().__init__(sound_of)
        self.name = name


@pytest.fixture(scope="module")
def trained_probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    counts = ["--embedding", "mel", "--train", "20", "--valid", "20"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "open_corpus", lambda options: CORPUS)
        train_probe.main([*counts, "--output", str(folder / "family.npz"), "--results", str(folder)])
    return folder / "family.npz"


@pytest.fixture
def probe_path(trained_probe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clips, "open_corpus", lambda options: CORPUS)
    return trained_probe


def table(
    tmp_path: Path, probe_path: Path, monkeypatch: pytest.MonkeyPatch, *options: str, **models: TinyEngine
) -> dict:
    """The rows of the table, made for engines by name."""

    def load(model: str, threads: int) -> Subject:
        engine = models[model]
        return Subject(engine.backend, f"{model:<12}"[:12] + "0123", engine.generate, engine.defaults)

    monkeypatch.setattr(engines, "load", load)
    monkeypatch.setattr(generation_table, "open_embedder", Named)
    rows = [word for name in models for word in ("--row", f"{name}={name}")]
    few = ["--prompts", "16", "--diversity-prompts", "4", "--repeats", "0"]
    folders = ["--cache", str(tmp_path / "cache"), "--results", str(tmp_path), "--probe", str(probe_path)]
    generation_table.main([*rows, *few, *folders, *options])
    return json.loads((tmp_path / "generation_table.json").read_text())


def test_a_perfect_and_a_deaf_engine(tmp_path: Path, probe_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    perfect, deaf = TinyEngine(CORPUS), TinyEngine(CORPUS, deaf=True)
    result = table(tmp_path, probe_path, monkeypatch, perfect=perfect, deaf=deaf)
    rows = result["rows"]
    assert list(rows) == ["real, other clips", "real, decoded", "perfect", "deaf"]
    for title in ("real, decoded", "perfect"):
        assert rows[title]["frechet_distance/aisfx"]["value"] < 0.1
        assert rows[title]["text_audio_score/corpus-clap"]["value"] == pytest.approx(1, abs=1e-3)
    assert rows["perfect"]["conditional_diversity/corpus-clap"]["value"] == pytest.approx(0, abs=1e-6)
    assert rows["perfect"]["conditional_diversity/corpus-clap"]["count"] == 4
    floor = rows["real, other clips"]
    assert floor["text_audio_score/corpus-clap"]["value"] == pytest.approx(1, abs=1e-3)
    assert 0 < floor["frechet_distance/aisfx"]["value"] < rows["deaf"]["frechet_distance/aisfx"]["value"]
    assert (
        rows["deaf"]["class_divergence/musicnn"]["value"] > rows["perfect"]["class_divergence/musicnn"]["value"] + 0.1
    )
    # Sixteen prompts once and four of them four times, of which the first sound is the one that is there already.
    assert perfect.num_calls == result["settings"]["prompts"] + 3 * 4
    page = generation_table.block(result)
    assert "| perfect | 0.0 (0.0-" in page
    assert page.count("\n| ") >= 5


def test_the_same_weights_make_nothing_twice_and_others_have_sounds_of_their_own(
    tmp_path: Path, probe_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = table(tmp_path, probe_path, monkeypatch, one=TinyEngine(CORPUS))
    again, other = TinyEngine(CORPUS), TinyEngine(CORPUS)
    second = table(tmp_path, probe_path, monkeypatch, one=again, other=other)
    assert again.num_calls == 0
    assert second["rows"]["one"] == first["rows"]["one"]
    assert other.num_calls == first["settings"]["prompts"] + 3 * 4
    assert len(list((tmp_path / "cache" / "generated").iterdir())) == 2


def test_a_table_goes_on_with_other_rows_about_the_same_prompts(
    tmp_path: Path, probe_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (tmp_path, probe_path, monkeypatch)
    with pytest.raises(SystemExit, match="no table is stored yet"):
        table(*arguments, "--keep", one=TinyEngine(CORPUS))
    first = table(*arguments, one=TinyEngine(CORPUS), deaf=TinyEngine(CORPUS, deaf=True))
    # Kept for once: deaf under the name of one would be distinguished from it.
    swapped, again = TinyEngine(CORPUS, deaf=True), TinyEngine(CORPUS)
    second = table(*arguments, "--keep", "--cache", str(tmp_path / "other"), one=swapped, new=again)
    assert list(second["rows"]) == ["real, other clips", "real, decoded", "one", "deaf", "new"]
    assert second["rows"]["deaf"] == first["rows"]["deaf"]
    cell = "frechet_distance/aisfx"
    assert second["rows"]["one"][cell] == pytest.approx(first["rows"]["deaf"][cell])
    assert second["rows"]["new"][cell]["value"] < 0.1
    assert [one["rows"] for one in second["earlier"]] == [["deaf"]]
    assert generation_table.block(second).count(f"Measured {first['date']}, arctone") == 2
    path = tmp_path / "generation_table.json"
    for changes, problem in (
        ({"settings": second["settings"] | {"seed": 5}}, "other seed, so"),
        ({"embedders": {}}, "other embedders, so"),
        ({"rows": second["rows"] | {"real, other clips": second["rows"]["deaf"]}}, "other sounds of 'real, other"),
    ):
        stored = json.dumps(second | changes)
        path.write_text(stored)
        with pytest.raises(SystemExit, match=problem):
            table(*arguments, "--keep", new=(unused := TinyEngine(CORPUS)))
        assert unused.num_calls == 0
        assert path.read_text() == stored


def test_rows_are_timed_again_and_nothing_else_changes(
    tmp_path: Path, probe_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (tmp_path, probe_path, monkeypatch)
    with pytest.raises(SystemExit, match="needs a stored table"):
        table(*arguments, "--costs", "--repeats", "2", one=TinyEngine(CORPUS))
    first = table(*arguments, one=TinyEngine(CORPUS), two=TinyEngine(CORPUS, deaf=True))
    monkeypatch.setattr(generation_table, "measured_cost", lambda options, row: {"peak_memory_megabytes": 123.0})
    monkeypatch.setattr(generation_table.results, "origin", lambda: dict(zip(ORIGIN, "dvcm", strict=True)))
    idle = TinyEngine(CORPUS)
    second = table(*arguments, "--costs", "--repeats", "2", one=idle)
    assert idle.num_calls == 0
    assert second["rows"]["one"] == first["rows"]["one"] | {"cost": {"peak_memory_megabytes": 123.0}}
    assert second["rows"]["two"] == first["rows"]["two"]
    assert second["timed"] == [dict(zip(ORIGIN, "dvcm", strict=True)) | {"rows": ["one"]}]
    assert {name: second[name] for name in ("name", "settings", *ORIGIN)} == {
        name: first[name] for name in ("name", "settings", *ORIGIN)
    }
    stored = (tmp_path / "generation_table.json").read_text()
    for more, rows in (([], {"three": idle}), (["--repeats", "0"], {"one": idle})):
        with pytest.raises(SystemExit, match=r"^costs: "):
            table(*arguments, "--costs", "--repeats", "2", *more, **rows)
    monkeypatch.setattr(TinyEngine, "defaults", argparse.Namespace(steps=3, cfg_scale=1.0, sampler="heun"))
    with pytest.raises(SystemExit, match="'one' is not in the stored table, or of other weights or settings"):
        table(*arguments, "--costs", "--repeats", "2", one=idle)
    assert (tmp_path / "generation_table.json").read_text() == stored


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("spark=spark", ("spark", "spark", {})),
        ("spark, 8 steps=runs/a,steps=8,cfg_scale=1.5", ("spark, 8 steps", "runs/a", {"steps": 8, "cfg_scale": 1.5})),
        ("x=m,sampler=ping_pong", ("x", "m", {"sampler": "ping_pong"})),
    ],
)
def test_rows_are_read(text: str, known: tuple) -> None:
    row = generation_table.parse_row(text)
    assert (row.title, row.model, row.settings) == known


@pytest.mark.parametrize("text", ["spark", "=spark", "a=", "a=b,steps", "a=b,stops=3", "a=b,steps=many"])
def test_bad_rows_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not TITLE|must set one of|is no value"):
        generation_table.parse_row(text)


def test_the_cost_is_measured_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row's settings reach the program as options, and the memory is that of its process."""
    asked: list[list[str]] = []

    def run(program: list[str], *given: object) -> latency.Run:
        asked.append([*program, *map(str, given)])
        Path(program[-1]).write_text('{"peak_memory_bytes": 250000000}')
        return latency.Run(2.0 + len(asked), {"total": 1.0}, "same", 12.0)

    monkeypatch.setattr(latency, "run", run)
    options = argparse.Namespace(repeats=3, latency_seconds=12.0, threads=2)
    found = generation_table.measured_cost(options, generation_table.Row("x", "spark", {"steps": 8, "cfg_scale": 1.5}))
    assert len(asked) == 4
    assert "benchmarks.measured_run" in asked[0]
    assert asked[0][-1] == str(["--steps", "8", "--cfg-scale", "1.5"])
    # The first of 3, 4, 5 and 6 seconds does not count.
    assert found["latency_seconds"]["value"] == 5.0
    assert found["real_time_factor"]["value"] == pytest.approx(12 / 5)
    assert found["peak_memory_megabytes"] == 250.0


def test_a_measured_run_gives_its_exit_code_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "memory.json"
    assert measured_run.main([str(path), "models"]) == 0
    assert "spark" in capsys.readouterr().out
    assert json.loads(path.read_text())["peak_memory_bytes"] > 2**20
    assert measured_run.main([str(path), "generate", "x", "--steps", "-1"]) == 2


def _features(sound: Waveform) -> np.ndarray:
    """Stands for the audio features of the corpus CLAP: the spectrum of a sound."""
    spectrum = np.abs(np.fft.rfft(sound.samples[0], 4096))[:1424].reshape(712, 2).mean(axis=1)
    return np.log1p(spectrum).astype(np.float32)


def _words(captions: list[str]) -> np.ndarray:
    """Stands for the text features of the corpus CLAP: a vector of its own for each word that is no number, summed."""
    rows = [[_word(word) for word in caption.split() if word.isalpha()] for caption in captions]
    return np.stack([np.sum(row, axis=0) for row in rows]).astype(np.float32)


def _word(word: str) -> np.ndarray:
    return np.random.default_rng(sum(map(ord, word))).standard_normal(384)


def test_corpus_clap_learns_from_the_training_split_and_is_evaluated_on_the_test_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []

    class Listening(TinyCorpus):
        def waveform(self, index: int) -> Waveform:
            rendered.append(index)
            return super().waveform(index)

    source = Listening(240)
    monkeypatch.setattr(clips, "open_corpus", lambda options: source)
    monkeypatch.setattr(corpus_clap, "audio_features", _features)
    monkeypatch.setattr(corpus_clap, "text_features", _words)
    recipe = train_corpus_clap.CorpusClapRecipe
    monkeypatch.setattr(
        train_corpus_clap, "CorpusClapRecipe", lambda seed: recipe(128, 300, 32, dropout=0.1, noise=0.1, seed=seed)
    )
    counts = ["--train", "70", "--valid", "30", "--test", "40"]
    folders = [
        "--cache",
        str(tmp_path / "cache"),
        "--results",
        str(tmp_path),
        "--output",
        str(tmp_path / "e.safetensors"),
    ]
    train_corpus_clap.main([*counts, *folders])
    result = json.loads((tmp_path / "train_corpus_clap.json").read_text())
    assert {source.info(index).split for index in rendered[:70]} == {"train"}
    assert result["retrieval"]["all"]["recall_at_5"]["value"] > 5 / 40
    heads = corpus_clap.load(tmp_path / "e.safetensors")
    assert heads.recipe["num_train"] == 70
    # Sounds of one kind differ only in a number, which these words do not say: but the kind is always right.
    test = train_corpus_clap.sample(source, "test", 40)
    sounds = heads.audio(np.stack([_features(CORPUS.waveform(clip.index)) for clip in test]))
    found = (heads.text(_words([clip.info.caption for clip in test])) @ sounds.T).argmax(axis=1)
    assert [test[place].index % 4 for place in found] == [clip.index % 4 for clip in test]
    assert "all held-out clips" in train_corpus_clap.block(result)
    number = len(rendered)
    train_corpus_clap.main([*counts, *folders])
    assert len(rendered) == number
