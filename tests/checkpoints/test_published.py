"""Published folders: nothing is lost on the way, nothing wrong is let in, and nothing in them is run."""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from arctone.checkpoints.published.convert import convert, publish
from arctone.checkpoints.published.stable_audio_open import build_published_config, read_published
from arctone.checkpoints.published.tensor_names import folded, row_lengths
from arctone.checkpoints.tensor_files import read_checkpoint
from arctone.errors import ModelError, UsageError
from arctone.inference.loading import load
from arctone.model_folder.folder import read_model_config
from tests.checkpoints.published_folders import ALL_KINDS, KINDS_3

PARTS = ("dit", "autoencoder")


def parts_of(folder: Path) -> dict[str, Tensor]:
    return {f"{part}.{k}": v for part in PARTS for k, v in load_file(folder / f"{part}.safetensors").items()}


def assert_bit_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ours_to_published_to_ours_is_bit_equal(
    kind: str, precision: str, published: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    words = published[kind] / "t5gemma-b-b-ul2" if kind in KINDS_3 else t5
    convert(published[kind], tmp_path / "first", words, precision=precision)
    publish(tmp_path / "first", tmp_path / "back")
    convert(tmp_path / "back", tmp_path / "second", words, precision=precision)
    assert_bit_equal(parts_of(tmp_path / "first"), parts_of(tmp_path / "second"))
    original, back = (load_file(folder / "model.safetensors") for folder in (published[kind], tmp_path / "back"))
    assert {name: value.shape for name, value in original.items()} == {name: v.shape for name, v in back.items()}


def test_writing_back_leaves_all_but_weight_norm_as_it_was(
    published: dict[str, Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    publish(converted["small"], tmp_path / "back")
    original, back = (load_file(folder / "model.safetensors") for folder in (published["small"], tmp_path / "back"))
    plain = [name for name in original if not name.endswith(("weight_g", "weight_v"))]
    assert_bit_equal({name: original[name] for name in plain}, {name: back[name] for name in plain})
    directions = [name for name in original if name.endswith("weight_v")]
    assert len(directions) > 60
    for name in directions:
        length = name.replace("weight_v", "weight_g")
        ours = torch._weight_norm(back[name], back[length], 0)
        assert torch.allclose(ours, torch._weight_norm(original[name], original[length], 0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folding_what_was_unfolded_changes_no_bit(dtype: torch.dtype) -> None:
    weight = torch.randn(64, 33, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(folded(row_lengths(weight), weight), weight)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_config_written_by_us_describes_the_same_model(kind: str, converted: dict[str, Path], tmp_path: Path) -> None:
    config = read_model_config(converted[kind])
    path = tmp_path / "model_config.json"
    path.write_text(json.dumps(build_published_config(config)))
    again = read_published(path, kind)
    assert msgspec.structs.replace(again, text=config.text) == config


def test_a_checkpoint_of_torch_gives_the_same_model(
    published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    source = tmp_path / "with-ckpt"
    source.mkdir()
    shutil.copyfile(published["small"] / "model_config.json", source / "model_config.json")
    state = load_file(published["small"] / "model.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, source / "model.ckpt")
    convert(source, tmp_path / "out", t5)
    assert_bit_equal(parts_of(tmp_path / "out"), parts_of(converted["small"]))


def test_16_bit_halves_the_files_and_stays_near(
    published: dict[str, Path], converted: dict[str, Path], t5: Path, tmp_path: Path
) -> None:
    convert(published["small"], tmp_path / "half", t5, precision="bfloat16")
    assert (tmp_path / "half" / "autoencoder.safetensors").stat().st_size < 0.65 * (
        converted["small"] / "autoencoder.safetensors"
    ).stat().st_size
    made = (load(folder, engine="torch") for folder in (converted["small"], tmp_path / "half"))
    sounds = (model.generate("rain", duration_seconds=0.3, seed=1, normalize="off") for model in made)
    exact, near = (sound.waveforms[0].samples for sound in sounds)
    # 16 bit has 8 bits of mantissa; over eight steps and a decoder that leaves a clearly similar sound.
    assert ((exact - near) ** 2).mean() < 0.02 * (exact**2).mean()
    assert ((exact - near) ** 2).mean() > 0


def changed(published: Path, target: Path, change: Callable[[dict[str, Tensor]], Any]) -> Path:
    """A copy of a published folder with its tensors changed."""
    shutil.copytree(published, target)
    state = load_file(published / "model.safetensors")
    change(state)
    save_file(state, target / "model.safetensors")
    return target


LAYER = "model.model.transformer.layers.1.self_attn.to_qkv.weight"
DAMAGES: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "missing": (lambda state: state.pop(LAYER), f"lacks {LAYER}"),
    "unknown": (lambda state: state.update({"model.model.extra.weight": torch.ones(2)}), "unknown model.model.extra"),
    "mis-shaped": (
        lambda state: state.update({LAYER: state[LAYER][:-1]}),
        f"{LAYER} has the shape [191, 64], not [192, 64]",
    ),
    "not finite": (
        lambda state: state.update({name: torch.full_like(value, torch.nan) for name, value in state.items()}),
        "not finite in",
    ),
    "bias in a norm": (
        lambda state: state.update({"model.model.transformer.layers.0.ff_norm.beta": torch.ones(64)}),
        "layers.0.ff_norm.beta",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_tensor_is_accounted_for(damage: str, published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    change, words = DAMAGES[damage]
    source = changed(published["small"], tmp_path / "source", change)
    with pytest.raises(ModelError, match=re.escape(words)):
        convert(source, tmp_path / "out", t5)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_several_wrong_tensors_are_all_named(published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    def change(state: dict[str, Tensor]) -> None:
        for index in (0, 1):
            del state[f"model.model.transformer.layers.{index}.ff.ff.2.bias"]
        state["conditioner.conditioners.seconds_total.stray"] = torch.ones(1)

    source = changed(published["small"], tmp_path / "source", change)
    with pytest.raises(ModelError) as caught:
        convert(source, tmp_path / "out", t5)
    for word in ("layers.0.ff.ff.2.bias", "layers.1.ff.ff.2.bias", "seconds_total.stray"):
        assert word in str(caught.value)


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def pointer(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1987654321\n"
    (folder / "model.safetensors").write_text(text)


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.ckpt").write_bytes(pickle.dumps({"state_dict": Bomb(folder / "gone-off")}))


def pickled_in_a_zip(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": {"model": torch.ones(1)}, "callback": Bomb(folder / "gone-off")}, folder / "model.ckpt")


def pointer_ckpt(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.ckpt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1987654321\n")


def truncated_ckpt(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": {"model": torch.ones(1000)}}, folder / "model.ckpt")
    (folder / "model.ckpt").write_bytes((folder / "model.ckpt").read_bytes()[:-400])


def other_config(folder: Path) -> None:
    path = folder / "model_config.json"
    path.write_text(path.read_text().replace('"num_heads"', '"num_head"'))


def other_autoencoder(folder: Path) -> None:
    path = folder / "model_config.json"
    path.write_text(path.read_text().replace('"oobleck"', '"dac"'))


def inputs_without_inpainting(folder: Path) -> None:
    path = folder / "model_config.json"
    config = json.loads(path.read_text())
    config["model"]["diffusion"]["input_concat_ids"] = ["inpaint_mask", "inpaint_masked_input"]
    path.write_text(json.dumps(config))


def inpainting_without_inputs(folder: Path) -> None:
    path = folder / "model_config.json"
    path.write_text(path.read_text().replace('"diffusion_cond"', '"diffusion_cond_inpaint"'))


# Sizes that once ended in errors of arithmetic or of torch, or would take memory and time before anything is refused.
BAD_SIZES = {
    "sample_rate": 0,
    "model.pretransform.config.encoder.config.in_channels": 0,
    "model.pretransform.config.encoder.config.channels": -1,
    "model.diffusion.config.embed_dim": 10**9,
    "model.diffusion.config.depth": 10**9,
    "model.diffusion.config.num_heads": 3,
}


@pytest.mark.parametrize("key", BAD_SIZES)
@pytest.mark.parametrize("kind", ["small", "3-small"])
def test_sizes_are_bounded_before_a_network_is_described(
    key: str, kind: str, published: dict[str, Path], tmp_path: Path
) -> None:
    config = json.loads((published[kind] / "model_config.json").read_text())
    *places, last = key.split(".")
    section = config
    for place in places:
        section = section[place]
    section[last] = BAD_SIZES[key]
    (tmp_path / "model_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        read_published(tmp_path / "model_config.json", "x")
    assert last in str(caught.value)
    assert str(BAD_SIZES[key]) in str(caught.value)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


BAD_FILES: dict[Callable[[Path], None], str] = {
    truncated: "not a whole safetensors file",
    pointer: "git-lfs",
    no_weights: "neither model.safetensors nor model.ckpt",
    pickled: "code to be run",
    pickled_in_a_zip: "code to be run",
    pointer_ckpt: "git-lfs",
    truncated_ckpt: "not a whole checkpoint",
    other_config: "num_head ",
    other_autoencoder: "dac",
    inputs_without_inpainting: "need the model_type diffusion_cond_inpaint",
    inpainting_without_inputs: "must be inpaint_mask, inpaint_masked_input",
}


@pytest.mark.parametrize("damage", BAD_FILES, ids=lambda damage: damage.__name__)
def test_bad_files_are_refused_in_one_sentence_with_exit_code_4(
    damage: Callable[[Path], None],
    published: dict[str, Path],
    t5: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from arctone.cli.main import run

    source = shutil.copytree(published["small"], tmp_path / "source")
    damage(source)
    assert run(["convert", str(source), str(tmp_path / "out"), "--text", str(t5)]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert BAD_FILES[damage] in printed.err
    assert not (source / "gone-off").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_the_bomb_of_these_tests_would_go_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "gone-off")))
    assert (tmp_path / "gone-off").exists()


def test_a_checkpoint_that_is_no_dict_of_tensors(tmp_path: Path) -> None:
    torch.save({"state_dict": {"epoch": 3}}, tmp_path / "model.ckpt")
    with pytest.raises(ModelError, match="other things than named tensors"):
        read_checkpoint(tmp_path / "model.ckpt")


def test_a_target_that_exists_is_kept(published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        convert(published["small"], tmp_path / "out", t5)
    with pytest.raises(UsageError, match="no model folder of arctone, so it is not replaced"):
        convert(published["small"], tmp_path / "out", t5, force=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_force_replaces_a_converted_model(published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    convert(published["small-base"], tmp_path / "out", t5)
    with pytest.raises(UsageError, match="already exists"):
        convert(published["small"], tmp_path / "out", t5)
    assert load(tmp_path / "out", engine="torch").name == "small-base"
    convert(published["small"], tmp_path / "out", t5, force=True)
    assert load(tmp_path / "out", engine="torch").name == "small"


def test_a_t5_is_asked_for(published: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--text"):
        convert(published["small"], tmp_path / "out", None)


def test_t5_tensors_are_accounted_for(published: dict[str, Path], t5: Path, tmp_path: Path) -> None:
    words = shutil.copytree(t5, tmp_path / "t5")
    state = load_file(t5 / "model.safetensors")
    # The other half of a T5, which a whole checkpoint holds, is no error.
    state["decoder.final_layer_norm.weight"] = torch.ones(32)
    save_file(state, words / "model.safetensors")
    convert(published["small"], tmp_path / "out", words)
    del state["encoder.block.1.layer.1.DenseReluDense.wo.weight"]
    save_file(state, words / "model.safetensors")
    with pytest.raises(ModelError, match=r"lacks encoder\.block\.1\.layer\.1\.DenseReluDense\.wo"):
        convert(published["small"], tmp_path / "other", words)


def test_an_altered_folder_is_refused(converted: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(converted["small"], tmp_path / "model")
    data = bytearray((folder / "dit.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "dit.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"dit\.safetensors is not the file"):
        load(folder, engine="torch")
