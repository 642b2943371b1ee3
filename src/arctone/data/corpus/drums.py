"""Drum kits: patterns, sampled strokes and synthetic tones.

A pattern is one bar of 16 steps (12 for triplet genres): X accent, x hit, o soft, - rest. Grooves of a genre are
drawn from its variants; the last bar may carry a fill. Indented lines continue the one above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from arctone.data.corpus.instruments import FLUID, MUSESCORE, SYNTH

SAMPLE_RATE = 44_100
Audio = npt.NDArray[np.float32]

# kit: (kick Hz, kick drop Hz, kick half-life s, snare tone Hz, snare noise Hz low, brightness Hz, hat half-life s)
_KITS = {
    0: (48.0, 60.0, 0.16, 185.0, 900.0, 16_000.0, 0.018),
    1: (56.0, 180.0, 0.075, 210.0, 1_500.0, 19_000.0, 0.02),
    2: (70.0, 330.0, 0.05, 300.0, 2_000.0, 14_000.0, 0.012),
    3: (60.0, 90.0, 0.08, 180.0, 700.0, 6_500.0, 0.014),
}
_TOMS = {
    "low tom": 95.0,
    "mid tom": 130.0,
    "high tom": 175.0,
    "low conga": 170.0,
    "high conga": 225.0,
    "low bongo": 300.0,
    "high bongo": 390.0,
    "timbale": 330.0,
}
_PINGS = {
    "cowbell": (540.0, 800.0, 0.05),
    "claves": (2_450.0, 2_450.0, 0.018),
    "agogo": (1_050.0, 1_580.0, 0.07),
    "rim": (1_700.0, 480.0, 0.012),
    "bell": (880.0, 2_640.0, 0.16),
}
_SHAKES = {
    "closed hat": 1.0,
    "pedal hat": 1.3,
    "open hat": 9.0,
    "shaker": 1.6,
    "tambourine": 3.0,
    "ride": 12.0,
    "crash": 28.0,
}


@lru_cache(maxsize=512)
def drum_stroke(kit: int, piece: str, variant: int) -> Audio:
    """One stroke at full velocity, peak 1, [samples]. kit: 0 to 3; variant: any number, a slightly different stroke."""
    rng = np.random.Generator(np.random.Philox(key=[8_000 + kit, sum(piece.encode()) * 64 + variant]))
    sound = _stroke(kit, piece, rng)
    if kit in (2, 3):
        sound = np.round(sound / np.abs(sound).max() * (12 if kit == 2 else 60)) / np.float32(12)
    fade = min(220, len(sound))
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.asarray(sound / np.abs(sound).max(), np.float32)


def _stroke(kit: int, piece: str, rng: np.random.Generator) -> Audio:
    if piece == "kick":
        return _kick(kit)
    if piece in ("snare", "clap"):
        return _snare(kit, rng) if piece == "snare" else _clap(kit, rng)
    if piece in _TOMS:
        return _sweep(_TOMS[piece], _TOMS[piece] * 0.5, 0.03, 0.09, 0.5)
    if piece in _PINGS:
        low, high, half_life = _PINGS[piece]
        return _ping(low, half_life) + np.float32(0.7) * _ping(high, half_life)
    return _shake(kit, _SHAKES[piece], rng)


def _time(seconds: float) -> Audio:
    return np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)


def _sweep(hertz: float, drop: float, drop_half_life: float, half_life: float, seconds: float) -> Audio:
    t = _time(seconds)
    frequency = hertz + drop * np.exp2(-t / np.float32(drop_half_life))
    phase = 2 * np.pi * np.cumsum(frequency, dtype=np.float64) / SAMPLE_RATE
    return np.asarray(np.sin(phase) * np.exp2(-t / half_life), np.float32)


def _kick(kit: int) -> Audio:
    hertz, drop, half_life, *_ = _KITS[kit]
    body = _sweep(hertz, drop, 0.015, half_life, 8 * half_life)
    body[:90] += np.float32(0.25) * np.linspace(1, 0, 90, dtype=np.float32)
    return np.asarray(np.tanh(1.6 * body), np.float32)


def _noise(seconds: float, low: float, high: float, rng: np.random.Generator) -> Audio:
    num = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(num).astype(np.float32))
    frequencies = np.fft.rfftfreq(num, 1 / SAMPLE_RATE)
    return np.asarray(np.fft.irfft(spectrum * ((frequencies > low) & (frequencies < high)), num), np.float32)


def _snare(kit: int, rng: np.random.Generator) -> Audio:
    _, _, _, tone, low, bright, _ = _KITS[kit]
    noise = _noise(0.35, low, bright, rng) * np.exp2(-_time(0.35) / np.float32(0.045))
    return np.asarray(noise + np.float32(0.9) * _sweep(tone, tone * 0.6, 0.012, 0.035, 0.35), np.float32)


def _clap(kit: int, rng: np.random.Generator) -> Audio:
    t = _time(0.35)
    bursts = sum(np.where(t >= at, np.exp2(-np.maximum(t - at, 0) / 0.005), 0) for at in (0.0, 0.011, 0.022))
    tail = np.where(t >= 0.03, 0.6 * np.exp2(-np.maximum(t - 0.03, 0) / 0.04), 0)
    return np.asarray(_noise(0.35, 700, _KITS[kit][5] / 2, rng) * (bursts + tail), np.float32)


def _ping(hertz: float, half_life: float) -> Audio:
    t = _time(0.8)
    wave = np.sin(np.float32(2 * np.pi * hertz) * t) + np.float32(0.3) * np.sin(np.float32(6 * np.pi * hertz) * t)
    return np.asarray(wave * np.exp2(-t / np.float32(half_life)), np.float32)


def _shake(kit: int, length: float, rng: np.random.Generator) -> Audio:
    half_life = _KITS[kit][6] * length
    seconds = min(2.5, 8 * half_life)
    noise = _noise(seconds, 5_500 if length < 20 else 2_500, max(_KITS[kit][5], 7_500.0), rng)
    t = _time(seconds)
    metal = sum(np.sign(np.sin(np.float32(2 * np.pi * f) * t)) for f in (2_053, 3_694, 5_221, 8_009))
    high = np.diff(np.asarray(metal, np.float32), prepend=np.float32(0))
    return np.asarray(
        (noise / max(np.abs(noise).max(), 1e-9) + 0.12 * high) * np.exp2(-t / np.float32(half_life)), np.float32
    )


GENERAL_MIDI_NOTES: dict[str, int] = {
    "kick": 36,
    "snare": 38,
    "rim": 37,
    "clap": 39,
    "closed hat": 42,
    "pedal hat": 44,
    "open hat": 46,
    "ride": 51,
    "crash": 49,
    "low tom": 45,
    "mid tom": 47,
    "high tom": 50,
    "cowbell": 56,
    "tambourine": 54,
    "shaker": 70,
    "high conga": 63,
    "low conga": 64,
    "high bongo": 60,
    "low bongo": 61,
    "claves": 75,
    "agogo": 67,
    "timbale": 65,
    "bell": 53,
}

_PATTERNS = """
rock | kick X---x---X-x-x--- snare ----X-------X--- closed hat x-o-x-o-x-o-x-o-
rock | kick X-----x-X-x----- snare ----X-------X--- closed hat x-x-x-x-x-x-x-o- open hat --------------x-
rock | kick X--x----x-x----- snare ----X-------X--o ride x-x-x-x-x-x-x-x-
funk | kick X--x--x---x--x-- snare ----X--o-o--X--o closed hat xoxoxoxoxoxoxoxo
funk | kick X-x---x--xx----- snare ----X--o-o-oX--- closed hat x-xxx-xxx-xxx-x- open hat -----------x----
funk | kick X-----xx--x--x-- snare ----X-o--o--X-oo closed hat x-x-x-x-x-x-x-x- cowbell x---x---x---x---
hip hop | kick X------x--x----- snare ----X-------X--- closed hat x-x-x-x-x-x-x-x-
hip hop | kick X--x---x--x----- clap ----X-------X--- closed hat x-xxx-x-x-x-xxx-
hip hop | kick X-x-------xx---- snare ----X--o----X-o- closed hat x-o-x-o-x-o-x-oo open hat ------x---------
house | kick X---X---X---X--- clap ----X-------X--- open hat --x---x---x---x-
house | kick X---X---X---X--- clap ----X-------X--- open hat --x---x---x---x-
    closed hat xoxoxoxoxoxoxoxo shaker o-o-o-o-o-o-o-o-
