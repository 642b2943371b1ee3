"""Adapters on disk: the layout of peft in both directions, strengths, merging, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import arctone
from arctone.checkpoints.folder import DIT, fill, load_config, load_state, part_hash, save_part
from arctone.checkpoints.lora import CONFIG, WEIGHTS, applied, load_adapter, merge
from arctone.errors import ArctoneError, ModelError, UsageError
from arctone.models.dit import DiT
from tests import tiny_model
from tests.checkpoints import peft_answers
from tests.checkpoints.peft_answers import network_inputs, saved, trained


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a training checkpoint."""
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("models") / "checkpoint")


@pytest.fixture(scope="module")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained-looking adapter of the tiny model."""
    return saved(tmp_path_factory.mktemp("adapters") / "first", model, trained(model, 1))


@pytest.fixture(scope="module")
def second(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one."""
    return saved(tmp_path_factory.mktemp("adapters") / "second", model, trained(model, 2))


def _module(state: dict[str, Tensor]) -> DiT:
    module = DiT(tiny_model.CONFIG.dit)
    fill(module, state, "test")
    return module.eval()


@torch.no_grad()
def test_merged_weights_are_the_adapter(model: Path, adapter: Path) -> None:
    state = load_state(model, DIT)
    merged = _module(applied(state, [(load_adapter(adapter), 1.0)], origin="tiny"))
    adapted = trained(model, 1)
    wanted, got = adapted(*network_inputs()), merged(*network_inputs())
    assert (wanted - _module(state)(*network_inputs())).abs().max() > 0.05
    assert torch.allclose(got, wanted, atol=1e-6 * float(wanted.abs().max()))


def test_strengths_are_linear_and_add_up(model: Path, adapter: Path, second: Path) -> None:
    state, first, other = load_state(model, DIT), load_adapter(adapter), load_adapter(second)
    alone = {one.name: applied(state, [(one, 1.0)], origin="tiny") for one in (first, other)}
    both = applied(state, [(first, 0.5), (other, -2.0)], origin="tiny")
    swapped = applied(state, [(other, -2.0), (first, 0.5)], origin="tiny")
    nothing = applied(state, [(first, 0.0), (other, 0.0)], origin="tiny")
    for name, value in state.items():
        moved = 0.5 * (alone["first"][name] - value) - 2 * (alone["second"][name] - value)
        assert torch.allclose(both[name] - value, moved, atol=1e-6), name
        assert torch.allclose(both[name], swapped[name], atol=1e-7), name
        assert torch.equal(nothing[name], value), name
    changed = {name for name in state if not torch.equal(both[name], state[name])}
    assert changed == {f"{layer}.weight" for layer in first.pairs}


def _answer(name: str) -> Tensor:
    """Return what the library peft computed with the stored adapter of this name; see peft_answers.py."""
    return torch.from_numpy(np.load(peft_answers.FOLDER / "answers.npz")[name])


def test_peft_read_what_we_write(model: Path, adapter: Path) -> None:
    kept = peft_answers.FOLDER / "ours"
    assert json.loads((adapter / CONFIG).read_text()) == json.loads((kept / CONFIG).read_text())
    ours, read = load_file(adapter / WEIGHTS), load_file(kept / WEIGHTS)
    assert ours.keys() == read.keys()
    assert all(torch.allclose(ours[name], read[name]) for name in read)
    wanted = _answer("ours")
    with torch.no_grad():
        got = trained(model, 1)(*network_inputs())
    assert torch.allclose(got, wanted, atol=1e-6 * float(wanted.abs().max()))


def test_we_read_what_peft_wrote(model: Path, tmp_path: Path) -> None:
    shutil.copytree(peft_answers.FOLDER / "theirs", tmp_path / "theirs")
    with pytest.raises(ModelError, match="does not say which weights the adapter was trained on"):
        load_adapter(tmp_path / "theirs")
    _reheaded(tmp_path / "theirs", part_hash(model, DIT))
    state = applied(load_state(model, DIT), [(load_adapter(tmp_path / "theirs"), 1.0)], origin="tiny")
    wanted = _answer("theirs")
    with torch.no_grad():
        assert torch.allclose(_module(state)(*network_inputs()), wanted, atol=1e-6 * float(wanted.abs().max()))


def _reheaded(folder: Path, base_hash: str) -> None:
    """Put our header into an adapter that others wrote."""
    metadata = {"format": "pt", "arctone": json.dumps({"base_name": "tiny", "base_hash": base_hash})}
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, metadata)


