"""The benchmarks of tuning: which clips they choose, and that their tables say what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from arctone.audio.waveform import Waveform
from arctone.data.sound import ClipInfo
from arctone.training.lora import fine_tuning
from arctone.workflows.fine_tune import run
from benchmarks import lora_few_steps, lora_timbre, results
from tests import tiny_model


class Clips:
    """A source of facts: every third clip is of a held-out preset, every seventh of another instrument."""

    def __len__(self) -> int:
        return 60

    def info(self, index: int) -> ClipInfo:
        return ClipInfo(
            id=f"clip-{index}",
            caption="a vibraphone",
            captions=("a vibraphone",),
            duration_seconds=20.0 if index % 11 == 0 else 2.0,
            category="mix" if index % 13 == 0 else "note",
            attributes={"instrument": "harp" if index % 7 == 0 else "vibraphone"},
            held_out=("unseen_preset",) if index % 3 == 0 else (),
        )

    def waveform(self, index: int) -> None:
        raise NotImplementedError


def test_the_timbre_is_the_held_out_preset_alone() -> None:
    source = Clips()
    found = lora_timbre.find(source, "vibraphone", 5)  # type: ignore[arg-type]
    for index in (*found.trained, *found.goal):
        assert source.info(index).held_out == ("unseen_preset",)
    assert not any(source.info(index).held_out for index in found.known)
    for index in (*found.trained, *found.goal, *found.known):
        info = source.info(index)
        assert info.attributes["instrument"] == "vibraphone"
        assert (info.category, info.duration_seconds) == ("note", 2.0)
    assert len({*found.trained, *found.goal, *found.known}) == 15
    with pytest.raises(ValueError, match="but 100 are needed"):
        lora_timbre.find(source, "vibraphone", 50)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "block"), [("lora_timbre", lora_timbre.block), ("lora_few_steps", lora_few_steps.block)]
)
def test_the_stored_results_give_their_tables(name: str, block: Callable[[dict[str, Any]], str]) -> None:
    result = results.read(name)
    if result is None:
        pytest.skip("not measured yet")
    assert result["command"] in block(result)
    for cells in result.get("embedders", {}).values():
        for key, cell in cells.items():
            if isinstance(cell, dict):
                assert cell["low"] <= cell["value"] <= cell["high"], key


def test_means_over_runs() -> None:
    rows = [[{"way": "a", "steps": 1, "modes": modes, "on_mode": share}] for modes, share in ((8, 0.5), (6, 0.25))]
    assert lora_few_steps.rows_of(rows) == [{"way": "a", "steps": 1, "modes": [8, 6], "on_mode": 0.375}]


def test_a_moved_batch_is_the_same_batch_moved() -> None:
    old, new = (kind(16).batch(3, 0, 1) for kind in (lora_few_steps.Mixture, lora_few_steps.MovedMixture))
    assert torch.allclose(new["latents"] - old["latents"], lora_few_steps.MOVED[None, :, None].expand(16, 2, 1))
    assert torch.equal(new["text_pooled"], old["text_pooled"])


def test_a_change_at_no_strength_is_no_change() -> None:
    base = lora_few_steps.Velocity()
    change = {"leave.weight": torch.ones(2, 128)}
    assert torch.equal(lora_few_steps.changed(base, change, 0.0).leave.weight, base.leave.weight)
    half = lora_few_steps.changed(base, change, 0.5).leave.weight
    assert torch.allclose(half - base.leave.weight, torch.full((2, 128), 0.5))


class Tones(Clips):
    """The same clips, with sound."""

    def waveform(self, index: int) -> Waveform:
        noise = np.random.default_rng(index).uniform(-0.3, 0.3, (2, 44_100))
        return Waveform(noise.astype(np.float32), 44_100)


def test_training_goes_on_where_it_stopped_and_counts_all_its_time(tmp_path: Path) -> None:
    model = tiny_model.write_checkpoint(tmp_path / "model")
    timbre = lora_timbre.Timbre([1, 2, 3], [4], [5])

    def trained(steps: int) -> dict[str, Any]:
        plan = fine_tuning()
        plan = dataclasses.replace(plan, loop=dataclasses.replace(plan.loop, total_steps=steps, max_minutes=5.0))
        settings = run.Settings(str(tmp_path / "clips"), model, tmp_path / "out", plan, keep_apart=False)
        return lora_timbre.train(Tones(), timbre, settings)  # type: ignore[arg-type]

    first, second = trained(2), trained(4)
    assert (first["steps"], second["steps"], second["clips"]) == (2, 4, 3)
    assert second["seconds"] >= first["seconds"]
    assert trained(4) == second
    assert sorted(path.name for path in (tmp_path / "clips").glob("*.flac")) == [f"clip-{n:02d}.flac" for n in range(3)]
