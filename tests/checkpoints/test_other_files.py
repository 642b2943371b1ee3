"""The same checkpoint as other programs write it: every form gives the same model, byte for byte."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from arctone.checkpoints.published.convert import convert, publish
from arctone.checkpoints.published.source import find_source
from arctone.errors import ModelError, UsageError
from arctone.model_folder.folder import read_model_config
from tests.checkpoints.test_diffusers import save_sharded

State = dict[str, Tensor]
# Buffers that follow from the sizes.
CONSTANT = re.compile(r".*inv_freq|model\..*norm\.beta|.*noise_scaling_factor")
AVERAGE = "diffusion_ema.ema_model."


def with_files(published: Path, target: Path, state: State, file: str = "model.safetensors") -> Path:
    """A folder with the config of a published one, and its text encoder if it has one, but other weights."""
    target.mkdir()
    for path in published.iterdir():
        if path.name != "model.safetensors":
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target / path.name)
    save = torch.save if not file.endswith(".safetensors") else save_file
    save(state, target / file)
    return target


def assert_same_model(ours: Path, wanted: Path, *, parts: tuple[str, ...] = ("dit", "autoencoder", "text")) -> None:
    for part in parts:
        left, right = (load_file(folder / f"{part}.safetensors") for folder in (ours, wanted))
        assert left.keys() == right.keys()
        for name, value in right.items():
            assert torch.equal(left[name], value), name


def lightning(state: State) -> dict[str, Any]:
    """What Lightning keeps of the public training program, its optimiser and discriminator included."""
    network = {name: value for name, value in state.items() if name.startswith("model.")}
    average = {
        AVERAGE + name.removeprefix("model."): value + (not CONSTANT.fullmatch(name)) for name, value in network.items()
    }
    tensors = {
        **{f"diffusion.{name}": value for name, value in state.items()},
        **average,
        "diffusion_ema.initted": torch.tensor(True),
        "diffusion_ema.step": torch.tensor(7),
        "discriminator_head.layers.0.weight": torch.ones(2),
    }
    return {
        "state_dict": tensors,
        "epoch": 3,
        "global_step": 7,
        "optimizer_states": [{"state": {}, "param_groups": []}],
    }


def new_norm(state: State) -> State:
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {
        f"{name.rpartition('.')[0]}.{new[name.rpartition('.')[2]]}" if name.endswith(tuple(new)) else name: value
        for name, value in state.items()
    }


def folded(state: State) -> State:
    found = {name: value for name, value in state.items() if not name.endswith(("weight_g", "weight_v"))}
    for name, length in state.items():
        if name.endswith("weight_g"):
            direction = state[f"{name[:-1]}v"]
            size = torch.linalg.vector_norm(direction.double(), dim=(1, 2), keepdim=True).to(direction.dtype)
            found[name.removesuffix("_g")] = direction * (length / size)
    return found


FORMS: dict[str, Callable[[State], State]] = {
    "the newer names of weight norm": new_norm,
    "weight norm folded": folded,
    "no constant buffers": lambda state: {name: value for name, value in state.items() if not CONSTANT.fullmatch(name)},
}


@pytest.mark.parametrize("kind", ["small", "3-medium"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_model(
    form: str, kind: str, published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    state = load_file(published[kind] / "model.safetensors")
    changed = FORMS[form](state)
    assert changed.keys() != state.keys()
    source = with_files(published[kind], tmp_path / "source", changed)
    convert(source, tmp_path / "out", t5 if kind == "small" else None)
    assert_same_model(tmp_path / "out", converted[kind])


def test_a_training_checkpoint_and_its_average(
    published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    checkpoint = lightning(load_file(published["small"] / "model.safetensors"))
    # Next to a config of another name, so that it has to be named.
    file = tmp_path / "epoch=3-step=7.ckpt"
    torch.save(checkpoint, file)
    config = published["small"] / "model_config.json"
    convert(file, tmp_path / "raw", t5, config=config)
    assert_same_model(tmp_path / "raw", converted["small"])
    convert(file, tmp_path / "mean", t5, config=config, ema=True)
    raw, mean = (load_file(tmp_path / name / "dit.safetensors") for name in ("raw", "mean"))
    same = {name for name in raw if torch.equal(raw[name], mean[name])}
    # The average is of the network; durations are embedded by another part.
    assert same == {name for name in raw if name.startswith("numbers.")}
    with pytest.raises(ModelError, match="--config"):
        convert(file, tmp_path / "none", t5)
    with pytest.raises(ModelError, match="holds no moving average"):
        convert(published["small"], tmp_path / "none", t5, ema=True)


def test_a_file_by_its_own_path_and_under_another_name(
    published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    state = load_file(published["small"] / "model.safetensors")
    source = with_files(published["small"], tmp_path / "source", state, "stable_audio.safetensors")
    convert(source, tmp_path / "folder", t5)
    convert(source / "stable_audio.safetensors", tmp_path / "file", t5)
    for name in ("folder", "file"):
        assert_same_model(tmp_path / name, converted["small"])
    shutil.copyfile(source / "stable_audio.safetensors", source / "second.safetensors")
    with pytest.raises(ModelError, match=r"several weights files \(second\.safetensors, stable_audio\.safetensors\)"):
        convert(source, tmp_path / "doubt", t5)


def test_shards_of_the_published_layout(
    published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copyfile(published["small"] / "model_config.json", source / "model_config.json")
    save_sharded(load_file(published["small"] / "model.safetensors"), source, "model")
    convert(source, tmp_path / "out", t5)
    assert_same_model(tmp_path / "out", converted["small"])
    index = source / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(ModelError, match="no index of shards"):
        convert(source, tmp_path / "again", t5)


def test_the_base_next_to_the_post_trained_model(
    published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(published["small"], tmp_path / "stable-audio-open-small")
    shutil.copyfile(published["small-base"] / "model_config.json", folder / "base_model_config.json")
    torch.save({"state_dict": load_file(published["small-base"] / "model.safetensors")}, folder / "base_model.ckpt")
    assert convert(folder, tmp_path / "base", t5, base=True).dit.objective == "rectified_flow"
    assert_same_model(tmp_path / "base", converted["small-base"])
    assert convert(folder, tmp_path / "small", t5).dit.objective == "rf_denoiser"
    assert_same_model(tmp_path / "small", converted["small"])
    # By its own path as well; its config is found by its name.
    assert find_source(folder / "base_model.ckpt").config == folder / "base_model_config.json"
    with pytest.raises(UsageError, match="--base"):
        convert(folder / "base_model.ckpt", tmp_path / "no", t5, base=True)
    with pytest.raises(ModelError, match=r"no base_model_config\.json"):
        convert(published["small"], tmp_path / "no", t5, base=True)


@pytest.mark.parametrize("kind", ["small", "3-small"])
def test_a_text_encoder_in_the_same_file(
    kind: str, published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    words = t5 if kind == "small" else published[kind] / "t5gemma-b-b-ul2"
    inside = {
        f"conditioner.conditioners.prompt.model.{name}": value
        for name, value in load_file(words / "model.safetensors").items()
    }
    state = {**load_file(published[kind] / "model.safetensors"), **inside}
    source = with_files(published[kind], tmp_path / "source", state)
    # Sizes and tokenizer still come from a folder, which needs no weights.
    folder = tmp_path / "words"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(words / name, folder / name)
    convert(source, tmp_path / "out", folder)
    assert_same_model(tmp_path / "out", converted[kind])
    lost = next(name for name in inside if name.endswith("norm.weight"))
    del state[lost]
    convert_broken = with_files(published[kind], tmp_path / "broken", state)
    with pytest.raises(ModelError, match="lacks"):
        convert(convert_broken, tmp_path / "no", folder)


def test_a_pickle_that_asks_for_code_is_refused(published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copyfile(published["small"] / "model_config.json", source / "model_config.json")
    torch.save({"state_dict": {}, "callback": print}, source / "model.ckpt")
    with pytest.raises(ModelError, match="asks for code to be run"):
        convert(source, tmp_path / "out", t5)


def test_licences_of_both_go_with_the_model_and_back(published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    source = shutil.copytree(published["3-small"], tmp_path / "source")
    (source / "LICENSE.md").write_text("community")
    (source / "LICENSE_GEMMA.md").write_text("gemma")
    (source / "t5gemma-b-b-ul2" / "LICENSE.md").write_text("its own")
    (source / "demo.py").write_text("")
    convert(source, tmp_path / "out", None)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"LICENSE.md", "LICENSE_GEMMA.md", "LICENSE_TEXT.md"} <= names
    assert "demo.py" not in names
    assert (tmp_path / "out" / "LICENSE.md").read_text() == "community"
    publish(tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back" / "LICENSE_GEMMA.md").read_text() == "gemma"


def test_a_config_that_no_longer_describes_the_model_is_not_written_back(
    converted: dict[str, Path], tmp_path: Path
) -> None:
    """A base model that was post-trained here keeps its old config in its folder."""
    folder = shutil.copytree(converted["small-base"], tmp_path / "model")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("rectified_flow", "rf_denoiser"))
    publish(folder, tmp_path / "back")
    written = json.loads((tmp_path / "back" / "model_config.json").read_text())
    assert written["model"]["diffusion"]["diffusion_objective"] == "rf_denoiser"
    assert read_model_config(folder).dit.objective == "rf_denoiser"