def test_another_base_is_refused_in_one_sentence(model: Path, adapter: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(model, other)
    state = load_state(model, DIT)
    state["leave.bias"] = state["leave.bias"] + 1
    save_part(other, DIT, state, load_config(model))
    with pytest.raises(
        ModelError, match=r"^the adapter first was trained on other weights \(tiny, \w{12}\) than"
    ) as is_:
        arctone.load(other, engine="torch", adapters=[(adapter, 1.0)])
    assert str(is_.value).count(".") <= 2
    with pytest.raises(ModelError, match="was trained on other weights"):
        merge(other, [(adapter, 1.0)], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_shipped_form_of_a_model_has_the_hash_of_its_written_form(tiny_model_folder: Path, tmp_path: Path) -> None:
    save_part(tmp_path, DIT, load_state(tiny_model_folder, DIT), load_config(tiny_model_folder))
    assert part_hash(tmp_path, DIT) == part_hash(tiny_model_folder, DIT)


def test_an_adapter_changes_the_sound_and_merged_gives_the_same_sound(
    model: Path, adapter: Path, tmp_path: Path
) -> None:
    fields = {"duration_seconds": 0.5, "seed": 3, "normalize": "off"}
    merge(model, [(adapter, 0.7)], tmp_path / "merged")
    plain, silent, tuned, merged = (
        arctone.load(folder, engine="torch", adapters=adapters).generate("a tone", **fields)  # type: ignore[arg-type]
        for folder, adapters in (
            (model, []),
            (model, [(adapter, 0.0)]),
            (model, [(adapter, 0.7)]),
            (tmp_path / "merged", []),
        )
    )
    sounds = [result.waveforms[0].samples for result in (plain, silent, tuned, merged)]
    assert np.array_equal(sounds[0], sounds[1])
    assert np.abs(sounds[2] - sounds[0]).max() > 1e-4
    assert np.array_equal(sounds[2], sounds[3])
    assert tuned.to_metadata(0)["adapters"] == [
        {"name": "first", "digest": load_adapter(adapter).digest, "strength": 0.7}
    ]
    assert "adapters" not in plain.to_metadata(0)
    assert len({plain.model_hash, silent.model_hash, tuned.model_hash}) == 3


def test_merging_needs_a_free_place_and_an_adapter(model: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        merge(model, [(adapter, 1.0)], tmp_path / "taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="at least one adapter"):
        merge(model, [], tmp_path / "merged")


def test_the_native_engine_says_what_to_do(tiny_model_folder: Path, adapter: Path) -> None:
    with pytest.raises(UsageError, match="merge them into a model"):
        arctone.load(tiny_model_folder, engine="native", adapters=[(adapter, 1.0)])


def _set(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | changes))

    return change


def _cut(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def _tensors(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return changed


FIRST = "base_model.model.blocks.0.self_attention.to_q.lora_A.weight"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "holds no adapter"),
        (lambda folder: (folder / CONFIG).unlink(), "holds no adapter"),
        (lambda folder: (folder / CONFIG).write_text("{"), "is not valid JSON"),
        (_cut, "is not a whole safetensors file"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), "is not a whole safetensors file"),
        (_set(use_dora=True), "use_dora is True, which arctone cannot apply"),
        (_set(peft_type="IA3"), "peft_type is 'IA3'"),
        (_set(rank_pattern={"to_q": 8}), "are not of rank 8"),
        (_set(use_dora=True), "use_dora is True"),
        (_set(r=0), "r is 0, but it must be 1 or more"),
        (_set(r=5), r"are not of rank 5"),
        (_tensors(lambda tensors: tensors.pop(FIRST)), "holds only one of the two matrices of"),
        (_tensors(lambda tensors: tensors[FIRST].fill_(float("nan"))), "has values that are not finite"),
        (
            _tensors(lambda tensors: tensors.update({"other": torch.zeros(2)})),
            "holds other, which is no part of a LoRA",
        ),
    ],
)
def test_bad_folders_get_one_sentence(
    adapter: Path, tmp_path: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(adapter, folder)
    damage(folder)
    with pytest.raises(ArctoneError, match=sentence) as problem:
        load_adapter(folder)
    assert problem.value.exit_code == 4
    assert "\n" not in str(problem.value)


def test_layers_that_the_model_lacks_and_strengths_without_a_meaning(model: Path, adapter: Path) -> None:
    state = load_state(model, DIT)
    one = load_adapter(adapter)
    with pytest.raises(UsageError, match="strength of first is nan"):
        applied(state, [(one, float("nan"))], origin="tiny")
    state["blocks.0.mlp.enter.weight"] = torch.zeros(3, 3)
    with pytest.raises(ModelError, match=r"changes blocks.0.mlp.enter \[128, 32\], which tiny has not"):
        applied(state, [(one, 1.0)], origin="tiny")
