"""What each precision costs, on small models of the published kind with random weights, and on a small spark."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from arctone import load  # noqa: E402
from arctone.audio.tags import read_metadata  # noqa: E402
from arctone.checkpoints.parts import DIT, openers  # noqa: E402
from arctone.checkpoints.published.convert import convert  # noqa: E402
from arctone.cli.main import run  # noqa: E402
from arctone.errors import UsageError  # noqa: E402
from arctone.export.graphs import snr_db  # noqa: E402
from arctone.inference.backends.base import TextEmbedding, VelocityInputs  # noqa: E402
from arctone.inference.backends.torch import NUM_PREPARED, TorchBackend, load_backend  # noqa: E402
from arctone.model_folder.folder import read_model_config  # noqa: E402
from arctone.models.continuous_dit import ContinuousDiT  # noqa: E402
from arctone.models.precision import Int8Linear, in_precision, rounded  # noqa: E402
from tests.checkpoints.published_folders import published_folder, t5_folder  # noqa: E402

# The stated error: decibels of the velocity and of the decoded sound over their difference from float32.
FLOORS = {"bfloat16": (35.0, 30.0), "int8": (25.0, 30.0)}
KINDS = ("small", "adaln", "1.0")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By kind, in float32; and the small one in 16 bit."""
    root = tmp_path_factory.mktemp("precision")
    words = t5_folder(root / "t5-base")
    for kind in KINDS:
        convert(published_folder(kind, root / "published" / kind), root / kind, words, name=kind)
    convert(root / "published" / "small", root / "small-16", words, name="small", precision="bfloat16")
    return {kind: root / kind for kind in (*KINDS, "small-16")}


def opened(folder: Path, precision: str = "auto") -> TorchBackend:
    return load_backend(folder, read_model_config(folder), precision=precision)


def text_of(folder: Path, seed: int = 0) -> TextEmbedding:
    config = read_model_config(folder).text
    mask = np.arange(config.max_tokens) < 5
    tokens = np.random.default_rng(seed).standard_normal((config.max_tokens, config.width)) * mask[:, None]
    return TextEmbedding(tokens.astype(np.float32), mask, np.zeros(config.width, np.float32))


def velocity(parts: TorchBackend, folder: Path, text: TextEmbedding | None, seconds: float = 0.5) -> np.ndarray:
    dit = read_model_config(folder).dit
    x = np.random.default_rng(1).standard_normal((dit.latent_channels, dit.max_frames)).astype(np.float32)
    return parts.velocity(VelocityInputs(x, 0.6, text, seconds, 0.0, np.ones(dit.max_frames, bool)))


def sound(parts: TorchBackend, folder: Path) -> np.ndarray:
    channels = read_model_config(folder).dit.latent_channels
    return parts.decode(np.random.default_rng(2).standard_normal((channels, 4)).astype(np.float32))


@pytest.mark.parametrize("precision", FLOORS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_precision_keeps_its_stated_error(kind: str, precision: str, folders: dict[str, Path]) -> None:
    exact, coarse = opened(folders[kind]), opened(folders[kind], precision)
    text = text_of(folders[kind])
    values = [(velocity(parts, folders[kind], text), sound(parts, folders[kind])) for parts in (exact, coarse)]
    found = [snr_db(wanted, got) for wanted, got in zip(*values, strict=True)]
    assert all(value >= floor for value, floor in zip(found, FLOORS[precision], strict=True)), found
    # A precision that changes nothing would pass as well.
    assert max(found) < 80


def test_float32_of_a_float32_folder_changes_no_bit(folders: dict[str, Path]) -> None:
    folder, text = folders["small"], text_of(folders["small"])
    one, two = opened(folder), opened(folder, "float32")
    assert np.array_equal(velocity(one, folder, text), velocity(two, folder, text))
    assert np.array_equal(sound(one, folder), sound(two, folder))


def test_bfloat16_is_what_a_folder_converted_to_it_computes(folders: dict[str, Path]) -> None:
    folder, text = folders["small"], text_of(folders["small"])
    asked, stored = opened(folder, "bfloat16"), opened(folders["small-16"])
    assert np.array_equal(velocity(asked, folder, text), velocity(stored, folder, text))
    assert np.array_equal(sound(asked, folder), sound(stored, folder))


def test_the_sensitive_layers_stay_wider(folders: dict[str, Path]) -> None:
    folder = folders["small"]
    network = openers(folder, read_model_config(folder))[DIT]()
    in_precision(network, "int8", is_transformer=True)
    assert isinstance(network, ContinuousDiT)
    narrow = {name for name, layer in network.named_modules() if isinstance(layer, Int8Linear)}
    one_block = {
        "self_attention.to_qkv",
        "self_attention.to_out",
        "cross_attention.to_q",
        "cross_attention.to_out",
        "mlp.enter",
        "mlp.leave",
    }
    assert narrow == {f"blocks.{i}.{name}" for i in range(len(network.blocks)) for name in one_block}
    assert network.get_parameter("time.mlp.0.weight").dtype == torch.float32
    assert network.get_parameter("enter.weight").dtype == torch.bfloat16


def test_rounding_errs_by_half_a_step_at_most() -> None:
    rows = torch.randn(7, 50, generator=torch.Generator().manual_seed(0)) * torch.logspace(-20, 20, 7)[:, None]
    whole, scale = rounded(rows)
    assert ((whole * scale - rows).abs() <= scale * 0.5001).all()
    assert (whole.abs().amax(dim=1) == 127).all()
    assert rounded(torch.zeros(1, 4))[0].tolist() == [[0, 0, 0, 0]]


def test_an_integer_layer_is_exact_on_whole_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (16, 24), generator=generator).float()
    x = torch.randint(-127, 128, (2, 3, 24), generator=generator).float()
    weight[:, 0], x[..., 0] = 127, -127  # so that both scales are 1
    bias = torch.arange(16.0)
    wanted = torch.nn.functional.linear(x, weight, bias)
    assert torch.equal(Int8Linear(weight, bias)(x), wanted)
    assert torch.equal(Int8Linear(weight, None)(x), wanted - bias)


