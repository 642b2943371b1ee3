"""`arctone export litert`: a folder that makes sound, figures that say how true it is, one sentence for bad input."""

import io
import json
from pathlib import Path

import pytest
import soundfile

from arctone.cli.export import document_texts, parity_rows, window_lengths
from arctone.errors import UsageError
from tests.cli.conftest import Program
from tests.tiny_model import write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "checkpoint")


def test_float32_follows_torch_and_makes_sound(arctone: Program, tiny_float_folder: Path) -> None:
    parts = json.loads((tiny_float_folder / "parity.json").read_text())
    snr = {f"{part}/{key}": value for part, found in parts.items() for key, value in found.items() if "snr" in key}
    lengths = {f"{part}/snr_db_T{frames}" for part in ("dit", "decoder", "encoder") for frames in (32, 64)}
    assert snr.keys() == {"text/snr_db_text", *lengths}
    assert min(snr.values()) >= 90
    assert (tiny_float_folder / "card.md").read_text() == "# Random weights, in float32\n"
    made = arctone("generate", "rain", "-d", "0.5", "-s", "7", "-o", "x.wav", "-m", tiny_float_folder)
    assert made.code == 0, made.stderr


@pytest.mark.parametrize("flags, int8", [([], True), (["--precision", "float32"], False)])
def test_options_reach_the_export_and_its_report_the_user(
    arctone: Program, monkeypatch: pytest.MonkeyPatch, flags: list[str], int8: bool
) -> None:
    asked: list[dict[str, object]] = []

    def build(checkpoint: Path, out: Path, **options: object) -> dict[str, dict[str, float]]:
        asked.append(options)
        return {"dit": {"megabytes": 10.7, "snr_db_T64": 38.2, "max_error_T64": 0.012}}

    monkeypatch.setattr("arctone.export.bundle.build", build)
    table = arctone("export", "litert", "in", "out", "--windows", "32,64", "-f", *flags)
    record = arctone("export", "litert", "in", "out", "--json", *flags)
    assert table.out.splitlines()[1].split() == ["dit", "T64", "10.7", "38.2", "0.012"]
    assert json.loads(record.out)["parts"]["dit"]["snr_db_T64"] == 38.2
    wanted = {"text_folder": None, "documents": {}, "int8": int8}
    assert asked == [{**wanted, "windows": (32, 64), "force": True}, {**wanted, "windows": None, "force": False}]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--precision", "int3"], "int3"),
        (["--windows", "64,many"], "64,many"),
        (["--windows", "16,65"], "from 1 to 64 latent frames, got 65"),
        (["--card", "nowhere.md"], "nowhere.md"),
    ],
)
def test_bad_input_is_one_sentence(
    arctone: Program, checkpoint: Path, tmp_path: Path, options: list, words: str
) -> None:
    done = arctone("export", "litert", checkpoint, "out", *options)
    assert done.code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_none_is_refused(arctone: Program, tmp_path: Path) -> None:
    done = arctone("export", "litert", "nothing", "out")
    assert done.code == 4
    assert "nothing" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_documents_keep_their_names_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "LICENSE").write_text(folder)
    assert document_texts(None, [tmp_path / "a" / "LICENSE"]) == {"LICENSE": "a"}
    with pytest.raises(UsageError, match="LICENSE"):
        document_texts(None, [tmp_path / "a" / "LICENSE", tmp_path / "b" / "LICENSE"])


def test_lengths_and_rows() -> None:
    assert window_lengths(" 64,128") == (64, 128)
    assert window_lengths("") == ()
    report = {"dit": {"megabytes": 10.73, "snr_db_T64": 38.25, "max_error_T64": 0.0123}}
    assert parity_rows(report) == [["dit", "T64", "10.7", "38.2", "0.012"]]


def test_the_edge_folder_has_what_generation_reads(arctone: Program, tiny_model_folder: Path, tmp_path: Path) -> None:
    done = arctone("export", "edge", tiny_model_folder, "small", "--json")
    assert done.code == 0, done.stderr
    left_out = {path.name for path in tiny_model_folder.iterdir()} - {
        path.name for path in (tmp_path / "small").iterdir()
    }
    assert left_out == {"encoder.tflite", "weights_map.json", "rest.safetensors"}
    sizes = json.loads(done.out)["files_mb"]
    assert sizes["dit.tflite"] == pytest.approx((tiny_model_folder / "dit.tflite").stat().st_size / 1e6, abs=1e-3)
    words = ("generate", "rain", "-d", "0.5", "-s", "7", "-q")
    whole, small = (arctone(*words, "-m", model, "-o", "-") for model in (tiny_model_folder, "small"))
    assert whole.code == small.code == 0
    assert data_of(whole.stdout) == data_of(small.stdout)  # their records differ: another hash
    again = arctone("export", "edge", tiny_model_folder, "small")
    assert again.code == 2
    assert "already exists" in again.stderr


def data_of(wav: bytes) -> bytes:
    return soundfile.read(io.BytesIO(wav), dtype="int16")[0].tobytes()