house | kick X---X---X---X--x snare ----x-------x--- closed hat --x---x---x---x- rim --x--x----x--x--
techno | kick X---X---X---X--- closed hat --x---x---x---x- rim ---x--x----x--x-
techno | kick X---X---X---X--- closed hat xxxxxxxxxxxxxxxx open hat --x---x---x---x- clap ------------x---
techno | kick X---X---X---X--- low tom ---o--o----o--oo open hat --x---x---x---x- clap ----x-------x---
disco | kick X---X---X---X--- snare ----X-------X--- open hat --x---x---x---x- closed hat x---x---x---x---
disco | kick X---X---X---X--- snare ----X-------X--o open hat --x---x---x---x- tambourine x-xxx-xxx-xxx-xx
jazz swing | ride x--x-xx--x-x pedal hat ---x-----x-- kick o--o--o--o-- snare -----o------
jazz swing | ride x--x-xx--x-x pedal hat ---x-----x-- kick o----------- snare --o-----o--o
jazz swing | ride x--x-xx--x-x pedal hat ---x-----x-- kick x-----o--o-- rim ---------x--
bossa nova | kick X--xX--xX--xX--x rim x--x--x---x--x-- closed hat x-x-x-x-x-x-x-x-
bossa nova | kick X--xX--xX--xX--x rim --x--x--x--x-x-- shaker xoxoxoxoxoxoxoxo
drum and bass | kick X---------x----- snare ----X-------X--- closed hat x-x-x-x-x-x-x-x-
drum and bass | kick X--x------xx---- snare ----X--o-o--X--- closed hat x-x-x-x-x-x-x-x- ride x---x---x---x---
breakbeat | kick X-x-------xx---- snare ----X--o-o--X--o closed hat x-x-x-x-x-x-x-x-
breakbeat | kick X--x--x---x----- snare ----X----o--X-o- closed hat xoxxxoxoxoxxxoxo open hat ------x---------
trap | kick X------x--x----- clap --------X------- closed hat x-x-xxx-x-xxx-xx
trap | kick X-----x---x--x-- snare --------X------- closed hat xxx-x-xxxxx-x-xx open hat ------x---------
reggae | kick --------X------- rim --------X------- closed hat x-x-x-x-x-x-x-xo
reggae | kick X-------X------- snare --------X-----o- closed hat x-oox-oox-oox-oo
latin | kick X--x--x-X--x--x- high conga --x---xx--x---xx low conga ------------x-x-
    cowbell x---x-x-x---x-x- claves x--x--x---x-x---
