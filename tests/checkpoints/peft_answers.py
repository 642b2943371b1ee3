"""Makes the folder `reference/peft`: adapters that peft read and wrote, and what it answered. Not run by the tests.

    pip install peft
    python -m tests.checkpoints.peft_answers

`ours` is an adapter as arctone writes it, which peft read; `theirs` one that peft wrote. answers.npz holds the outputs
of the tiny transformer with each, as peft computes them.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arctone.checkpoints.folder import DIT, load_dit, part_hash
from arctone.checkpoints.lora import Origin, save_adapter
from arctone.models.conditions import Conditions
from arctone.models.lora import Adapted, LoraConfig, low_rank_pairs
from tests import tiny_model
from tests.training.test_loop import RandomBatches

FOLDER = Path(__file__).parent / "reference" / "peft"
LORA = LoraConfig(rank=3, alpha=6.0)


def trained(model: Path, seed: int, config: LoraConfig = LORA) -> Adapted:
    """Return the tiny model with an adapter that has an effect."""
    torch.manual_seed(seed)
    adapted = Adapted(load_dit(model), config)
    for name, value in adapted.named_parameters():
        if name.endswith("up.weight"):
            torch.nn.init.normal_(value, std=0.2)
    return adapted.requires_grad_(False)


def saved(folder: Path, model: Path, adapted: Adapted, config: LoraConfig = LORA) -> Path:
    """Write the adapter as the training does."""
    origin = Origin("tiny", part_hash(model, DIT), steps=7)
    save_adapter(folder, low_rank_pairs(adapted.state_dict()), config, origin)
    return folder


def network_inputs(width: int = 32, channels: int = 8) -> tuple[Tensor, Tensor, Conditions]:
    """Return four noisy latents at four times, with conditions; always the same."""
    torch.manual_seed(9)
    batch = RandomBatches().batch(0, 0, 1)
    words = {"text_tokens": torch.randn(4, 5, width), "text_pooled": torch.randn(4, width)}
    return torch.randn(4, channels, 16), torch.tensor([0.1, 0.4, 0.7, 1.0]), Conditions.of(batch | words)


def write(folder: Path) -> None:
    """Let peft read our adapter and write one, and keep what it answers."""
    import peft

    # Its README is made from a model's config, which it expects to be a mapping.
    peft.PeftModel.create_or_update_model_card = lambda *_: None
    with tempfile.TemporaryDirectory() as work:
        model = tiny_model.write_checkpoint(Path(work) / "checkpoint")
        saved(folder / "ours", model, trained(model, 1))
        reading = peft.PeftModel.from_pretrained(load_dit(model), str(folder / "ours"))
        torch.manual_seed(4)
        config = peft.LoraConfig(r=2, lora_alpha=5, target_modules=["to_q", "mlp.leave"], init_lora_weights=False)
        writing = peft.get_peft_model(load_dit(model), config).eval()
        writing.save_pretrained(str(folder / "theirs"))
        with torch.no_grad():
            answers = {"ours": reading(*network_inputs()).numpy(), "theirs": writing(*network_inputs()).numpy()}
    np.savez_compressed(folder / "answers.npz", **answers)


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    write(FOLDER)
