"""One generator and one discriminator update of ARC post-training: ours against the arithmetic of the public trainer.

    python -m benchmarks.arc_update

The public trainer's step is written from what it is known to do, on the same networks, head and batch: the
discriminator keeps all blocks of the flow model and leaves them after the 13th of 16; in the generator's step real
audio goes through it with gradients, and its parameters collect gradients that are thrown away; its own step makes
three passes (fake, real, wrong captions); generator and discriminator each have a text encoder, which runs for each of
them and again for the wrong captions. Neither side has gradient penalties, both keep an average of the generator.
Ours is measured twice, the second time with one item at a time (micro_items), which gives the same numbers.
Every measurement is a fresh process with one thread, ours and theirs in turn. Time is processor time, so that other
work on the machine does not count; memory is the peak of the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from arctone.flow.schedules import add_noise, denoised, expand
from arctone.model_folder.config import DiTConfig
from arctone.models.conditions import Conditions
from arctone.models.discriminator import HEADS, Discriminator
from arctone.models.dit import DiT
from arctone.models.text import TextEncoder
from arctone.training.arc.batches import ArcBatch, ArcMaterial
from arctone.training.arc.config import ArcConfig
from arctone.training.arc.task import ArcTask
from arctone.training.loop import LoopConfig, Trainer
from arctone.training.optim import Ema
from arctone.training.randomness import generator
from benchmarks import results
from benchmarks.results import JSON

# SAO-small at half its width: 16 blocks of 512, 64 x 256 latents, 64 tokens of a 12-layer encoder of 384.
SHAPES = DiTConfig(
    latent_channels=64, width=512, depth=16, heads=8, text_width=384, mlp_width=2048, max_frames=256, max_seconds=11.89
)
TOKENS, TEXT_DEPTH = 64, 12
LENGTHS = (64, 128, 192, 256)
"""Latent frames of the mix: clips of 3, 6, 9 and 12 seconds."""
BLOCKS_RUN = 13
"""Blocks that the public trainer's discriminator runs: its tap is layer 12, counted from zero."""


class Prompts:
    """Random latents and token ids, a function of the step; the conditions carry text that was encoded before."""

    def __init__(self, config: DiTConfig, items: int, tokens: int = TOKENS) -> None:
        self.config, self.items, self.tokens = config, items, tokens
        self.frames = config.max_frames

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        """See `training.flow.Batches`."""
        shape = (self.items, self.config.latent_channels, self.frames)
        return self.prompts(step, range(self.items)) | {
            "latents": torch.randn(shape, generator=generator(1, step)),
            "frame_mask": torch.ones(self.items, self.frames, dtype=torch.bool),
            "seconds": torch.full((self.items,), self.config.max_seconds),
            "item": torch.arange(self.items),
            "num_items": torch.tensor(self.items),
        }

    def captions(self, step: int) -> list[str]:
        """See `arc_batches.CaptionedBatches`."""
        return [str(item) for item in range(self.items)]

    def prompts(self, step: int, items: Sequence[int]) -> dict[str, Tensor]:
        """See `arc_batches.CaptionedBatches`."""
        states = torch.randn(self.items, self.tokens, self.config.text_width, generator=generator(2, step))[[*items]]
        return {
            "text_tokens": states,
            "text_mask": torch.ones(len(items), self.tokens, dtype=torch.bool),
            "text_pooled": states.mean(1),
            "bpm": torch.zeros(len(items)),
        }


