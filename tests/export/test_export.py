"""What the export writes: int8 weights, shared by all lengths, readable as a torch checkpoint, shipped whole."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from arctone.checkpoints.tensor_files import constants
from arctone.checkpoints.weights_map import MAP, REST, load_from_graphs, part_state
from arctone.errors import ModelError, UsageError
from arctone.export.bundle import build, check_quantised, convert, quantise
from arctone.export.graphs import DecoderGraph, EncoderGraph, Signature, parity
from arctone.export.quantisation import slim
from arctone.files.atomic import MARKER
from arctone.inference.backends.litert_graph import load_graph
from arctone.model_folder.folder import check_hashes, file_hash
from tests.tiny_model import write_checkpoint

GRAPHS = ("text", "dit", "decoder", "encoder")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "checkpoint")


@pytest.fixture(scope="module")
def trained(checkpoint: Path) -> dict[str, Tensor]:
    """The weights before the export, named as in the map."""
    parts = {part: load_file(checkpoint / f"{part}.safetensors") for part in ("text", "dit", "autoencoder")}
    return {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}


class Small(nn.Module):
    """A network with one linear layer of 64 x 48."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 64)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": torch.tanh(self.layer(x))}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Signature]]:
    torch.manual_seed(0)
    module = Small().eval()
    signatures = [Signature(f"T{n}", module, {"x": torch.randn(1, n, 48)}) for n in (4, 8)]
    folder = tmp_path_factory.mktemp("small")
    convert(signatures, folder / "f32.tflite")
    quantise(folder / "f32.tflite", folder / "int8.tflite")
    return folder, signatures


def test_float_graphs_equal_torch_and_int8_graphs_follow_it(small: tuple[Path, list[Signature]]) -> None:
    folder, signatures = small
    full, short = (parity(folder / name, signatures) for name in ("f32.tflite", "int8.tflite"))
    assert min(full["snr_db_T4"], full["snr_db_T8"]) >= 100
    assert 100 > min(short["snr_db_T4"], short["snr_db_T8"]) >= 30


def test_signatures_share_the_weights(small: tuple[Path, list[Signature]]) -> None:
    shapes = [tensor.shape for tensor in constants(small[0] / "int8.tflite") if tensor.dtype == "int8"]
    assert shapes == [(64, 48)]


def test_a_graph_that_stayed_float_is_refused(small: tuple[Path, list[Signature]]) -> None:
    with pytest.raises(ModelError, match="was not quantised"):
        check_quantised(small[0] / "f32.tflite")


def test_slimming_keeps_every_result(small: tuple[Path, list[Signature]], tmp_path: Path) -> None:
    folder, signatures = small
    path = tmp_path / "slim.tflite"
    path.write_bytes((folder / "int8.tflite").read_bytes())
    slim(path)
    assert path.stat().st_size < (folder / "int8.tflite").stat().st_size
    for signature in signatures:
        inputs = {"x": signature.inputs["x"].numpy()}
        fat, lean = (load_graph(p, 1).run(signature.name, inputs)["y"] for p in (folder / "int8.tflite", path))
        assert np.array_equal(fat, lean)


def test_scales_and_bytes_are_found_where_they_lie(small: tuple[Path, list[Signature]]) -> None:
    folder, signatures = small
    (tensor,) = (tensor for tensor in constants(folder / "int8.tflite") if tensor.dtype == "int8")
    data = (folder / "int8.tflite").read_bytes()
    weight = signatures[0].module.layer.weight.detach().numpy()  # type: ignore[union-attr]
    scales = np.frombuffer(data, "<f4", tensor.num_scales, tensor.scales_offset)
    assert np.allclose(scales, np.abs(weight).max(1) / 127, rtol=1e-5)
    found = np.frombuffer(data, np.int8, weight.size, tensor.offset).reshape(weight.shape)
    assert np.abs(found - weight / scales[:, None]).max() <= 0.501


