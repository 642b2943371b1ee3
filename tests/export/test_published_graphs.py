"""Published models as graphs: the numbers of the torch engine, the asked weights, and the whole pipeline to a sound."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from arctone.audio.files import read_audio
from arctone.checkpoints.folder import save_part
from arctone.checkpoints.parts import OWN_DECODER, openers
from arctone.cli.main import run as arctone
from arctone.edge.__main__ import main as edge
from arctone.errors import ModelError, UsageError
from arctone.export import stable_audio as published
from arctone.export.bundle import quantise
from arctone.export.graphs import parity, snr_db
from arctone.export.quantisation import Rule, check_weights, weights
from arctone.export.stable_audio import RULES, build_published, transformer_signatures
from arctone.export.stable_audio_graphs import ConvolutionGraph, DecoderHead, DecoderTail, EncoderTile, ExpansionGraph
from arctone.inference.backends.base import TextEmbedding, VelocityInputs, tiled
from arctone.inference.backends.litert import LiteRTBackend
from arctone.inference.backends.litert_graph import cache_key
from arctone.inference.backends.torch import TorchBackend, load_backend
from arctone.inference.loading import load
from arctone.model_folder.config import OobleckConfig, SpectralConfig
from arctone.model_folder.folder import check_hashes, read_model_config, write_hashes
from arctone.models.oobleck import Expansion, OobleckDecoder, OobleckEncoder
from arctone.models.spectral import SpectralDecoder
from tests.export.conftest import Convert
from tests.tiny_published import KINDS

EDGE_OPTIONS = ("--seconds", "0.3", "--steps", "2", "--seed", "1", "--low-ram")
# In dB, of random weights: trained ones are kinder to few bits.
FLOORS = {"float32": 100, "float16": 55, "int8": 15, "int8-float16": 15, "mixed": 12, "int4": 8}
EVER_NARROWER = ("float32", "float16", "int8", "mixed", "int4")


@pytest.fixture(scope="module")
def converted(tiny_published_folders: Path) -> dict[str, Path]:
    """Folders of torch weights by kind."""
    return {kind: tiny_published_folders / kind for kind in KINDS}


@pytest.fixture(scope="module")
def exported(tiny_published_folders: Path) -> dict[str, Path]:
    """The small model's graphs by precision: float32 with its encoder, int8 without."""
    return {precision: tiny_published_folders / f"small-{precision}" for precision in ("float32", "int8")}


@pytest.fixture(scope="module")
def transformers(
    converted: dict[str, Path], convert: Convert, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, dict]]:
    """The small model's transformer in every precision, with its names still there, and its parity."""
    root = tmp_path_factory.mktemp("transformers")
    config = read_model_config(converted["small"])
    signatures = transformer_signatures(openers(converted["small"], config)["dit"](), config)
    convert(signatures, root / "float32.tflite")
    for name, rules in RULES.items():
        quantise(root / "float32.tflite", root / f"{name}.tflite", rules["dit.tflite"])
    return {name: (root / f"{name}.tflite", parity(root / f"{name}.tflite", signatures)) for name in FLOORS}


def both(converted: Path, exported: Path) -> tuple[TorchBackend, LiteRTBackend]:
    config = read_model_config(converted)
    return load_backend(converted, config), LiteRTBackend(exported, config, 1)


def ids_and_mask(num_real: int = 7) -> tuple[np.ndarray, np.ndarray]:
    mask = np.arange(12) < num_real
    return np.where(mask, np.arange(12) + 3, 0).astype(np.int32), mask


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_text_and_velocity_are_those_of_torch(
    precision: str, converted: dict[str, Path], exported: dict[str, Path]
) -> None:
    torch_parts, native = both(converted["small"], exported[precision])
    text = torch_parts.encode_text(*ids_and_mask())
    found = native.encode_text(*ids_and_mask())
    assert snr_db(text.tokens, found.tokens) >= FLOORS[precision]
    assert not found.tokens[7:].any()
    compare_velocities(torch_parts, native, text, FLOORS[precision])


def compare_velocities(torch_parts: TorchBackend, native: LiteRTBackend, text: TextEmbedding, floor: float) -> None:
    x, mask = noise(8, 16), np.arange(16) < 13
    for words in (text, None):
        for t in (0.05, 0.6, 1.0):
            wanted, got = (
                parts.velocity(VelocityInputs(x, t, words, 3.0, 0.0, mask)) for parts in (torch_parts, native)
            )
            assert snr_db(wanted, got) >= floor, (t, words is None)
            assert not got[:, 13:].any()


