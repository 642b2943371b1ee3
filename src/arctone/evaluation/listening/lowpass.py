"""The low-pass of MUSHRA anchors.

Reference: ITU-R BS.1534-3, on anchors: the 3.5 kHz anchor passes up to its cutoff within 0.1 dB and is at least 25 dB
down at 4 kHz and 50 dB at 4.5 kHz.
"""

import math

import numpy as np

from arctone.audio.waveform import Waveform

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
