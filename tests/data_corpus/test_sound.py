"""What a clip claims to be is what it sounds like: tempo, pitch, room, level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from arctone.data.corpus import Corpus, effects, noises
from arctone.data.corpus.drums import GENERAL_MIDI_NOTES, drum_stroke, genres, write_hits
from arctone.data.corpus.instruments import FLUID, instruments, presets_of
from arctone.data.corpus.library import Library, Note, open_shared_font
from arctone.data.corpus.plans import DrumLayer, NotesLayer, Plan
from arctone.data.corpus.render import finished, render_plan
from arctone.data.corpus.rooms import ROOMS, add_room, fast_size
from arctone.data.corpus.scores import STYLE_WRITERS, Frame, tonic_pitch, write_notes
from arctone.data.corpus.tones import VOICES, render_voice

RATE = 44_100
NO_FILES = Library({}, (), (), {}, {}, ())
Audio = npt.NDArray[np.float32]


def _onsets(audio: Audio, hop: int = 128) -> npt.NDArray[np.float64]:
    mono = audio.mean(axis=0)[: audio.shape[1] // hop * hop]
    level = np.log(np.mean(mono.reshape(-1, hop) ** 2, axis=1) + 1e-5)
    return np.maximum(0.0, np.diff(level, prepend=level[:1])).astype(np.float64)


def _period_seconds(audio: Audio, expected: float) -> float:
    """Lag of the best autocorrelation of onsets within 20 % of the expected one."""
    onsets = np.convolve(_onsets(audio), np.hanning(15), "same")
    onsets -= onsets.mean()
    correlation = np.correlate(onsets, onsets, "full")[len(onsets) - 1 :]
    low, high = (int(expected * factor * RATE / 128) for factor in (0.8, 1.2))
    return (low + int(np.argmax(correlation[low:high]))) * 128 / RATE


@pytest.mark.parametrize(
    ("genre", "bpm"), [("house", 120), ("rock", 97), ("techno", 143), ("disco", 61), ("funk", 109)]
)
def test_drum_loops_have_the_tempo_they_claim(genre: str, bpm: int) -> None:
    bars = 4 if bpm > 90 else 2
    layer = DrumLayer("synth/128:1", genre, bpm, bars, False)
    plan = Plan("drums", "drums", round(bars * 240 * RATE / bpm), (layer,), {}, {}, bpm=bpm)
    audio = render_plan(plan, NO_FILES, np.random.default_rng(1))
    assert _period_seconds(audio, 240 / bpm) == pytest.approx(240 / bpm, rel=0.01)


@pytest.mark.parametrize("genre", genres())
def test_every_genre_starts_at_time_zero_and_fits_its_bars(genre: str) -> None:
    for seed in range(6):
        hits = write_hits(genre, 100, 2, seed % 2 == 0, np.random.default_rng(seed))
        assert hits[0].start_seconds == 0.0
        assert hits[-1].start_seconds < 4.8
        assert all(hit.piece in GENERAL_MIDI_NOTES and 0 < hit.velocity <= 1 for hit in hits)


def _pitch_hz(mono: Audio, expected: float) -> float:
    """Strongest autocorrelation lag within an octave around the expected period."""
    part = mono[4_000 : 4_000 + 16_384].astype(np.float64)
    spectrum = np.fft.rfft(part * np.hanning(len(part)), 65_536)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    low, high = int(RATE / expected / 1.4), int(RATE / expected * 1.4) + 2
    lag = low + int(np.argmax(correlation[low:high]))
    left, centre, right = correlation[lag - 1 : lag + 2]
    return float(RATE / (lag + (left - right) / (2 * (left - 2 * centre + right))))


# The glass bell's partials are not harmonic; its lowest one is checked by the spectrum below.
@pytest.mark.parametrize("program", sorted(set(VOICES) - {1}))
@pytest.mark.parametrize("pitch", [45, 57])
def test_synthesised_notes_have_their_pitch(program: int, pitch: int) -> None:
    mono = render_voice(program, pitch, 1.2, 0.7, np.random.default_rng(0))
    expected = 440 * 2 ** ((pitch - 69) / 12)
    assert _pitch_hz(mono, expected) == pytest.approx(expected, rel=0.012)


def test_the_strongest_low_partial_of_the_bell_is_its_pitch() -> None:
    mono = render_voice(1, 69, 1.5, 0.5, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(mono[20_000:60_000] * np.hanning(40_000)))
    assert np.argmax(spectrum) * RATE / 40_000 == pytest.approx(440, rel=0.005)


@pytest.mark.parametrize(("name", "pitch"), [("violin", 69), ("flute", 72), ("trumpet", 67), ("nylon guitar", 52)])
def test_soundfont_notes_have_their_pitch(with_fonts: Corpus, name: str, pitch: int) -> None:
    instrument = next(i for i in instruments() if i.name == name)
    preset = presets_of(instrument, (FLUID,))[0]
    path = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
    sound = open_shared_font(path).render(preset.bank, preset.program, [Note(0.0, 1.5, pitch, 0.7)], 2 * RATE)
    expected = 440 * 2 ** ((pitch - 69) / 12)
    assert _pitch_hz(sound.mean(axis=0), expected) == pytest.approx(expected, rel=0.012)


@pytest.mark.parametrize("style", sorted(STYLE_WRITERS))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_styles_stay_in_key_and_in_time(style: str, mode: str) -> None:
    steps = {"major": {0, 2, 4, 5, 7, 9, 11}, "minor": {0, 2, 3, 5, 7, 8, 10}}[mode]
    for seed in range(5):
        frame = Frame(8.0, 120, 3, mode, 48, 72)
        notes = write_notes(style, frame, np.random.default_rng(seed))
        assert notes
        assert min(note.start_seconds for note in notes) == 0.0
        assert max(note.start_seconds for note in notes) < 8.0
        assert {(note.pitch - 3) % 12 for note in notes} <= steps
        assert all(0 < note.velocity <= 1 and 36 <= note.pitch <= 84 for note in notes)


def test_single_notes_play_the_tonic() -> None:
    frame = Frame(3.0, 100, 9, "minor", 57, 81)
    notes = write_notes("note", frame, np.random.default_rng(0))
    assert [note.pitch for note in notes] == [tonic_pitch(frame)]
    assert tonic_pitch(frame) % 12 == 9


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_rooms_decay_as_long_as_they_say(room: str) -> None:
    click = np.zeros((2, 4 * RATE), np.float32)
    click[:, 100] = 1.0
    wet = add_room(click, room, 2)
    if room == "dry":
        assert np.array_equal(wet, click)
        return
    energy = np.cumsum((wet[:, 200:].astype(np.float64) ** 2).sum(axis=0)[::-1])[::-1]
    decibels = 10 * np.log10(energy / energy[0] + 1e-12)
    early, late = (int(np.argmax(decibels < level)) / RATE for level in (-5, -25))
    assert 3 * (late - early) == pytest.approx(ROOMS[room].decay_seconds, rel=0.5)


def test_rooms_have_their_order_and_wide_tails() -> None:
    rng = np.random.default_rng(0)
    burst = np.zeros((2, 3 * RATE), np.float32)
    burst[:, :2_000] = rng.standard_normal(2_000)
    tails = {name: add_room(burst, name, 0)[:, RATE:] for name in ROOMS}
    levels = [
        float(np.sqrt(np.mean(tails[name] ** 2)))
        for name in ("dry", "small room", "plate", "concert hall", "cathedral")
    ]
    assert levels == sorted(levels)
    assert abs(np.corrcoef(tails["cathedral"])[0, 1]) < 0.3


@pytest.mark.parametrize("sound", noises.AMBIENCES, ids=lambda s: s.name)
def test_ambiences_are_stereo_and_as_long_as_asked(sound: noises.NoiseSound) -> None:
    audio = sound.make(2.0, np.random.default_rng(3))
    assert audio.shape == (2, 2 * RATE)
    assert np.isfinite(audio).all()
    assert np.sqrt(np.mean(audio**2)) > 1e-3


@pytest.mark.parametrize("sound", effects.EFFECTS, ids=lambda s: s.name)
def test_effects_sound_and_differ_by_seed(sound: noises.NoiseSound) -> None:
    one, other = (sound.make(2.0, np.random.default_rng(seed)) for seed in (3, 4))
    assert one.shape[0] == 2
    assert 0.04 * RATE < one.shape[1] <= 4 * RATE
    assert np.isfinite(one).all()
    assert np.abs(one).max() > 0.01
    if sound.name != "a telephone dial tone":
        assert one.shape != other.shape or not np.array_equal(one, other)


def test_noise_colours_have_their_slopes() -> None:
    def slope(name: str) -> float:
        ambience = next(s for s in noises.AMBIENCES if s.name == name)
        audio = ambience.make(4.0, np.random.default_rng(0))
        power = np.abs(np.fft.rfft(audio[0])) ** 2
        low, high = (power[int(f * 4) : int(2 * f * 4)].mean() for f in (250, 4_000))
        return float(10 * np.log10(high / low) / 4)

    assert slope("white noise") == pytest.approx(0, abs=0.5)
    assert slope("pink noise") == pytest.approx(-3, abs=0.5)
    assert slope("brown noise") == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize("kit", range(4))
def test_drum_strokes_start_at_once_and_end_in_silence(kit: int) -> None:
    for piece in GENERAL_MIDI_NOTES:
        stroke = drum_stroke(kit, piece, 0)
        assert np.abs(stroke).max() == pytest.approx(1.0, abs=1e-5)
        assert np.argmax(np.abs(stroke) > 0.2) < 0.03 * RATE
        assert abs(float(stroke[-1])) < 1e-6
    assert _centroid(drum_stroke(kit, "kick", 0)) < 600 < _centroid(drum_stroke(kit, "closed hat", 0))


def _centroid(mono: Audio) -> float:
    power = np.abs(np.fft.rfft(mono)) ** 2
    return float((power * np.fft.rfftfreq(len(mono), 1 / RATE)).sum() / power.sum())


def test_layers_have_their_levels_and_sides() -> None:
    frame = Frame(3.0, 100, 0, "major", 60, 72, sustained=True)
    plan = Plan("phrase", "phrase", 3 * RATE, (NotesLayer("synth/0:9", "drone", frame, pan=0.5),), {}, {}, peak_db=-6.0)
    audio = render_plan(plan, NO_FILES, np.random.default_rng(0))
    assert 20 * np.log10(np.abs(audio).max()) == pytest.approx(-6.0, abs=0.01)
    left, right = np.sqrt(np.mean(audio**2, axis=1))
    assert right / left == pytest.approx(np.sqrt(3), rel=0.02)


def test_finishing_silence_keeps_silence() -> None:
    assert np.array_equal(finished(np.zeros((2, 500), np.float32), -3.0), np.zeros((2, 500), np.float32))


@pytest.mark.parametrize("minimum", [1, 7, 1_000, 530_001])
def test_fast_sizes_are_large_enough_and_not_much_more(minimum: int) -> None:
    size = fast_size(minimum)
    assert minimum <= size <= max(1, 1.25 * minimum + 1)