def test_the_context_is_computed_once_for_a_sound(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    prepare = ContinuousDiT.prepare
    monkeypatch.setattr(ContinuousDiT, "prepare", lambda self, given: calls.append(1) or prepare(self, given))
    model = load(folders["small"], engine="torch")
    for _ in range(2):
        model.generate("rain", duration_seconds=0.3, steps=4, seed=1)
        assert len(calls) == 1, "the second sound has the same prompt and length"
    model.generate("wind", duration_seconds=0.3, steps=4, seed=1)
    assert len(calls) == 2
    model.generate("wind", duration_seconds=0.4, steps=4, seed=1)
    assert len(calls) == 3
    model.close()
    model.generate("wind", duration_seconds=0.4, steps=4, seed=1)
    assert len(calls) == 4


def test_what_is_kept_never_answers_for_another_text(folders: dict[str, Path]) -> None:
    folder = folders["small"]
    parts = opened(folder)
    asked = [(text_of(folder, seed), seconds) for seed in range(NUM_PREPARED) for seconds in (0.2, 0.5)]
    for text, seconds in (*asked, *asked, (None, 0.5)):
        assert np.array_equal(velocity(parts, folder, text, seconds), velocity(opened(folder), folder, text, seconds))
    text = asked[0][0]
    before = velocity(parts, folder, text)
    text.tokens[0] += 1  # in place: the same object, another text
    assert not np.array_equal(velocity(parts, folder, text), before)


def test_spark_takes_int8_and_refuses_16_bit(tiny_model_folder: Path) -> None:
    exact, coarse = opened(tiny_model_folder), opened(tiny_model_folder, "int8")
    text = text_of(tiny_model_folder)
    wanted, got = (velocity(parts, tiny_model_folder, text) for parts in (exact, coarse))
    assert 25 <= snr_db(wanted, got) < 80
    coarse.close()
    assert np.array_equal(velocity(coarse, tiny_model_folder, text), got)
    with pytest.raises(UsageError, match="precision bfloat16 is for models converted from published ones"):
        velocity(opened(tiny_model_folder, "bfloat16"), tiny_model_folder, text)


def test_impossible_precisions_are_refused_at_once(tiny_model_folder: Path) -> None:
    with pytest.raises(UsageError, match="precision must be one of auto, float32, bfloat16, int8, got 'int4'"):
        load(tiny_model_folder, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'int8' is for the torch engine"):
        load(tiny_model_folder, engine="native", precision="int8")


def test_a_take_is_made_again_in_its_own_precision(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, take = str(folders["small"]), tmp_path / "take.wav"
    words = ["generate", "rain", "-d", "0.3", "--seed", "1", "--threads", "1", "-m", folder, "-o", str(take), "-q"]
    assert run([*words, "--precision", "int8"]) == 0
    assert (read_metadata_of(take)["engine"], read_metadata_of(take)["precision"]) == ("torch", "int8")
    assert run(["redo", str(take), "--model", folder, "-o", str(tmp_path / "again.wav"), "-q"]) == 0
    assert take.read_bytes() == (tmp_path / "again.wav").read_bytes()
    assert run([*words[:-3], "-o", str(tmp_path / "exact.wav"), "-q"]) == 0
    assert take.read_bytes() != (tmp_path / "exact.wav").read_bytes()
    assert "warning" not in capsys.readouterr().err


def read_metadata_of(path: Path) -> dict[str, object]:
    record = read_metadata(path)
    assert record is not None
    return dict(msgspec.to_builtins(record))
