"""Published models as graphs: the numbers of the torch engine, the asked weights, and the whole road to a sound."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from arctone.checkpoints.published import convert as convert_published
from arctone.cli.main import run as arctone
from arctone.config_model import OobleckConfig
from arctone.engine import load
from arctone.engines.graph import cache_key
from arctone.engines.native import NativeParts
from arctone.engines.torch import TorchParts, load_parts
from arctone.engines.windows import tiled
from arctone.errors import ModelError, UsageError
from arctone.export.oobleck_graphs import ConvolutionGraph, DecoderHead, DecoderTail, EncoderTile, ExpansionGraph
from arctone.export.parity import snr_db
from arctone.export.published import RULES, build_published
from arctone.export.rules import Rule, check_weights, weights
from arctone.model_folder import check_hashes, read_model_config, write_hashes
from arctone.models.oobleck import Expansion, OobleckDecoder, OobleckEncoder
from checkpoints.published_folders import published_folder, t5_folder

# One of each way of conditioning: a token before the frames; variance-preserving with a narrow context.
KINDS = ("small", "1.0")
FLOORS = {"float32": 100, "int8": 15, "mixed": 12, "int4": 8}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("published")
    text = t5_folder(root / "t5-base")
    for kind in KINDS:
        convert_published(published_folder(kind, root / "as-published" / kind), root / kind, text, name=kind)
    return {kind: root / kind for kind in KINDS}


@pytest.fixture(scope="module")
def exported(converted: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Folders of graphs by kind and precision, each made once; those of narrow weights have no encoder."""
    root = tmp_path_factory.mktemp("exported")

    def made(kind: str, precision: str) -> Path:
        out = root / f"{kind}-{precision}"
        if not out.is_dir():
            build_published(converted[kind], out, precision=precision, encoder=precision == "float32")
        return out

    return made


def both(converted: Path, exported: Path) -> tuple[TorchParts, NativeParts]:
    config = read_model_config(converted)
    return load_parts(converted, config), NativeParts(exported, config, 1)


def ids_and_mask(num_real: int = 7) -> tuple[np.ndarray, np.ndarray]:
    mask = np.arange(12) < num_real
    return np.where(mask, np.arange(12) + 3, 0).astype(np.int32), mask


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kind, precision", [("small", p) for p in FLOORS] + [("1.0", "float32")])
def test_text_and_velocity_are_those_of_torch(
    kind: str, precision: str, converted: dict[str, Path], exported: Callable[[str, str], Path]
) -> None:
    torch_parts, native = both(converted[kind], exported(kind, precision))
    text = torch_parts.encode_text(*ids_and_mask())
    found = native.encode_text(*ids_and_mask())
    assert snr_db(text.tokens, found.tokens) >= FLOORS[precision]
    assert not found.tokens[7:].any()
    x, mask = noise(8, 16), np.arange(16) < 13
    for words in (text, None):
        for t in (0.05, 0.6, 1.0):
            wanted, got = (parts.velocity(x, t, words, 3.0, 0.0, mask) for parts in (torch_parts, native))
            assert snr_db(wanted, got) >= FLOORS[precision], (t, words is None)
            assert not got[:, 13:].any()


