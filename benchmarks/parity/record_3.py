"""Record what the public stable-audio-3 computes with shrunken sizes, for tests that run without it.

    PYTHONPATH=src:.:path/to/stable-audio-3 python -m benchmarks.parity.record_3 tests/checkpoints/reference

Only values are kept: weights are drawn again from each tensor's name (shapes.py).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from arctone.flow.noise import item_noise
from benchmarks.parity.reference_3 import TEXT_FOLDER, Reference3
from benchmarks.parity.shapes import inpaint_example
from benchmarks.parity.shapes_3 import FRAMES, HOP, KINDS_3, PROMPT, SECONDS, SEED, STEPS, WINDOW, model_config_3

LEVELS = (1.0, 0.6, 0.05)


def recorded(kind: str, folder: Path) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """Values by name, and the shapes of the published tensors."""
    reference = Reference3(kind, folder, shrunken=True)
    given = reference.condition(PROMPT, SECONDS, FRAMES)
    conditions = reference.condition(PROMPT, SECONDS, FRAMES, inpaint_example())
    x = item_noise(SEED, 0, (8, FRAMES))
    found = {"context": given["cross_attn_cond"][0].numpy(), "global": given["global_cond"][0].numpy()}
    for level in LEVELS:
        found[f"output-{level}"] = reference.output(x, level, given)
    found["told"] = reference.output(x, 0.6, conditions)
    found["guided"] = reference.output(x, 0.6, given, cfg_scale=4.0)
    if kind != "3-base":
        shape = (8, WINDOW)
        whole = reference.condition(PROMPT, SECONDS, WINDOW)
        noise = lambda step: item_noise(SEED, step, shape)  # noqa: E731
        found["times"] = reference.times(STEPS, WINDOW)
        found["ping_pong"] = reference.ping_pong(found["times"], item_noise(SEED, 0, shape), noise, whole)
        samples = 0.3 * np.random.default_rng(0).standard_normal((2, HOP * 6)).astype(np.float32)
        found |= {"decoded": reference.decode(found["ping_pong"]), "encoded": reference.encode(samples)}
        found["decoded-noisy"] = reference.decode(found["ping_pong"], is_noisy=True)
        found["encoded-noisy"] = reference.encode(samples, is_noisy=True)
    return found, {name: list(shape) for name, shape in reference.shapes.items()}


def main(out: Path) -> None:
    """Write one npz and one list of shapes for each kind, and the small files of the T5Gemma."""
    out.mkdir(parents=True, exist_ok=True)
    for kind in KINDS_3:
        with tempfile.TemporaryDirectory() as folder:
            values, shapes = recorded(kind, Path(folder))
            words = Path(folder) / TEXT_FOLDER
            texts = {name: (words / name).read_text() for name in ("tokenizer.json", "config.json")}
        np.savez_compressed(out / f"{kind}.npz", **values)
        record = {"config": model_config_3(kind, shrunken=True), "shapes": shapes}
        (out / f"{kind}.json").write_text(json.dumps(record) + "\n")
    (out / "t5gemma-tokenizer.json").write_text(texts["tokenizer.json"])
    (out / "t5gemma.json").write_text(json.dumps(json.loads(texts["config.json"])) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
