"""Parameters found again in graphs, also where the converter folded neighbours into them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from arctone.checkpoints.weights_map import MAP, REST, load_from_graphs, part_state, write_weights_map
from arctone.export.bundle import convert, quantise
from arctone.export.graphs import Signature, snr_db
from arctone.export.quantisation import slim


class Folding(nn.Module):
    """A norm with a gain, two linear layers, a scale: what the converter merges."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(32)
        self.up = nn.Linear(32, 96)
        self.down = nn.Linear(96, 32)
        self.scale = nn.Parameter(0.05 + torch.rand(32))
        nn.init.uniform_(self.norm.weight, 0.5, 2.0)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x + self.scale * self.down(torch.nn.functional.gelu(self.up(self.norm(x))))}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Folding]:
    torch.manual_seed(0)
    folder, module = tmp_path_factory.mktemp("folding"), Folding().eval()
    convert([Signature("T8", module, {"x": torch.randn(1, 8, 32)})], folder / "f32")
    quantise(folder / "f32", folder / "net.tflite")
    slim(folder / "net.tflite")
    state = {f"net.block.{name}": value for name, value in module.state_dict().items()}
    write_weights_map(folder, {"net.tflite": state})
    return folder, module


def test_folded_layers_are_found_and_unfolded(exported: tuple[Path, Folding]) -> None:
    folder, module = exported
    entries = json.loads((folder / MAP).read_text())
    assert {"net.block.up.weight", "net.block.down.weight"} <= entries.keys()
    assert not [name for name, value in load_file(folder / REST).items() if value.ndim == 2]
    state = part_state(load_from_graphs(folder), "net.block")
    for name in ("up.weight", "down.weight"):
        wanted = module.state_dict()[name].numpy()
        assert snr_db(wanted, state[name].numpy()) >= 38  # what eight bits leave


def test_a_module_filled_from_graphs_computes_the_same(exported: tuple[Path, Folding]) -> None:
    folder, module = exported
    other = Folding().eval()
    other.load_state_dict(part_state(load_from_graphs(folder), "net.block"))
    x = torch.randn(1, 8, 32)
    wanted, got = (net(x)["y"] - x for net in (module, other))
    assert snr_db(wanted.detach().numpy(), got.detach().numpy()) >= 36
