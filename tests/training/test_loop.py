"""A run that was interrupted is the same run; a wrong loss does not spoil the weights."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from arctone.errors import ModelError, UsageError
from arctone.model_folder.config import DiTConfig
from arctone.models.dit import DiT
from arctone.training.flow import FlowConfig, FlowTask
from arctone.training.loop import LoopConfig, NotFinite, StopSignals, Trainer
from arctone.training.optim import Ema
from arctone.training.randomness import generator, share
from arctone.training.stages import run_stage

DIT = DiTConfig(latent_channels=4, width=32, depth=2, heads=2, text_width=8, mlp_width=48, max_frames=16)
LOOP = LoopConfig(
    total_steps=12, rate=1e-3, matrix_rate=0.02, warmup_steps=3, precision="32-true", log_every=1, checkpoint_every=4
)


class RandomBatches:
    """Latents with a mean, so that there is something to learn."""

    def __init__(self, items: int = 4) -> None:
        self.items = items

    def batch(self, step: int, rank: int, world_size: int) -> dict[str, Tensor]:
        source = generator(99, step)
        mine = share(self.items, rank, world_size)
        whole = {
            "latents": 2 + 0.1 * torch.randn(self.items, 4, 16, generator=source),
            "frame_mask": torch.arange(16)[None] < torch.tensor([16, 12, 8, 16])[: self.items, None],
            "text_tokens": torch.randn(self.items, 5, 8, generator=source),
            "text_mask": torch.ones(self.items, 5, dtype=torch.bool),
            "text_pooled": torch.randn(self.items, 8, generator=source),
            "seconds": torch.full((self.items,), 0.7),
            "bpm": torch.full((self.items,), 120.0),
            "item": torch.arange(self.items),
        }
        return {name: value[mine] for name, value in whole.items()} | {"num_items": torch.tensor(self.items)}


def _task() -> FlowTask:
    torch.manual_seed(1)
    return FlowTask(DiT(DIT), RandomBatches())


def _curve(folder: Path) -> list[float]:
    return [json.loads(line)["total"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_loss_falls(tmp_path: Path) -> None:
    trainer = Trainer(_task(), dataclasses.replace(LOOP, total_steps=60, warmup_steps=5), tmp_path)
    trainer.run()
    curve = _curve(tmp_path)
    assert sum(curve[-10:]) < 0.6 * sum(curve[:10])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run that was never interrupted."""
    whole = Trainer(_task(), LOOP, tmp_path_factory.mktemp("whole"))
    whole.run()
    return whole


@pytest.mark.parametrize("stop_at", [1, 5, 11])
def test_interrupted_and_resumed_is_the_same_run(tmp_path: Path, undisturbed: Trainer, stop_at: int) -> None:
    whole = undisturbed

    def interrupt(step: int, _: dict[str, float]) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(_task(), LOOP, tmp_path / "parts").run(interrupt)
    resumed = Trainer(_task(), LOOP, tmp_path / "parts")
    assert resumed.step == stop_at
    resumed.run()
    assert _curve(whole.folder) == _curve(tmp_path / "parts")
    for name, value in whole.task.module.state_dict().items():
        assert torch.equal(value, resumed.task.module.state_dict()[name]), name
    for name, value in whole.ema.state.items():
        assert torch.equal(value, resumed.ema.state[name]), name


class SignalledTask(FlowTask):
    """A signal arrives in the middle of the fifth step."""

    number = signal.SIGTERM

    def losses(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Tensor]:
        if step == 4 and torch.is_grad_enabled():
            os.kill(os.getpid(), self.number)
        return super().losses(module, batch, step)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_within_a_step_takes_effect_after_it(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    whole = Trainer(_task(), LOOP, tmp_path / "whole")
    whole.run()
    torch.manual_seed(1)
    task = SignalledTask(DiT(DIT), RandomBatches())
    task.number = number
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, LOOP, tmp_path / "parts").run()
    assert signal.getsignal(number) is before
    resumed = Trainer(_task(), LOOP, tmp_path / "parts")
    assert resumed.step == 5
    resumed.run()
    assert _curve(whole.folder) == _curve(tmp_path / "parts")
    for name, value in whole.task.module.state_dict().items():
        assert torch.equal(value, resumed.task.module.state_dict()[name]), name


def test_the_second_signal_has_its_usual_effect() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.is_asked
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_other_threads_leave_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_long_steps_are_kept_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    config = dataclasses.replace(LOOP, checkpoint_every=1_000, checkpoint_minutes=10.0)
    trainer, kept = Trainer(_task(), config, tmp_path), []

    def pass_time(step: int, _: dict[str, float]) -> None:
        if trainer.checkpoint.exists():
            kept.append(torch.load(trainer.checkpoint, weights_only=True)["step"])
        now[0] += 4 * 60

    trainer.run(pass_time)
    # Steps of four minutes: the third is the first that ends more than ten minutes after the last checkpoint.
    assert sorted(set(kept)) == [3, 6, 9]


