"""Fine-tuning of a whole model on further sounds: a low-rank adapter of its transformer, or all of its weights.

Both follow the flow objective. A post-trained model (ARC or distilled) must not be trained on it: the objective's
answer at high noise is the mean of all sounds, and few steps would blur again. So what is trained is the flow model it
was made from, and the change of its weights is added to the post-trained ones.
Sources: Hu et al. 2021, "LoRA"; Luo et al. 2023, "LCM-LoRA" (changes of weights for a style and for few steps add up).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from arctone.checkpoints.folder import (
    DIT,
    FLOW,
    encoder_hash,
    flow_part,
    load_config,
    load_state,
    part_hash,
    save_part,
)
from arctone.checkpoints.lora import Origin, save_adapter
from arctone.checkpoints.text import copy_autoencoder, copy_text
from arctone.data.latent_shards import STORED_LATENTS, read_stored_latents
from arctone.data.latents import LatentDataset
from arctone.models.discriminator import NETWORKS
from arctone.models.lora import BLOCK_MATRICES, Adapted, LoraConfig, low_rank_pairs, target_layers
from arctone.training.batches import Batches, LatentBatches, silence_of
from arctone.training.flow import FlowConfig, FlowTask
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.network import fill_with_flow, new_network
from arctone.training.parallel import open_fabric
from arctone.training.randomness import generator

_DROPOUT = 4
# What the published transformer calls queries, keys and values of its self-attention.
FUSED_MATRIX = "to_qkv"
LORA_FOLDER, FULL_FOLDER = "training-lora", "training-full"


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """How a model is fine-tuned.

    Attributes:
        loop: Of an adapter or of all weights, as `is_full` says.
        lora: Of the adapter.
        flow: Of the objective.
        is_full: Whether all weights are trained.
        batch_frames: Latent frames in a batch, padding included.
    """

    loop: LoopConfig
    lora: LoraConfig = dataclasses.field(default_factory=LoraConfig)
    flow: FlowConfig = dataclasses.field(default_factory=FlowConfig)
    is_full: bool = False
    batch_frames: int = 1024

    @property
    def folder(self) -> str:
        """Where its checkpoint lies in the folder that is written."""
        return FULL_FOLDER if self.is_full else LORA_FOLDER


def fine_tuning(*, is_full: bool = False) -> FineTuning:
    """Returns settings that suit some dozen sounds and a quarter of an hour on a laptop.

    Args:
        is_full: Whether all weights are trained.

    Returns:
        The settings.
    """
    rate = 5e-5 if is_full else 1e-3
    loop = LoopConfig(
        total_steps=600, rate=rate, betas=(0.9, 0.99), weight_decay=0.0, warmup_steps=20, ema_decay=0.98,
        precision="32-true", checkpoint_every=100,
    )  # fmt: skip
    return FineTuning(loop, is_full=is_full)


class LoraTask(FlowTask):
    """Task of the training loop: the flow objective, where only an adapter learns.

    Args:
        base: The frozen velocity network.
        batches: Latents with their conditions.
        lora: Size and layers of the adapter.
        config: Of the objective; None = the defaults.
        seed: Of the adapter, of noise and times.
    """

    shards_refused = "an adapter is too small for that, leave the strategy as it is"

    def __init__(
        self, base: nn.Module, batches: Batches, lora: LoraConfig, config: FlowConfig | None = None, seed: int = 0
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adapted = Adapted(base, lora)
        super().__init__(adapted, batches, config, seed)
        self.frozen = [base]

    @property
    def network(self) -> nn.Module:
        """See `FlowTask`."""
        return self.frozen[0]

    def losses(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Tensor]:
        """See `Task`; dropped inputs of the adapter are a function of seed, step and the process's first item."""
        key = generator(self.seed, step, _DROPOUT, int(batch["item"][0])).initial_seed()
        with torch.random.fork_rng():
            torch.manual_seed(key)
            return super().losses(module, batch, step)


def with_targets(plan: FineTuning, model: Path) -> FineTuning:
    """Returns the plan with the matrices of the model's own blocks, where it names those of a DiT.

    Args:
        plan: Its targets stay if they are not the usual ones.
        model: Folder of the model.

    Returns:
        The plan.

    Raises:
        UsageError: If a target is no linear layer of the model's transformer.
    """
    config = load_config(model).dit
    with torch.device("meta"):
        network = NETWORKS[type(config)](config)
    fused = any(name.endswith(f".{FUSED_MATRIX}") for name, _ in network.named_modules())
    if plan.lora.target_modules == BLOCK_MATRICES and fused:
        targets = (*BLOCK_MATRICES, FUSED_MATRIX)
        plan = dataclasses.replace(plan, lora=dataclasses.replace(plan.lora, target_modules=targets))
    target_layers(network, plan.lora.target_modules)
    return plan


@dataclasses.dataclass(frozen=True)
class TuneStage:
    """Fine-tuning of a model; see `stages.Stage`.

    Attributes:
        plan: What is trained, and how.
        model: Folder of the model.
        latents: Folder of clips encoded by the model's encoder, or shards of them (`data.latent_shards`).
        out: Folder of the adapter, or of the tuned model.
    """

    plan: FineTuning
    model: Path
    latents: Path | str
    out: Path

    def trainer(self) -> Trainer:
        """See `stages.Stage`.

        Returns:
            The trainer.

        Raises:
            ModelError: If the latents come from another autoencoder.
            UsageError: For targets that the model does not have.
        """
        plan, config = with_targets(self.plan, self.model), load_config(self.model)
        fabric = open_fabric(plan.loop)
        fabric.launch()
        with fabric.rank_zero_first():
            latents = read_stored_latents(self.latents, self.model, self.out / STORED_LATENTS)
        dataset = LatentDataset(latents, split="train", autoencoder_hash=encoder_hash(self.model))
        silence = silence_of(self.model, config)
        batches = LatentBatches.of_model(dataset, plan.batch_frames, plan.loop.seed, config, silence)
        network, seed = new_network(config.dit, plan.loop.seed), plan.loop.seed
        fill_with_flow(network, self.model)
        task = (
            FlowTask(network, batches, plan.flow, seed)
            if plan.is_full
            else LoraTask(network, batches, plan.lora, plan.flow, seed)
        )
        return Trainer(task, plan.loop, self.out / plan.folder, fabric)

    def finish(self, trainer: Trainer) -> None:
        """See `stages.Stage`: writes an adapter's folder, or a model's."""
        state = trainer.ema.state
        if self.plan.is_full:
            _finish_full(state, self.model, self.out)
            return
        plan = with_targets(self.plan, self.model)
        origin = Origin(load_config(self.model).name, part_hash(self.model, flow_part(self.model)), trainer.step)
        save_adapter(self.out, low_rank_pairs(state), plan.lora, origin)


def _finish_full(state: dict[str, Tensor], model: Path, out: Path) -> None:
    """Writes a whole model: of a post-trained one the change of its flow model is added to its transformer."""
    config = load_config(model)
    copy_autoencoder(model, out, config)
    copy_text(model, out)
    if flow_part(model) == FLOW:
        before, fast = load_state(model, FLOW), load_state(model, DIT)
        save_part(out, FLOW, state, config)
        config = msgspec.structs.replace(config, flow_hash=part_hash(out, FLOW))
        state = {name: value + (state[name].cpu() - before[name]) for name, value in fast.items()}
    save_part(out, DIT, state, config)
