"""The published sizes, with random weights, in the public program and in ours: how far apart every stage is.

    PYTHONPATH=src:. python -m benchmarks.parity.true_sizes small --out benchmarks/parity/results/small.json
    PYTHONPATH=src:. python -m benchmarks.parity.true_sizes 1.0 --frames 256 --steps 4 --decode-frames 64 \
        --folder parity-1.0 --out benchmarks/parity/results/1.0.json
    PYTHONPATH=src:.:stable-audio-3 python -m benchmarks.parity.true_sizes 3-small --frames 388 --decode-frames 324

Each side runs in a process of its own: first the public program, which also saves the checkpoint, then ours, which
opens it. Needs the public program (see reference.py), 4 GB of memory for "small" and 12 GB for "1.0". With --folder,
work that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arctone.checkpoints.parts import DIT, openers
from arctone.checkpoints.published.convert import convert
from arctone.evaluation.metrics.cost import peak_memory_bytes
from arctone.flow.guidance import guided
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.inference.backends.base import TextEmbedding, VelocityInputs
from arctone.inference.backends.torch import TorchBackend, load_backend
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.folder import read_model_config
from arctone.model_folder.tokenizer import Tokenizer
from arctone.models.conditions import Conditions
from benchmarks.machine import describe, sentence
from benchmarks.parity.answers import PROMPT, SECONDS, SEED, Questions, Side, answer, compared
from benchmarks.parity.shapes import KINDS, model_config
from benchmarks.parity.shapes_3 import KINDS_3, model_config_3

THEIRS, OURS = SIDES = ("theirs", "ours")
PUBLISHED, MEMORY = "published", "memory.json"


class Ours:
    """The converted folder (see Side)."""

    def __init__(self, folder: Path) -> None:
        self.config: ModelConfig = read_model_config(folder)
        self.parts: TorchBackend = load_backend(folder, self.config)
        tokens = Tokenizer(folder, self.config.text.max_tokens).encode(PROMPT)
        self.text: TextEmbedding = self.parts.encode_text(tokens.ids, tokens.mask)
        self._open = openers(folder, self.config)[DIT]

    def context(self) -> np.ndarray:
        """See Side."""
        context: np.ndarray = self._dit().conditioning(self._conditions(1))[0][0].numpy()
        return context

    @torch.inference_mode()
    def output(self, x: np.ndarray, t: float) -> np.ndarray:
        """See Side."""
        batch = torch.from_numpy(x[None]), torch.tensor([t])
        found: np.ndarray = self._dit().output(*batch, self._conditions(x.shape[1]))[0].numpy()
        return found

    def sampled(self, steps: int, shape: tuple[int, int]) -> np.ndarray:
        """See Side; by the model's own sampler and grid."""
        sampling, mask = self.config.sampling, np.ones(shape[1], bool)
        ends = sampling.log_snr.start_for(shape[1]), sampling.log_snr.end
        times = sampler_times(sampling.sampler, steps, sampling.shift, sampling.schedule, log_snr_ends=ends)
        start = item_noise(SEED, 0, shape) * np.float32(times[0])
        scale = sampling.cfg_scale if sampling.sampler == "dpmpp_3m_sde" else 1.0

        def velocity(x: np.ndarray, t: float) -> np.ndarray:
            towards = self.parts.velocity(VelocityInputs(x, t, self.text, SECONDS, 0.0, mask))
            if scale == 1:
                return towards
            away = self.parts.velocity(VelocityInputs(x, t, None, SECONDS, 0.0, mask))
            return np.asarray(guided(towards, away, scale), np.float32)

        sampler = SAMPLERS[sampling.sampler]
        latents: np.ndarray = list(sampler(velocity, start, times, lambda step: item_noise(SEED, step, shape)))[-1].x
        return latents

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """See Side."""
        return self.parts.decode(latents)

    def _dit(self) -> Any:
        return self._open()

    def _conditions(self, frames: int) -> Conditions:
        text = self.text
        values = (text.tokens, text.mask, text.pooled, np.float32(SECONDS), np.float32(0), np.ones(frames, bool))
        return Conditions(*(torch.from_numpy(np.asarray(value)[None]) for value in values))


