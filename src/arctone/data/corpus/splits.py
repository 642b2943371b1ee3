"""What the training split never contains, so that composition can be tested. These lists are fixed.

Five rules, each a name in `ClipInfo.held_out`: unseen_pair, unseen_tempo, unseen_wording, unseen_recording,
unseen_preset. Every single value of a pair occurs in training; only the combination does not. Held-out wordings
stand in `captions.py` and `synonyms.py` next to the ones for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

RULES = ("unseen_pair", "unseen_tempo", "unseen_wording", "unseen_recording", "unseen_preset")

HELD_OUT_TEMPOS = frozenset({95, 155})
# Never used at all, so that 95 and 155 lie at least two BPM away from every tempo in training.
SKIPPED_TEMPOS = frozenset({94, 96, 154, 156})

INSTRUMENT_STYLE_PAIRS = frozenset(
    {
        ("grand piano", "tremolo"),
        ("grand piano", "ostinato"),
        ("electric piano", "scale"),
        ("harpsichord", "chords"),
        ("clavinet", "arpeggio"),
        ("celesta", "melody"),
        ("music box", "riff"),
        ("vibraphone", "arpeggio"),
        ("marimba", "scale"),
        ("xylophone", "chords"),
        ("drawbar organ", "trill"),
        ("church organ", "arpeggio"),
        ("accordion", "riff"),
        ("harmonica", "drone"),
        ("nylon guitar", "tremolo"),
        ("steel guitar", "melody"),
        ("clean electric guitar", "ostinato"),
        ("distorted guitar", "trill"),
        ("upright bass", "scale"),
        ("electric bass", "melody"),
        ("slap bass", "arpeggio"),
        ("synth bass", "tremolo"),
        ("violin", "riff"),
        ("cello", "arpeggio"),
        ("string ensemble", "trill"),
        ("pizzicato strings", "chords"),
        ("harp", "riff"),
        ("choir", "scale"),
        ("trumpet", "arpeggio"),
        ("trombone", "trill"),
        ("brass section", "drone"),
        ("alto saxophone", "scale"),
        ("clarinet", "drone"),
        ("flute", "riff"),
        ("pan flute", "trill"),
        ("saw lead", "drone"),
        ("warm pad", "melody"),
        ("sitar", "arpeggio"),
        ("banjo", "chords"),
        ("kalimba", "tremolo"),
    }
)

KIT_GENRE_PAIRS = frozenset(
    {
        ("808 drum machine", "reggae"),
        ("808 drum machine", "disco"),
        ("jazz kit", "techno"),
        ("brush kit", "funk"),
        ("acoustic drum kit", "trap"),
        ("rock kit", "bossa nova"),
        ("electronic kit", "shuffle"),
        ("909-style drum machine", "hip hop"),
        ("room kit", "house"),
        ("chiptune drums", "drum and bass"),
    }
)

INSTRUMENT_ROOM_PAIRS = frozenset(
    {
        ("grand piano", "cathedral"),
        ("violin", "small room"),
        ("flute", "cathedral"),
        ("trumpet", "plate"),
        ("nylon guitar", "concert hall"),
        ("choir", "small room"),
        ("cello", "plate"),
        ("marimba", "cathedral"),
        ("church organ", "plate"),
        ("alto saxophone", "concert hall"),
        ("electric piano", "cathedral"),
        ("harp", "small room"),
    }
)

# One of the two soundfonts' versions of ten instruments; the other version is in training.
HELD_OUT_PRESETS = frozenset(
    {
        "MuseScore_General/0:11",
        "MuseScore_General/0:24",
        "MuseScore_General/0:33",
        "MuseScore_General/0:42",
        "MuseScore_General/0:56",
        "FluidR3_GM/0:19",
        "FluidR3_GM/0:65",
        "FluidR3_GM/0:73",
        "FluidR3_GM/0:89",
        "FluidR3_GM/0:46",
    }
)

HELD_OUT_FOLD = "5"
HELD_OUT_RECORDING_PERCENT = 10


def recording_is_held_out(source: str, fold: str = "") -> bool:
    """Tell whether a recording belongs to the test split only.

    Args:
        source: Its path in its source repository, the identity that no re-encoding changes.
        fold: For ESC-10, whose folds keep all cuts of one original together: only fold 5 is held out. Others: 10 % by
            hash of `source`.

    Returns:
        True = test split only.
    """
    if fold:
        return fold == HELD_OUT_FOLD
    digest = hashlib.sha256(source.encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_RECORDING_PERCENT


def pair_is_held_out(kind: str, first: str, second: str) -> bool:
    """Whether (first, second) is a held-out pair. kind: "style", "genre" or "room"; first: instrument or kit."""
    pairs = {"style": INSTRUMENT_STYLE_PAIRS, "genre": KIT_GENRE_PAIRS, "room": INSTRUMENT_ROOM_PAIRS}[kind]
    return (first, second) in pairs


def find_broken_rules(
    pairs: Iterable[tuple[str, str, str]],
    bpm: int | None,
    recordings: Iterable[tuple[str, str]],
    presets: Iterable[str],
) -> tuple[str, ...]:
    """Find the rules that keep a clip with these facts out of training.

    Args:
        pairs: (kind, first, second) as in `pair_is_held_out`.
        bpm: Tempo in beats per minute; None = the clip has none.
        recordings: (source, fold).
        presets: Preset ids.

    Returns:
        Rules in the order of RULES.
    """
    broken = {
        "unseen_pair": any(pair_is_held_out(*pair) for pair in pairs),
        "unseen_tempo": bpm in HELD_OUT_TEMPOS,
        "unseen_recording": any(recording_is_held_out(*recording) for recording in recordings),
        "unseen_preset": any(preset in HELD_OUT_PRESETS for preset in presets),
    }
    return tuple(rule for rule in RULES if broken.get(rule))
