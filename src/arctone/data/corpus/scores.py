"""Playing styles: from (style, key, tempo, range) to notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arctone.data.corpus.library import Note
from arctone.data.corpus.music import PROGRESSIONS, base_mode, degree_pitch, scale_pitches, triad

DYNAMIC_VELOCITY = {"soft": 0.42, "medium": 0.68, "loud": 0.92}
RHYTHMS = (
    (1.0,),
    (0.5,),
    (0.5, 0.5, 1.0),
    (1.0, 0.5, 0.5),
    (1.5, 0.5),
    (0.75, 0.75, 0.5),
    (0.25, 0.25, 0.5),
    (2.0, 1.0, 1.0),
)


@dataclass(frozen=True)
class Frame:
    """What a style needs to know.

    Args:
        tonic: 0 (C) to 11.
        low: MIDI range in use.
        high: MIDI range in use.
        sustained: As in Instrument.
        degrees: Chord roots; () draws.
    """

    seconds: float
    bpm: float
    tonic: int
    mode: str
    low: int
    high: int
    dynamics: str = "medium"
    sustained: bool = False
    degrees: tuple[int, ...] = ()

    @property
    def centre(self) -> int:
        """Middle of the range."""
        return (self.low + self.high) // 2

    @property
    def beat(self) -> float:
        """Seconds of a beat."""
        return 60.0 / self.bpm

    @property
    def num_beats(self) -> float:
        """Length in beats."""
        return self.seconds / self.beat


def write_notes(style: str, frame: Frame, rng: np.random.Generator) -> list[Note]:
    """Notes of a style of playing, humanised by a few milliseconds and some percent of velocity."""
    return [_humanised(note, frame, rng) for note in STYLE_WRITERS[style](frame, rng)]


def progression(frame: Frame, rng: np.random.Generator) -> tuple[int, ...]:
    """Chord roots as scale degrees: those of the frame, or drawn for its mode."""
    if frame.degrees:
        return frame.degrees
    options = PROGRESSIONS[base_mode(frame.mode)]
    return options[int(rng.integers(len(options)))]


def _humanised(note: Note, frame: Frame, rng: np.random.Generator) -> Note:
    start = max(0.0, note.start_seconds + float(rng.normal(0, 0.004))) if note.start_seconds > 0 else 0.0
    velocity = DYNAMIC_VELOCITY[frame.dynamics] * note.velocity * float(rng.uniform(0.9, 1.08))
    return Note(start, note.duration_seconds, note.pitch, min(1.0, max(0.08, velocity)))


def tonic_pitch(frame: Frame) -> int:
    """The tonic nearest below the middle of the range, where most styles start."""
    pitch = degree_pitch(frame.tonic, frame.mode, 0, frame.centre)
    while pitch < frame.low:
        pitch += 12
    return pitch


def _note(frame: Frame, rng: np.random.Generator) -> list[Note]:
    held = frame.seconds * float(rng.uniform(0.55, 0.75)) if frame.sustained else frame.seconds
    return [Note(0.0, held, tonic_pitch(frame), 1.0)]


def _staccato(frame: Frame, rng: np.random.Generator) -> list[Note]:
    return [Note(0.0, 0.12, tonic_pitch(frame), 1.0)]


def _walk(frame: Frame, rng: np.random.Generator, leap: int) -> list[int]:
    pitches = scale_pitches(frame.tonic, frame.mode, frame.low, frame.high)
    index = pitches.index(min(pitches, key=lambda p: (abs(p - tonic_pitch(frame)), p)))
    walk = []
    for _ in range(128):
        walk.append(pitches[index])
        step = int(rng.integers(-leap, leap + 1))
        index = min(len(pitches) - 1, max(0, index + (step if 0 <= index + step < len(pitches) else -step)))
    return walk


def _melody(frame: Frame, rng: np.random.Generator) -> list[Note]:
    walk, rhythm = _walk(frame, rng, 2), RHYTHMS[int(rng.integers(len(RHYTHMS)))]
    notes, beat, last = [], 0.0, frame.num_beats - 0.05
    for index in range(128):
        length = rhythm[index % len(rhythm)] if rng.random() > 0.15 else 1.0
        if beat >= last:
            break
        if beat == 0 or rng.random() > 0.08:
            accent = 1.0 if beat % 1 == 0 else 0.85
            notes.append(Note(beat * frame.beat, length * frame.beat * 0.92, walk[index], accent))
        beat += length
    return _ending_on_tonic(notes, frame)


def _ending_on_tonic(notes: list[Note], frame: Frame) -> list[Note]:
    last = notes[-1]
    octave = round((last.pitch - tonic_pitch(frame)) / 12) * 12
    pitch = tonic_pitch(frame) + octave
    if not frame.low <= pitch <= frame.high:
        pitch = tonic_pitch(frame)
    return [*notes[:-1], Note(last.start_seconds, last.duration_seconds, pitch, last.velocity)]


def _riff(frame: Frame, rng: np.random.Generator) -> list[Note]:
    walk, steps = _walk(frame, rng, 3), [0]
    steps += [step for step in range(1, 8) if rng.random() < 0.55]
    ends = [*steps[1:], 8]
    pattern = [
        (s / 2, (e - s) / 2 * float(rng.uniform(0.5, 0.95)), walk[i])
        for i, (s, e) in enumerate(zip(steps, ends, strict=True))
    ]
    return _repeated(pattern, 4.0, frame)


def _repeated(pattern: list[tuple[float, float, int]], length: float, frame: Frame) -> list[Note]:
    notes = []
    for repeat in range(int(np.ceil(frame.num_beats / length))):
        for beat, duration, pitch in pattern:
            at = repeat * length + beat
            if at < frame.num_beats - 0.05:
                notes.append(Note(at * frame.beat, duration * frame.beat, pitch, 1.0 if beat == 0 else 0.86))
    return notes


def _arpeggio(frame: Frame, rng: np.random.Generator) -> list[Note]:
    step = 0.25 if frame.bpm < 110 and rng.random() < 0.5 else 0.5
    direction, roots = int(rng.integers(3)), progression(frame, rng)
    notes = []
    for index in range(int(frame.num_beats / step - 1e-6) + 1):
        beat = index * step
        if beat >= frame.num_beats - 0.05:
            break
        chord = triad(frame.tonic, frame.mode, roots[int(beat / 4) % len(roots)], frame.centre)
        notes.append(
            Note(
                beat * frame.beat,
                step * frame.beat * (1.4 if not frame.sustained else 0.95),
                _turn(chord, index, direction),
                0.9,
            )
        )
    return notes


def _turn(chord: list[int], index: int, direction: int) -> int:
    steps = [*chord, chord[0] + 12]
    if direction == 0:
        return steps[index % 4]
    if direction == 1:
        return steps[::-1][index % 4]
    return [*steps, steps[2], steps[1]][index % 6]


def _chords(frame: Frame, rng: np.random.Generator) -> list[Note]:
    roots, seventh = progression(frame, rng), bool(rng.random() < 0.3)
    strokes = ((0.0,), (0.0, 2.0), (0.0, 1.5, 3.0), (0.0, 1.0, 2.0, 3.0))[int(rng.integers(4))]
    notes = []
    for bar in range(int(np.ceil(frame.num_beats / 4))):
        chord = triad(frame.tonic, frame.mode, roots[bar % len(roots)], frame.centre, seventh)
        for stroke, end in zip(strokes, (*strokes[1:], 4.0), strict=True):
            at = 4 * bar + stroke
            if at < frame.num_beats - 0.05:
                length = min(end - stroke, frame.num_beats - at) * frame.beat * 0.93
                notes += [Note(at * frame.beat, length, pitch, 0.9) for pitch in chord]
    return notes


def _trill(frame: Frame, rng: np.random.Generator) -> list[Note]:
    low = tonic_pitch(frame)
    pitches = scale_pitches(frame.tonic, frame.mode, low, low + 4)
    step = float(rng.uniform(0.065, 0.1))
    num_notes = int(frame.seconds * 0.85 / step)
    return [Note(i * step, step * 1.02, pitches[i % 2], 0.85 + 0.15 * (i % 2 == 0)) for i in range(num_notes)]


def _tremolo(frame: Frame, rng: np.random.Generator) -> list[Note]:
    pitch, step = tonic_pitch(frame), float(rng.uniform(0.07, 0.12))
    num_notes = int(frame.seconds * 0.85 / step)
    return [Note(i * step, step * 1.1, pitch, 0.75 + 0.25 * abs(np.sin(i * 0.15))) for i in range(num_notes)]


def _drone(frame: Frame, rng: np.random.Generator) -> list[Note]:
    pitch = tonic_pitch(frame)
    fifth = pitch + 7 if pitch + 7 <= frame.high else pitch - 5
    chord = [pitch, fifth] if rng.random() < 0.6 else [pitch]
    return [Note(0.0, frame.seconds * 0.95, p, 0.9) for p in chord]


def _scale(frame: Frame, rng: np.random.Generator) -> list[Note]:
    start = tonic_pitch(frame)
    while start - 12 >= frame.low and start + 12 > frame.high:
        start -= 12
    pitches = scale_pitches(frame.tonic, frame.mode, start, start + 12)
    pitches = [*pitches, *pitches[-2::-1]] if rng.random() < 0.6 else pitches
    step = 0.5 if frame.num_beats < len(pitches) else float(rng.choice([0.5, 1.0]))
    count = max(1, min(len(pitches), int(frame.num_beats / step)))
    return [Note(i * step * frame.beat, step * frame.beat * 0.92, p, 0.9) for i, p in enumerate(pitches[:count])]


def _ostinato(frame: Frame, rng: np.random.Generator) -> list[Note]:
    walk = _walk(frame, rng, 3)[:4]
    return _repeated([(i * 0.5, 0.42, walk[i]) for i in range(4)], 2.0, frame)


def bass_notes(frame: Frame, feel: str, rng: np.random.Generator) -> list[Note]:
    """Bass line under a progression. feel: "walking", "eighths", "offbeat", "syncopated" or "long"."""
    roots = progression(frame, rng)
    steps = {
        "walking": (0.0, 1.0, 2.0, 3.0),
        "eighths": tuple(i / 2 for i in range(8)),
        "offbeat": (0.5, 1.5, 2.5, 3.5),
        "syncopated": ((0.0, 0.75, 1.5, 2.5, 3.25), (0.0, 1.5, 2.0, 3.5), (0.0, 0.75, 2.0, 2.75, 3.5))[
            int(rng.integers(3))
        ],
        "long": (0.0,),
    }[feel]
    notes = []
    for bar in range(int(np.ceil(frame.num_beats / 4 - 1e-6))):
        for index, (step, end) in enumerate(zip(steps, (*steps[1:], 4.0), strict=True)):
            beat = 4 * bar + step
            if beat < frame.num_beats - 0.05:
                pitch = _bass_pitch(frame, roots[bar % len(roots)], feel, index, rng)
                notes.append(
                    Note(beat * frame.beat, (end - step) * frame.beat * 0.88, pitch, 1.0 if index == 0 else 0.88)
                )
    return [_humanised(note, frame, rng) for note in notes]


def _bass_pitch(frame: Frame, root: int, feel: str, index: int, rng: np.random.Generator) -> int:
    degree = root
    if feel == "walking" and index:
        degree = root + (0, 2, 4, 5)[index % 4]
    elif feel == "syncopated" and index and rng.random() < 0.35:
        degree = root + 4
    return degree_pitch(frame.tonic, frame.mode, degree, frame.centre)


STYLE_WRITERS: dict[str, Callable[[Frame, np.random.Generator], list[Note]]] = {
    "note": _note,
    "staccato": _staccato,
    "melody": _melody,
    "riff": _riff,
    "arpeggio": _arpeggio,
    "chords": _chords,
    "trill": _trill,
    "tremolo": _tremolo,
    "drone": _drone,
    "scale": _scale,
    "ostinato": _ostinato,
}
