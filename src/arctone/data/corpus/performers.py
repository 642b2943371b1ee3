"""Performance of notes and recordings: timing, gain, variations of pitch and length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arctone.data.corpus.draws import Draw
from arctone.data.corpus.drums import Kit
from arctone.data.corpus.instruments import Instrument, Preset
from arctone.data.corpus.library import Library
from arctone.data.corpus.music import choose
from arctone.data.corpus.plans import DrumLayer
from arctone.data.corpus.recordings import Recording
from arctone.data.corpus.scores import Frame

SAMPLE_RATE = 44_100
Audio = npt.NDArray[np.float32]

# The sound begins where it first reaches this part of its peak, less a margin that keeps the attack whole.
ONSET_LEVEL, ONSET_MARGIN = 0.02, 88
_GRAIN, _SEARCH = 2_048, 512
_TILT_HZ = (200.0, 10_000.0)


def varied(audio: Audio, semitones: float, stretch: float, tilt_db: float) -> Audio:
    """`audio` at another pitch (as a tape at another speed), then another length, then another brightness."""
    return tilted(stretched(transposed(audio, semitones), stretch), tilt_db)


def length_factor(semitones: float, stretch: float) -> float:
    """How many times as long `varied` makes a sound."""
    return float(stretch * 2.0 ** (-semitones / 12))


def transposed(audio: Audio, semitones: float) -> Audio:
    """`audio` resampled so that every frequency is multiplied by 2 ** (semitones / 12) and the length divided by it."""
    if semitones == 0.0 or audio.shape[1] == 0:
        return audio
    import soxr

    moved = soxr.resample(np.ascontiguousarray(audio.T), SAMPLE_RATE * 2.0 ** (semitones / 12), SAMPLE_RATE)
    return np.ascontiguousarray(moved.T, np.float32)


def stretched(audio: Audio, factor: float) -> Audio:
    """`audio` made `factor` times as long at the same pitch.

    Source: waveform similarity overlap-add (Verhelst and Roelands, 1993): grains of 46 ms are laid half over each
    other, each taken from where it continues the grain before it best, within 12 ms of its place.
    """
    hop = _GRAIN // 2
    if factor == 1.0 or audio.shape[1] < 2 * _GRAIN + _SEARCH:
        return audio
    num_grains = max(2, int(audio.shape[1] * factor) // hop - 1)
    padded = np.pad(audio, ((0, 0), (0, 2 * _GRAIN + 2 * _SEARCH)))
    mono = padded.sum(axis=0)
    window = np.hanning(_GRAIN + 1)[:-1].astype(np.float32)
    out = np.zeros((2, (num_grains + 1) * hop), np.float32)
    place = 0
    for index in range(num_grains):
        if index > 0:
            place = _best_place(mono, place + hop, round(index * hop / factor))
        out[:, index * hop : index * hop + _GRAIN] += padded[:, place : place + _GRAIN] * window
    # The first half grain has no predecessor: it stands as it is.
    out[:, :hop] = padded[:, :hop]
    return out


def _best_place(mono: Audio, expected: int, wanted: int) -> int:
    """Start within _SEARCH of `wanted` whose first half grain resembles what follows the grain before it most."""
    low = min(max(0, wanted - _SEARCH), len(mono) - _GRAIN - 2 * _SEARCH)
    target = mono[expected : expected + _GRAIN // 2]
    region = mono[low : low + 2 * _SEARCH + len(target)]
    energy = np.convolve(region**2, np.ones(len(target), np.float32), "valid")
    size = 1 << (len(region) + len(target) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(region, size) * np.conj(np.fft.rfft(target, size)), size)[: len(energy)]
    return low + int(np.argmax(product / np.sqrt(energy + 1e-9)))


def tilted(audio: Audio, tilt_db: float) -> Audio:
    """`audio` with a spectrum that is tilted by tilt_db between 200 Hz and 10 kHz, straight over octaves."""
    if tilt_db == 0.0 or audio.shape[1] == 0:
        return audio
    size = audio.shape[1]
    hertz = np.clip(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), *_TILT_HZ)
    low, high = np.log2(_TILT_HZ)
    gain = 10 ** (tilt_db / 20 * ((np.log2(hertz) - low) / (high - low) - 0.5))
    return np.fft.irfft(np.fft.rfft(audio) * gain, size).astype(np.float32)


def begun(audio: Audio, num_samples: int) -> Audio:
    """The `num_samples` of `audio` from where its sound begins; silence where it is shorter."""
    level = np.abs(audio).max(axis=0)
    first = int(np.argmax(level >= ONSET_LEVEL * level.max())) if level.max() > 0 else 0
    start = max(0, first - ONSET_MARGIN)
    part = audio[:, start : start + num_samples]
    return np.ascontiguousarray(np.pad(part, ((0, 0), (0, num_samples - part.shape[1]))))


def faded(audio: Audio, seconds: float) -> Audio:
    """`audio` without offset that falls to nothing over its last `seconds`, as the square of a quarter of a cosine."""
    size = min(audio.shape[1], round(seconds * SAMPLE_RATE))
    if size < 2:
        return audio
    # An offset that is taken out after the fade would come back at its end.
    out = audio - np.mean(audio, axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    out[:, -size:] *= (np.cos(np.linspace(0, np.pi / 2, size)) ** 2).astype(np.float32)
    return out


MELODIC_STYLES = ("melody", "riff", "arpeggio")
SHORT_STYLES = ("note", "staccato")
LEAD_FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "strings", "brass", "reed", "pipe", "synth lead", "ethnic",
    "voice",
)  # fmt: skip
BACKING_FAMILIES = ("synth pad", "piano", "organ", "strings", "guitar", "voice", "ethnic")
Choice = tuple[Instrument, Preset]


class Performers:
    """Draws instruments and kits."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._by_family: dict[str, list[tuple[Instrument, tuple[Preset, ...]]]] = {}
        for entry in library.instruments:
            self._by_family.setdefault(entry[0].family, []).append(entry)

    def instrument(self, rng: Draw, families: tuple[str, ...] = (), polyphonic: bool = False) -> Choice:
        """An instrument and one of its presets; large families come up more often, by the root of their size."""
        names = tuple(f for f in (families or tuple(self._by_family)) if f in self._by_family)
        weights = np.array([np.sqrt(len(self._by_family[f])) for f in names])
        pool = self._by_family[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        pool = [entry for entry in pool if entry[0].polyphonic or not polyphonic] or self._polyphonic()
        instrument, presets = pool[int(rng.integers(len(pool)))]
        return instrument, presets[int(rng.integers(len(presets)))]

    def _polyphonic(self) -> list[tuple[Instrument, tuple[Preset, ...]]]:
        return [entry for entry in self._library.instruments if entry[0].polyphonic]

    def kit(self, genre: str, rng: Draw) -> Kit:
        """A kit that may play a genre."""
        kits = [kit for kit in self._library.kits if not kit.genres or genre in kit.genres]
        return kits[int(rng.integers(len(kits)))]

    def drum_layer(
        self, kit: Kit, genre: str, bpm: int, num_bars: int, fill: bool, gain_db: float, rng: Draw
    ) -> DrumLayer:
        """A loop on one of the kit's presets, or on one recording for each of its pieces."""
        if kit.sampled:
            return DrumLayer("", genre, bpm, num_bars, fill, self._strokes(kit, rng), gain_db)
        presets = self._library.kit_presets(kit)
        return DrumLayer(presets[int(rng.integers(len(presets)))], genre, bpm, num_bars, fill, (), gain_db)

    def _strokes(self, kit: Kit, rng: Draw) -> tuple[Recording, ...]:
        pieces: dict[str, list[Recording]] = {}
        for recording in self._library.strokes[kit.sampled]:
            pieces.setdefault(recording.piece, []).append(recording)
        return tuple(options[int(rng.integers(len(options)))] for _, options in sorted(pieces.items()))


def drawn_frame(
    instrument: Instrument,
    seconds: float,
    bpm: int,
    tonic: int,
    mode: str,
    rng: Draw,
    degrees: tuple[int, ...] = (),
) -> Frame:
    """Frame for an instrument: at most two octaves somewhere in its range, and a loudness."""
    width = min(24, instrument.high - instrument.low)
    low = instrument.low + int(rng.integers(0, instrument.high - instrument.low - width + 1))
    dynamics = choose(rng, ("soft", "medium", "medium", "loud"))
    return Frame(seconds, bpm, tonic, mode, low, low + width, dynamics, instrument.sustained, degrees)


def list_shared_styles(instrument: Instrument, styles: tuple[str, ...]) -> tuple[str, ...]:
    """The styles that the instrument can play."""
    return tuple(style for style in styles if style in instrument.styles)


def phrase_styles(instrument: Instrument) -> tuple[str, ...]:
    """Styles longer than a single note."""
    return tuple(style for style in instrument.styles if style not in SHORT_STYLES)
