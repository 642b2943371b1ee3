"""The sounds that listeners hear: cut to one length, brought to one loudness, nothing else in their files.

All clips of a prompt are cut to the shortest of them. All sounds of a test have the same integrated loudness
(ITU-R BS.1770-4): -23 LUFS (EBU R 128), or as near as the sound with the highest peaks comes without passing -1 dBFS.
They are written as 16-bit WAV at 44.1 kHz, stereo, without any tag.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from arctone.audio.files import encode_audio
from arctone.audio.loudness import fade, loudness_lufs, peak_db, with_gain
from arctone.audio.waveform import Waveform
from arctone.errors import InputFileError
from arctone.evaluation.listening.choice import Clip

_TRANSITION_HZ = 500.0
_ATTENUATION_DB = 60.0


def lowpass(waveform: Waveform, cutoff_hz: float) -> Waveform:
    """The sound without what lies above cutoff_hz; same length, no delay.

    Linear phase, flat up to cutoff_hz, 60 dB down from cutoff_hz + 500 on (a sinc under a Kaiser window). A cutoff so
    near to half the sample rate that nothing is left to cut gives the input itself.
    """
    if cutoff_hz + _TRANSITION_HZ >= waveform.sample_rate / 2:
        return waveform
    taps = _taps(cutoff_hz, waveform.sample_rate)
    size = 1 << (waveform.num_samples + len(taps)).bit_length()
    spectrum = np.fft.rfft(waveform.samples.astype(np.float64), size) * np.fft.rfft(taps, size)
    delay = len(taps) // 2
    return waveform.with_samples(np.fft.irfft(spectrum, size)[:, delay : delay + waveform.num_samples])


def _taps(cutoff_hz: float, sample_rate: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    width = 2 * math.pi * _TRANSITION_HZ / sample_rate
    half = math.ceil((_ATTENUATION_DB - 7.95) / (2.285 * width) / 2)
    middle = 2 * (cutoff_hz + _TRANSITION_HZ / 2) / sample_rate
    beta = 0.1102 * (_ATTENUATION_DB - 8.7)
    return np.asarray(middle * np.sinc(middle * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, beta))


SAMPLE_RATE = 44_100
TARGET_LUFS = -23.0
PEAK_LIMIT_DB = -1.0
LOW_TARGET_LUFS = -36.0
MIN_SECONDS = 0.25
GAP_SECONDS = 0.5
_FADE_IN_SECONDS, _FADE_OUT_SECONDS = 0.002, 0.02
_VOLUME_SECONDS = 5.0


@dataclass(frozen=True)
class Sound:
    """One clip as it is heard.

    Args:
        name: Opaque.
        num_samples: Length.
        lowpass_hz: Of an anchor; None leaves the band as it is.
    """

    name: str
    clip: Clip
    num_samples: int
    lowpass_hz: float | None = None


@dataclass(frozen=True)
class Joined:
    """Several sounds in one file, with pauses of half a second.

    Args:
        name: Opaque.
    """

    name: str
    sounds: tuple[Sound, ...]


def shortest(clips: Iterable[Clip]) -> int:
    """Find the length of the shortest clip.

    Args:
        clips: Clips of one prompt.

    Returns:
        Samples.

    Raises:
        InputFileError: if that is less than 0.25 s.
    """
    clip = min(clips, key=lambda clip: clip.num_samples)
    if clip.num_samples < MIN_SECONDS * SAMPLE_RATE:
        seconds = clip.num_samples / SAMPLE_RATE
        raise InputFileError(f"{clip.name} is {seconds:.2f} s long, but a sound to be judged needs {MIN_SECONDS} s.")
    return clip.num_samples


class Levels:
    """One loudness for all sounds.

    Args:
        sounds: All of the test. Fields: target_lufs; gains_db by name.

    Raises:
        InputFileError: if a sound is silent, so that it has no loudness, or cannot be decoded.
    """

    def __init__(self, sounds: Sequence[Sound]) -> None:
        measured = {sound.name: _measured(sound) for sound in sounds}
        room = min(loudness + PEAK_LIMIT_DB - peak for loudness, peak in measured.values())
        self.target_lufs = min(TARGET_LUFS, room)
        self.gains_db = {name: self.target_lufs - loudness for name, (loudness, _) in measured.items()}

    def file(self, stimulus: Sound | Joined) -> bytes:
        """The WAV file of a sound or of several."""
        if isinstance(stimulus, Sound):
            return encode_audio(self._levelled(stimulus), "wav")
        gap = np.zeros((2, round(GAP_SECONDS * SAMPLE_RATE)), np.float32)
        parts = [part for sound in stimulus.sounds for part in (gap, self._levelled(sound).samples)]
        return encode_audio(Waveform(np.concatenate(parts[1:], axis=1), SAMPLE_RATE), "wav")

    def volume_file(self, seed: int) -> bytes:
        """Noise at the loudness of the test, to set the volume by."""
        noise = _pink_noise(seed)
        return encode_audio(with_gain(noise, self.target_lufs - loudness_lufs(noise)), "wav")

    def _levelled(self, sound: Sound) -> Waveform:
        return with_gain(_cut(sound), self.gains_db[sound.name])


def _measured(sound: Sound) -> tuple[float, float]:
    waveform = _cut(sound)
    loudness = loudness_lufs(waveform)
    if math.isinf(loudness):
        raise InputFileError(f"{sound.clip.name} is silent (below -70 LUFS), so it cannot be brought to a loudness.")
    return loudness, peak_db(waveform)


def _cut(sound: Sound) -> Waveform:
    waveform = sound.clip.waveform()
    waveform = waveform.with_samples(waveform.samples[:, : sound.num_samples])
    if sound.lowpass_hz is not None:
        waveform = lowpass(waveform, sound.lowpass_hz)
    return fade(waveform, _FADE_IN_SECONDS, _FADE_OUT_SECONDS)


@cache
def _pink_noise(seed: int) -> Waveform:
    count = round(_VOLUME_SECONDS * SAMPLE_RATE)
    frequency_hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    shape = np.where(frequency_hz >= 40, 1 / np.sqrt(np.maximum(frequency_hz, 40)), 0)
    noise = np.fft.irfft(np.fft.rfft(np.random.default_rng(seed).standard_normal(count)) * shape, count)
    samples = np.repeat((0.1 * noise / noise.std()).astype(np.float32)[None], 2, axis=0)
    return fade(Waveform(samples, SAMPLE_RATE), 0.05, 0.05)
