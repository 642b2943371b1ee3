"""ONNX graphs say what the torch modules say, and together they make the engine's sound."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest

from arctone.audio.regions import faded_edges
from arctone.audio.spectral.synthesis import synthesise
from arctone.checkpoints.published.convert import convert
from arctone.errors import ModelError, UsageError, install_hint
from arctone.export.graphs import snr_db
from arctone.export.onnx import build_onnx
from arctone.export.stable_audio import build_published
from arctone.files.strict_json import write_config
from arctone.flow.noise import item_noise
from arctone.flow.schedules import sampler_times
from arctone.inference.loading import load
from arctone.model_folder.config import CURVE_CONTROLS
from arctone.model_folder.folder import check_hashes, read_model_config, write_hashes
from arctone.model_folder.tokenizer import Tokenizer
from tests import tiny_model
from tests.checkpoints.published_folders import published_folder

PARTS = ("text", "dit", "decoder", "encoder")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with controls, whose graph has an input for each."""
    return tiny_model.write_controlled_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "tiny"
    build_onnx(checkpoint, out, documents={"card.md": "# tiny\n"})
    return out


def _run(folder: Path, part: str, **values: Any) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(folder / f"{part}.onnx", providers=["CPUExecutionProvider"])
    given: list[np.ndarray] = session.run(None, {name: np.asarray(value)[None] for name, value in values.items()})
    return given


def test_every_part_follows_its_module(exported: Path) -> None:
    report = json.loads((exported / "parity.json").read_text())
    assert set(report) == set(PARTS)
    assert min(value for part in report.values() for name, value in part.items() if name.startswith("snr")) > 100
    assert report["dit"]["megabytes"] == pytest.approx((exported / "dit.onnx").stat().st_size / 1e6, rel=0.01)
    check_hashes(exported)
    assert (exported / "card.md").read_text() == "# tiny\n"


def test_together_they_make_the_engines_sound(checkpoint: Path, exported: Path) -> None:
    """What docs/how-to/export.md shows: nothing of arctone but its tokenizer, noise, times, synthesis and edges."""
    config, seed, num_frames = read_model_config(exported), 3, tiny_model.CONFIG.dit.max_frames
    seconds = np.float32(config.dit.max_seconds)
    mask = np.ones(num_frames, np.float32)
    tokens = Tokenizer(exported, config.text.max_tokens).encode("a tone")
    words, pooled = _run(exported, "text", ids=tokens.ids, mask=tokens.mask.astype(np.float32))
    x = item_noise(seed, 0, (config.dit.latent_channels, num_frames))
    not_given = {name: np.zeros((2, num_frames), np.float32) for name in CURVE_CONTROLS}
    not_given |= {"inpaint": np.zeros((config.dit.inpaint_channels, num_frames), np.float32)}
    not_given |= {"key": np.float32(0), "note": np.float32(0)}
    times = sampler_times("euler", 4, config.sampling.shift)
    for t, t_next in pairwise(times):
        given = {"text_tokens": words[0], "text_mask": tokens.mask.astype(np.float32), "text_pooled": pooled[0]}
        given |= {"seconds": seconds, "bpm": np.float32(0), "frame_mask": mask, **not_given, "steps": np.float32(4)}
        (velocity,) = _run(exported, "dit", x=x, t=np.float32(t), **given)
        x = x + np.float32(t_next - t) * velocity[0]
    (parameters,) = _run(exported, "decoder", latents=x, frame_mask=mask)
    made = synthesise(parameters[0], np.random.default_rng(seed), 0)
    fields = {"duration_seconds": float(seconds), "seed": seed, "steps": 4, "cfg_scale": 1.0, "normalize": "off"}
    wanted = load(checkpoint, engine="torch").generate("a tone", **fields).waveforms[0].samples
    assert snr_db(wanted, faded_edges(made[:, : wanted.shape[1]], config.sample_rate)) > 45