latin | kick X-----x-X-----x- timbale ----x--x----x-xx cowbell x-x-xx-xx-x-xx-x shaker xoxoxoxoxoxoxoxo
latin | high bongo x-oox-oox-oox-oo low bongo --x---x---x---x- claves --x-x---x--x--x- kick X---x---X---x---
march | snare X-oox-oox-ooxoxo kick X---x---X---x--- crash x---------------
march | snare X--xx-xxX--xxxxx kick X-------X-------
shuffle | kick X-----X-xX-- snare ---X-----X-- closed hat x-xx-xx-xx-x
shuffle | kick X--x--X--x-- snare ---X-o---X-o ride x-xx-xx-xx-x
ballad | kick X-------x------- snare --------X------- closed hat x---x---x---x---
ballad | kick X-----x-x------- rim --------X------- closed hat x-o-x-o-x-o-x-o-
metal | kick XxXxXxXxXxXxXxXx snare ----X-------X--- crash x---x---x---x---
metal | kick X-xxX-xxX-xxX-xx snare ----X-------X--- ride X-x-X-x-X-x-X-x-
reggaeton | kick X---X---X---X--- snare ---x--x----x--x- closed hat x-x-x-x-x-x-x-x-
reggaeton | kick X---x---X---x--- clap ---X--X----X--X- shaker xoxoxoxoxoxoxoxo
afrobeat | kick X-----x--x------ snare ---o--x----o--x- closed hat x-xxx-xxx-xxx-xx cowbell x--x--x---x-x---
lo-fi | kick X--x------x----- snare ----x-------x--- closed hat o-x-o-x-o-x-o-x-
lo-fi | kick X------x-xx----- rim ----x-------x--- closed hat o-o-o-o-o-o-o-o-
"""

# Usual tempi: three loops in four lie inside.
GENRE_TEMPOS: dict[str, tuple[int, int]] = {
    "rock": (90, 150),
    "funk": (85, 125),
    "hip hop": (75, 110),
    "house": (115, 132),
    "techno": (120, 145),
    "disco": (105, 130),
    "jazz swing": (90, 180),
    "bossa nova": (90, 150),
    "drum and bass": (160, 180),
    "breakbeat": (100, 150),
    "trap": (120, 165),
    "reggae": (65, 100),
    "latin": (85, 140),
    "march": (90, 130),
    "shuffle": (80, 140),
    "ballad": (60, 90),
    "metal": (110, 180),
    "reggaeton": (80, 110),
    "afrobeat": (95, 130),
    "lo-fi": (65, 95),
}


@dataclass(frozen=True)
class Kit:
    """A drum sound.

    Args:
        presets: "font/bank:program".
        sampled: Name of a set of recordings.
        genres: The only ones it plays, empty for all.
    """

    name: str
    aliases: tuple[str, ...]
    presets: tuple[str, ...] = ()
    sampled: str = ""
    genres: tuple[str, ...] = ()


def _both(programs: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"{font}/128:{program}" for font in (FLUID, MUSESCORE) for program in programs)


KITS: tuple[Kit, ...] = (
    Kit("acoustic drum kit", ("drum kit", "acoustic drums", "drum set", "live drums"), _both((0, 1, 2, 3, 4, 5, 6, 7))),
    Kit("room kit", ("roomy drum kit", "ambient drum kit"), _both((8, 9, 10, 11, 12, 13, 14, 15))),
    Kit("rock kit", ("power drum kit", "big rock drums", "punchy rock drums"), _both((16, 17, 18, 19))),
    Kit("electronic kit", ("electronic drums", "electronic drum kit", "synth drum kit"), _both((24,))),
    Kit("808 drum machine", ("TR-808", "808 drums", "808 kit"), (*_both((25,)), f"{SYNTH}/128:0")),
    Kit("909-style drum machine", ("909 drums", "909-style kit", "club drum machine"), (f"{SYNTH}/128:1",)),
    Kit("jazz kit", ("jazz drums", "jazz drum kit"), _both((32, 33, 34, 35, 36))),
    Kit("brush kit", ("brushed drums", "drums with brushes"), _both((40, 41, 42))),
    Kit("orchestral percussion", ("orchestra drums", "orchestral drums"), _both((48,)), genres=("march",)),
    Kit("marching snare", ("marching band snare", "snare drum corps"), (f"{MUSESCORE}/128:56",), genres=("march",)),
    Kit("chiptune drums", ("8-bit drums", "noise channel drums", "Game Boy drums"), (f"{SYNTH}/128:2",)),
    Kit("lo-fi kit", ("dusty drums", "vinyl drum kit", "lo-fi drums"), (f"{SYNTH}/128:3",)),
    Kit("sampled electronic kit", ("electronic one-shots", "sampled club drums"), sampled="sonic-pi"),
    Kit("sampled acoustic kit", ("sampled drum kit", "sampled live drums"), sampled="sonic-pi acoustic"),
    Kit("modern electronic kit", ("modern drum machine", "crisp electronic drums"), sampled="uzu"),
    Kit("body percussion", ("claps, snaps and stomps", "clapping and stomping", "body drums"), sampled="body"),
)


@dataclass(frozen=True, order=True)
class Hit:
    """One stroke.

    Args:
        piece: Key of GENERAL_MIDI_NOTES; velocity 0 to 1.
    """

    start_seconds: float
    piece: str
    velocity: float


def genres() -> tuple[str, ...]:
    """All genres, sorted."""
    return tuple(sorted(_BARS))


def write_hits(genre: str, bpm: float, num_bars: int, with_fill: bool, rng: np.random.Generator) -> list[Hit]:
    """Write a loop of whole bars of four beats; the first stroke falls at time 0.

    Args:
        genre: Name of a genre.
        bpm: Tempo in beats per minute.
        num_bars: Bars to write.
        with_fill: The second half of the last bar is a fill. Times vary by some milliseconds, velocities by 10 %.
        rng: Source of the random draws.

    Returns:
        Strokes in order of time.
    """
    bar = _BARS[genre][int(rng.integers(len(_BARS[genre])))]
    bar_seconds = 240.0 / bpm
    shuffle = (
        float(rng.choice([0.0, 0.0, 0.08, 0.16]))
        if genre in ("hip hop", "lo-fi", "funk", "house", "breakbeat")
        else 0.0
    )
    tightness = 0.0015 if genre in ("house", "techno", "trap", "drum and bass") else 0.005
    hits: list[Hit] = []
    for index in range(num_bars):
        filled = with_fill and index == num_bars - 1
        hits += [_moved(hit, index * bar_seconds) for hit in _bar_hits(bar, bar_seconds, shuffle, filled, rng)]
    if num_bars > 1 and rng.random() < 0.3:
        hits.append(Hit(0.0, "crash", 0.8))
    return sorted(_humanised(_anchored(hits), tightness, rng))


def _bar_hits(
    bar: dict[str, str], bar_seconds: float, shuffle: float, filled: bool, rng: np.random.Generator
) -> list[Hit]:
    hits = []
    for piece, steps in bar.items():
        for step, mark in enumerate(steps):
            if mark == "-" or (filled and 2 * step >= len(steps) and piece != "kick"):
                continue
            late = shuffle if step % 2 and len(steps) == 16 else 0.0
            hits.append(Hit((step + late) / len(steps) * bar_seconds, piece, {"X": 1.0, "x": 0.8, "o": 0.45}[mark]))
    return hits + (_fill(bar_seconds, len(next(iter(bar.values()))), rng) if filled else [])


def _fill(bar_seconds: float, num_steps: int, rng: np.random.Generator) -> list[Hit]:
    steps = range(num_steps // 2, num_steps)
    pieces = ["snare", "snare", "high tom", "high tom", "mid tom", "mid tom", "low tom", "low tom"]
    chosen = [(step, pieces[i % 8]) for i, step in enumerate(steps) if i == 0 or rng.random() < 0.75]
    return [Hit(step / num_steps * bar_seconds, piece, 0.6 + 0.4 * step / num_steps) for step, piece in chosen]


def _moved(hit: Hit, seconds: float) -> Hit:
    return Hit(hit.start_seconds + seconds, hit.piece, hit.velocity)


def _anchored(hits: list[Hit]) -> list[Hit]:
    """With a stroke at time 0: a soft hat where the pattern starts with a rest."""
    if any(hit.start_seconds == 0.0 for hit in hits):
        return hits
    return [Hit(0.0, "closed hat", 0.6), *hits]


def _humanised(hits: list[Hit], tightness: float, rng: np.random.Generator) -> list[Hit]:
    moved = []
    for hit in hits:
        late = float(rng.normal(0, tightness)) if hit.start_seconds > 0 else 0.0
        velocity = min(1.0, hit.velocity * float(rng.uniform(0.85, 1.05)))
        moved.append(Hit(max(0.0, hit.start_seconds + late), hit.piece, velocity))
    return moved


def _parse_patterns() -> dict[str, list[dict[str, str]]]:
    bars: dict[str, list[dict[str, str]]] = {}
    for line in _PATTERNS.strip().replace("\n    ", " ").splitlines():
        genre, _, voices = line.partition(" | ")
        bars.setdefault(genre, []).append(_parse_voices(voices))
    return bars


def _parse_voices(voices: str) -> dict[str, str]:
    bar: dict[str, str] = {}
    name: list[str] = []
    for word in voices.split():
        if len(word) in (12, 16) and set(word) <= set("Xxo-"):
            bar[" ".join(name)] = word
            name = []
        else:
            name.append(word)
    return bar


_BARS = _parse_patterns()
