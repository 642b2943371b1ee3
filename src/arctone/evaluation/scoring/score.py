"""Score a set of sounds: metrics on embeddings, and stated facts such as tempo and key."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from arctone.audio.keys import parse_bpm
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.evaluation.embedders.preparing import EMBEDDINGS
from arctone.evaluation.embedders.protocol import Embedder, EmbeddingCache
from arctone.evaluation.metrics import attack, chroma, memorisation, silence, tempo
from arctone.evaluation.metrics.intervals import bootstrap
from arctone.evaluation.metrics.probe import Probe, kind_of
from arctone.evaluation.metrics.probe import load as load_probe
from arctone.evaluation.scoring.embedded_sets import EmbeddedSet, embed_takes, read_sound
from arctone.evaluation.scoring.measurement import Measurement, Report, Skipped, Suspect, measured
from arctone.evaluation.scoring.measures import MEASURES, MeasureInputs, NotMeasured
from arctone.evaluation.scoring.takes import Take
from arctone.version import __version__

VERSION = "1"
_KEY = re.compile(r"(?<![\w#])([A-G](?:#|b| sharp| flat)?) (major|minor)(?!\w)")

State = Callable[[str], object | None]
Measure = Callable[[Waveform], object]
IsRight = Callable[[object, object], bool]


@dataclass(frozen=True)
class Fact:
    """One kind of fact.

    Args:
        name: of the measure on the command line.
        state: reads the fact from a caption; None = the caption does not state it.
        measure: measures a sound for it.
        rules: by name of the number, whether a measured value is right for a stated one.
        chance: share of right answers of a guess; None = unknown.
        measured_by: for the report.
    """

    name: str
    state: State
    measure: Measure
    rules: dict[str, IsRight]
    chance: float | None
    measured_by: str


def parse_tempo(caption: str) -> float | None:
    """Read the tempo in beats per minute from a caption; None if it states none that can be measured."""
    return parse_bpm(caption, tempo.MIN_BPM, tempo.MAX_BPM)


def parse_stated_key(caption: str) -> str | None:
    """Read the key from a caption, "Bb minor" or "F sharp major"; None if it states none, or several."""
    found = {f"{tonic} {mode}" for tonic, mode in _KEY.findall(caption)}
    return found.pop() if len(found) == 1 else None


def parse_class(caption: str, classes: Sequence[str]) -> str | None:
    """Return the class whose name is a word of the caption; None if there is none, or several."""
    found = [name for name in classes if re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", caption, re.IGNORECASE)]
    return found[0] if len(found) == 1 else None


FACTS = (
    Fact(
        "tempo",
        parse_tempo,
        lambda waveform: tempo.estimate_tempo(waveform).bpm,
        {
            "tempo_accuracy": lambda stated, found: tempo.is_match(float(str(stated)), float(str(found))),
            "tempo_accuracy_octave": lambda stated, found: tempo.is_match(
                float(str(stated)), float(str(found)), any_octave=True
            ),
        },
        None,
        "onsets",
    ),
    Fact(
        "key",
        parse_stated_key,
        lambda waveform: chroma.estimate_key(waveform).name,
        {
            "key_accuracy": lambda stated, found: chroma.relation(str(stated), str(found)) == "same",
            "key_accuracy_relative": lambda stated, found: (
                chroma.relation(str(stated), str(found)) in ("same", "relative")
            ),
        },
        1 / 24,
        "chroma",
    ),
    Fact(
        "silence",
        lambda caption: True,
        silence.sounds_silent,
        {"silent_share": lambda stated, found: bool(found)},
        None,
        "level",
    ),
)


def family_fact(probe: Probe) -> Fact:
    """Return the fact of instrument families, as a fitted probe classifies them."""
    return Fact(
        "family",
        lambda caption: parse_class(caption, probe.classes),
        lambda waveform: probe.predict(EMBEDDINGS[probe.embedding](waveform)[None])[0],
        {"family_accuracy": lambda stated, found: stated == found},
        1 / len(probe.classes),
        f"probe on {probe.embedding}",
    )


def kind_fact(probe: Probe) -> Fact:
    """Return the fact of kinds of effects and ambiences, as a probe of `metrics.kinds.KINDS` tells them apart."""
    return Fact(
        "kind",
        kind_of,
        lambda waveform: probe.predict(EMBEDDINGS[probe.embedding](waveform)[None])[0],
        {"kind_accuracy": lambda stated, found: stated == found},
        1 / len(probe.classes),
        f"probe on {probe.embedding}",
    )


def measure_fact(
    fact: Fact, generated: Sequence[Take], reference: Sequence[Take] | None = None, seed: int = 0
) -> list[Measurement]:
    """Measure the share of sounds for which a fact that the caption states holds.

    Args:
        fact: to check.
        generated: sounds with captions.
        reference: real sounds with captions, for the same share on them; None = there are none.
        seed: of the bootstrap.

    Returns:
        One measurement for each rule of the fact.

    Raises:
        ValueError: if no caption states the fact.
        InputFileError: if a sound cannot be read.
    """
    pairs = _check(fact, generated)
    if not pairs:
        raise ValueError(f"no caption states the {fact.name}")
    real = _check(fact, reference or ())
    return [
        measured(
            name,
            bootstrap([is_right(*pair) for pair in pairs], seed=seed),
            "bootstrap over clips",
            fact.measured_by,
            VERSION,
            seed,
            {
                "real": sum(is_right(*pair) for pair in real) / len(real) if real else None,
                "reference_count": len(real) or None,
                "chance": fact.chance,
                "note": f"{len(pairs)} of {len(generated)} captions state it",
            },
        )
        for name, is_right in fact.rules.items()
    ]


def measure_attack(generated: Sequence[Take], reference: Sequence[Take] | None, seed: int = 0) -> list[Measurement]:
    """Measure how far attacks and treble of sounds are from those of real ones of the same kind.

    Args:
        generated: sounds whose captions name a kind, see `metrics.probe.KINDS`; others are left out.
        reference: real sounds with such captions.
        seed: of the bootstrap.

    Returns:
        Mean distances: octaves of the rise time, decibels of the share of energy above 2 kHz.

    Raises:
        ValueError: if there is no reference, or no sound of a kind that it holds.
        InputFileError: if a sound cannot be read.
    """
    if reference is None:
        raise ValueError("needs a reference: name a folder of real sounds with --reference")
    (made, kinds), (real, real_kinds) = (_attacks(takes) for takes in (generated, reference))
    found = attack.compare(made, kinds, real, real_kinds, seed)
    among = _among(real, real_kinds)
    about = {"reference_count": len(real_kinds), "note": f"{len(kinds)} of {len(generated)} captions name a kind"}
    parts = ("bootstrap over clips", "kinds in captions", VERSION, seed)
    return [measured(name, one, *parts, {**about, "real": among.get(name)}) for name, one in found.items()]


def _attacks(takes: Sequence[Take]) -> tuple[attack.Attacks, list[str]]:
    named = [(take, kind) for take in takes if (kind := kind_of(take.prompt)) is not None]
    return attack.measure(read_sound(take) for take, _ in named), [kind for _, kind in named]


def _among(real: attack.Attacks, kinds: list[str]) -> dict[str, float]:
    """Distances among the real sounds; none where no kind has two of them."""
    try:
        return {name: one.value for name, one in attack.compare(real, kinds, real, kinds).items()}
    except ValueError:
        return {}


def _check(fact: Fact, takes: Sequence[Take]) -> list[tuple[object, object]]:
    """Pair what each caption states with what its sound was measured for."""
    stated = [(take, fact.state(take.prompt)) for take in takes]
    return [(value, fact.measure(read_sound(take))) for take, value in stated if value is not None]


MAX_SUSPECTS = 20
# Facts that need a fitted probe, and what it must tell apart.
PROBED = {"family": "instrument families", "kind": "kinds of effects"}
ATTACK = "attack"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Material:
    """The sounds.

    Args:
        generated: Those to be evaluated.
        reference: Real ones.
        training: What the model was trained on.
    """

    generated: Sequence[Take]
    reference: Sequence[Take] | None = None
    training: Sequence[Take] | None = None

    def named(self) -> dict[str, Sequence[Take]]:
        """The sets that are there, by name."""
        found = {"generated": self.generated, "reference": self.reference, "training": self.training}
        return {name: takes for name, takes in found.items() if takes is not None}


@dataclass(frozen=True)
class ScoringOptions:
    """How sounds are scored.

    Args:
        measures: names of `MEASURES` and of facts that captions state, see `FACTS`.
        cache: folder for embeddings; None = none are kept.
        seed: of resampling and cuts.
        num_pairs_aligned: number of suspected copies that are aligned with what they resemble.
        probe: file of a probe of instrument families or of kinds of effects, which the measures "family" and "kind"
            need.
    """

    measures: Sequence[str] = tuple(MEASURES)
    cache: Path | None = None
    seed: int = 0
    num_pairs_aligned: int = MAX_SUSPECTS
    probe: Path | None = None

    def __post_init__(self) -> None:
        known = (*MEASURES, *(fact.name for fact in FACTS), *PROBED, ATTACK)
        for name in self.measures:
            if name not in known:
                raise UsageError(f"metrics must be among {', '.join(known)}, got '{name}'.", field="metrics")
        for name, classes in PROBED.items():
            if name in self.measures and self.probe is None:
                raise UsageError(f"metrics {name} needs a probe of {classes}: give its file with --probe.")

    def facts(self) -> list[Fact]:
        """Return the facts among the measures, in their order.

        Returns:
            Facts in the order of the measures.

        Raises:
            ModelError: if the probe cannot be read.
        """
        found = {fact.name: fact for fact in FACTS}
        for name, fact_of in (("family", family_fact), ("kind", kind_fact)):
            if name in self.measures and self.probe is not None:
                found[name] = fact_of(load_probe(self.probe))
        return [found[name] for name in self.measures if name in found]


@dataclass
class _Found:
    measurements: list[Measurement] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)


def score(
    title: str,
    material: Material,
    embedders: Sequence[Embedder],
    options: ScoringOptions | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compute every measure under every embedder that allows it.

    Args:
        title: What the report calls the generated sounds.
        material: The sounds.
        embedders: Those that measure; may be empty if only facts are measured.
        options: Measures, seed and cache; None = the defaults.
        progress: Called with (done, total, stage).

    Returns:
        The report.

    Raises:
        InputFileError: if no sound of a set can be read.
        ModelError: if an embedder's weights are missing.
    """
    chosen, report = options or ScoringOptions(), progress or (lambda done, total, stage: None)
    found = _Found()
    for fact in chosen.facts():
        _take_fact(fact, material, chosen.seed, found)
    if ATTACK in chosen.measures:
        _take_attack(material, chosen.seed, found)
    of_sets = [name for name in chosen.measures if name in MEASURES]
    if of_sets and not embedders:
        raise UsageError("there is no embedder, but at least one is needed.")
    for embedder in embedders if of_sets else ():
        sets = _embedded(material, embedder, EmbeddingCache(chosen.cache), report, found)
        view = MeasureInputs(embedder, sets["generated"], sets.get("reference"), sets.get("training"), chosen.seed)
        for number, name in enumerate(of_sets):
            report(number, len(of_sets), f"measuring, {embedder.name}")
            _take(name, view, found)
        if "memorisation" in chosen.measures and view.training is not None and view.reference is not None:
            found.suspects += suspects(view, chosen.num_pairs_aligned)
    # That aisfx does not embed text matters only if no embedder does.
    missing = [one for one in found.skipped if one.metric not in found.taken]
    return Report(
        title=title,
        version=__version__,
        counts={name: len(takes) for name, takes in material.named().items()},
        measurements=found.measurements,
        skipped=missing,
        suspects=found.suspects,
        left_out=list(dict.fromkeys(found.left_out)),
        credits={embedder.name: embedder.credit for embedder in embedders},
        settings={"seed": chosen.seed},
    )


