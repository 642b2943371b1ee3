"""The size of Stable Audio Open small on CPUs, against the public stable-audio-tools: both in turn, in one process.

    PYTHONPATH=src:. python -m benchmarks.sao_cpu --folder work/

Needs the public program (see parity/reference.py) and 16 GB of memory. Both sides have the same random weights, the
same prompt and the same noise: 11.89 s of stereo, 8 ping-pong steps, batch 1. The public program runs in float32, as it
is by default, and cast to bfloat16; ours on torch in float32 and from a folder that was converted to 16 bit, and on the
native engine in float32 and with 8-bit weights, all graphs open, their packed weights in a cache folder. Figures are
medians over the rounds; ratios are medians of the rounds' own ratios. Before the rounds each side warms up on one
velocity and on decoding the first side's latents, from which the errors come.

The share of the machine: multiplications of the stage, over its time, over what the fastest matrix product of the same
type, torch's or a graph's, reaches here in the same process. The bound: what the ratio to the public program would be
if every multiplication of a sound ran at that speed and nothing else took time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arctone.checkpoints.published.convert import convert
from arctone.export.graphs import snr_db
from arctone.export.stable_audio import build_published
from arctone.flow.noise import item_noise
from arctone.flow.samplers import ping_pong
from arctone.flow.schedules import sampler_times
from arctone.inference.backends.base import Backend, VelocityInputs
from arctone.inference.backends.litert import LiteRTBackend
from arctone.inference.backends.torch import load_backend
from arctone.model_folder.folder import read_model_config
from arctone.model_folder.tokenizer import Tokenizer
from benchmarks import ceilings, results
from benchmarks.results import JSON

PROMPT, SEED, SECONDS, STEPS, FRAMES = "rain on a tin roof", 7, 11.88, 8, 256
STAGES = ("text", "sampling", "decoding")
PEER, PEER_CAST, OURS, OURS_HALF = "public, float32", "public, bfloat16", "arctone, float32", "arctone, bfloat16"
NATIVE_FULL, NATIVE = "arctone native, float32", "arctone native, int8"
Made = tuple[dict[str, float], dict[str, np.ndarray]]


class Peer:
    """The public program. reference: of parity/reference.py. dtype: what its weights are cast to."""

    def __init__(self, reference: Any, dtype: torch.dtype) -> None:
        self._reference, self._dtype = reference, dtype
        reference.model.to(dtype)

    @torch.inference_mode()
    def make(self) -> Made:
        """Seconds of each stage, and what came out of it."""
        model, dtype = self._reference.model, self._dtype
        noises = iter(range(1, STEPS + 1))

        def noise_like(_: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(item_noise(SEED, next(noises), (64, FRAMES)))[None].to(dtype)

        clock = Clock()
        given = self._reference.condition(PROMPT, SECONDS)
        given = {name: _cast(value, dtype) for name, value in given.items()}
        clock.stop("text")
        x = torch.from_numpy(item_noise(SEED, 0, (64, FRAMES)))[None].to(dtype)
        velocity = model.model(x, torch.tensor([0.6]).to(dtype), **given)
        clock.skip()
        latents = _sampled(model.model, x, given, noise_like)
        clock.stop("sampling")
        sound = model.pretransform.model.decoder(latents)
        clock.stop("decoding")
        return clock.seconds, {"velocity": _array(velocity), "latents": _array(latents), "sound": _array(sound)}

    @torch.inference_mode()
    def warm_up(self, latents: np.ndarray) -> np.ndarray:
        """Each part once; returns the sound of given latents."""
        given = {n: _cast(value, self._dtype) for n, value in self._reference.condition(PROMPT, SECONDS).items()}
        batch = torch.from_numpy(latents[None]).to(self._dtype)
        self._reference.model.model(batch, torch.tensor([0.6]).to(self._dtype), **given)
        return _array(self._reference.model.pretransform.model.decoder(batch))


class Ours:
    """A folder on one of our engines; parts: that engine's."""

    def __init__(self, folder: Path, parts: Backend) -> None:
        self.config = read_model_config(folder)
        self.parts = parts
        self._tokens = Tokenizer(folder, self.config.text.max_tokens).encode(PROMPT)
        self._mask = np.ones(FRAMES, bool)

    def make(self) -> Made:
        """See Peer."""
        clock = Clock()
        text = self.parts.encode_text(self._tokens.ids, self._tokens.mask)
        clock.stop("text")
        noise = lambda step: item_noise(SEED, step, (64, FRAMES))  # noqa: E731
        call = lambda x, t: self.parts.velocity(VelocityInputs(x, t, text, SECONDS, 0.0, self._mask))  # noqa: E731
        velocity = call(noise(0), 0.6)
        clock.skip()
        times = sampler_times("ping_pong", STEPS, 1.0)
        *_, last = ping_pong(call, noise(0) * np.float32(times[0]), times, noise)
        latents = np.asarray(last.x, np.float32)
        clock.stop("sampling")
        sound = self.parts.decode(latents)
        clock.stop("decoding")
        return clock.seconds, {"velocity": velocity, "latents": latents, "sound": sound}

    def warm_up(self, latents: np.ndarray) -> np.ndarray:
        """See Peer."""
        text = self.parts.encode_text(self._tokens.ids, self._tokens.mask)
        self.parts.velocity(VelocityInputs(latents, 0.6, text, SECONDS, 0.0, self._mask))
        sound: np.ndarray = self.parts.decode(latents)
        return sound