def test_decoder_and_encoder_are_those_of_torch(
    converted: dict[str, Path], exported: Callable[[str, str], Path]
) -> None:
    torch_parts, native = both(converted["small"], exported("small", "float32"))
    wanted, got = (parts.decode(noise(8, 16)) for parts in (torch_parts, native))
    assert got.shape == (2, 16 * 2048)
    assert snr_db(wanted, got) >= 100  # 1024 frames of the fine blocks, so in three tiles
    # Shorter than the window: what does not hear of the end equals the whole, and encoding ends where the sound does.
    assert snr_db(torch_parts.decode(noise(8, 14))[:, : 4 * 2048], native.decode(noise(8, 14))[:, : 4 * 2048]) >= 100
    for num_samples in (16 * 2048, 5 * 2048 - 77):
        samples = 0.3 * noise(2, num_samples)
        wanted, got = (parts.encode(samples) for parts in (torch_parts, native))
        assert got.shape == (8, -(-num_samples // 2048))
        assert snr_db(wanted, got) >= 90


def test_int8_decoder_follows_torch(converted: dict[str, Path], exported: Callable[[str, str], Path]) -> None:
    torch_parts, native = both(converted["small"], exported("small", "int8"))
    assert 60 > snr_db(torch_parts.decode(noise(8, 16)), native.decode(noise(8, 16))) >= 25


def test_a_sound_is_that_of_the_torch_engine(
    converted: dict[str, Path], exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    same = {"seed": 7, "duration_seconds": 0.6, "steps": 3}
    wanted = load(converted["small"], "torch").generate("rain", **same)
    for cache in (None, tmp_path / "cache"):
        model = load(exported("small", "float32"), weights_cache=cache, low_ram=cache is not None)
        got = model.generate("rain", **same)
        assert got.engine == "native"
        assert snr_db(wanted.waveforms[0].samples, got.waveforms[0].samples) >= 60


@pytest.mark.parametrize("precision", RULES)
def test_the_weights_are_what_was_asked_for(precision: str, exported: Callable[[str, str], Path]) -> None:
    folder = exported("small", precision)
    check_hashes(folder)
    found = {weight.bits for weight in weights(folder / "dit.tflite") if weight.num_elements >= 2048}
    assert found == ({8} if precision == "int8" else {4, 8})
    assert all(
        not weight.operation.startswith("TRANSPOSE") for path in folder.glob("*.tflite") for weight in weights(path)
    )
    report = json.loads((folder / "parity.json").read_text())
    assert report.keys() == {"text", "dit", "decoder", "decoder_tail"}


def test_narrower_weights_make_smaller_files(exported: Callable[[str, str], Path]) -> None:
    sizes = [(exported("small", name) / "dit.tflite").stat().st_size for name in ("float32", "int8", "mixed", "int4")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] < 0.5 * sizes[0]


def test_a_weight_of_another_type_is_refused(exported: Callable[[str, str], Path]) -> None:
    path = exported("small", "int8") / "dit.tflite"
    check_weights(path, (Rule("FULLY_CONNECTED"),))
    with pytest.raises(ModelError, match="was not quantised to 4 bits in blocks of 32, but has 8"):
        check_weights(path, (Rule("FULLY_CONNECTED", 4, 32),))


def test_the_last_rule_that_fits_holds() -> None:
    from arctone.export.rules import rule_of

    rules = (Rule("CONV_2D"), Rule("CONV_2D", 4, 32, "mlp"), Rule("FULLY_CONNECTED", 4))
    assert rule_of("CONV_2D", "a/mlp/b", rules) == rules[1]
    assert rule_of("CONV_2D", "a", rules) == rules[0]
    assert rule_of("EMBEDDING_LOOKUP", "a", rules).bits == 32


@pytest.mark.parametrize("stride", [2, 3, 4, 8])
def test_a_transposed_convolution_is_one_of_two_taps(stride: int) -> None:
    torch.manual_seed(stride)
    expansion = Expansion(6, 5, stride).double()
    torch.nn.init.normal_(expansion.bias)
    x = torch.randn(1, 6, 1, 11).double()
    wanted = expansion(x).float()
    got = ExpansionGraph(expansion)(x.permute(0, 2, 3, 1).float()).permute(0, 3, 1, 2)
    assert got.shape == wanted.shape
    assert torch.allclose(got, wanted, atol=1e-5)


def test_a_large_weight_is_cut_by_output_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias, x = torch.randn(10, 4, 3), torch.randn(10), torch.randn(1, 1, 9, 4)
    whole = ConvolutionGraph(weight, bias, padding=1)
    monkeypatch.setattr("arctone.export.oobleck_graphs.MAX_WEIGHTS", 50)
    pieces = ConvolutionGraph(weight, bias, padding=1)
    assert [len(whole.pieces), len(pieces.pieces)] == [1, 3]
    assert torch.allclose(whole(x), pieces(x), atol=1e-6)


def test_the_reach_of_the_decoder_makes_tiles_exact() -> None:
    """In float64, so that what is missing of the reach would show."""
    torch.manual_seed(0)
    config = OobleckConfig(latent_channels=4, width=2)
    decoder = OobleckDecoder(config).eval()
    for value in decoder.parameters():
        torch.nn.init.normal_(value, std=0.3)
    head, tail = DecoderHead(decoder).double().eval(), DecoderTail(decoder).double().eval()
    latents = torch.randn(60, 4).double().numpy()

    def frames(tile: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return head(torch.from_numpy(tile.T[None].copy()))["frames"][0].numpy()

    whole = frames(latents)
    assert np.abs(tiled(frames, latents, 32, config.reach_frames, (64, 1)) - whole).max() < 1e-5 * np.abs(whole).max()
    short = tiled(frames, latents, 32, 2, (64, 1))
    assert np.abs(short - whole).max() > 1e-3 * np.abs(whole).max()
    with torch.inference_mode():
        wanted = decoder(torch.from_numpy(latents.T[None].copy()).float(), tile=None)[0].numpy()
        got = tail(torch.from_numpy(whole[None]))["samples"][0].numpy()
    assert snr_db(wanted, got.astype(np.float32)) >= 100


def test_a_tile_without_anything_to_keep_is_refused() -> None:
    with pytest.raises(ModelError, match="holds 20 frames, but each needs 10 more"):
        tiled(lambda tile: tile, noise(30, 2), 20, 10, (1, 1))


def test_the_mask_of_the_encoder_is_the_end_of_the_sound() -> None:
    torch.manual_seed(1)
    encoder = OobleckEncoder(OobleckConfig(latent_channels=4, width=2, strides=(2, 4), multipliers=(1, 2))).eval()
    for value in encoder.parameters():
        torch.nn.init.normal_(value, std=0.3)
    graph = EncoderTile(encoder).eval()
    samples, mask = torch.randn(1, 2, 20 * 8), (torch.arange(20) < 13).float()[None]
    samples[..., 13 * 8 :] = 0
    with torch.inference_mode():
        wanted = encoder(samples[..., : 13 * 8])[0]
        assert torch.allclose(graph(samples, mask)["latents"][..., :13], wanted, atol=1e-5)


def test_a_cache_belongs_to_the_content_of_a_graph(tmp_path: Path) -> None:
    """The same file elsewhere shares the packed weights; another of the same size and time does not."""
    keys = []
    for folder, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dit.tflite").write_bytes(content)
        write_hashes(tmp_path / folder)
        keys.append(cache_key(tmp_path / folder / "dit.tflite"))
    assert keys[0] == keys[1] != keys[2]


def test_the_commands_export_and_run_a_published_model(
    converted: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "litert", str(converted["small"]), str(tmp_path / "made"), "--precision", "int4", "--json"]
    assert arctone(words) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert parts["dit"]["snr_db_T16"] >= FLOORS["int4"]
    assert arctone(["export", "edge", str(tmp_path / "made"), str(tmp_path / "edge"), "--json"]) == 0
    names = json.loads(capsys.readouterr().out)["files_mb"]
    assert {"decoder_tail.tflite", "decoder.tflite"} <= names.keys()
    assert "encoder.tflite" not in names
    sounds = [
        load(tmp_path / name).generate("rain", seed=1, duration_seconds=0.3, steps=1).waveforms[0].samples
        for name in ("made", "edge")
    ]
    assert np.array_equal(*sounds)


@pytest.mark.parametrize(
    "more, said", [(["--windows", "16"], "--windows"), (["--precision", "int2"], "int2"), (["--text", "."], "--text")]
)
def test_what_does_not_fit_a_published_model_is_one_sentence(
    more: list[str], said: str, converted: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert arctone(["export", "litert", str(converted["small"]), str(tmp_path / "out"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unknown_precisions_are_refused(converted: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float32, int8, mixed, int4"):
        build_published(converted["small"], tmp_path / "out", precision="int2")