def test_a_variance_preserving_transformer_is_turned_to_the_straight_path(
    converted: dict[str, Path], convert: Convert, tmp_path: Path
) -> None:
    config = read_model_config(converted["1.0"])
    torch_parts, native = both(converted["1.0"], tmp_path)
    convert(transformer_signatures(openers(converted["1.0"], config)["dit"](), config), tmp_path / "dit.tflite")
    compare_velocities(torch_parts, native, torch_parts.encode_text(*ids_and_mask()), 100)


def test_decoder_and_encoder_are_those_of_torch(converted: dict[str, Path], exported: dict[str, Path]) -> None:
    torch_parts, native = both(converted["small"], exported["float32"])
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


def test_int8_decoder_follows_torch(converted: dict[str, Path], exported: dict[str, Path]) -> None:
    torch_parts, native = both(converted["small"], exported["int8"])
    assert 60 > snr_db(torch_parts.decode(noise(8, 16)), native.decode(noise(8, 16))) >= 25


def test_a_sound_is_that_of_the_torch_engine(
    converted: dict[str, Path], exported: dict[str, Path], tmp_path: Path
) -> None:
    same = {"seed": 7, "duration_seconds": 0.6, "steps": 3}
    wanted = load(converted["small"], "torch").generate("rain", **same)
    for cache in (None, tmp_path / "cache"):
        model = load(exported["float32"], weights_cache=cache, low_ram=cache is not None)
        got = model.generate("rain", **same)
        assert got.engine == "native"
        assert snr_db(wanted.waveforms[0].samples, got.waveforms[0].samples) >= 60


@pytest.mark.parametrize("precision", RULES)
def test_the_weights_are_what_was_asked_for(precision: str, transformers: dict[str, tuple[Path, dict]]) -> None:
    path, report = transformers[precision]
    large = [weight for weight in weights(path) if weight.num_elements >= 2048]
    assert {weight.bits for weight in large} == {"float16": {16}, "int8": {8}, "int8-float16": {8}}.get(
        precision, {4, 8}
    )
    narrow = {weight.name.rpartition("Linear_")[2].partition(";")[0] for weight in large if weight.bits == 4}
    assert ("enter" in narrow, any(name.startswith("to_out") for name in narrow)) == {
        "mixed": (True, False),
        "int4": (True, True),
    }.get(precision, (False, False))
    assert report["snr_db_T16"] >= FLOORS[precision]


def test_narrower_weights_make_smaller_files_and_larger_errors(transformers: dict[str, tuple[Path, dict]]) -> None:
    reports = [transformers[name][1] for name in EVER_NARROWER]
    for figure in ("megabytes", "snr_db_T16"):
        values = [report[figure] for report in reports]
        assert values == sorted(values, reverse=True)
    assert reports[2]["megabytes"] < 0.5 * reports[0]["megabytes"]


def test_the_autoencoder_in_16_bits_is_all_but_exact(
    converted: dict[str, Path], exported: dict[str, Path], tmp_path: Path
) -> None:
    report = build_published(converted["small"], tmp_path / "half", precision="int8-float16")
    for part in ("decoder", "decoder_tail", "encoder"):
        errors = [value for name, value in report[part].items() if name.startswith("snr_db_")]
        assert min(errors) > 50
    assert report["dit"]["snr_db_T16"] < 50
    full, half, narrow = (
        sum((folder / f"{name}.tflite").stat().st_size for name in ("decoder", "decoder_tail"))
        for folder in (exported["float32"], tmp_path / "half", exported["int8"])
    )
    assert narrow < half < 0.75 * full
    same = {"seed": 7, "duration_seconds": 0.6, "steps": 3}
    made = load(tmp_path / "half").generate("rain", **same)
    assert made.engine == "native"
    assert np.isfinite(made.waveforms[0].samples).all()


def test_a_weight_of_another_type_is_refused(transformers: dict[str, tuple[Path, dict]]) -> None:
    path = transformers["int8"][0]
    check_weights(path, (Rule("FULLY_CONNECTED"),))
    with pytest.raises(ModelError, match="was not quantised to 4 bits in blocks of 32, but has 8"):
        check_weights(path, (Rule("FULLY_CONNECTED", 4, 32),))


def test_no_transposed_convolution_is_left(exported: dict[str, Path]) -> None:
    found = [weight for path in exported["int8"].glob("*.tflite") for weight in weights(path)]
    assert {weight.operation for weight in found} == {"FULLY_CONNECTED", "EMBEDDING_LOOKUP", "CONV_2D"}
    assert all(weight.bits == 8 for weight in found if weight.num_elements >= 2048)
    check_hashes(exported["int8"])


