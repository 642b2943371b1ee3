"""Recordings: the audio pack, the samples of Sonic Pi, the guitar strums. Facts from names; sound on demand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from arctone.data.corpus.effect_captions import ESC10, LONG_RECORDINGS
from arctone.data.corpus.effect_names import describe_effect
from arctone.data.corpus.music import TONICS
from arctone.errors import InputFileError
from arctone.files.text import parse_json, read_bytes

SAMPLE_RATE = 44_100
Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A recorded sound.

    Args:
        source: Identity in its source repository.
        kind: "effect", "ambience", "note" or "stroke".
        wordings: Phrases for captions, the first is the name.
        fold: ESC-10 fold, "" elsewhere.
        pitch: MIDI number where it is known.
        family: Of notes.
        instrument: Of notes.
        piece: Of drum strokes.
        kit: Their set.
    """

    path: str
    source: str
    licence: str
    kind: str
    wordings: tuple[str, ...]
    seconds: float
    fold: str = ""
    pitch: int | None = None
    family: str = "effect"
    instrument: str = ""
    piece: str = ""
    kit: str = ""


def load_recording(path: str, start_seconds: float, seconds: float) -> Audio:
    """A part of a file, float32 [2, samples] at 44.1 kHz; shorter than asked for where the file ends."""
    return _read(path, round(start_seconds, 3), round(seconds, 3)).copy()