def test_resuming_with_another_seed_is_refused(tmp_path: Path) -> None:
    Trainer(_task(), LOOP, tmp_path).run()
    with pytest.raises(UsageError, match="seed: 5 differs from 0"):
        Trainer(_task(), dataclasses.replace(LOOP, seed=5), tmp_path)


class BrokenTask(FlowTask):
    """Loss that is not a number from a step on."""

    def losses(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Tensor]:
        losses = super().losses(module, batch, step)
        return losses if step < 3 else {"total": losses["total"] * float("nan")}


def test_nan_keeps_weights_and_ends_with_a_sentence(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trainer = Trainer(BrokenTask(DiT(DIT), RandomBatches()), dataclasses.replace(LOOP, total_steps=100), tmp_path)
    with pytest.raises(NotFinite, match="not finite for 20 steps up to step 23"):
        trainer.run()
    assert all(torch.isfinite(value).all() for value in trainer.task.module.state_dict().values())


class NamedBatches(RandomBatches):
    """Batches whose clips have names."""

    def describe(self, step: int) -> str:
        return f"clips a{step}, b{step}"


def _named_task() -> FlowTask:
    torch.manual_seed(1)
    return FlowTask(DiT(DIT), NamedBatches())


def test_a_run_that_explodes_keeps_its_last_good_state_and_names_the_batch(tmp_path: Path) -> None:
    """A single update at an absurd rate leaves weights that are finite and useless: no checkpoint may hold them."""
    Trainer(_named_task(), dataclasses.replace(LOOP, total_steps=6, warmup_steps=0), tmp_path).run()
    good = (tmp_path / "last.ckpt").read_bytes()
    reckless = dataclasses.replace(LOOP, total_steps=60, warmup_steps=0, rate=1e30, checkpoint_every=1)
    trainer = Trainer(_named_task(), reckless, tmp_path)
    sentence = r"beginning with the batch of step 8 \(clips a7, b7\); .*last.ckpt holds the last good state, go on with"
    with pytest.raises(NotFinite, match=sentence):
        trainer.run()
    assert (tmp_path / "last.ckpt").read_bytes() == good
    again = Trainer(_named_task(), dataclasses.replace(LOOP, total_steps=8), tmp_path)
    assert again.step == 6
    again.run()
    assert again.step == 8


def test_a_failed_run_is_not_written_and_an_interrupted_one_is(tmp_path: Path) -> None:
    class Stage:
        """Counts what is written."""

        def __init__(self, task: FlowTask) -> None:
            self.task, self.written = task, 0

        def trainer(self) -> Trainer:
            return Trainer(
                self.task, dataclasses.replace(LOOP, total_steps=50), tmp_path / self.task.__class__.__name__
            )

        def finish(self, trainer: Trainer) -> None:
            self.written += 1

    def interrupted(trainer: Trainer) -> None:
        raise KeyboardInterrupt

    torch.manual_seed(1)
    failed, stopped = Stage(BrokenTask(DiT(DIT), RandomBatches())), Stage(_task())
    with pytest.raises(NotFinite):
        run_stage(failed)
    with pytest.raises(KeyboardInterrupt):
        run_stage(stopped, interrupted)
    assert (failed.written, stopped.written) == (0, 1)


@pytest.mark.parametrize("keep", [0, 1000, -10])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, keep: int) -> None:
    Trainer(_task(), dataclasses.replace(LOOP, total_steps=1), tmp_path).run()
    path = tmp_path / "last.ckpt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        ModelError, match=r"^out: .*last.ckpt is damaged \([^\n]+\); delete it to begin this stage again"
    ):
        Trainer(_task(), LOOP, tmp_path)
    torch.save([1, 2], path)
    with pytest.raises(ModelError, match="is no checkpoint of arctone"):
        Trainer(_task(), LOOP, tmp_path)


def test_checkpointed_activations_change_no_weight(tmp_path: Path) -> None:
    plain = Trainer(_task(), dataclasses.replace(LOOP, total_steps=3), tmp_path / "plain")
    plain.run()
    saving = Trainer(
        _task(), dataclasses.replace(LOOP, total_steps=3, checkpoint_activations=True), tmp_path / "saving"
    )
    saving.run()
    for name, value in plain.module.state_dict().items():
        assert torch.equal(value, saving.module.state_dict()[name]), name


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(tmp_path: Path, size: int) -> None:
    torch.manual_seed(1)
    parts = FlowTask(DiT(DIT), RandomBatches(), FlowConfig(micro_items=size))
    values = [Trainer(task, LOOP, tmp_path / str(n)).one_step() for n, task in enumerate((_task(), parts))]
    assert values[1]["total"] == pytest.approx(values[0]["total"], rel=1e-5)
    assert values[1]["gradient_norm"] == pytest.approx(values[0]["gradient_norm"], rel=1e-4)


