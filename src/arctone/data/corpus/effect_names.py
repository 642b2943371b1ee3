"""What the recordings of the effect packs are called in English.

Names of files are cleaned by rules; the tables below replace what the rules cannot guess.
"""

from __future__ import annotations

import re

from arctone.data.corpus.effect_captions import EXACT, REPHRASED

# "pack" or "pack/name without number" -> phrase; None leaves recordings out (speech, jokes, unclear content).
PACK_TEMPLATES: dict[str, str] = {
    "30-cc0-sfx-loops": "a looping {} sound",
    "30-cc0-weird-sfx": "a weird electronic sound",
    "25-CC0-mud-sfx": "a step in mud",
    "kenney_digitalaudio": "a digital {} sound",
    "80-CC0-creature-sfx-2": "a creature {} sound",
    "80-CC0-creature-SFX": "a creature {} sound",
    "kenney_interfacesounds": "an interface {} sound",
    "kenney_uiaudio": "an interface {} sound",
    "bb - Slide Whistle (Aug 2021)": "a slide whistle, {}",
    "bb - Novice Cello (Nov 2021)": "a single cello note, {}",
    "bb - Rubik's Cube (Feb 2021)": "a puzzle cube {}",
    "bb - Japanese Pull Saw (Oct 2021)": "a hand saw blade {}",
    "bb - Keyboard Sounds (Mar 2021)": "a computer {}",
    "bb - Pill Bottles (Jun 2021)": "a pill bottle {}",
    "bb - Bottle Plops (Apr 2021)": "a bottle {}",
    "Micro Pack - Record Fuzzies": "vinyl record noise",
    "Micro Pack - NazdyNate - Electromagnetic Sounds": "electromagnetic noise of a {}",
    "Micro Pack - Organic Wooshes": "a whoosh, {}",
    "beast_or_animal": "a beast {}",
    "metal_interactions": "{}",
    "LQ_interface": "an interface {}",
}
LEFT_OUT_PACKS = frozenset({"Micro Pack - MadameBerry - Stream Noises"})
LEFT_OUT_WORDS = re.compile(
    r"voice|laugh|emoji|owo|hey o|cops|dumbass|no idea|random stuff|swears|\bben \b|dj|fanfare|world|how do|should"
    r"|other|ooh|human|bar crowd|uncomfortable",
    re.IGNORECASE,
)

_PLURAL_OR_MASS = re.compile(r"(ing|[^s]s|cloth|noise|rain|water|thunder|music)$")


def describe_effect(source: str) -> str | None:
    """Describe a file of the effect packs in English.

    Args:
        source: "repository/pack/folders/name.ext".

    Returns:
        A phrase; None = the file should not be used.
    """
    _, pack, *folders = source.rsplit(".", 1)[0].split("/")
    name = re.sub(r"[\d_\-() ]+$", "", "/".join(folders).removeprefix("Audio/"))
    if pack in LEFT_OUT_PACKS or LEFT_OUT_WORDS.search(name):
        return None
    if f"{pack}/{name}" in EXACT:
        return EXACT[f"{pack}/{name}"]
    words = _words(name.split("/")[-1])
    if not words:
        return None
    phrase = PACK_TEMPLATES.get(pack, "{}").format(words)
    phrase = with_article(phrase.removeprefix("a ").removeprefix("an "))
    return REPHRASED.get(phrase, phrase) or None


def with_article(phrase: str) -> str:
    """`phrase` with "a" or "an" unless its first noun is plural or uncountable."""
    if phrase.startswith(("a ", "an ", "the ")) or _PLURAL_OR_MASS.search(phrase.split(",")[0]):
        return phrase
    return f"{article(phrase)} {phrase}"


def article(phrase: str) -> str:
    """ "a" or "an", by the sound of the first word."""
    first = phrase.split()[0].lower() if phrase.split() else ""
    if re.match(r"(8|11|18|80)", first) or first in ("fm", "lp", "mri", "sfx", "hour"):
        return "an"
    if re.match(r"(uku|uni|use|euro|one|old)", first):
        return "an" if first == "old" else "a"
    return "an" if first[:1] in "aeiou" else "a"


def _words(name: str) -> str:
    name = re.sub(
        r"^(bfh1|Cat Meows|Prescription|Allergies|Glucosamine|Multivitamin|Vitamin [BD]|NazdyNate)[ _-]+", "", name
    )
    name = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").replace(" - ", " ").replace("-", " ")
    words = [
        word.lower() for word in name.split() if not word.isdigit() and word.lower() not in ("the", "loop", "wav", "a")
    ]
    if words[:1] == ["impact"] and len(words) > 1:
        weight = {"light": "light ", "medium": "", "heavy": "heavy "}.get(words[-1], "")
        material = " ".join(w for w in words[1:] if w not in ("light", "medium", "heavy", "generic"))
        return f"{weight}{material} impact".strip()
    if words[:1] == ["footstep"]:
        return f"footstep on {words[1]}" if len(words) > 1 else "footstep"
    if words[:1] in (["door"], ["lock"], ["book"], ["metal"]) and words[-1] in ("open", "close"):
        return f"{' '.join(words[:-1])} {'opening' if words[-1] == 'open' else 'closing'}"
    return " ".join(words)
