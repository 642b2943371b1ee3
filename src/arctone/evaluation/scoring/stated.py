"""Facts that captions state and sounds can be checked for: tempo, key, instrument family, kind of effect, silence.

No embedder of a whole set takes part: each sound is measured alone and compared with what its own caption states. A new
fact (a kind of effect, say) is one more entry of FACTS: how a caption states it, and how a sound is measured for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arctone.audio.waveform import Waveform
from arctone.evaluation.embedders.mel import EMBEDDINGS
from arctone.evaluation.metrics import chroma, silence, tempo
from arctone.evaluation.metrics.intervals import bootstrap
from arctone.evaluation.metrics.kinds import kind_of
from arctone.evaluation.metrics.probe import Probe
from arctone.evaluation.scoring.embedded_sets import read_sound
from arctone.evaluation.scoring.measurement import Measurement, measured
from arctone.evaluation.scoring.takes import Take
from arctone.inference.request import stated_bpm

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


def stated_tempo(caption: str) -> float | None:
    """Read the tempo in beats per minute from a caption; None if it states none that can be measured."""
    return stated_bpm(caption, tempo.MIN_BPM, tempo.MAX_BPM)


def stated_key(caption: str) -> str | None:
    """Read the key from a caption, "Bb minor" or "F sharp major"; None if it states none, or several."""
    found = {f"{tonic} {mode}" for tonic, mode in _KEY.findall(caption)}
    return found.pop() if len(found) == 1 else None


def stated_class(caption: str, classes: Sequence[str]) -> str | None:
    """Return the class whose name is a word of the caption; None if there is none, or several."""
    found = [name for name in classes if re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", caption, re.IGNORECASE)]
    return found[0] if len(found) == 1 else None


FACTS = (
    Fact(
        "tempo",
        stated_tempo,
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
        stated_key,
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
    """Return the fact of instrument families, as a fitted probe tells them apart."""
    return Fact(
        "family",
        lambda caption: stated_class(caption, probe.classes),
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


def _check(fact: Fact, takes: Sequence[Take]) -> list[tuple[object, object]]:
    """Pair what each caption states with what its sound was measured for."""
    stated = [(take, fact.state(take.prompt)) for take in takes]
    return [(value, fact.measure(read_sound(take))) for take, value in stated if value is not None]