def suspects(inputs: MeasureInputs, limit: int = MAX_SUSPECTS) -> list[Suspect]:
    """The generated sounds above the threshold, the most similar first, with their alignment to the training sound.

    Raises NotMeasured without a reference or training sounds.
    """
    training = inputs.training
    if training is None:
        raise NotMeasured("needs the training sounds")
    threshold = memorisation.calibrate_threshold(inputs.real().pooled, training.pooled)
    found = memorisation.nearest(inputs.generated.pooled, training.pooled)
    order = np.argsort(-found.similarity, kind="stable")
    above = [int(number) for number in order if found.similarity[number] > threshold]
    return [
        _suspect(inputs, training, number, int(found.clip[number]), float(found.similarity[number]))
        for number in above[:limit]
    ]


def _embedded(
    material: Material, embedder: Embedder, cache: EmbeddingCache, report: Progress, found: _Found
) -> dict[str, EmbeddedSet]:
    sets = {}
    for name, takes in material.named().items():
        sets[name], problems = embed_takes(takes, embedder, cache, report, name)
        found.left_out += problems
    return sets


def _take(name: str, view: MeasureInputs, found: _Found) -> None:
    try:
        found.measurements += MEASURES[name](view)
        found.taken.add(name)
    except (NotMeasured, ValueError) as reason:
        found.skipped.append(Skipped(metric=name, embedder=view.embedder.name, reason=str(reason)))


def _take_fact(fact: Fact, material: Material, seed: int, found: _Found) -> None:
    try:
        found.measurements += measure_fact(fact, material.generated, material.reference, seed)
        found.taken.add(fact.name)
    except ValueError as reason:
        found.skipped.append(Skipped(metric=fact.name, embedder=fact.measured_by, reason=str(reason)))


def _take_attack(material: Material, seed: int, found: _Found) -> None:
    try:
        found.measurements += measure_attack(material.generated, material.reference, seed)
        found.taken.add(ATTACK)
    except ValueError as reason:
        found.skipped.append(Skipped(metric=ATTACK, embedder="kinds in captions", reason=str(reason).rstrip(".")))


def _suspect(inputs: MeasureInputs, training: EmbeddedSet, number: int, other: int, similarity: float) -> Suspect:
    made, trained = inputs.generated.takes[number], training.takes[other]
    sounds = read_sound(made), read_sound(trained)
    return Suspect(
        generated=made.name,
        training=trained.name,
        embedder=inputs.embedder.name,
        similarity=round(similarity, 6),
        waveform=round(memorisation.waveform_alignment(*sounds), 4),
        spectrum=round(memorisation.spectral_alignment(*sounds), 4),
    )
