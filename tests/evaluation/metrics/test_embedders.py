"""Embedders: preparation step by step, the packaged ones on sounds, the usual ones at the seam to their libraries."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soxr
import torch

from arctone.audio.waveform import Waveform, resample
from arctone.errors import ModelError, UsageError
from arctone.evaluation.embedders import aisfx, corpus_clap, musicnn, packaged, preparing, protocol
from arctone.evaluation.embedders.clap import ClapEmbedder, rounded
from arctone.evaluation.embedders.packaged import OpenL3Embedder, PasstEmbedder
from arctone.evaluation.embedders.protocol import (
    NAMES,
    OFFLINE,
    Embedded,
    EmbeddingCache,
    TextEmbedder,
    file_hash,
    open_embedder,
    sound_hash,
)
from arctone.evaluation.metrics.manifold import unit_rows
from tests.evaluation.metrics.metric_sounds import RATE, drums, noise, notes, silence, tone
from tests.evaluation.metrics.tiny_embedder import TinyEmbedder

HAVE_BOTH = aisfx.is_available() and musicnn.is_available()
needs_packages = pytest.mark.skipif(not HAVE_BOTH, reason="the packages aisfx and musicnn are not installed")


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    units = unit_rows(np.stack([first, second]).astype(np.float64))
    return float(units[0] @ units[1])


@needs_packages
@pytest.mark.parametrize("name", OFFLINE)
def test_packaged_embedders_hear_likeness_at_any_rate_channels_level_and_length(name: str) -> None:
    embedder = open_embedder(name)
    sound, other = notes([[60], [64], [67], [72]] * 2), noise(3.0)
    whole = embedder.embed(sound).pooled
    variants = {
        "rate": resample(sound, 48_000),
        "mono": sound.with_samples(sound.samples[:1]),
        "quiet": sound.with_samples(0.1 * sound.samples),
    }
    apart = cosine(whole, embedder.embed(other).pooled)
    for kind, variant in variants.items():
        assert cosine(whole, embedder.embed(variant).pooled) > max(0.98, apart + 0.02), kind
    for odd in (silence(0.01), silence(2.0), tone(seconds=0.02)):
        assert np.isfinite(embedder.embed(odd).windows).all()


@needs_packages
def test_classes_of_the_packaged_embedders() -> None:
    for name, number in (("aisfx", 78), ("musicnn", 50)):
        found = open_embedder(name).embed(drums(120))
        assert found.logits is not None
        assert found.logits.shape[1] == number
        assert len(found.windows) > 1
    assert open_embedder("corpus-clap").embed(drums(120)).logits is None


@needs_packages
def test_corpus_clap_finds_the_words_for_plain_sounds() -> None:
    """The heads are trained weights: what they learned must show on sounds made here."""
    embedder = open_embedder("corpus-clap")
    assert isinstance(embedder, TextEmbedder)
    captions = ["a drum loop at 120 BPM", "steady wind and noise", "a melody on an electric piano"]
    sounds = [drums(120), noise(6.0), notes([[60], [64], [67], [72], [67], [64]] * 2)]
    cosines = embedder.embed_text(captions) @ np.stack([embedder.embed(sound).pooled for sound in sounds]).T
    assert cosines.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.linalg.norm(embedder.embed_text(["rain"]), axis=1) == pytest.approx(1, abs=1e-5)


def test_the_heads_are_small_and_know_their_recipe() -> None:
    assert corpus_clap.PATH.stat().st_size <= 1.5e6
    heads = corpus_clap.load()
    assert heads.recipe["num_train"] >= 1000
    assert len(heads.version) == 12
    assert (len(heads.audio.mean), len(heads.text.mean)) == (corpus_clap.AUDIO_SIZE, corpus_clap.TEXT_SIZE)
    with pytest.raises(ValueError, match="712"):
        heads.audio(np.zeros((1, 3), np.float32))


def test_heads_survive_being_stored(tmp_path: Path) -> None:
    heads = corpus_clap.load()
    heads.save(tmp_path / "again.safetensors")
    again = corpus_clap.load(tmp_path / "again.safetensors")
    features = np.random.default_rng(0).standard_normal((3, corpus_clap.TEXT_SIZE)).astype(np.float32)
    assert np.array_equal(again.text(features), heads.text(features))
    assert again.recipe == heads.recipe
    (tmp_path / "bad.safetensors").write_bytes(b"no heads")
    for name in ("bad", "missing"):
        with pytest.raises(ModelError, match=f"{name}.safetensors cannot be read"):
            corpus_clap.load(tmp_path / f"{name}.safetensors")


def test_unknown_names_and_weights_that_nobody_reads_are_refused() -> None:
    with pytest.raises(UsageError, match=f"one of {', '.join(NAMES)}, got 'clip'"):
        open_embedder("clip")
    with pytest.raises(UsageError, match="brings its own weights"):
        open_embedder("aisfx", Path("x.pt"))


@pytest.mark.parametrize("name", ["aisfx", "musicnn", "corpus-clap"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from arctone.evaluation.embedders import packaged

    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(packaged, "version", missing)
    with pytest.raises(ModelError, match=r"pip install --no-deps (aisfx==0\.1\.2|musicnn==0\.1\.0)"):
        open_embedder(name)


def test_peak_mono_and_rate_are_those_of_stable_audio_metrics() -> None:
    """librosa.load(sr, mono) takes the mean, then soxr HQ; pyloudnorm then puts the peak at -1 dB."""
    sound = Waveform(np.random.default_rng(0).uniform(-0.3, 0.3, (2, 4411)).astype(np.float32), 44_100)
    found = preparing.mono_at(sound, 32_000)
    known = soxr.resample(sound.samples.mean(axis=0), 44_100, 32_000, quality="HQ")
    known = known * 10 ** (-1 / 20) / np.abs(known).max()
    assert len(found) == -(-4411 * 320 // 441)
    assert found[: len(known)] == pytest.approx(known[: len(found)], abs=1e-6)
    assert np.abs(found).max() == pytest.approx(10 ** (-1 / 20))
    assert not preparing.mono_at(silence(0.1), 48_000).any()


def test_passt_windows_are_those_of_stable_audio_metrics() -> None:
    """10 s, 5 s apart; as many as range(0, max(step, n - step), step) gives; 1.5 s and less are not filled up."""
    rate = 100
    lengths = {200: [1000], 150: [150], 151: [1000], 1000: [1000], 1001: [1000, 1000], 2300: [1000] * 4}
    for number, known in lengths.items():
        samples = np.arange(1, number + 1, dtype=np.float32)
        windows = list(packaged.windows(samples, rate))
        assert [len(window) for window in windows] == known, number
        assert windows[-1][0] == 500 * (len(known) - 1) + 1
        assert np.trim_zeros(windows[-1], "b")[-1] == min(number, 500 * (len(known) - 1) + 1000)


class _FakeOpenL3(ModuleType):
    """Remembers what it is asked; embeds each channel as its peak, once a hop."""

    def __init__(self, folder: Path) -> None:
        super().__init__("openl3")
        self.__file__ = str(folder / "__init__.py")
        self.asked: dict = {}
        self.models = SimpleNamespace(load_audio_embedding_model_from_path=lambda *given: given)

    def get_audio_embedding(self, audio: list, rates: list, model: object, hop_size: float, verbose: bool) -> tuple:
        self.asked = {"audio": audio, "rates": rates, "model": model, "hop_size": hop_size}
        return [np.full((3, 512), np.abs(channel).max()) for channel in audio], None


def test_openl3_is_asked_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = _FakeOpenL3(tmp_path)
    monkeypatch.setitem(sys.modules, "openl3", library)
    with pytest.raises(ModelError, match=r"needs the file openl3_audio_mel256_env\.h5"):
        OpenL3Embedder()
    weights = tmp_path / "openl3_audio_mel256_env.h5"
    weights.write_bytes(b"weights")
    embedder = OpenL3Embedder()
    stereo = Waveform(np.stack([tone(seconds=1).samples[0], 0.5 * tone(seconds=1).samples[0]]), RATE)
    found = embedder.embed(resample(stereo, 48_000))
    assert library.asked["model"] == (str(weights), "mel256", 512)
    assert (library.asked["hop_size"], library.asked["rates"]) == (0.5, [44_100, 44_100])
    assert [len(channel) for channel in library.asked["audio"]] == [44_100, 44_100]
    # Both channels share one gain: the louder peaks at -1 dB, the other stays half of it.
    assert found.windows.shape == (3, 1024)
    assert found.windows[0, [0, 512]] == pytest.approx(np.array([1, 0.5]) * 10 ** (-1 / 20), rel=2e-2)
    mono = embedder.embed(stereo.with_samples(stereo.samples[:1]))
    assert np.array_equal(mono.windows[:, :512], mono.windows[:, 512:])
    assert embedder.frechet_rows == "windows"


class _Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))


class _Wrapper(torch.nn.Module):
    def __init__(self, mel: object, net: torch.nn.Module, mode: str) -> None:
        super().__init__()
        assert (mel.settings["sr"], mel.settings["n_mels"], mode) == (32_000, 128, "all")
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = torch.cat([torch.full((len(x), 527), 2.0), torch.full((len(x), 768), 3.0)], dim=1)
        return both * self.net.scale * x.abs().amax(dim=1, keepdim=True)


def test_passt_loads_local_weights_and_parts_logits_from_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = SimpleNamespace(
        get_model_passt=lambda arch, pretrained: (
            _Net() if (arch, pretrained) == (packaged.ARCHITECTURE, False) else None
        ),
        AugmentMelSTFT=lambda **settings: SimpleNamespace(settings=settings),
        PasstBasicWrapper=_Wrapper,
    )
    monkeypatch.setitem(sys.modules, "hear21passt", ModuleType("hear21passt"))
    monkeypatch.setitem(sys.modules, "hear21passt.base", base)
    with pytest.raises(ModelError, match="--weights passt=PATH"):
        PasstEmbedder()
    torch.save({"scale": torch.tensor(10.0)}, tmp_path / "net.pt")
    found = PasstEmbedder(tmp_path / "net.pt").embed(tone(seconds=12))
    peak = 10 ** (-1 / 20)
    assert found.windows.shape == (2, 768)
    assert found.windows[0, 0] == pytest.approx(30 * peak, rel=1e-3)
    assert found.logits is not None
    assert found.logits.shape == (2, 527)
    assert found.logits[0, 0] == pytest.approx(20 * peak, rel=1e-3)
    torch.save({"other": torch.tensor(10.0)}, tmp_path / "wrong.pt")
    with pytest.raises(ModelError, match=r"wrong\.pt holds no weights of passt"):
        PasstEmbedder(tmp_path / "wrong.pt")


class _FakeLaion:
    """Stands for laion_clap.CLAP_Module: one number a sound, from its samples and numpy's global draws."""

    def __init__(self, enable_fusion: bool, device: str) -> None:
        assert (enable_fusion, device) == (True, "cpu")
        self.model = _Net()

    def eval(self) -> None: ...

    def get_audio_embedding_from_data(self, x: torch.Tensor, use_tensor: bool) -> torch.Tensor:
        assert use_tensor
        self.received = x
        return torch.full((1, 4), float(np.random.random()))

    def get_text_embedding(self, captions: list[str], use_tensor: bool) -> torch.Tensor:
        return torch.tensor([[float(len(caption))] * 4 for caption in captions])