class FullDepthDiscriminator(nn.Module):
    """A whole flow model with a head on its hidden states after `blocks_run` blocks; the rest is dead."""

    def __init__(self, config: DiTConfig, blocks_run: int) -> None:
        super().__init__()
        self.dit, self.head, self.blocks_run = DiT(config), HEADS["conv"](config.width), blocks_run

    def forward(self, x: Tensor, s: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """See Discriminator.forward."""
        hidden, _ = self.dit.hidden(x, s, conditions, num_blocks=self.blocks_run)
        scores: tuple[Tensor, Tensor] = self.head(hidden, conditions.frame_mask)
        return scores


class PublicStep:
    """The public trainer's two updates.

    Args: encoders: text encoders of generator and discriminator; None leaves the batch's own text, without their cost.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, encoders: tuple[nn.Module, nn.Module] | None):
        self.generator, self.discriminator, self.encoders = generator, discriminator, encoders
        settings = {"lr": 1e-6, "betas": (0.9, 0.95), "weight_decay": 0.01}
        self.optimisers = [torch.optim.AdamW(module.parameters(), **settings) for module in (generator, discriminator)]
        self.ema = Ema(generator, 0.999)

    def update(self, batches: tuple[ArcBatch, ArcBatch]) -> None:
        """A generator step and a discriminator step."""
        modules, losses = (self.generator, self.discriminator), (self.generator_loss, self.discriminator_loss)
        for module, loss, optimiser, batch in zip(modules, losses, self.optimisers, batches, strict=True):
            self.generator.zero_grad()
            self.discriminator.zero_grad()
            loss(batch).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
        self.ema.update(self.generator)

    def generator_loss(self, batch: ArcBatch) -> Tensor:
        """Real and fake both with gradients, and for the discriminator's parameters too."""
        real, fake = self._noised(batch, self._estimate(batch))
        conditions = self._encoded(1, batch.conditions)
        logits_fake, _ = self.discriminator(fake, batch.seen.s, conditions)
        logits_real, _ = self.discriminator(real, batch.seen.s, conditions)
        return softplus(logits_real - logits_fake).mean()

    def discriminator_loss(self, batch: ArcBatch) -> Tensor:
        """Three passes."""
        with torch.no_grad():
            estimate = self._estimate(batch)
        real, fake = self._noised(batch, estimate)
        conditions = self._encoded(1, batch.conditions)
        logits_fake, _ = self.discriminator(fake, batch.seen.s, conditions)
        logits_real, _ = self.discriminator(real, batch.seen.s, conditions)
        assert batch.wrong is not None
        logits_wrong, _ = self.discriminator(real, batch.seen.s, self._encoded(1, batch.wrong.conditions))
        return softplus(logits_fake - logits_real).mean() + softplus(logits_wrong - logits_real).mean()

    def _estimate(self, batch: ArcBatch) -> Tensor:
        t = expand(batch.start.t, batch.x_0)
        x_t = add_noise(batch.x_0, batch.start.noise, t)
        return denoised(x_t, self.generator(x_t, batch.start.t, self._encoded(0, batch.conditions)), t)

    def _noised(self, batch: ArcBatch, estimate: Tensor) -> tuple[Tensor, Tensor]:
        s = expand(batch.seen.s, estimate)
        return add_noise(batch.x_0, batch.seen.noise, s), add_noise(estimate, batch.seen.noise, s)

    @torch.no_grad()
    def _encoded(self, whose: int, conditions: Conditions) -> Conditions:
        """The conditions with text that was encoded now."""
        if self.encoders is None:
            return conditions
        items, length = conditions.text_mask.shape
        ids = torch.arange(items * length).reshape(items, length) % 1000
        tokens, pooled = self.encoders[whose](ids, conditions.text_mask.float())
        return conditions._replace(text_tokens=tokens, text_pooled=pooled)


def measure(side: str, items: int) -> JSON:
    """Processor seconds of a pair of updates by length in frames, and the peak memory of this process in MB.

    The first pair of the full length only warms up. The public trainer fills every clip up to the full length.
    """
    torch.set_num_threads(1)
    prompts = Prompts(SHAPES, items)
    with tempfile.TemporaryDirectory() as folder:
        update = _public(prompts) if side == "public" else _ours(prompts, Path(folder), by_item=side == "by_item")
        update(0)
        seconds = {}
        for pair, prompts.frames in enumerate(LENGTHS[-1:] if side == "public" else LENGTHS, start=1):
            started = time.process_time()
            update(pair)
            seconds[str(prompts.frames)] = time.process_time() - started
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _ours(prompts: Prompts, folder: Path, *, by_item: bool) -> Callable[[int], None]:
    config = ArcConfig(micro_items=1 if by_item else 0)
    task = ArcTask(DiT(SHAPES), Discriminator(SHAPES), prompts, config)
    trainer = Trainer(task, LoopConfig(total_steps=1000, rate=1e-6, precision="32-true"), folder)

    def update(_: int) -> None:
        trainer.one_step()
        trainer.one_step()

    return update


def _public(prompts: Prompts) -> Callable[[int], None]:
    sizes = (30_522, TOKENS, SHAPES.text_width, TEXT_DEPTH, 6, 4 * SHAPES.text_width)
    encoders = (TextEncoder(*sizes).eval(), TextEncoder(*sizes).eval())
    step = PublicStep(DiT(SHAPES), FullDepthDiscriminator(SHAPES, BLOCKS_RUN), encoders)
    draws = ArcMaterial(prompts, ArcConfig(), SHAPES.max_seconds, seed=0)

    def update(pair: int) -> None:
        step.update((draws.generator(2 * pair + 1, 0, 1), draws.discriminator(2 * pair, 0, 1)))

    return update


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both sides in turn and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arc_update", description=__doc__)
    parser.add_argument("--items", type=int, default=4, help="clips in a batch")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each side")
    parser.add_argument(
        "--side", choices=("ours", "by_item", "public"), help="measure one side in this process and print it"
    )
    options = parser.parse_args(arguments)
    if options.side:
        print(json.dumps(measure(options.side, options.items)))
        return
    found: dict[str, list[JSON]] = {"ours": [], "by_item": [], "public": []}
    for _ in range(options.rounds):
        for side, measured in found.items():
            measured.append(_in_fresh_process(side, options.items))
    settings = {"width": SHAPES.width, "blocks": SHAPES.depth, "frames": list(LENGTHS), "threads": 1}
    settings |= {name: getattr(options, name) for name in ("items", "rounds")}
    print(results.write("arc_update", settings, compared(found)))


def compared(found: dict[str, list[JSON]]) -> JSON:
    """Medians of both sides, and their ratios: for clips of the full length, and for a mix of the lengths."""
    sides: JSON = {}
    for side, measured in found.items():
        seconds = {length: median(one["seconds"][length] for one in measured) for length in measured[0]["seconds"]}
        sides[side] = {
            "seconds": seconds,
            "peak_mb": round(max(one["peak_mb"] for one in measured), 1),
            "all": measured,
        }
    full = str(LENGTHS[-1])
    public = sides["public"]
    for side in sides.values():
        side["speed_up"] = round(public["seconds"][full] / side["seconds"][full], 2)
        side["speed_up_of_mix"] = round(public["seconds"][full] / mean(side["seconds"].values()), 2)
        side["memory_ratio"] = round(side["peak_mb"] / public["peak_mb"], 2)
    return sides


def _in_fresh_process(side: str, items: int) -> JSON:
    command = [sys.executable, "-m", "benchmarks.arc_update", f"--items={items}", f"--side={side}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=results.ROOT)
    measured: JSON = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
