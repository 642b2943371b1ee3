"""`arctone export litert`: a folder that makes sound, figures that say how true it is, one sentence for bad input."""

import json
from pathlib import Path

import pytest

from arctone.cli.export import paper_texts, parity_rows, window_lengths
from arctone.errors import UsageError
from conftest import Program
from tiny_model import write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "checkpoint")


def test_float32_follows_torch_and_makes_sound(arctone: Program, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# of one's own\n")
    done = arctone(
        "export",
        "litert",
        checkpoint,
        "out",
        "--precision",
        "float32",
        "--windows",
        "16",
        "--card",
        "notes.md",
        "--json",
    )
    assert done.code == 0, done.stderr
    parts = json.loads(done.out)["parts"]
    lengths = {key for key in parts["dit"] if key.startswith("snr_db_")}
    assert lengths == {"snr_db_T16", "snr_db_T64"}
    assert min(value for part in parts.values() for key, value in part.items() if key.startswith("snr_db_")) >= 90
    assert (tmp_path / "out" / "card.md").read_text() == "# of one's own\n"
    made = arctone("generate", "rain", "-d", "0.5", "-s", "7", "-o", "x.wav", "-m", "out")
    assert made.code == 0, made.stderr


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


def test_papers_keep_their_names_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "LICENSE").write_text(folder)
    assert paper_texts(None, [tmp_path / "a" / "LICENSE"]) == {"LICENSE": "a"}
    with pytest.raises(UsageError, match="LICENSE"):
        paper_texts(None, [tmp_path / "a" / "LICENSE", tmp_path / "b" / "LICENSE"])


def test_lengths_and_rows() -> None:
    assert window_lengths(" 64,128") == (64, 128)
    assert window_lengths("") == ()
    report = {"dit": {"megabytes": 10.73, "snr_db_T64": 38.25, "max_error_T64": 0.0123}}
    assert parity_rows(report) == [["dit", "T64", "10.7", "38.2", "0.012"]]