def run_side(side: str, kind: str, folder: Path, questions: Questions) -> None:
    """All answers of one side. folder: of the whole comparison; the public side writes the checkpoint there."""
    if side == THEIRS:
        answer(_theirs(kind, folder / PUBLISHED), questions, folder / side)
    else:
        converted = folder / "converted"
        if not converted.exists():
            text = None if kind in KINDS_3 else folder / PUBLISHED / "t5-base"
            convert(folder / PUBLISHED, converted, text, name=kind)
        answer(Ours(converted), questions, folder / side)
    (folder / side / MEMORY).write_text(json.dumps(peak_memory_bytes()) + "\n")


def _theirs(kind: str, folder: Path) -> Side:
    if kind in KINDS_3:
        from benchmarks.parity.reference_3 import Reference3, Theirs3

        return Theirs3(Reference3(kind, folder, shrunken=False))
    from benchmarks.parity.reference import Reference, Theirs

    return Theirs(kind, Reference(kind, folder, shrunken=False))


def compare(kind: str, folder: Path, questions: Questions) -> dict[str, Any]:
    """The report on two sides that have answered."""
    names = [*questions.asked(_Nobody(), folder)]
    peaks = {side: json.loads((folder / side / MEMORY).read_text()) for side in SIDES}
    return {
        "machine": sentence(describe()),
        "kind": kind,
        "peak_memory_gb": {side: round(peak / 1e9, 1) for side, peak in peaks.items() if peak},
        "stages": compared(names, folder / OURS, folder / THEIRS),
    }


class _Nobody:
    """Gives the questions their names; it is never asked."""

    def __getattr__(self, name: str) -> Any:
        return None


def run_both(kind: str, folder: Path, questions: Questions) -> dict[str, Any]:
    """Each side in a process of its own, and then the report. Raises: subprocess.CalledProcessError if one fails."""
    numbers = [f"--first-frames={questions.window[1]}", f"--frames={questions.frames}", f"--steps={questions.steps}"]
    numbers += [f"--decode-frames={questions.decode_frames}", f"--folder={folder}"]
    for side in SIDES:
        # A side that is complete is not opened again: that alone would take minutes.
        if not (folder / side / MEMORY).exists():
            module = ["-m", "benchmarks.parity.true_sizes", kind, "--side", side]
            subprocess.run([sys.executable, *module, *numbers], check=True)
    return compare(kind, folder, questions)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=(*KINDS, *KINDS_3))
    parser.add_argument("--out", type=Path, help="where the report goes")
    parser.add_argument("--first-frames", type=int, help="of the first call; the published window if not given")
    parser.add_argument(
        "--frames", type=int, help="of the other calls and of sampling; those of the first if not given"
    )
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--decode-frames", type=int, help="of the sampled frames; all if not given")
    parser.add_argument("--folder", type=Path, help="keep the checkpoints and the answers there")
    parser.add_argument("--side", choices=SIDES, help="only this one, without a report")
    return parser


def main() -> int:
    """Command line. Returns: 0 if the greatest relative error is at most 1e-4."""
    given = _parser().parse_args()
    config = model_config_3(given.kind) if given.kind in KINDS_3 else model_config(given.kind)
    hop = config["model"]["pretransform"]["config"]["downsampling_ratio"]
    window = config["model"]["io_channels"], given.first_frames or config["sample_size"] // hop
    frames = given.frames or window[1]
    questions = Questions(window, frames, given.steps, given.decode_frames or frames)
    if given.side:
        run_side(given.side, given.kind, given.folder, questions)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        report = run_both(given.kind, given.folder or Path(temporary), questions)
    text = json.dumps(report, indent=2) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text)
    worst = max(values["relative_error"] for values in report["stages"].values())
    print(f"worst relative error {worst:.2e}")
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
