"""Which measures there are, and how each is taken from sets of embedded sounds.

A measure gets everything under one embedder and gives measurements, or says why it cannot be taken there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from arctone.evaluation.embedders.protocol import Embedder, TextEmbedder
from arctone.evaluation.metrics import (
    class_divergence,
    conditional_diversity,
    frechet,
    kernel_distance,
    manifold,
    memorisation,
    real_floor,
    text_audio,
    vendi,
)
from arctone.evaluation.metrics.intervals import Interval
from arctone.evaluation.metrics.manifold import FloatArray, IntArray, unit_rows
from arctone.evaluation.scoring.embedded_sets import EmbeddedSet
from arctone.evaluation.scoring.measurement import Measurement, measured
from arctone.evaluation.scoring.takes import pair

BOOTSTRAP, JACKKNIFE = "bootstrap over {}", "jackknife over clips of both sets"


class NotMeasured(Exception):
    """Why a measure cannot be taken."""


@dataclass(frozen=True, eq=False)
class MeasureInputs:
    """All that a measure may ask for.

    Args:
        reference: Real sounds.
        training: What the model was trained on.
    """

    embedder: Embedder
    generated: EmbeddedSet
    reference: EmbeddedSet | None = None
    training: EmbeddedSet | None = None
    seed: int = 0

    def real(self) -> EmbeddedSet:
        """The reference.

        Raises NotMeasured without one.
        """
        if self.reference is None:
            raise NotMeasured("needs a reference: name a folder of real sounds with --reference")
        return self.reference

    def measured(self, found: Mapping[str, Interval], interval: str, **more: object) -> list[Measurement]:
        """Measurements of all names; `more` may hold values for all, or mappings by name."""
        about = (interval, self.embedder.name, self.embedder.version, self.seed)
        by_name = {name: {key: _of(value, name) for key, value in more.items()} for name in found}
        return [measured(name, one, *about, by_name[name]) for name, one in found.items()]


Measure = Callable[[MeasureInputs], list[Measurement]]


def frechet_distance(inputs: MeasureInputs) -> list[Measurement]:
    """Frechet distance to the reference; rows are clips or windows as is custom of the embedder."""
    real, rows = inputs.real(), inputs.embedder.frechet_rows

    def distance(first: EmbeddedSet, second: EmbeddedSet) -> dict[str, float]:
        return {"frechet_distance": frechet.frechet_distance(*(_rows(part, rows) for part in (first, second)))}

    points = [_rows(part, rows) for part in (real, inputs.generated)]
    owners = [part.owners if rows == "windows" else None for part in (real, inputs.generated)]
    found = frechet.evaluate(points[0], points[1], owners[0], owners[1], inputs.seed)
    few = min(map(len, points)) <= points[0].shape[1]
    note = f"rows are {rows}; fewer rows than the {points[0].shape[1]} dimensions" if few else f"rows are {rows}"
    return inputs.measured(found, JACKKNIFE, reference_count=len(real), note=note, **_floor(inputs, distance))


def kernel(inputs: MeasureInputs) -> list[Measurement]:
    """Kernel distance to the reference."""
    real = inputs.real()

    def distance(first: EmbeddedSet, second: EmbeddedSet) -> dict[str, float]:
        return {"kernel_distance": kernel_distance.kernel_distance(first.pooled, second.pooled)}

    found = kernel_distance.evaluate(real.pooled, inputs.generated.pooled)
    return inputs.measured(found, JACKKNIFE, reference_count=len(real), **_floor(inputs, distance))


def divergence(inputs: MeasureInputs) -> list[Measurement]:
    """Divergence of the classes of each generated sound from those of its real one."""
    real, made = inputs.real(), inputs.generated
    if real.probabilities is None or made.probabilities is None:
        raise NotMeasured(f"the embedder {inputs.embedder.name} has no classes")
    pairs = pair(made.takes, real.takes)
    if not pairs:
        raise NotMeasured("no generated sound has a real one of the same file name or caption")
    rows = np.array(pairs)
    targets, answers = real.probabilities[rows[:, 1]], made.probabilities[rows[:, 0]]
    found = class_divergence.evaluate(targets, answers, inputs.seed)
    chance = _dealt(targets, answers, [real.takes[row].captions for row in rows[:, 1]])
    note = "" if len(pairs) == len(made) else f"{len(made) - len(pairs)} sounds have no partner"
    return inputs.measured(
        found, BOOTSTRAP.format("pairs"), reference_count=len(set(rows[:, 1].tolist())), chance=chance, note=note
    )


def adherence(inputs: MeasureInputs) -> list[Measurement]:
    """Closeness of captions and sounds, and retrieval."""
    embedder = inputs.embedder
    if not isinstance(embedder, TextEmbedder):
        raise NotMeasured(f"the embedder {embedder.name} does not embed text")
    made = _with_captions(inputs.generated)
    found, chance = _adherence(embedder, made, inputs.seed)
    real: dict[str, float | None] = {}
    if inputs.reference is not None and any(inputs.reference.prompts):
        known = _with_captions(inputs.reference)
        order = np.random.default_rng(inputs.seed).permutation(len(known))[: len(made)]
        real = {name: one.value for name, one in _adherence(embedder, known.part(order), inputs.seed)[0].items()}
        if len(known) < len(made):  # retrieval among fewer sounds is easier
            real = {"text_audio_score": real["text_audio_score"]}
    chances: dict[str, float | None] = {"text_audio_score": chance}
    chances |= {f"recall_at_{k}": min(1.0, k / len(made)) for k in text_audio.PLACES}
    note = f"retrieval among {len(made)} sounds"
    return inputs.measured(found, BOOTSTRAP.format("captions"), real=real, chance=chances, note=note)


def neighbourhoods(inputs: MeasureInputs) -> list[Measurement]:
    """Precision, recall, density and coverage."""
    real, made = inputs.real(), inputs.generated

    def shares(first: EmbeddedSet, second: EmbeddedSet) -> dict[str, float]:
        found = manifold.precision_recall_density_coverage(first.pooled, second.pooled)
        return {name: float(values.mean()) for name, values in found.items()}

    found = manifold.evaluate(real.pooled, made.pooled, seed=inputs.seed)
    note = f"{manifold.NUM_NEIGHBOURS} neighbours"
    more = _floor(inputs, shares)
    return inputs.measured(found, BOOTSTRAP.format("clips"), reference_count=len(real), note=note, **more)


def diversity(inputs: MeasureInputs) -> list[Measurement]:
    """Mean distance of several sounds for one prompt; `chance` is that of sounds for different prompts."""
    made = _with_captions(inputs.generated)
    found = conditional_diversity.evaluate(made.pooled, made.prompts, inputs.seed)
    return inputs.measured(found, BOOTSTRAP.format("prompts"), chance=_between(made), note="cosine distance")


def variety(inputs: MeasureInputs) -> list[Measurement]:
    """Effective number of different sounds."""
    found = vendi.evaluate(inputs.generated.pooled, inputs.seed)
    real, size = None, len(inputs.generated)
    if inputs.reference is not None and len(inputs.reference) >= size:
        order = np.random.default_rng(inputs.seed).permutation(len(inputs.reference))[:size]
        real = vendi.vendi_score(inputs.reference.part(order).pooled)
    return inputs.measured(found, "jackknife over clips", real=real)


def memory(inputs: MeasureInputs) -> list[Measurement]:
    """Share of generated sounds that are nearer to a training sound than real held-out ones."""
    if inputs.training is None:
        raise NotMeasured("needs the training sounds: name their folder with --training")
    held_out = inputs.real().pooled
    found = memorisation.evaluate(inputs.generated.pooled, inputs.training.pooled, held_out, inputs.seed)
    threshold = memorisation.calibrate_threshold(held_out, inputs.training.pooled)
    note = f"cosine above {threshold:.4f}, calibrated on {len(held_out)} real sounds"
    real = {"memorised_share": 1 - memorisation.QUANTILE}
    return inputs.measured(found, BOOTSTRAP.format("clips"), reference_count=len(held_out), real=real, note=note)


# Name for the command line: the measure.
MEASURES: dict[str, Measure] = {
    "frechet": frechet_distance,
    "kernel": kernel,
    "divergence": divergence,
    "adherence": adherence,
    "manifold": neighbourhoods,
    "diversity": diversity,
    "vendi": variety,
    "memorisation": memory,
}


def _of(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else value


def _rows(part: EmbeddedSet, rows: str) -> FloatArray:
    return part.windows if rows == "windows" else part.pooled


def _floor(
    inputs: MeasureInputs, distances: Callable[[EmbeddedSet, EmbeddedSet], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """The fields real, matched and matched_count by measure; none if there are too few sounds for halves."""
    real, made = inputs.real(), inputs.generated

    def among(first: IntArray, second: IntArray) -> dict[str, float]:
        return distances(real.part(first), real.part(second))

    def against(first: IntArray, second: IntArray) -> dict[str, float]:
        return distances(real.part(first), made.part(second))

    try:
        floors = real_floor.evaluate(among, against, len(real), len(made), seed=inputs.seed)
    except ValueError:
        return {}
    return {
        "real": {name: floor.real for name, floor in floors.items()},
        "matched": {name: floor.generated for name, floor in floors.items()},
        "matched_count": {name: floor.size for name, floor in floors.items()},
    }


def _with_captions(part: EmbeddedSet) -> EmbeddedSet:
    kept = [number for number, prompt in enumerate(part.prompts) if prompt]
    if not kept:
        raise NotMeasured("no sound has a caption: put .txt files next to them or name a table with --captions")
    return part.part(kept)


def _adherence(embedder: TextEmbedder, part: EmbeddedSet, seed: int) -> tuple[dict[str, Interval], float | None]:
    unique = sorted(set(part.prompts))
    rows = dict(zip(unique, embedder.embed_text(unique), strict=True))
    text, owners = np.stack([rows[prompt] for prompt in part.prompts]), np.arange(len(part))
    cosines, owned = text_audio.validate(text, part.pooled, part.prompts, owners)
    unrelated = text_audio.score_unrelated(cosines, part.prompts, owned)
    return text_audio.evaluate(text, part.pooled, part.prompts, owners, seed), unrelated


def _dealt(targets: FloatArray, answers: FloatArray, captions: list[tuple[str, ...]]) -> float | None:
    """Mean divergence from real sounds of other captions, each answer set against the same number of them."""
    found = []
    for shift in range(1, min(len(targets), 6)):
        others = np.roll(np.arange(len(targets)), shift)
        unlike = [not set(captions[a]) & set(captions[b]) for a, b in enumerate(others)]
        if any(unlike):
            found.append(class_divergence.divergences(targets[others[unlike]], answers[unlike]).mean())
    return float(np.mean(found)) if found else None


def _between(part: EmbeddedSet) -> float | None:
    """Mean cosine distance of sounds for different prompts."""
    units = unit_rows(part.pooled)
    prompts = np.unique(part.prompts, return_inverse=True)[1]
    other = prompts[:, None] != prompts
    return float(1 - (units @ units.T)[other].mean()) if other.any() else None
