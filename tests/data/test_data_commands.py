"""`arctone data` from the command line: what is printed, what is written, and the exit codes."""

import json

import pytest

from arctone.cli.main import run
from arctone.data.latents import LatentDataset
from tests.data.test_sources import tone, write


@pytest.fixture
def sounds(tmp_path):
    folder = tmp_path / "sounds"
    for number in range(4):
        write(folder / f"{number}.wav", tone(0.5, hz=200 * (number + 1)))
        (folder / f"{number}.txt").write_text(f"tone {number}")
    return folder


def test_check_prints_tables_or_json_and_tells_by_its_exit_code(sounds, capsys):
    assert run(["data", "check", str(sounds), "--licence", "CC0-1.0"]) == 0
    printed = capsys.readouterr().out
    assert "4 clips, 0.001 hours" in printed
    assert "CC0-1.0" in printed
    assert "All clips can be used." in printed
    (sounds / "junk.flac").write_text("junk")
    assert run(["data", "check", str(sounds), "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["total"]["clips"] == 4
    assert report["is_usable"] is False
    assert "junk.flac is not a sound file" in report["unusable"][0]["problem"]
    assert run(["data", "check", str(sounds)]) == 3
    assert "cannot be used: 1" in capsys.readouterr().out


def test_render_writes_a_manifest_and_prints_its_path(sounds, tmp_path, capsys):
    assert run(["data", "render", str(sounds), "-o", str(tmp_path / "r"), "--limit", "3", "--workers", "0"]) == 0
    manifest = tmp_path / "r" / "manifest.jsonl"
    assert capsys.readouterr().out == f"{manifest}\n"
    assert len(manifest.read_text().splitlines()) == 3


def test_a_rendered_folder_is_read_without_a_warning(sounds, tmp_path, capsys):
    folder = tmp_path / "r"
    assert run(["data", "render", str(sounds), "--output", str(folder), "--limit", "3", "--workers", "0"]) == 0
    capsys.readouterr()
    assert run(["data", "check", str(folder), "--workers", "0"]) == 0
    assert "passed over" not in "".join(capsys.readouterr())


def test_bad_files_stop_a_rendering_before_it_begins_unless_they_are_skipped(sounds, tmp_path, capsys):
    (sounds / "junk.flac").write_text("junk")
    command = ["data", "render", str(sounds), "-o", str(tmp_path / "r"), "--workers", "0"]
    assert run(command) == 3
    problem = capsys.readouterr().err
    assert "1 files cannot be used" in problem
    assert "junk.flac" in problem
    assert not (tmp_path / "r").exists()
    assert run([*command, "--skip-bad"]) == 0
    assert "warning: left out:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check", "nowhere"], 3, "nowhere does not exist"),
        (["check", "corpus:sise=3"], 2, "did you mean 'size'?"),
        (["render", "corpus:size=3", "-o", "x", "--split", "dev"], 2, "got 'dev'"),
        (["encode", "corpus:size=3", "--model", "nowhere", "-o", "x"], 4, "neither a folder nor a known name"),
    ],
)
def test_mistakes_end_in_one_sentence_and_the_right_code(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(["data", *arguments]) == code
    problem = capsys.readouterr().err
    assert message in problem
    assert problem.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_encode_with_a_model_folder(sounds, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    from arctone.checkpoints.folder import AUTOENCODER, encoder_hash, save_part
    from arctone.model_folder.config import ModelConfig, SpectralConfig
    from arctone.models.spectral import SpectralAutoencoder

    config = ModelConfig(name="tiny", autoencoder=SpectralConfig(latent_channels=4, width=8))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = SpectralAutoencoder(config.autoencoder)
    model, out = tmp_path / "model", tmp_path / "latents"
    save_part(model, AUTOENCODER, module.state_dict(), config)
    arguments = ["data", "encode", str(sounds), "--model", str(model), "-o", str(out), "--no-text", "--workers", "0"]
    assert run(arguments) == 0
    dataset = LatentDataset(out, autoencoder_hash=encoder_hash(model))
    assert (len(dataset), dataset.num_channels) == (4, 4)
    assert dataset[0]["latents"].shape == (4, 11)
    save_part(model, AUTOENCODER, {name: value + 1 for name, value in module.state_dict().items()}, config)
    assert run(arguments) == 4
    assert "holds latents of the autoencoder" in capsys.readouterr().err
