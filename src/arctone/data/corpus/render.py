"""From a plan to sound: layers, levels, room, peak and edges."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from arctone.data.corpus import noises
from arctone.data.corpus.drums import GENERAL_MIDI_NOTES, Hit, drum_stroke, write_hits
from arctone.data.corpus.effects import EFFECTS
from arctone.data.corpus.instruments import SYNTH
from arctone.data.corpus.library import FontSound, Library, Note, open_shared_font
from arctone.data.corpus.performers import begun, faded, length_factor, varied
from arctone.data.corpus.plans import SAMPLE_RATE, DrumLayer, Layer, NotesLayer, Plan, SoundLayer
from arctone.data.corpus.recordings import Recording, load_recording
from arctone.data.corpus.rooms import add_room
from arctone.data.corpus.scores import bass_notes, write_notes
from arctone.data.corpus.tones import render_voice

FADE_SECONDS = 0.005
# More than a trimmed clip needs is rendered, for the silence before its sound.
LEAD_SAMPLES = 22_050
CROSSFADE_SECONDS = 0.25
Audio = npt.NDArray[np.float32]


def render_plan(plan: Plan, library: Library, rng: np.random.Generator) -> Audio:
    """Sound of a plan, float32 [2, plan.num_samples], highest peak at plan.peak_db."""
    num_samples = plan.num_samples + (LEAD_SAMPLES if plan.trimmed else 0)
    mixed = np.zeros((2, num_samples), np.float32)
    for layer in plan.layers:
        sound = _levelled(_layer(layer, num_samples, library, rng))
        mixed += _panned(sound, layer.pan) * np.float32(10 ** (layer.gain_db / 20))
    if plan.trimmed:
        mixed = begun(mixed, plan.num_samples)
    return finished(faded(add_room(mixed, plan.room, plan.room_variant), plan.fade_seconds), plan.peak_db)


def load_fonts(plans: Iterable[Plan], library: Library) -> None:
    """Load the soundfonts that these plans play, which takes seconds for each."""
    for plan in plans:
        for layer in plan.layers:
            if isinstance(layer, SoundLayer):
                name = layer.sound.font if isinstance(layer.sound, FontSound) else ""
            else:
                name = layer.preset.partition("/")[0]
            if name in library.fonts:
                open_shared_font(library.fonts[name])


def finished(audio: Audio, peak_db: float) -> Audio:
    """`audio` [2, N] without offset, with its highest peak at peak_db below full scale and 5 ms fades at the end."""
    audio = audio - np.mean(audio, axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    fade = min(audio.shape[1], round(FADE_SECONDS * SAMPLE_RATE))
    audio[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    audio[:, :16] *= np.linspace(0, 1, 16, dtype=np.float32)
    peak = float(np.abs(audio).max())
    return audio * np.float32(10 ** (peak_db / 20) / peak) if peak > 0 else audio


def _layer(layer: Layer, num_samples: int, library: Library, rng: np.random.Generator) -> Audio:
    if isinstance(layer, NotesLayer):
        return _notes_layer(layer, num_samples, library, rng)
    if isinstance(layer, DrumLayer):
        return _drum_layer(layer, num_samples, library, rng)
    return _sound_layer(layer, num_samples, library, rng)


def _levelled(audio: Audio) -> Audio:
    """With the loudest tenth of a second at -20 dB RMS, so that gains of layers mean the same for every source."""
    window = SAMPLE_RATE // 10
    whole = audio[:, : audio.shape[1] // window * window]
    power = np.mean(whole.reshape(2, -1, window) ** 2, axis=(0, 2))
    loudest = float(np.sqrt(power.max())) if power.size else 0.0
    return audio * np.float32(0.1 / loudest) if loudest > 1e-7 else audio


def _panned(audio: Audio, pan: float) -> Audio:
    if pan == 0.0:
        return audio
    gains = np.array([[np.sqrt(1 - pan)], [np.sqrt(1 + pan)]], np.float32)
    return audio * gains


def _notes_layer(layer: NotesLayer, num_samples: int, library: Library, rng: np.random.Generator) -> Audio:
    kind, _, feel = layer.style.partition(":")
    notes = bass_notes(layer.frame, feel, rng) if kind == "bass" else write_notes(layer.style, layer.frame, rng)
    font, bank, program = _parsed(layer.preset)
    if font != SYNTH:
        return open_shared_font(library.fonts[font]).render(bank, program, notes, num_samples)
    return _synthesised(program, notes, num_samples, rng)


def _synthesised(program: int, notes: list[Note], num_samples: int, rng: np.random.Generator) -> Audio:
    out = np.zeros((2, num_samples), np.float32)
    for note in notes:
        mono = render_voice(program, note.pitch, note.duration_seconds, note.velocity, rng)
        place = float(rng.uniform(-0.25, 0.25)) if program in (0, 3, 11, 13) else 0.0
        _add(out, _panned(np.stack([mono, mono]), place), round(note.start_seconds * SAMPLE_RATE))
    return out


def _drum_layer(layer: DrumLayer, num_samples: int, library: Library, rng: np.random.Generator) -> Audio:
    hits = write_hits(layer.genre, layer.bpm, layer.num_bars, layer.fill, rng)
    if not layer.preset:
        return _sampled_drums(hits, layer.strokes, num_samples)
    font, bank, program = _parsed(layer.preset)
    if font == SYNTH:
        return _synthesised_drums(program, hits, num_samples, rng)
    pitches = GENERAL_MIDI_NOTES | (_ORCHESTRAL_NOTES if program == _ORCHESTRA_PROGRAM else {})
    notes = [Note(hit.start_seconds, 0.1, pitches[hit.piece], hit.velocity) for hit in hits]
    return open_shared_font(library.fonts[font]).render(bank, program, notes, num_samples)


# The orchestra kit has timpani where other kits have toms and the first crash.
_ORCHESTRA_PROGRAM, _ORCHESTRAL_NOTES = 48, {"crash": 59}
_PLACES = {
    "closed hat": 0.25,
    "open hat": 0.25,
    "pedal hat": 0.25,
    "ride": -0.35,
    "crash": -0.25,
    "low tom": -0.3,
    "mid tom": 0.0,
    "high tom": 0.3,
    "shaker": -0.4,
    "tambourine": 0.4,
    "cowbell": 0.3,
    "high conga": 0.35,
    "low conga": -0.35,
}
_LEVELS = {
    "kick": 1.0,
    "snare": 0.75,
    "clap": 0.65,
    "closed hat": 0.22,
    "pedal hat": 0.2,
    "open hat": 0.26,
    "ride": 0.25,
    "crash": 0.35,
    "shaker": 0.2,
    "tambourine": 0.25,
}


def _synthesised_drums(kit: int, hits: list[Hit], num_samples: int, rng: np.random.Generator) -> Audio:
    out, variant = np.zeros((2, num_samples), np.float32), int(rng.integers(4))
    for hit in hits:
        mono = drum_stroke(kit, hit.piece, variant) * np.float32(hit.velocity**1.5 * _LEVELS.get(hit.piece, 0.5))
        _add(out, _panned(np.stack([mono, mono]), _PLACES.get(hit.piece, 0.0)), round(hit.start_seconds * SAMPLE_RATE))
    return out


_STAND_INS = {
    "rim": ("clap", "snare"),
    "clap": ("snare", "rim"),
    "snare": ("clap",),
    "closed hat": ("shaker", "rim"),
    "pedal hat": ("closed hat",),
    "open hat": ("closed hat",),
    "ride": ("open hat", "closed hat"),
    "crash": ("open hat", "ride", "closed hat"),
    "shaker": ("closed hat",),
    "tambourine": ("shaker", "closed hat"),
    "cowbell": ("bell", "rim"),
    "claves": ("rim",),
    "agogo": ("bell", "rim"),
    "bell": ("rim",),
    "high conga": ("high tom", "mid tom"),
    "low conga": ("low tom", "mid tom"),
    "high bongo": ("high tom",),
    "low bongo": ("mid tom",),
    "timbale": ("high tom",),
    "high tom": ("mid tom", "low tom"),
    "mid tom": ("low tom", "high tom"),
    "low tom": ("mid tom", "kick"),
}


def _sampled_drums(hits: list[Hit], strokes: tuple[Recording, ...], num_samples: int) -> Audio:
    pieces = {stroke.piece: stroke for stroke in strokes}
    out = np.zeros((2, num_samples), np.float32)
    for hit in hits:
        stroke = _stroke_for(hit.piece, pieces)
        if stroke is None:
            continue
        sound = load_recording(stroke.path, 0.0, 3.0)
        level = hit.velocity**1.5 * _LEVELS.get(hit.piece, 0.5) / max(float(np.abs(sound).max()), 1e-6)
        _add(out, sound * np.float32(level), round(hit.start_seconds * SAMPLE_RATE))
    return out


def _stroke_for(piece: str, pieces: dict[str, Recording]) -> Recording | None:
    for name in (piece, *_STAND_INS.get(piece, ())):
        if name in pieces:
            return pieces[name]
    return next(
        (pieces[name] for second in _STAND_INS.get(piece, ()) for name in _STAND_INS.get(second, ()) if name in pieces),
        None,
    )


def _sound_layer(layer: SoundLayer, num_samples: int, library: Library, rng: np.random.Generator) -> Audio:
    sound = _unlooped(layer, num_samples, library, rng)
    if layer.filling:
        return _filled(sound, num_samples)
    out = np.zeros((2, num_samples), np.float32)
    for index in range(layer.times):
        _add(out, sound, round((layer.start_seconds + index * layer.period_seconds) * SAMPLE_RATE))
    return out


def _unlooped(layer: SoundLayer, num_samples: int, library: Library, rng: np.random.Generator) -> Audio:
    sound, seconds = layer.sound, num_samples / SAMPLE_RATE
    if isinstance(sound, Recording):
        needed = seconds / length_factor(layer.semitones, layer.stretch)
        recorded = load_recording(sound.path, layer.crop_seconds, needed)
        return _edged(varied(recorded, layer.semitones, layer.stretch, layer.tilt_db))
    if isinstance(sound, FontSound):
        return _font_sound(sound, layer.filling, num_samples, library)
    table, _, index = sound.partition("/")
    if table == "STROKES":
        kit, _, piece = index.partition(":")
        return np.repeat(drum_stroke(int(kit), piece, int(rng.integers(4)))[None], 2, axis=0)
    noise = {"AMBIENCES": noises.AMBIENCES, "EFFECTS": EFFECTS}[table][int(index)]
    return noise.make(seconds if table == "AMBIENCES" else _effect_seconds(layer, seconds), rng)


def _effect_seconds(layer: SoundLayer, seconds: float) -> float:
    left = seconds - layer.start_seconds - 0.1
    return max(0.5, min(left, layer.period_seconds - 0.05 if layer.times > 1 else left))


def _font_sound(sound: FontSound, filling: bool, num_samples: int, library: Library) -> Audio:
    held = num_samples / SAMPLE_RATE if filling else sound.seconds
    note = Note(0.0, held, sound.pitch, 0.85)
    return open_shared_font(library.fonts[sound.font]).render(sound.bank, sound.program, [note], num_samples)


def _edged(audio: Audio) -> Audio:
    """With 5 ms fades at both ends, because recordings may be cut anywhere."""
    fade = min(audio.shape[1] // 2, round(FADE_SECONDS * SAMPLE_RATE))
    if fade > 1:
        audio[:, :fade] *= np.linspace(0, 1, fade, dtype=np.float32) ** np.float32(0.5)
        audio[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return audio


def _filled(audio: Audio, num_samples: int) -> Audio:
    """`audio` repeated with crossfades of equal power until it is long enough."""
    fade = min(round(CROSSFADE_SECONDS * SAMPLE_RATE), audio.shape[1] // 3)
    while audio.shape[1] < num_samples and fade > 0:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        seam = audio[:, -fade:] * np.sqrt(1 - ramp) + audio[:, :fade] * np.sqrt(ramp)
        audio = np.concatenate([audio[:, :-fade], seam, audio[:, fade:]], axis=1)
    return np.ascontiguousarray(audio[:, :num_samples])


def _add(out: Audio, sound: Audio, start: int) -> None:
    end = min(out.shape[1], start + sound.shape[1])
    if end > start:
        out[:, start:end] += sound[:, : end - start]


def _parsed(preset: str) -> tuple[str, int, int]:
    font, _, number = preset.partition("/")
    bank, program = number.split(":")
    return font, int(bank), int(program)