def test_clap_through_its_own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"scale": torch.tensor(2.0), "text_branch.embeddings.position_ids": torch.zeros(1)}
    monkeypatch.setitem(sys.modules, "laion_clap", SimpleNamespace(CLAP_Module=_FakeLaion))
    monkeypatch.setitem(sys.modules, "clap_module", ModuleType("clap_module"))
    factory = SimpleNamespace(load_state_dict=lambda path: dict(state))
    monkeypatch.setitem(sys.modules, "clap_module.factory", factory)
    (tmp_path / "clap.pt").write_bytes(b"weights")
    embedder = ClapEmbedder(tmp_path / "clap.pt")
    state_before = np.random.get_state()[1].copy()
    first, second = embedder.embed(tone(seconds=0.5)), embedder.embed(tone(seconds=0.5))
    assert np.array_equal(first.windows, second.windows)
    assert np.array_equal(np.random.get_state()[1], state_before)
    received = embedder._library._model.received[0].numpy()
    assert len(received) == 24_000
    assert np.abs(received).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    assert (received * 32767) == pytest.approx(np.round(received * 32767), abs=1e-2)
    captions = ["x" * n for n in range(1, 131)]
    assert embedder.embed_text(captions)[:, 0].tolist() == list(range(1, 131))


def test_rounding_to_16_bits_is_towards_zero() -> None:
    found = rounded(np.array([0.5, -0.5, 2.0, 1.9 / 32767], np.float32)) * 32767
    assert found.tolist() == pytest.approx([16383, -16383, 32767, 1], abs=1e-2)


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP of the true architecture, but small and random, in the format of transformers."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("clap")
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "rain", "wind", "drums", "a"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=77, **names)
    text = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = {"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 16}
    audio |= {
        "num_hidden_layers": 2,
        "enable_fusion": True,
        "fusion_num_layers": 1,
        "spec_size": 128,
        "num_mel_bins": 64,
    }
    config = transformers.ClapConfig(
        text_config={**text, "intermediate_size": 32, "max_position_embeddings": 90, "pad_token_id": 1},
        audio_config={**audio, "window_size": 4, "patch_size": 4, "patch_stride": [4, 4]},
        projection_dim=12,
    )
    torch.manual_seed(0)
    transformers.ClapModel(config).eval().save_pretrained(folder)
    extractor = transformers.ClapFeatureExtractor(feature_size=64, truncation="fusion", max_length_s=2)
    transformers.ClapProcessor(extractor, fast).save_pretrained(folder)
    return folder


def test_clap_of_transformers_gives_what_the_library_gives(clap_folder: Path) -> None:
    import transformers

    embedder = ClapEmbedder(clap_folder)
    sound = noise(1.0)
    found = embedder.embed(sound).windows
    model, processor = (
        kind.from_pretrained(clap_folder) for kind in (transformers.ClapModel, transformers.ClapProcessor)
    )
    prepared = rounded(preparing.mono_at(sound, 48_000))
    with torch.inference_mode():
        given = processor(audio=[prepared], sampling_rate=48_000, return_tensors="pt")
        known = model.get_audio_features(**given).pooler_output.numpy()
    assert found.shape == (1, 12)
    assert found == pytest.approx(known, abs=1e-6)
    words = embedder.embed_text(["rain", "a wind", "rain"])
    assert words[0] == pytest.approx(words[2], abs=1e-6)
    assert np.abs(words[0] - words[1]).max() > 1e-3
    assert np.linalg.norm(words, axis=1) == pytest.approx(1, abs=1e-5)


def test_clap_hears_long_sounds_alike_each_time(clap_folder: Path) -> None:
    embedder = ClapEmbedder(clap_folder)
    long = noise(5.0)
    assert np.array_equal(embedder.embed(long).windows, embedder.embed(long).windows)


def test_a_folder_without_clap_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ModelError, match="holds no CLAP model"):
        ClapEmbedder(tmp_path)
    with pytest.raises(ModelError, match=r"missing\.pt does not exist, but the embedder clap needs the file 630k"):
        ClapEmbedder(tmp_path / "missing.pt")


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("openl3", "openl3", "openl3"),
        ("passt", "hear21passt.base", "hear21passt"),
        ("clap", "laion_clap", "laion-clap"),
    ],
)
def test_a_missing_library_is_named_with_its_package(
    name: str, module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    with pytest.raises(ModelError, match=f"pip install {package}"):
        open_embedder(name, weights)


def test_the_embedder_without_packages_opens_by_its_name() -> None:
    assert open_embedder("mel").name == "mel"


def test_a_sound_is_embedded_once_for_each_version(tmp_path: Path) -> None:
    embedder, cache, sound = TinyEmbedder(), EmbeddingCache(tmp_path), noise(1.0)
    first = cache.embedded(embedder, sound_hash(sound), lambda: sound)
    second = cache.embedded(embedder, sound_hash(sound), lambda: pytest.fail("the sound was read again"))
    assert embedder.num_calls == 1
    assert np.array_equal(first.windows, second.windows)
    assert np.array_equal(first.logits, second.logits)
    embedder.version = "2"
    cache.embedded(embedder, sound_hash(sound), lambda: sound)
    assert embedder.num_calls == 2


def test_a_damaged_embedding_is_made_again(tmp_path: Path) -> None:
    embedder, cache, sound = TinyEmbedder(), EmbeddingCache(tmp_path), noise(1.0)
    cache.embedded(embedder, "ab" * 16, lambda: sound)
    stored = next(tmp_path.rglob("*.npz"))
    stored.write_bytes(stored.read_bytes()[:100])
    again = cache.embedded(embedder, "ab" * 16, lambda: sound)
    assert embedder.num_calls == 2
    assert again.windows.shape == (1, 192)
    EmbeddingCache(None).embedded(embedder, "ab" * 16, lambda: sound)
    assert embedder.num_calls == 3


def test_hashes_name_content_and_rate(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b")
    sound = noise(0.1)
    assert sound_hash(sound) != sound_hash(Waveform(sound.samples, 22_050))
    assert preparing.weights_hash(tmp_path) != preparing.weights_hash(tmp_path / "a")


def test_windows_are_pooled_by_their_mean() -> None:
    assert Embedded(np.array([[1.0, 3.0], [3.0, 5.0]], np.float32)).pooled.tolist() == [2.0, 4.0]


class Sum:
    """Stands for an embedder that adds up the embeddings of two others."""

    name, version, sample_rate, credit, frechet_rows = "sum", "1", 44_100, "", "clips"

    def __init__(self, *parts: TinyEmbedder) -> None:
        self.parts = parts

    def embed(self, waveform: Waveform) -> Embedded:
        return self.combine([part.embed(waveform) for part in self.parts])

    def combine(self, received: Sequence[Embedded]) -> Embedded:
        return Embedded(np.sum([one.windows for one in received], axis=0))


def test_embeddings_of_others_are_not_computed_again_for_an_embedder_made_of_them(tmp_path: Path) -> None:
    first, second, cache, sound = TinyEmbedder(), TinyEmbedder(), EmbeddingCache(tmp_path), noise(1.0)
    second.name = "second"
    known = [cache.embedded(part, "ab" * 16, lambda: sound) for part in (first, second)]
    made = cache.embedded(Sum(first, second), "ab" * 16, lambda: pytest.fail("the sound was read again"))
    assert np.allclose(made.windows, known[0].windows + known[1].windows)
    assert (first.num_calls, second.num_calls) == (1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_leads_to_a_class(name: str) -> None:
    module, kind, _ = protocol._PLACES[name]
    assert getattr(import_module(f"{protocol._FOLDER}.{module}"), kind).name == name