def test_the_published_schedule_warms_up_and_then_falls_slowly() -> None:
    loop = dataclasses.replace(LOOP, schedule="inverse")
    assert loop.rate_factor(0) == pytest.approx(0.005)
    assert loop.rate_factor(2_000) == pytest.approx((1 + 2e-3) ** -0.5, rel=1e-4)
    assert loop.rate_factor(3_000_000) == pytest.approx(0.5)
    with pytest.raises(UsageError, match="schedule: 'step' is unknown, choose from cosine, inverse"):
        dataclasses.replace(LOOP, schedule="step")


def test_the_average_with_a_power_is_that_of_ema_pytorch() -> None:
    """Its decay is 1 - (1 + n - 2)^-power from the third update on, at most the highest; before, it copies."""
    module = nn.Linear(1, 1, bias=False)
    ema, expected = Ema(module, 0.5, power=0.75), 0.0
    for number in range(1, 8):
        nn.init.constant_(module.weight, float(number))
        ema.update(module)
        decay = min(0.5, 1 - (1 + max(number - 2, 0)) ** -0.75)
        expected = decay * expected + (1 - decay) * number
        assert ema.state["weight"].item() == pytest.approx(expected)


def test_time_budget_ends_the_run(tmp_path: Path) -> None:
    trainer = Trainer(_task(), dataclasses.replace(LOOP, total_steps=10_000, max_minutes=1e-9), tmp_path)
    trainer.run()
    assert trainer.step == 0


def test_mixed_precision_leaves_the_batch_as_it_is(tmp_path: Path) -> None:
    """Weights and products may be of 16 bit; a length of 0.7 s rounded to 16 bit would be another length."""
    seen: dict[str, Tensor] = {}

    class Watching(FlowTask):
        def losses(self, module: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
            if torch.is_grad_enabled():
                seen.update(batch)
            assert torch.is_autocast_enabled("cpu")
            return super().losses(module, batch, step)

    config = dataclasses.replace(LOOP, total_steps=1, precision="bf16-mixed")
    Trainer(Watching(DiT(DIT), RandomBatches()), config, tmp_path).run()
    assert torch.equal(seen["seconds"], torch.full((4,), 0.7))
    assert torch.equal(seen["latents"], RandomBatches().batch(0, 0, 1)["latents"])


def test_the_opening_has_rates_of_its_own(tmp_path: Path) -> None:
    class Opening(FlowTask):
        def rate_scale(self, step: int) -> float:
            return 10.0 if step < 2 else 1.0

    config = dataclasses.replace(LOOP, warmup_steps=1, rate_floor=1.0)
    trainer = Trainer(Opening(DiT(DIT), RandomBatches()), config, tmp_path)
    rates = []
    for _ in range(4):
        trainer.one_step()
        rates.append([group["lr"] for part in trainer.parts["model"].optimisers.parts for group in part.param_groups])
    assert rates[0] == rates[1] == [pytest.approx(10 * rate) for rate in rates[2]]
    assert rates[2] == rates[3] == [pytest.approx(1e-3), pytest.approx(0.02)]


def test_padding_has_no_influence() -> None:
    """Frames behind the end of a clip change neither its loss nor its velocity."""
    task = _task()
    nn.init.normal_(task.module.leave.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    nn.init.normal_(task.module.modulate.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    batch = task.batch(0, 0, 1)
    before = task.losses(task.module, batch, 0)["total"]
    padding = ~batch["frame_mask"][:, None]
    other = batch | {"latents": torch.where(padding, torch.tensor(50.0), batch["latents"])}
    after = task.losses(task.module, other, 0)["total"]
    assert torch.allclose(before, after, atol=1e-5)


def test_dropped_captions_lose_everything_that_tells_the_prompt() -> None:
    task = _task()
    object.__setattr__(task.config, "caption_dropout", 1.0)
    batch = task.batch(0, 0, 1)
    assert not batch["text_mask"].any()
    assert not batch["text_pooled"].any()
    assert not batch["bpm"].any()


def test_two_shares_are_the_whole_batch() -> None:
    task = _task()
    whole = task.batch(3, 0, 1)
    halves = [task.batch(3, rank, 2) for rank in (0, 1)]
    for name in ("latents", "noise", "t", "text_mask", "bpm"):
        assert torch.equal(whole[name], torch.cat([half[name] for half in halves])), name
