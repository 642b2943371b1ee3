"""Every kind of published model in the public program and here: how far apart text, network, sampling and sound are.

    PYTHONPATH=src:.:stable-audio-tools:stable-audio-3 python -m benchmarks.parity.published_table

Sizes are reduced and weights random, saved by the public program itself. "back": the transformer's weights are changed
here, the model is written in the published layout with a config of our own, the public program loads it strictly, and
both make the same sound. Needs the public programs (see reference.py and reference_3.py); writes
benchmarks/results/published_parity.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from arctone.checkpoints.parts import DIT, openers
from arctone.checkpoints.published.convert import convert, publish
from arctone.checkpoints.published.source import MODEL_CONFIG
from arctone.flow.noise import item_noise
from arctone.model_folder.folder import write_hashes
from arctone.models.conditions import Conditions
from arctone.models.continuous_dit import ContinuousDiT
from benchmarks.parity.answers import LEVELS, SEED, relative_error
from benchmarks.parity.shapes import drawn
from benchmarks.parity.shapes_3 import KINDS_3
from benchmarks.results import JSON, footer, read, write

NAME = "published_parity"
STEPS, FRAMES = 8, 16
STAGES = ("text", "network", "8 steps", "sound", "back")
DIFFUSERS = "diffusers"
MODELS = {
    "small": "stable-audio-open-small",
    "small-base": "stable-audio-open-small, base",
    "1.0": "stable-audio-open-1.0",
    "3-small": "stable-audio-3-small-music, -sfx",
    "3-base": "stable-audio-3-small-music-base, -sfx-base",
    "3-medium": "stable-audio-3-medium",
    DIFFUSERS: "stable-audio-open-1.0 by diffusers (`save_pretrained`)",
}


def measured(kind: str, folder: Path) -> dict[str, float]:
    """This function compares one kind; all numbers are greatest differences, relative to the greatest value."""
    from benchmarks.parity.true_sizes import Ours

    reference, side = _public(kind, folder / "published")
    text = None if kind in KINDS_3 else folder / "published" / "t5-base"
    config = convert(folder / "published", folder / "converted", text, name=kind)
    ours, shape = Ours(folder / "converted"), (config.dit.latent_channels, FRAMES)
    found = {"text": relative_error(ours.context(), side.context())}
    x = item_noise(SEED, 0, shape)
    found["network"] = max(relative_error(ours.output(x, t), side.output(x, t)) for t in LEVELS)
    found |= _sounds(ours, side, reference, shape)
    back = _changed_and_written_back(folder)
    found["back"] = _sounds(Ours(folder / "changed"), _reloaded(kind, reference, back), reference, shape)["sound"]
    return found


def measured_diffusers(folder: Path) -> dict[str, float]:
    """This function compares the folder that diffusers writes with what diffusers computes from it.

    Its scheduler is not among the samplers here, so network and decoder are compared, each on the same input.
    """
    from arctone.inference.backends.torch import load_backend
    from benchmarks.parity import record_diffusers as public
    from benchmarks.parity.reference import save_t5

    published = folder / "published"
    values = public.answers(public.saved(published))
    save_t5(folder / "t5-base", tiny=True)
    config = convert(published, folder / "converted", folder / "t5-base")
    dit = openers(folder / "converted", config)[DIT]()
    assert isinstance(dit, ContinuousDiT)
    text = torch.from_numpy(item_noise(SEED, 5, (public.TEXT_WIDTH, public.TOKENS)).T[None])
    frames = torch.ones(1, public.FRAMES, dtype=torch.bool)
    seconds, nothing = torch.tensor([public.SECONDS]), torch.zeros(1)
    given = Conditions(text, torch.ones(text.shape[:2]), torch.zeros(1, public.TEXT_WIDTH), seconds, nothing, frames)
    x = item_noise(SEED, 0, (config.dit.latent_channels, public.FRAMES))
    with torch.inference_mode():
        context = dit.conditioning(given)[0][0].numpy()
        outputs = {t: dit.output(torch.from_numpy(x)[None], torch.tensor([t]), given)[0].numpy() for t in public.LEVELS}
    decoded = load_backend(folder / "converted", config).decode(x)
    return {
        "text": relative_error(context, values["context"]),
        "network": max(relative_error(output, values[f"output-{t}"]) for t, output in outputs.items()),
        "sound": relative_error(decoded, values["decoded"]),
    }


def _public(kind: str, folder: Path) -> tuple[Any, Any]:
    if kind in KINDS_3:
        from benchmarks.parity.reference_3 import Reference3, Theirs3

        reference = Reference3(kind, folder, shrunken=True)
        return reference, Theirs3(reference)
    from benchmarks.parity.reference import Reference, Theirs

    earlier = Reference(kind, folder, shrunken=True)
    return earlier, Theirs(kind, earlier)


def _reloaded(kind: str, reference: Any, back: Path) -> Any:
    """The public program as a side, with the model that was written here; it loads it strictly."""
    reference.load(back)
    if kind in KINDS_3:
        from benchmarks.parity.reference_3 import Theirs3

        return Theirs3(reference)
    from benchmarks.parity.reference import Theirs

    return Theirs(kind, reference)


def _sounds(ours: Any, side: Any, reference: Any, shape: tuple[int, int]) -> dict[str, float]:
    """Sampled latents, and the sound of each side's own latents."""
    theirs, made = side.sampled(STEPS, shape), ours.sampled(STEPS, shape)
    sounds = ours.decode(made), reference.decode(theirs)
    return {"8 steps": relative_error(made, theirs), "sound": relative_error(*sounds)}


def _changed_and_written_back(folder: Path) -> Path:
    changed = folder / "changed"
    shutil.copytree(folder / "converted", changed)
    path = changed / "dit.safetensors"
    state = load_file(path)
    noise = {name: torch.from_numpy(drawn(f"change.{name}", tuple(value.shape))) for name, value in state.items()}
    save_file({name: value + 0.02 * noise[name] for name, value in state.items()}, path)
    (changed / MODEL_CONFIG).unlink()
    write_hashes(changed)
    publish(changed, folder / "back")
    return folder / "back"


def block(result: JSON) -> str:
    """The table of docs/checkpoints.md."""
    head = ["model, in a reduced size", "opens", *STAGES]
    rows = [
        [MODELS[kind], "yes", *(f"{values[stage]:.1e}" if stage in values else "–" for stage in STAGES)]
        for kind, values in result["kinds"].items()
    ]
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join([*lines, "", footer(result)])


def main() -> int:
    """Command line. Returns: 0 if parts agree to 1e-5 and sounds to 1e-4."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=(*MODELS, []), help="all if none is given")
    kinds = parser.parse_args().kinds or list(MODELS)
    found: dict[str, dict[str, float]] = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            found[kind] = measured_diffusers(Path(folder)) if kind == DIFFUSERS else measured(kind, Path(folder))
        print(kind, json.dumps(found[kind]), flush=True)
    # What was measured before and not now is kept.
    kept = (read(NAME) or {}).get("kinds", {})
    ordered = {kind: (kept | found)[kind] for kind in MODELS if kind in kept | found}
    write(NAME, {"steps": STEPS, "frames": FRAMES, "levels": LEVELS}, {"kinds": ordered})
    parts = max(values[stage] for values in found.values() for stage in ("text", "network"))
    sounds = max(values[stage] for values in found.values() for stage in ("sound", "back") if stage in values)
    return 0 if parts <= 1e-5 and sounds <= 1e-4 else 1


if __name__ == "__main__":
    raise SystemExit(main())
