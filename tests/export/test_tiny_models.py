"""The exports that tests open (tests/exports) are what the exporter writes; tests/write_exports.py writes them."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from arctone.checkpoints.folder import FLOW, flow_part, load_state
from arctone.checkpoints.tensor_files import constants
from arctone.files.atomic import MARKER
from arctone.model_folder.folder import check_hashes, read_model_config
from tests.tiny_model import build_tiny_model, flow_state
from tests.write_exports import EXPORTS, MODELS

AGAIN = "run python -m tests.write_exports"


def assert_fresh(made: Path, kept: Path, apart: str = "no part of a model") -> None:
    """Compare two folders file by file. apart: what only `made` has, and begins with this."""
    names = {path.relative_to(made) for path in made.rglob("*") if path.is_file() and not path.name.startswith(apart)}
    assert names == {path.relative_to(kept) for path in kept.rglob("*") if path.is_file()}, AGAIN
    for name in sorted(names):
        assert_same(made / name, kept / name, apart)


def assert_same(made: Path, kept: Path, apart: str) -> None:
    """Graphs and weights are the same up to what another processor may round; of JSON, the meaning counts."""
    if made.suffix == ".tflite":
        assert_same_graph(made, kept)
    elif made.suffix == ".safetensors":
        found = {name: value for name, value in load_file(made).items() if not name.startswith(apart)}
        wanted = load_file(kept)
        assert found.keys() == wanted.keys(), AGAIN
        assert all(np.allclose(found[name], wanted[name], atol=1e-6) for name in wanted), f"{kept}: {AGAIN}"
    elif made.name == "hashes.json":
        check_hashes(kept.parent)
    elif made.name == "parity.json":
        found, wanted = (json.loads(path.read_text()) for path in (made, kept))
        for part, figures in wanted.items():
            assert found[part].keys() == figures.keys(), f"{kept} {part}: {AGAIN}"
            for figure, value in figures.items():  # measured on noise that differs from run to run
                near = pytest.approx(value, abs=3) if figure.startswith("snr") else pytest.approx(value, rel=0.6)
                assert found[part][figure] == near, f"{kept} {part} {figure}: {AGAIN}"
        assert {part for part in found if part != apart} == wanted.keys()
    elif made.name == "config.json":
        found, wanted = (read_model_config(path.parent) for path in (made, kept))
        assert (found.dit, found.autoencoder, found.text) == (wanted.dit, wanted.autoencoder, wanted.text), AGAIN
    elif made.name == "weights_map.json":
        found, wanted = (json.loads(path.read_text()) for path in (made, kept))
        assert {name: place for name, place in found.items() if not name.startswith(apart)} == wanted, AGAIN
    elif made.name == MARKER:
        found = [line for line in made.read_text().splitlines() if not line.startswith(apart)]
        assert found == kept.read_text().splitlines(), AGAIN
    else:
        assert made.read_bytes() == kept.read_bytes(), f"{kept}: {AGAIN}"


def assert_same_graph(made: Path, kept: Path) -> None:
    """The same bytes; on another processor, the same constants within one step of eight bits."""
    found, wanted = made.read_bytes(), kept.read_bytes()
    if found == wanted:
        return
    pairs = list(zip(constants(made), constants(kept), strict=True))
    assert pairs
    for new, old in pairs:
        assert (new.name, new.dtype, new.shape) == (old.name, old.dtype, old.shape), f"{kept}: {AGAIN}"
        if old.dtype in ("int8", "float32"):
            values = (
                np.frombuffer(data, old.dtype, tensor.num_elements, tensor.offset).astype(np.float64)
                for data, tensor in ((found, new), (wanted, old))
            )
            assert np.abs(np.subtract(*values)).max() <= (1 if old.dtype == "int8" else 1e-5), f"{kept}: {AGAIN}"


def test_the_tiny_model_is_fresh_and_a_flow_model_comes_along(tmp_path: Path) -> None:
    """One export for both, since it takes half a minute of processor time.

    The flow model is next to a post-trained one, so that what was shipped can be tuned: adapters are trained on it, to
    within half a step of int8.
    """
    made = build_tiny_model(tmp_path, flow=True)
    assert_fresh(made, EXPORTS / "tiny", apart="flow")
    flow, frames = flow_state(tmp_path / "checkpoint"), read_model_config(made).dit.max_frames
    assert json.loads((made / "parity.json").read_text())["flow"][f"snr_db_T{frames}"] >= 25
    read, fast, given = load_state(made, FLOW), load_state(made, "dit"), load_state(tmp_path / "checkpoint", "dit")
    assert read.keys() == flow.keys()
    assert max(float((read[name] - flow[name]).abs().max()) for name in flow) < 0.02
    assert all(float((fast[name] - given[name]).abs().max()) < 0.02 for name in fast)
    assert flow_part(made) == FLOW
    check_hashes(made)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"tiny"}))
def test_the_export_is_fresh(name: str, tmp_path: Path) -> None:
    assert_fresh(MODELS[name](tmp_path), EXPORTS / name)