@pytest.mark.parametrize("graph_type", ["decoder", "encoder"])
def test_masked_graphs_equal_the_unfilled_network(graph_type: str, checkpoint: Path) -> None:
    from arctone.checkpoints.folder import load_autoencoder

    autoencoder = load_autoencoder(checkpoint)
    network = getattr(autoencoder, graph_type)
    graph = (DecoderGraph if graph_type == "decoder" else EncoderGraph)(network)
    rows, rate_in, rate_out = (8, 1, 4) if graph_type == "decoder" else (1121, 4, 1)
    values = torch.randn(1, rows, rate_in * 20)
    mask = (torch.arange(20) < 13).float()[None]
    (got,) = graph(values, mask).values()
    wanted = network(values[..., : rate_in * 13])
    assert torch.allclose(got[..., : rate_out * 13], wanted, atol=1e-4)


@pytest.mark.parametrize("graph", GRAPHS)
def test_parity_is_recorded_for_every_length(graph: str, tiny_model_folder: Path) -> None:
    report = json.loads((tiny_model_folder / "parity.json").read_text())[graph]
    lengths = ["text"] if graph == "text" else ["T32", "T64"]
    figures = [f"{figure}_{length}" for length in lengths for figure in ("snr_db", "max_error")]
    assert sorted(report) == sorted(["megabytes", *figures])
    assert all(report[f"snr_db_{length}"] >= 30 for length in lengths)
    assert all(0 < report[f"max_error_{length}"] < 0.1 for length in lengths)
    assert report["megabytes"] == pytest.approx((tiny_model_folder / f"{graph}.tflite").stat().st_size / 1e6, abs=1e-3)


def test_graphs_give_back_every_parameter(tiny_model_folder: Path, trained: dict[str, Tensor]) -> None:
    entries = json.loads((tiny_model_folder / MAP).read_text())
    found = load_from_graphs(tiny_model_folder)
    assert found.keys() == trained.keys()
    for name, wanted in trained.items():
        assert found[name].shape == wanted.shape
        # Half a quantisation step of the largest row; for what is in the rest, the precision of 16 bit.
        step = float(wanted.abs().max()) / 127 if entries.get(name, {}).get("dtype") == "int8" else 1e-3
        assert float((found[name] - wanted).abs().max()) <= 0.51 * step, name


def test_the_weights_lie_in_the_graphs_and_not_next_to_them(
    tiny_model_folder: Path, trained: dict[str, Tensor]
) -> None:
    rest = load_file(tiny_model_folder / REST)
    matrices = [name for name, value in trained.items() if value.ndim == 2 and value.numel() >= 2048]
    assert len(matrices) > 15
    assert not [name for name in matrices if name in rest]


def test_a_part_is_taken_by_its_prefix(trained: dict[str, Tensor]) -> None:
    assert "positions" in part_state(trained, "text")
    assert not [name for name in part_state(trained, "dit") if name.startswith("dit.")]


def test_a_missing_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no weights_map\.json"):
        load_from_graphs(tmp_path)


def test_the_folder_is_whole_and_hashed(tiny_model_folder: Path) -> None:
    names = {path.name for path in tiny_model_folder.iterdir()}
    graphs = {f"{graph}.tflite" for graph in GRAPHS}
    documents = {"config.json", "tokenizer.json", "card.md", "parity.json", "hashes.json", MAP, REST, MARKER}
    assert names == graphs | documents
    check_hashes(tiny_model_folder)
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tiny_model_folder.iterdir())
    hashes = json.loads((tiny_model_folder / "hashes.json").read_text())
    assert hashes.keys() == names - {"hashes.json", MARKER}
    assert hashes["dit.tflite"] == file_hash(tiny_model_folder / "dit.tflite")


def test_nothing_is_left_of_a_build_that_fails(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ModelError("no converter")

    monkeypatch.setattr("arctone.export.bundle.convert", fails)
    with pytest.raises(ModelError, match="no converter"):
        build(checkpoint, tmp_path / "out" / "model")
    assert not list((tmp_path / "out").iterdir())


def test_an_existing_folder_is_not_replaced(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        build(checkpoint, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
