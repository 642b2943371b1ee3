"""The whole road on a tiny recipe: corpus, autoencoder, latents, flow, and back from disk."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from arctone.audio.files import read_audio
from arctone.checkpoints.folder import load_autoencoder, load_dit, part_hash
from arctone.config_model import DiTConfig
from arctone.data.corpus.corpus import Corpus
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.subset import Subset
from arctone.errors import ModelError
from arctone.training import stages
from arctone.training.autoencoder import FeaturePool
from arctone.training.recipes import Recipe, recipe


def _recipe() -> Recipe:
    plan = recipe("spark-minutes")
    return dataclasses.replace(
        plan,
        model=type(plan.model)(
            name="tiny",
            autoencoder=plan.model.autoencoder,
            dit=DiTConfig(latent_channels=16, width=32, depth=2, heads=2, text_width=8, mlp_width=48),
            sampling=plan.model.sampling,
        ),
        autoencoder=dataclasses.replace(plan.autoencoder, adversarial_start=30),
        autoencoder_loop=dataclasses.replace(plan.autoencoder_loop, total_steps=40, warmup_steps=5, demo_every=40),
        flow_loop=dataclasses.replace(plan.flow_loop, total_steps=8, log_every=1, demo_every=8),
    )


def _words(captions: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stand-in text encoder: a token a word, by its length."""
    rows = [np.array([[len(word)] * 8 for word in caption.split()], np.float16) / 10 for caption in captions]
    return [(row, row.mean(0)) for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder after all stages."""
    out, plan = tmp_path_factory.mktemp("model"), _recipe()
    corpus = Corpus(0, 60, soundfonts=(), sonic_pi=None, split="train")
    source = Subset(corpus, range(12))
    FeaturePool.build(source, out / "training-autoencoder" / stages.FEATURES, num_clips=12)
    trainer = stages.autoencoder(plan, "corpus:", out)
    trainer.run()
    stages.finish_autoencoder(plan, trainer, out)
    encoder = load_autoencoder(out).encoder

    def encode(batch: np.ndarray) -> np.ndarray:
        from arctone.audio.spectral import features

        with torch.no_grad():
            return encoder(torch.from_numpy(np.stack([features(samples) for samples in batch]))).numpy()

    encode_corpus(
        source, encode, _words, out / "latents",
        autoencoder_hash=part_hash(out, "autoencoder"), settings=EncodeSettings(num_workers=0),
    )  # fmt: skip
    flow = stages.flow(plan, out / "latents", out)
    flow.run()
    stages.finish_flow(plan, flow, out)
    return out


def test_autoencoder_learns_and_its_latents_are_standardised(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "training-autoencoder" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["autoencoder/level"] < rows[0]["autoencoder/level"]
    pool = FeaturePool(trained / "training-autoencoder" / stages.FEATURES)
    starts = np.linspace(0, len(pool.frames) - 65, 40).astype(np.int64)
    with torch.no_grad():
        latents = load_autoencoder(trained).encoder(pool.windows(starts, 64).mT)
    assert latents.mean().abs() < 0.1
    assert latents.std() == pytest.approx(1.0, abs=0.15)


def test_flow_weights_come_back_and_differ_from_the_start(trained: Path) -> None:
    dit = load_dit(trained)
    assert any(value.any() for name, value in dit.state_dict().items() if name.startswith("leave"))


def test_demos_are_sound(trained: Path) -> None:
    for path in [*trained.glob("training-*/demos/*.wav")]:
        waveform = read_audio(path)
        assert waveform.num_channels == 2
        assert 0.5 < np.abs(waveform.samples).max() < 0.95
    assert len([*trained.glob("training-flow/demos/*.wav")]) == 2
    assert len([*trained.glob("training-autoencoder/demos/*.wav")]) == 1


def test_a_run_can_begin_with_other_weights(trained: Path, tmp_path: Path) -> None:
    plan = _recipe()
    for name in ("autoencoder.safetensors", "config.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    begun = stages.flow(plan, trained / "latents", tmp_path, init=trained)
    for name, value in load_dit(trained).state_dict().items():
        assert torch.equal(value, begun.task.module.state_dict()[name]), name


def test_latents_of_another_autoencoder_are_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "autoencoder.safetensors").write_bytes(b"other weights")
    with pytest.raises(ModelError):
        stages.flow(_recipe(), trained / "latents", tmp_path)
