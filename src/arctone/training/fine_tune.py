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

from arctone.checkpoints.copying import copy_autoencoder, copy_text
from arctone.checkpoints.folder import (
    DIT,
    FLOW,
    encoder_hash,
    fill,
    flow_part,
    load_config,
    load_state,
    part_hash,
    save_part,
)
from arctone.checkpoints.lora import Origin, save_adapter
from arctone.data.latents import LatentDataset
from arctone.model_folder.config import DiTConfig, of_type
from arctone.models.dit import DiT
from arctone.models.lora import Adapted, LoraConfig, low_rank_pairs, target_layers
from arctone.training.flow import Batches, FlowConfig, FlowTask
from arctone.training.latent_batches import LatentBatches
from arctone.training.loop import LoopConfig, Trainer, generator

_DROPOUT = 4
LORA_FOLDER, FULL_FOLDER = "training-lora", "training-full"


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """How a model is fine-tuned. loop is that of an adapter or that of all weights, as `is_full` says."""

    loop: LoopConfig
    lora: LoraConfig = dataclasses.field(default_factory=LoraConfig)
    flow: FlowConfig = dataclasses.field(default_factory=FlowConfig)
    is_full: bool = False
    # Latent frames in a batch, padding included.
    batch_frames: int = 1024

    @property
    def folder(self) -> str:
        """Where its checkpoint lies in the folder that is written."""
        return FULL_FOLDER if self.is_full else LORA_FOLDER


def fine_tuning(*, is_full: bool = False) -> FineTuning:
    """Settings that suit some dozen sounds and a quarter of an hour on a laptop."""
    rate = 5e-5 if is_full else 1e-3
    loop = LoopConfig(
        total_steps=600, rate=rate, betas=(0.9, 0.99), weight_decay=0.0, warmup_steps=20, ema_decay=0.98,
        precision="32-true", checkpoint_every=100,
    )  # fmt: skip
    return FineTuning(loop, is_full=is_full)


class LoraTask(FlowTask):
    """Task of the training loop: the flow objective, where only an adapter learns."""

    def __init__(
        self, base: nn.Module, batches: Batches, lora: LoraConfig, config: FlowConfig | None = None, seed: int = 0
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adapted = Adapted(base, lora)
        super().__init__(adapted, batches, config, seed)
        self.frozen = [base]

    def losses(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Tensor]:
        """As of the flow; what is dropped out is a function of seed, step and the process's first item."""
        key = generator(self.seed, step, _DROPOUT, int(batch["item"][0])).initial_seed()
        with torch.random.fork_rng():
            torch.manual_seed(key)
            return super().losses(module, batch, step)


def refuse_unknown_targets(plan: FineTuning, model: Path) -> None:
    """Raise UsageError unless all target modules of a plan are linear layers of the model's transformer."""
    with torch.device("meta"):
        target_layers(DiT(of_type(load_config(model).dit, DiTConfig)), plan.lora.target_modules)


def trainer(plan: FineTuning, model: Path, latents: Path, out: Path) -> Trainer:
    """Trainer of a model's adapter or of all its weights; its checkpoint lies in `out`.

    Raises: ModelError if the latents come from another autoencoder; UsageError for targets the model does not have.
    """
    dataset = LatentDataset(latents, split="train", autoencoder_hash=encoder_hash(model))
    batches = LatentBatches(dataset, plan.batch_frames, plan.loop.seed)
    dit = DiT(of_type(load_config(model).dit, DiTConfig))
    fill(dit, load_state(model, flow_part(model)), str(model))
    seed = plan.loop.seed
    task = (
        FlowTask(dit, batches, plan.flow, seed) if plan.is_full else LoraTask(dit, batches, plan.lora, plan.flow, seed)
    )
    return Trainer(task, plan.loop, out / plan.folder)


def finish(plan: FineTuning, trained: Trainer, model: Path, out: Path) -> None:
    """Write what was learned so far: an adapter's folder, or a model's."""
    if plan.is_full:
        _finish_full(trained.ema.state, model, out)
        return
    origin = Origin(load_config(model).name, part_hash(model, flow_part(model)), trained.step)
    save_adapter(out, low_rank_pairs(trained.ema.state), plan.lora, origin)


def _finish_full(state: dict[str, Tensor], model: Path, out: Path) -> None:
    """A whole model: of a post-trained one the change of its flow model is added to its transformer."""
    config = load_config(model)
    copy_autoencoder(model, out, config)
    copy_text(model, out)
    if flow_part(model) == FLOW:
        before, fast = load_state(model, FLOW), load_state(model, DIT)
        save_part(out, FLOW, state, config)
        config = msgspec.structs.replace(config, flow_hash=part_hash(out, FLOW))
        state = {name: value + (state[name].cpu() - before[name]) for name, value in fast.items()}
    save_part(out, DIT, state, config)
