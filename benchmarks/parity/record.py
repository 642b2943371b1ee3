"""Record what the public program computes with shrunken sizes, for tests that run without it.

    PYTHONPATH=src:. python -m benchmarks.parity.record tests/checkpoints/reference

Only values are kept: weights are drawn again from each tensor's name (shapes.py).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from arctone.flow.noise import item_noise
from benchmarks.parity.reference import Reference, log_snr_times
from benchmarks.parity.shapes import KINDS, T5_TINY, inpaint_example, model_config

PROMPT, SECONDS, STEPS, SEED = "rain", 0.5, 8, 7
LEVELS = (1.0, 0.6, 0.05)


def recorded(kind: str, folder: Path) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """Values by name, and the shapes of the published tensors."""
    reference = Reference(kind, folder, shrunken=True)
    given = reference.condition(PROMPT, SECONDS, inpaint_example() if kind == "inpaint" else None)
    x = item_noise(SEED, 0, (8, 16))
    noise = lambda step: item_noise(SEED, step, (8, 16))  # noqa: E731
    found = {"context": given["cross_attn_cond"][0].numpy(), "global": given["global_cond"][0].numpy()}
    for level in LEVELS:
        found[f"output-{level}"] = reference.output(x, level, given)
    found["guided"] = reference.output(x, 0.6, given, cfg_scale=4.0)
    if kind == "1.0":
        found["v_ddim"] = reference.v_ddim(STEPS, x, given)
        found["dpmpp_3m_sde"] = reference.dpmpp_3m_sde(STEPS, x, noise, given, 4.0)
    else:
        found["ping_pong"] = reference.ping_pong(log_snr_times(STEPS), x, noise, given)
    if kind == "small":
        samples = 0.3 * np.random.default_rng(0).standard_normal((2, 2048 * 4)).astype(np.float32)
        found |= {"decoded": reference.decode(x[:, :3]), "encoded": reference.encode(samples)}
    return found, {name: list(shape) for name, shape in reference.shapes.items()}


def main(out: Path) -> None:
    """Write one npz and one list of shapes for each kind, and the small files of the T5."""
    out.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            values, shapes = recorded(kind, Path(folder))
            tokenizer = (Path(folder) / "t5-base" / "tokenizer.json").read_bytes()
        np.savez_compressed(out / f"{kind}.npz", **values)
        record = {"config": model_config(kind, shrunken=True), "shapes": shapes}
        (out / f"{kind}.json").write_text(json.dumps(record) + "\n")
    (out / "tokenizer.json").write_bytes(tokenizer)
    (out / "t5.json").write_text(json.dumps({"model_type": "t5", **T5_TINY}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