class Clock:
    """Seconds between calls of `stop`, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = time.perf_counter()

    def stop(self, name: str) -> None:
        """The time since the last call belongs to this stage."""
        self.seconds[name] = time.perf_counter() - self._begun
        self.skip()

    def skip(self) -> None:
        """The time since the last call belongs to none."""
        self._begun = time.perf_counter()


def _sampled(
    network: Callable[..., torch.Tensor],
    x: torch.Tensor,
    given: dict[str, Any],
    noise_like: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Ping-pong as the public program does it, on its own network, with noise from outside."""
    times = sampler_times("ping_pong", STEPS, 1.0)
    for index, (t, after) in enumerate(pairwise(times)):
        level = torch.full((1,), t).to(x.dtype)
        denoised = x - t * network(x, level, **given)
        x = denoised if index == STEPS - 1 else (1 - after) * denoised + after * noise_like(x)
    return x


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _array(batch: torch.Tensor) -> np.ndarray:
    found: np.ndarray = batch[0].float().numpy()
    return found


def operations(ours: Ours) -> dict[str, float]:
    """Billions of operations of each stage, counted by torch."""
    made: dict[str, float] = {}
    tokens = ours._tokens
    text = ours.parts.encode_text(tokens.ids, tokens.mask)
    latents = item_noise(SEED, 0, (64, FRAMES))
    works: dict[str, Callable[[], object]] = {
        "text": lambda: ours.parts.encode_text(tokens.ids, tokens.mask),
        "sampling": lambda: ours.parts.velocity(VelocityInputs(latents, 0.6, text, SECONDS, 0.0, ours._mask)),
        "decoding": lambda: ours.parts.decode(latents),
    }
    for name, work in works.items():
        made[name] = sum(ceilings.operations(work).values()) * (STEPS if name == "sampling" else 1)
    return {name: round(value, 1) for name, value in made.items()}