def test_the_last_rule_that_fits_holds() -> None:
    from arctone.export.quantisation import rule_of

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
    monkeypatch.setattr("arctone.export.stable_audio_graphs.MAX_WEIGHTS", 50)
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
        wanted = decoder.double()(torch.from_numpy(latents.T[None].copy()), tile=None)[0].numpy()
        got = tail(torch.from_numpy(whole[None]))["samples"][0].numpy()
    assert snr_db(wanted, got) >= 100


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


def test_the_command_exports_a_published_model(
    converted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for slow in ("encoder.tflite", "decoder.tflite", "decoder_tail.tflite"):
        monkeypatch.delitem(published._SIGNATURES, slow)
    words = ["export", "litert", str(converted["small"]), str(tmp_path / "made"), "--precision", "int4", "--json"]
    assert arctone(words) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert parts.keys() == {"text", "dit"}
    assert 22 > parts["dit"]["snr_db_T16"] >= FLOORS["int4"]  # int8 has 35
    assert parts == json.loads((tmp_path / "made" / "parity.json").read_text())
    check_hashes(tmp_path / "made")


def test_the_edge_folder_of_a_published_model_sounds_the_same(
    exported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path(shutil.copytree(exported["int8"], tmp_path / "whole"))
    (whole / "encoder.tflite").write_bytes(b"not for small devices")
    write_hashes(whole)
    assert arctone(["export", "edge", str(whole), str(tmp_path / "edge"), "--json"]) == 0
    names = json.loads(capsys.readouterr().out)["files_mb"]
    assert {"decoder_tail.tflite", "decoder.tflite"} <= names.keys()
    assert "encoder.tflite" not in names
    same = {"seed": 1, "duration_seconds": 0.3, "steps": 2}
    sounds = [load(folder).generate("rain", **same).waveforms[0].samples for folder in (whole, tmp_path / "edge")]
    assert np.array_equal(*sounds)
    assert (
        edge(
            [
                str(tmp_path / "edge"),
                "rain",
                "-o",
                str(tmp_path / "x.wav"),
                "--cache",
                str(tmp_path / "cache"),
                *EDGE_OPTIONS,
            ]
        )
        == 0
    )
    assert read_audio(tmp_path / "x.wav").num_samples == round(0.3 * 44_100)


@pytest.fixture(scope="module")
def with_a_spectral_decoder(converted: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with a decoder of random weights next to its own, as `train decoder` leaves it."""
    folder = tmp_path_factory.mktemp("decoder") / "model"
    shutil.copytree(converted["small"], folder, ignore=shutil.ignore_patterns("hashes.json"))
    settings = SpectralConfig(latent_channels=8, width=32, decoder_blocks=1, decoder_fine_blocks=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = SpectralDecoder(settings)
        module.mean.normal_()
        module.std.uniform_(0.5, 2)
    state = {f"decoder.{name}": value for name, value in module.state_dict().items()}
    save_part(folder, OWN_DECODER, state, msgspec.structs.replace(read_model_config(folder), decoder=settings))
    return folder


@pytest.mark.parametrize("precision, floor", [("float32", 60), ("int8", 15), ("mixed", 15)])
def test_a_spectral_decoder_takes_the_place_of_the_published_one(
    precision: str, floor: float, with_a_spectral_decoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report = build_published(with_a_spectral_decoder, out, precision=precision)
    assert set(report) == {"text", "dit", "decoder", "encoder"}
    assert not (out / "decoder_tail.tflite").exists()
    check_hashes(out)
    torch_parts, native = both(with_a_spectral_decoder, out)
    samples = 0.3 * noise(2, 10 * 2048)
    assert snr_db(torch_parts.encode(samples), native.encode(samples)) >= floor
    for frames in (16, 5):
        wanted, got = (parts.decode(noise(8, frames), seed=3) for parts in (torch_parts, native))
        assert got.shape == wanted.shape == (2, frames * 2048)
        # A peak that moves by one bin makes another waveform of the same magnitudes.
        energies = [10 * np.log10(np.square(x.reshape(2, -1, 1024)).mean(-1) + 1e-12) for x in (wanted, got)]
        assert np.abs(energies[0] - energies[1]).mean() < 0.5
    made = load(out).generate("rain", seed=7, duration_seconds=0.6, steps=2)
    again = load(with_a_spectral_decoder, "torch").generate("rain", seed=7, duration_seconds=0.6, steps=2)
    assert made.engine == "native"
    assert made.waveforms[0].samples.shape == again.waveforms[0].samples.shape


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
    with pytest.raises(UsageError, match="float32, float16, int8, int8-float16, mixed, int4"):
        build_published(converted["small"], tmp_path / "out", precision="int2")