@lru_cache(maxsize=96)
def _read(path: str, start_seconds: float, seconds: float) -> Audio:
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            file.seek(min(file.frames, round(start_seconds * rate)))
            samples = file.read(round(seconds * rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as problem:
        raise InputFileError(f"{path} cannot be read as sound: {problem}.") from None
    stereo = samples[:, [0, -1]] if samples.shape[1] > 1 else np.repeat(samples, 2, axis=1)
    return np.ascontiguousarray(_at_rate(stereo, rate).T)


def _at_rate(samples: Audio, rate: int) -> Audio:
    if rate == SAMPLE_RATE or len(samples) == 0:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)


def pack_recordings(pack: Path) -> list[Recording]:
    """List the usable recordings of the audio pack.

    Args:
        pack: Folder of recordings.

    Returns:
        Recordings in the order of the manifest.

    Raises:
        InputFileError: without manifest.
    """
    try:
        entries = parse_json(read_bytes(pack / "manifest.json"))
    except (InputFileError, ValueError) as problem:
        raise InputFileError(f"pack: {pack} holds no readable manifest.json: {problem}.", field="pack") from None
    found = (_pack_recording(pack, entry) for entry in entries)
    return [recording for recording in found if recording is not None]


def _pack_recording(pack: Path, entry: dict[str, object]) -> Recording | None:
    group, source = str(entry["group"]), str(entry["source"])
    path, seconds = str(pack / str(entry["path"])), float(str(entry["seconds"]))
    if seconds < 0.04:
        return None
    licence = {"CC0": "CC0-1.0"}.get(str(entry.get("clip_licence")), str(entry.get("clip_licence") or entry["licence"]))
    if group == "esc10":
        return _esc10(path, source, licence, seconds)
    if group in ("noixer", "blanket"):
        return _long(path, source, _blanket_licence(source) if group == "blanket" else "CC0-1.0", seconds)
    if group == "inst-iowa-and-vowels":
        return _iowa(path, source, seconds)
    return _effect_or_stroke(group, path, source, seconds)


def _esc10(path: str, source: str, licence: str, seconds: float) -> Recording | None:
    name = re.search(r"/\d+ - ([^/]+)/(\d)-", source)
    if name is None:
        return None
    wordings = ESC10[name[1]]
    kind = "ambience" if name[1] in ("Rain", "Sea waves", "Fire crackling") else "effect"
    joined = "CC-BY-3.0" if licence == "CC-BY-3.0" else f"CC-BY-3.0 AND {licence}"
    return Recording(path, source, joined, kind, wordings, seconds, fold=name[2])


def _blanket_licence(source: str) -> str:
    name = source.rsplit("/", 1)[-1].split(".")[0]
    if name in ("birds", "boat", "stream", "wind"):
        return "CC0-1.0"
    return "CC-BY" if name in ("city", "rain", "storm", "train", "waves") else "PDM-1.0"


def _long(path: str, source: str, licence: str, seconds: float) -> Recording | None:
    name = source.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    keys = [key for key in LONG_RECORDINGS if (key == name if "blanket" in source else key in name)]
    return Recording(path, source, licence, "ambience", LONG_RECORDINGS[keys[0]], seconds) if keys else None


_GERMAN = {"c": 0, "cis": 1, "d": 2, "dis": 3, "e": 4, "f": 5, "fis": 6, "g": 7, "gis": 8, "a": 9, "ais": 10, "h": 11}
_IOWA_FAMILY = {
    "bassoon": "reed",
    "trumpet": "brass",
    "double-bass": "strings",
    "violin": "strings",
    "bass-flute": "pipe",
    "alto-saxophone": "reed",
    "viola": "strings",
    "alto-flute": "pipe",
    "soprano-saxophone": "reed",
    "oboe": "reed",
    "cello": "strings",
    "tenor-trombone": "brass",
    "french-horn": "brass",
    "bass-clarinet": "reed",
    "clarinet": "reed",
    "bass-trombone": "brass",
}
_SINGERS = {"claudia": "female voice", "mirko": "male voice", "sven": "male voice"}


def _iowa(path: str, source: str, seconds: float) -> Recording:
    _, folder, *_, name = source.rsplit(".", 1)[0].split("/")
    singer, _, vowel = folder.partition("-")
    spoken = folder.replace("-", " ")
    if singer in _SINGERS:
        voice, sung = _SINGERS[singer], {"ah": "ah", "oh": "oh", "ih": "ee"}[vowel]
        licence, family, instrument = "CC0-1.0", "voice", voice
        wordings: tuple[str, ...] = (f"{voice} singing {sung}", f"{voice}, sung {sung} vowel")
    elif folder in _IOWA_FAMILY:
        instrument = {"double-bass": "bowed double bass", "tenor-trombone": "trombone"}.get(folder, spoken)
        licence, family, wordings = "PDM-1.0", _IOWA_FAMILY[folder], (instrument, f"real {instrument}")
    else:
        licence, family, instrument, wordings = "MIT", "pipe", spoken, (spoken,)
    pitch = _pitch(name)
    return Recording(
        path, source, licence, "note", wordings, seconds, pitch=pitch, family=family, instrument=instrument
    )


def _pitch(name: str) -> int | None:
    numbers = [int(n) for n in re.findall(r"(?<![a-zA-Z])\d+", name) if 20 <= int(n) <= 108]
    if numbers:
        return numbers[-1] if name[-1].isdigit() and "note" in name else numbers[0]
    letters = re.search(r"-([a-h](?:is)?)(\d)$", name)
    return 12 * (int(letters[2]) + 1) + _GERMAN[letters[1]] if letters else None


_BODY = {
    "handclap": "clap",
    "fingerclap": "clap",
    "snap": "snare",
    "stomp": "kick",
    "halfstomp": "kick",
    "heel": "low tom",
    "chestthump": "low tom",
    "chestside": "mid tom",
    "bellycenter": "mid tom",
    "bellyside": "high tom",
    "cheek": "rim",
    "pinkysnap": "closed hat",
    "shoulderout": "closed hat",
    "head": "rim",
}
_BODY_WORDS = {
    "handclap": "a hand clap",
    "fingerclap": "a finger clap",
    "snap": "a finger snap",
    "stomp": "a foot stomp",
    "halfstomp": "a light foot stomp",
    "heel": "a heel tap",
    "chestthump": "a chest thump",
    "cheek": "a cheek pop",
}
_UZU = {
    "rd": "ride",
    "ht": "high tom",
    "cp": "clap",
    "perc": "low conga",
    "oh": "open hat",
    "sd": "snare",
    "rim": "rim",
    "cr": "crash",
    "sh": "shaker",
    "tb": "tambourine",
    "hh": "closed hat",
    "bd": "kick",
    "lt": "low tom",
    "mt": "mid tom",
}


def _effect_or_stroke(group: str, path: str, source: str, seconds: float) -> Recording | None:
    name = source.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    if group == "cc0-sfx":
        phrase = describe_effect(source)
        return Recording(path, source, "CC0-1.0", "effect", (phrase,), seconds) if phrase else None
    if group == "inst-kenney-ui-audio":
        phrase = f"an interface {'mouse click' if 'mouse' in name else re.sub(r'[0-9]+$', '', name)} sound"
        return Recording(path, source, "CC0-1.0", "effect", (phrase,), seconds)
    if group == "inst-body_percussion":
        part = name.split("_")[0]
        return _stroke(
            path,
            source,
            "CC0-1.0",
            "body",
            _BODY.get(part, ""),
            _BODY_WORDS.get(part, "a body percussion tap"),
            seconds,
        )
    if group == "inst-uzu-drumkit":
        piece = _UZU.get(source.split("/")[1], "")
        return _stroke(path, source, "Unlicense", "uzu", piece, f"an electronic {piece}", seconds)
    return _plucked(group, path, source, seconds)


def _stroke(
    path: str, source: str, licence: str, kit: str, piece: str, phrase: str, seconds: float
) -> Recording | None:
    if not piece:
        return None
    return Recording(path, source, licence, "stroke", (phrase,), seconds, family="percussion", piece=piece, kit=kit)


def _plucked(group: str, path: str, source: str, seconds: float) -> Recording | None:
    if group == "inst-spanish-classical-guitar" and "2019" not in source:
        return Recording(
            path,
            source,
            "CC0-1.0",
            "note",
            ("nylon guitar", "real Spanish guitar", "classical guitar"),
            seconds,
            family="guitar",
            instrument="nylon guitar",
        )
    if group == "inst-electric-bass-yr":
        instrument = "picked bass" if "/pick/" in source else "electric bass"
        return Recording(
            path, source, "CC0-1.0", "note", (instrument, "bass guitar"), seconds, family="bass", instrument=instrument
        )
    return None


_SONIC_PIECES = (
    (r"^bd_|drum_heavy_kick|elec_(hollow|soft)_kick|drum_bass", "kick"),
    (r"^sn_|snare", "snare"),
    (r"snap", "clap"),
    (r"cymbal_closed|elec_tick", "closed hat"),
    (r"cymbal_pedal", "pedal hat"),
    (r"cymbal_open|elec_cymbal", "open hat"),
    (r"cymbal_soft", "ride"),
    (r"cymbal_hard|splash", "crash"),
    (r"cowbell", "cowbell"),
    (r"tom_hi", "high tom"),
    (r"tom_mid|elec_fuzz_tom", "mid tom"),
    (r"tom_lo", "low tom"),
    (r"elec_wood|elec_pop", "rim"),
    (r"perc_bell", "bell"),
)
_SONIC_PHRASES: tuple[tuple[str, str], ...] = (
    ("tabla", "a tabla stroke"),
    ("vinyl_scratch", "a vinyl scratch"),
    ("vinyl_rewind", "a vinyl rewind"),
    ("vinyl_backspin", "a vinyl backspin"),
    ("misc_burp", "a burp"),
    ("misc_crow", "a crow cawing"),
    ("misc_cineboom", "a cinematic boom"),
    ("perc_door", "a door slam"),
    ("perc_impact", "a percussive impact"),
    ("perc_swash", "a swash"),
    ("perc_swoosh", "a swoosh"),
    ("perc_till", "a cash register"),
    ("perc_bell", "a struck bell"),
    ("glitch_robot", "a glitchy robot sound"),
    ("glitch_perc", "a glitchy percussion hit"),
    ("glitch_bass", "a glitchy bass"),
    ("mehackit_phone", "a phone sound"),
    ("mehackit_robot", "a robot sound"),
    ("elec_beep", "an electronic beep"),
    ("elec_bell", "an electronic bell"),
    ("elec_blip", "an electronic blip"),
    ("elec_bong", "an electronic bong"),
    ("elec_chime", "an electronic chime"),
    ("elec_ping", "an electronic ping"),
    ("elec_twang", "an electronic twang"),
    ("elec_triangle", "an electronic triangle"),
    ("bass_drop", "a bass drop"),
    ("drum_roll", "a drum roll"),
)
_SONIC_AMBIENCES = {
    "ambi_choir": "an ambient choir",
    "ambi_dark_woosh": "a dark whoosh",
    "ambi_drone": "an ambient drone",
    "ambi_glass_hum": "a humming glass",
    "ambi_glass_rub": "a rubbed glass",
    "ambi_haunted_hum": "a haunted hum",
    "ambi_lunar_land": "a lunar landscape ambience",
    "ambi_piano": "an ambient piano chord",
    "ambi_sauna": "a hissing sauna",
    "ambi_soft_buzz": "a soft buzz",
    "ambi_swoosh": "an ambient swoosh",
    "vinyl_hiss": "vinyl hiss",
    "loop_3d_printer": "a 3D printer",
    "loop_drone_g_97": "a droning texture",
}


def sonic_pi_recordings(folder: Path) -> list[Recording]:
    """Usable samples of Sonic Pi, sorted by name."""
    found = (_sonic(path) for path in sorted(folder.glob("*.flac")))
    return [recording for recording in found if recording is not None]


def _sonic(path: Path) -> Recording | None:
    name, seconds = path.stem, soundfile.info(path).duration
    source = f"sonic-pi-net/sonic-pi/etc/samples/{path.name}"
    if name in _SONIC_AMBIENCES:
        kind = "ambience" if seconds > 3 else "effect"
        return Recording(str(path), source, "CC0-1.0", kind, (_SONIC_AMBIENCES[name],), seconds)
    for pattern, piece in _SONIC_PIECES:
        if re.search(pattern, name):
            kit = "sonic-pi acoustic" if name.startswith("drum_") else "sonic-pi"
            kind_of = "acoustic" if name.startswith("drum_") else "electronic"
            return _stroke(str(path), source, "CC0-1.0", kit, piece, f"an {kind_of} {piece}", seconds)
    for prefix, phrase in _SONIC_PHRASES:
        if name.startswith(prefix):
            return Recording(str(path), source, "CC0-1.0", "effect", (phrase,), seconds)
    return None


_STRUM_TONICS = {
    "Bflat": "B flat",
    **{t.replace(" sharp", "sharp"): t for t in TONICS if "sharp" in t},
    "Asharp": "B flat",
    "Dsharp": "E flat",
    "Gsharp": "A flat",
    "Csharp": "C sharp",
    "Fsharp": "F sharp",
}


def strum_recordings(folder: Path) -> list[Recording]:
    """Guitar strums of a folder that holds (somewhere below) the kit belofilms_GuitarStrums, sorted by name."""
    found = (_strum(path) for path in sorted(folder.rglob("belofilms_GuitarStrums/*.flac")))
    return [recording for recording in found if recording is not None]


def _chord_article(tonic: str) -> str:
    return "an" if tonic[0] in "AEF" else "a"


def _strum(path: Path) -> Recording | None:
    name = re.match(r"([A-G](?:sharp|flat)?)[ ]?(major|minor7b5|minro7b5|minor)_?(UP|DOWN|Down)?", path.stem)
    if name is None:
        return None
    tonic = _STRUM_TONICS.get(name[1], name[1])
    quality = {"major": "major", "minor": "minor"}.get(name[2], "half-diminished")
    direction = {"UP": "up", "DOWN": "down", "Down": "down"}.get(name[3] or "", "")
    chord = f"{tonic} {quality}"
    wordings = (
        f"{chord} acoustic guitar strum",
        f"{direction} strum of {_chord_article(tonic)} {chord} chord on acoustic guitar".strip(),
    )
    return Recording(
        str(path),
        f"hydrogen/belofilms_GuitarStrums/{path.name}",
        "CC-BY-3.0",
        "note",
        wordings,
        soundfile.info(path).duration,
        family="guitar",
        instrument="steel guitar",
    )
