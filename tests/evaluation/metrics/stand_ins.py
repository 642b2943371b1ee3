"""A tiny corpus and a tiny engine with the interfaces of the real ones, whose answers are known."""

import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from arctone.audio.waveform import Waveform
from arctone.data.sound import ClipInfo
from arctone.flow.noise import item_noise
from tests.evaluation.metrics.metric_sounds import RATE, drums, noise, notes, tone

TEMPOS = (90, 100, 110, 120)
SCALE = ([0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0], [0, 2, 3, 5, 7, 8, 10, 12, 7, 3, 0])


class TinyCorpus:
    """Every third clip is for training, validation, test; families organ (tones), wind (noise), piano (scales),
    drums.
    """

    def __init__(self, size: int = 96) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def info(self, index: int) -> ClipInfo:
        kind, number = index % 4, index // 4
        key = f"C {'minor' if number % 2 else 'major'}"
        bpm = TEMPOS[number % 4]
        captions = (
            (f"organ tone {number}",),
            (f"wind {number}",),
            (f"a piano plays scale {number}", f"piano scale {number}, {key}"),
            (f"drum loop {number}", f"drum loop {number}, {bpm} BPM"),
        )[kind]
        return ClipInfo(
            id=f"clip-{index}",
            caption=captions[0],
            captions=captions,
            duration_seconds=(1.0, 1.0, 2.2, 6.0)[kind],
            bpm=bpm if kind == 3 else None,
            key=key if kind == 2 else None,
            category=("note", "note", "phrase", "drums")[kind],
            attributes={"family": ("organ", "wind", "piano")[kind]} if kind < 3 else {},
            split=("train", "valid", "test")[number % 3],
        )

    def waveform(self, index: int) -> Waveform:
        return _clip(index)


@functools.lru_cache(maxsize=96)
def _clip(index: int) -> Waveform:
    """Sound of a clip; read-only, since all tests of a process share it."""
    kind, number = index % 4, index // 4
    if kind == 0:
        made = tone(200.0 + 11 * number, 1.0)
    elif kind == 1:
        made = noise(1.0, seed=number)
    elif kind == 2:
        made = notes([[60 + step] for step in SCALE[number % 2]], 0.2)
    else:
        made = drums(TEMPOS[number % 4], seconds=6.0)
    made.samples.setflags(write=False)
    return made


class PerfectBackend:
    """An autoencoder whose latents are the samples themselves: [2 * 2048, T]."""

    def encode(self, samples: np.ndarray) -> np.ndarray:
        samples = np.pad(samples, ((0, 0), (0, -samples.shape[1] % 2048)))
        return samples.reshape(2, -1, 2048).transpose(0, 2, 1).reshape(4096, -1)

    def decode(self, latents: np.ndarray, seed: int = 0) -> np.ndarray:
        return latents.reshape(2, 2048, -1).transpose(0, 2, 1).reshape(2, -1)


class NoisyBackend(PerfectBackend):
    """The same with white noise added, 20 dB below full scale."""

    def decode(self, latents: np.ndarray, seed: int = 0) -> np.ndarray:
        return super().decode(latents) + 0.1 * item_noise(seed, 0, (2, latents.shape[-1] * 2048))


class TinyEngine:
    """Makes the clip that a prompt was written for, or noise for every prompt if it is `deaf`."""

    model_hash = "0123456789abcdef"
    defaults = SimpleNamespace(sampler="euler", steps=4, cfg_scale=2.0)

    def __init__(self, corpus: TinyCorpus, backend: PerfectBackend | None = None, deaf: bool = False) -> None:
        infos = [corpus.info(index) for index in range(len(corpus))]
        self.clips = {wording: i for i, info in enumerate(infos) for wording in (*info.captions, info.caption)}
        self.corpus, self.backend, self.deaf, self.num_calls = corpus, backend or PerfectBackend(), deaf, 0

    def generate(self, prompt: str, duration_seconds: float, seed: int, **options: float) -> SimpleNamespace:
        self.num_calls += 1
        made = noise(duration_seconds, seed=seed) if self.deaf else self.corpus.waveform(self.clips[prompt])
        return SimpleNamespace(waveforms=(made,), seeds=(seed,))


PROGRAM = f"""
import json, sys, time
import numpy as np, soundfile
target = sys.argv[sys.argv.index("-o") + 1]
seed, seconds = (float(sys.argv[sys.argv.index(flag) + 1]) for flag in ("-s", "-d"))
if "fail" in sys.argv[2]:
    sys.exit("the model is missing.")
generator = np.random.default_rng(int(seed) if "steady" in sys.argv[2] else None)
soundfile.write(target, 0.1 * generator.standard_normal((round(seconds * {RATE}), 2)), {RATE})
print(json.dumps({{"timings_ms": {{"sampling": 20.0, "decoding": 5.0}}}}))
"""


def program(folder: Path) -> Path:
    """A script that behaves like `arctone generate`; it is steady or fails as its prompt says."""
    path = folder / "program.py"
    path.write_text(PROGRAM)
    return path