def compared(sides: dict[str, Any], rounds: int) -> JSON:
    """Stages and errors of each side; the first is the reference."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    values: dict[str, dict[str, np.ndarray]] = {}
    first, *others = sides
    _, wanted = sides[first].make()
    decoded = {first: wanted["sound"]} | {name: sides[name].warm_up(wanted["latents"]) for name in others}
    for number in range(rounds):
        for name, side in sides.items():
            seconds, values[name] = side.make()
            print(number, name, {stage: round(value, 2) for stage, value in seconds.items()}, flush=True)
            taken[name].append(seconds)
    rows = []
    for name in sides:
        rows.append(
            {
                "name": name,
                "seconds": {stage: round(statistics.median(row[stage] for row in taken[name]), 3) for stage in STAGES},
                "total": round(statistics.median(sum(row.values()) for row in taken[name]), 3),
                "ratios": {other: _ratio(taken[other], taken[name]) for other in (PEER, PEER_CAST) if other in sides},
                "velocity_snr_db": round(snr_db(wanted["velocity"], values[name]["velocity"]), 1),
                "latents_snr_db": round(snr_db(wanted["latents"], values[name]["latents"]), 1),
                "decoded_snr_db": round(snr_db(wanted["sound"], decoded[name]), 1),
            }
        )
    return {"rows": rows}


def _ratio(slow: list[dict[str, float]], fast: list[dict[str, float]]) -> JSON:
    each = [sum(a.values()) / sum(b.values()) for a, b in zip(slow, fast, strict=True)]
    return {"median": round(statistics.median(each), 2), "lowest": round(min(each), 2), "highest": round(max(each), 2)}


def block(result: JSON) -> str:
    """The tables as Markdown."""
    head = ["11.89 s, 8 steps", *(f"{stage}, s" for stage in STAGES), "all, s"]
    head += ["times public float32", "times public bfloat16", "velocity, dB", "decoded, dB"]
    lines = []
    for row in result["rows"]:
        ratios = [row["ratios"][name] for name in (PEER, PEER_CAST)]
        ranges = [f"{r['median']:.1f}x ({r['lowest']:.1f}-{r['highest']:.1f})" for r in ratios]
        errors = ["reference" if row[n] >= 200 else f"{row[n]:.0f}" for n in ("velocity_snr_db", "decoded_snr_db")]
        lines.append(
            [row["name"], *(f"{row['seconds'][s]:.2f}" for s in STAGES), f"{row['total']:.2f}", *ranges, *errors]
        )
    return "\n\n".join([results.table(head, lines), _shares(result), results.footer(result)])


def _shares(result: JSON) -> str:
    """The share of the machine's own ceiling that each stage reaches, and the ratio that the ceiling allows."""
    rows, operations = [], result["operations"]
    slowest = next(row["total"] for row in result["rows"] if row["name"] == PEER)
    for row in result["rows"]:
        ceiling = result["ceilings"][row["name"].split(", ")[1]]
        cells = [f"{100 * operations[s] / row['seconds'][s] / ceiling:.0f} %" for s in STAGES[1:]]
        least = sum(operations.values()) / ceiling
        rows.append([row["name"], f"{ceiling:.0f}", *cells, f"{least:.2f}", f"{slowest / least:.1f}x"])
    counted = ", ".join(f"{stage} {value:g}" for stage, value in operations.items())
    head = ["", "ceiling, GFLOP/s", "sampling", "decoding", "least possible, s", "bound, times public float32"]
    return f"{results.table(head, rows)}\n\nGFLOP of a sound: {counted}."


def _ours(options: argparse.Namespace, published: Path) -> dict[str, Ours]:
    """Our sides; folders that are missing are made."""
    found = {}
    for name, precision in ((OURS, "float32"), (OURS_HALF, "bfloat16")):
        folder = options.folder / precision
        if not folder.exists():
            convert(published, folder, published / "t5-base", name=precision, precision=precision)
        found[name] = Ours(folder, load_backend(folder, read_model_config(folder)))
    for name, precision in ((NATIVE_FULL, "float32"), (NATIVE, "int8")):
        folder, cache = options.folder / f"native-{precision}", options.folder / f"native-{precision}-cache"
        if not folder.exists():
            build_published(options.folder / "float32", folder, precision=precision, encoder=False)
        found[name] = Ours(folder, LiteRTBackend(folder, read_model_config(folder), options.threads, cache))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sao_cpu", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints are kept there")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="sao_cpu", help="of the result")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    options = parser.parse_args(arguments)
    from benchmarks.parity.reference import Reference

    torch.set_num_threads(options.threads)
    published = options.folder / "published"
    sides: dict[str, Any] = {
        name: Peer(Reference("small", published, shrunken=False), dtype)
        for name, dtype in ((PEER, torch.float32), (PEER_CAST, torch.bfloat16))
    }
    sides |= _ours(options, published)
    before = ceilings.ceilings(options.threads)
    found = compared(sides, options.rounds)
    after = ceilings.ceilings(options.threads)
    # Whatever else the machine does in one of the moments, it can do what it did in the other.
    found["ceilings"] = {name: max(before[name], after[name]) for name in before}
    found["operations"] = operations(sides[OURS])
    settings = {"threads": options.threads, "rounds": options.rounds, "torch": torch.__version__}
    print(results.write(options.name, settings, found, options.results))


if __name__ == "__main__":
    main()