def test_eight_bits_are_a_quarter_and_are_reported(
    checkpoint: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ("text", "decoder")
    monkeypatch.setattr("arctone.export.onnx._PARTS", parts)  # the others are made in the same way, in as much time
    report = build_onnx(checkpoint, tmp_path / "int8", precision="int8")
    assert sorted(path.name for path in (tmp_path / "int8").glob("*.onnx*")) == sorted(f"{p}.onnx" for p in parts)
    for part in parts:
        (snr,) = (value for name, value in report[part].items() if name.startswith("snr"))
        assert 20 < snr < 80
    graph = onnx.load(tmp_path / "int8" / "decoder.onnx").graph
    kinds = {node.op_type for node in graph.node}
    assert "MatMulInteger" in kinds
    assert "MatMul" not in kinds
    small, large = ((folder / "decoder.onnx").stat().st_size for folder in (tmp_path / "int8", exported))
    assert small < 0.6 * large


def test_published_models_with_their_whole_decoder(tiny_published_folders: Path, tmp_path: Path) -> None:
    folder, out = tiny_published_folders / "small", tmp_path / "small"
    report = build_onnx(folder, out)
    assert set(report) == set(PARTS)
    assert min(value for part in report.values() for name, value in part.items() if name.startswith("snr")) > 95
    config = read_model_config(folder)
    latents = item_noise(0, 0, (config.dit.latent_channels, config.dit.max_frames))
    (samples,) = _run(out, "decoder", latents=latents)
    assert snr_db(load(folder, engine="torch").engine.backend.decode(latents), samples[0]) > 90


def test_a_published_model_with_two_numbers(
    tiny_published_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """seconds_start is always 0, so the exporter folds its sine into a constant of that name."""
    monkeypatch.setattr("arctone.export.onnx._PARTS", ("dit",))
    report = build_onnx(tiny_published_folders / "1.0", tmp_path / "1.0")
    assert min(value for name, value in report["dit"].items() if name.startswith("snr")) > 95


def _shrunk_3(kind: str, folder: Path) -> Path:
    convert(published_folder(kind, folder / "published"), folder / "model", None, name=kind)
    return folder / "model"


def test_stable_audio_3_with_its_own_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T5Gemma, and the same autoencoder in chunks."""
    monkeypatch.setattr("arctone.export.onnx._PARTS", ("text", "encoder"))
    report = build_onnx(_shrunk_3("3-small", tmp_path), tmp_path / "onnx")
    assert set(report) == {"text", "encoder"}
    assert min(value for part in report.values() for name, value in part.items() if name.startswith("snr")) > 95


def test_stable_audio_3_medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences of attentions, known latents in every block, and an autoencoder whose tokens see a window."""
    monkeypatch.setattr("arctone.export.onnx._PARTS", ("dit", "decoder"))
    folder, out = _shrunk_3("3-medium", tmp_path), tmp_path / "onnx"
    report = build_onnx(folder, out)
    assert min(value for part in report.values() for name, value in part.items() if name.startswith("snr")) > 95
    config = read_model_config(folder)
    latents = item_noise(0, 0, (config.dit.latent_channels, config.dit.max_frames))
    (samples,) = _run(out, "decoder", latents=latents)
    assert snr_db(load(folder, engine="torch").engine.backend.decode(latents), samples[0]) > 90


def test_parts_without_a_graph_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    folder = _shrunk_3("3-small", tmp_path)
    config = read_model_config(folder)
    noisy = msgspec.structs.replace(config.autoencoder, decoder_noise=0.1)
    write_config(folder / "config.json", msgspec.structs.replace(config, autoencoder=noisy))
    write_hashes(folder)
    with pytest.raises(
        ModelError, match="3-small cannot be exported: its autoencoder draws noise, which a graph cannot"
    ):
        build_onnx(folder, tmp_path / "out")
    with pytest.raises(ModelError, match=r"3-small cannot be exported to LiteRT: .* has 't5gemma' and 'same'; arctone"):
        build_published(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_orders_are_refused(checkpoint: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already exists; it is replaced only with force"):
        build_onnx(checkpoint, exported)
    with pytest.raises(UsageError, match="precision must be one of float32, int8, got 'int4'"):
        build_onnx(checkpoint, tmp_path / "out", precision="int4")
    with pytest.raises(UsageError, match=r"a document cannot be called dit\.onnx"):
        build_onnx(checkpoint, tmp_path / "out", documents={"dit.onnx": ""})
    with pytest.raises(ModelError, match="nothing-here"):
        build_onnx("nothing-here", tmp_path / "out")


def test_the_engine_says_that_they_are_not_for_it(exported: Path) -> None:
    for engine in ("auto", "torch", "native"):
        with pytest.raises(ModelError, match="tiny holds ONNX graphs, which are for other programs"):
            load(exported, engine=engine)


def test_missing_packages_are_named(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    sentence = f"export onnx needs onnxscript, which is not installed: {install_hint('onnx')}."
    with pytest.raises(ModelError, match=re.escape(sentence)):
        build_onnx(checkpoint, tmp_path / "out")
