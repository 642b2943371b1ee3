"""Key, note, curves and known latents on their way from stored latents to every network of a stage."""

import msgspec
import numpy as np
import pytest
import torch

from arctone.data.controls import ControlRates
from arctone.data.encode import EncodeSettings, encode_corpus
from arctone.data.latents import LatentDataset
from arctone.model_folder.config import CURVE_CONTROLS, NUMBER_CONTROLS, DiTConfig, ModelConfig
from arctone.models.conditions import Conditions
from arctone.models.dit import DiT
from arctone.training.arc.batches import ArcMaterial
from arctone.training.arc.config import ArcConfig
from arctone.training.batches import LatentBatches
from arctone.training.flow import FlowConfig, FlowTask
from arctone.training.recipes import recipe
from tests.data.made_source import ToneSource, frame_means, letters

ALWAYS = ControlRates(key=1, note=1, curves=1, each_curve=1, partial=0, smoothing_frames=1, known=1, prefix=0.5)
DIT = DiTConfig(
    latent_channels=3, width=16, depth=1, heads=2, text_width=2, mlp_width=24, max_frames=64, inpaint_channels=4,
    controls=(*NUMBER_CONTROLS, *CURVE_CONTROLS),
)  # fmt: skip
CONFIG = ModelConfig(name="tiny", dit=DIT)


class KeyedSource(ToneSource):
    """Tones that claim the key A minor and the note C#4."""

    def info(self, index):
        info = super().info(index)
        captions = info.captions or ("a tone",)
        return msgspec.structs.replace(info, key="A minor", attributes={"pitch": "C#4"}, captions=captions)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    settings = EncodeSettings(clips_per_shard=16, batch_frames=64, frames_multiple=8, num_workers=0)
    encode_corpus(
        KeyedSource(16), frame_means, letters, folder, autoencoder_hash="a" * 64, text_encoder_hash="t",
        settings=settings,
    )  # fmt: skip
    return LatentDataset(folder)


def test_a_batch_has_all_controls_and_known_latents(dataset):
    batch = LatentBatches.of_model(dataset, 128, 0, CONFIG, rates=ALWAYS).batch(0, 0, 1)
    assert set(batch["key"].tolist()) == {22.0}
    assert set(batch["note"].tolist()) == {61.0}
    mask, known = batch["inpaint"][:, :1], batch["inpaint"][:, 1:]
    assert mask.any()
    assert torch.equal(known, batch["latents"] * mask)
    assert not mask[:, 0][~batch["frame_mask"]].any()
    assert torch.equal(batch["loudness"][:, 1] > 0, batch["frame_mask"])


def test_known_parts_have_their_rates(dataset):
    batches = LatentBatches.of_model(dataset, 128, 0, CONFIG, rates=ControlRates(known=0.5, prefix=0.5))
    draws = batches.controls
    assert draws is not None
    masks = [draws.draw_known(40, 1, 0, index) for index in range(1_000)]
    assert np.mean([mask.any() for mask in masks]) == pytest.approx(0.5, abs=0.05)
    begins = [mask[0] == 1 and np.all(np.diff(mask) <= 0) for mask in masks if mask.any()]
    assert 0.45 < np.mean(begins) < 0.75
    assert not any(mask.all() for mask in masks)


def test_a_model_without_controls_has_the_batches_it_had(dataset):
    plain = LatentBatches(dataset, 128).batch(1, 0, 1)
    bare = ModelConfig(name="bare", dit=msgspec.structs.replace(DIT, controls=(), inpaint_channels=0))
    also = LatentBatches.of_model(dataset, 128, 0, bare, rates=ALWAYS).batch(1, 0, 1)
    assert set(plain) == set(also)
    assert all(torch.equal(plain[name], also[name]) for name in plain)


def test_the_flow_learns_with_them_and_drops_key_and_note_with_the_caption(dataset):
    batches = LatentBatches.of_model(dataset, 128, 0, CONFIG, rates=ALWAYS)
    task = FlowTask(DiT(DIT), batches, FlowConfig(caption_dropout=0.5), seed=1)
    batch = task.batch(0, 0, 1)
    silent = ~batch["text_mask"].any(dim=1)
    assert silent.any()
    assert not silent.all()
    for name in ("key", "note"):
        assert not batch[name][silent].any()
        assert batch[name][~silent].all()
    assert torch.equal(batch["inpaint"], batches.batch(0, 0, 1)["inpaint"])
    task.losses(task.module, batch, 0)["total"].backward()
    assert task.module.leave.weight.grad is not None


def test_adversarial_steps_receive_them_and_wrong_captions_bring_their_own(dataset):
    batches = LatentBatches.of_model(dataset, 128, 0, CONFIG, rates=ALWAYS)
    material = ArcMaterial(batches, ArcConfig(contrastive_weight=1.0), 0).discriminator(0, 0, 1)
    ours = Conditions.of(batches.batch(0, 0, 1))
    for name in ("key", "note", *CURVE_CONTROLS, "inpaint"):
        assert torch.equal(getattr(material.conditions, name), getattr(ours, name))
    assert material.wrong is not None
    assert set(material.wrong.conditions.key.tolist()) == {22.0}
    assert torch.equal(material.wrong.conditions.loudness, ours.loudness)


def test_the_recipe_of_the_next_model_has_about_20_million_weights():
    dit = recipe("spark-2").model.dit
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in DiT(dit).parameters())
    assert 19e6 < weights < 21.5e6
    assert dit.inpaint_channels == 1 + dit.latent_channels
    assert set(dit.controls) == {*NUMBER_CONTROLS, *CURVE_CONTROLS}
