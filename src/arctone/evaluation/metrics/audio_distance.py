"""Distances between two sounds: mel and spectral distance, level, stereo.

Conventions
    Both waveforms have the same sample rate, channels and length; nothing is aligned here. Levels matter everywhere
    except in SI-SDR. What lies more than 80 dB below the loudest spot of the original counts as that floor, so that
    inaudible noise does not decide.

Measures
    * :func:`multi_resolution_stft_distance`: spectral convergence plus log-magnitude distance at three resolutions
    * :func:`mel_distance`: difference of the mel bands in dB
    * :func:`si_sdr`: scale-invariant signal-to-distortion ratio in dB, the only one that asks for the phase
    * :func:`stereo_error`: difference of the level difference between the channels in dB
    * :func:`coherence_error`: difference of the coherence between the channels, 0 to 1
    * :func:`log_spectral_correlation`: correlation of the log spectra, -1 to 1

References
    R. Yamamoto et al., "Parallel WaveGAN", ICASSP 2020 (multi-resolution STFT distance).
    J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019 (SI-SDR).

Legend: C channels, N audio samples, T frames, F frequency bins, M mel bands.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform

FloatArray = npt.NDArray[np.float64]
AudioArray = npt.NDArray[np.float32]


def magnitudes(samples: npt.NDArray[np.floating], n_fft: int, hop: int) -> AudioArray:
    """Magnitude spectrogram with a Hann window, scaled so that a full-scale sine peaks at 0.5.

    Args:
        samples: [C, N], any length from 1 (the ends are padded with zeros by half a window).
        n_fft: Samples.
        hop: Samples.

    Returns:
        [C, T, F] with T = 1 + ceil(N / hop) and F = n_fft / 2 + 1.
    """
    return np.asarray(np.abs(spectra(samples, n_fft, hop)), dtype=np.float32)


def spectra(samples: npt.NDArray[np.floating], n_fft: int, hop: int) -> npt.NDArray[np.complex64]:
    """Compute complex short-time spectra, with the scaling and shape of `magnitudes`.

    Args:
        samples: [C, N].
        n_fft: Samples of a frame.
        hop: Samples between frames.

    Returns:
        [C, T, n_fft / 2 + 1].
    """
    window = _hann(n_fft)
    transformed = np.fft.rfft(_frames(samples, n_fft, hop) * window, axis=-1) / np.float32(window.sum())
    return np.asarray(transformed, dtype=np.complex64)


def mel_filters(
    sample_rate: int, n_fft: int, num_bands: int, low_hz: float = 0.0, high_hz: float | None = None
) -> AudioArray:
    """Triangular filters of unit area, equally spaced on the HTK mel scale.

    Args:
        sample_rate: In Hz.
        n_fft: Samples of a window.
        num_bands: Number of bands.
        low_hz: Lower edge of the first band.
        high_hz: Upper edge, the Nyquist frequency when None.

    Returns:
        [F, M].
    """
    return _mel_filters(sample_rate, n_fft, num_bands, low_hz, high_hz or sample_rate / 2)


def slaney_mel_filters(sample_rate: int, n_fft: int, num_bands: int) -> AudioArray:
    """Triangular filters on Slaney's mel scale (linear below 1 kHz), each of area 2 / width in Hz, as librosa's
    default.

    Args:
        sample_rate: In Hz.
        n_fft: Samples of a window.
        num_bands: Number of bands.

    Returns:
        [F, M], from 0 Hz to the Nyquist frequency. Source: M. Slaney, "Auditory Toolbox", 1998.
    """
    edges = _slaney_hertz(np.linspace(0.0, _slaney_mel(sample_rate / 2), num_bands + 2))
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    return np.asarray(triangles * 2 / (edges[2:] - edges[:-2]), dtype=np.float32)


def mel_power(samples: npt.NDArray[np.floating], sample_rate: int, n_fft: int, hop: int, num_bands: int) -> AudioArray:
    """Compute the mean power per mel band.

    Args:
        samples: [C, N].
        sample_rate: In Hz.
        n_fft: Samples of a frame.
        hop: Samples between frames.
        num_bands: Number of mel bands, M.

    Returns:
        [C, T, M].
    """
    return np.square(magnitudes(samples, n_fft, hop)) @ mel_filters(sample_rate, n_fft, num_bands)


def decibels(power: npt.NDArray[np.floating], floor: float) -> npt.NDArray[np.floating]:
    """Convert power to decibels, 10 log10.

    Args:
        power: Any shape.
        floor: Above 0; a smaller power counts as this.

    Returns:
        Decibels, same shape.
    """
    decibel: npt.NDArray[np.floating] = 10.0 * np.log10(np.maximum(power, floor))
    return decibel


def _frames(samples: npt.NDArray[np.floating], n_fft: int, hop: int) -> AudioArray:
    num_samples = samples.shape[-1]
    num_frames = 1 + -(-num_samples // hop)
    tail = (num_frames - 1) * hop + n_fft - n_fft // 2 - num_samples
    padded = np.pad(samples.astype(np.float32), ((0, 0), (n_fft // 2, max(tail, 0))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)
    return np.asarray(frames[:, ::hop][:, :num_frames])


@lru_cache(maxsize=16)
def _hann(n_fft: int) -> AudioArray:
    return np.asarray(np.hanning(n_fft + 1)[:-1], dtype=np.float32)


@lru_cache(maxsize=16)
def _mel_filters(sample_rate: int, n_fft: int, num_bands: int, low_hz: float, high_hz: float) -> AudioArray:
    bins = _hertz_to_mel(np.fft.rfftfreq(n_fft, 1 / sample_rate))[:, None]
    edges = np.linspace(_hertz_to_mel(low_hz), _hertz_to_mel(high_hz), num_bands + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    area = triangles.sum(axis=0)
    # A band narrower than one bin has no bin inside: it takes the nearest one, so that no band is constantly empty.
    empty = np.flatnonzero(area == 0)
    triangles[np.abs(bins - edges[1:-1][empty]).argmin(axis=0), empty] = 1.0
    return np.asarray(triangles / triangles.sum(axis=0), dtype=np.float32)


def _hertz_to_mel(hertz: npt.ArrayLike) -> FloatArray:
    mel: FloatArray = 1127.0 * np.log1p(np.asarray(hertz, dtype=np.float64) / 700.0)
    return mel


_SLANEY_HZ_PER_MEL, _SLANEY_BREAK_HZ, _SLANEY_LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def _slaney_mel(hertz: float) -> float:
    if hertz < _SLANEY_BREAK_HZ:
        return hertz / _SLANEY_HZ_PER_MEL
    return float(_SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL + np.log(hertz / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP)


def _slaney_hertz(mel: FloatArray) -> FloatArray:
    start = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mel - start))
    return np.asarray(np.where(mel < start, mel * _SLANEY_HZ_PER_MEL, above))


RESOLUTIONS = (512, 1024, 2048)
DYNAMIC_RANGE_DB = 80.0
NUM_MEL_BANDS = 80
MAX_LEVEL_DIFFERENCE_DB = 30.0
_N_FFT, _HOP = 2048, 512


def validate(reference: Waveform, estimate: Waveform) -> None:
    """Refuse arguments that cannot be measured.

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Raises:
        ValueError: if the two cannot be compared or the reference is silent, which leaves no scale to compare by.
    """
    if reference.sample_rate != estimate.sample_rate:
        raise ValueError(
            f"the estimate has {estimate.sample_rate} Hz, but must have the reference's {reference.sample_rate} Hz."
        )
    if reference.samples.shape != estimate.samples.shape:
        raise ValueError(
            f"the estimate has the shape {estimate.samples.shape}, but must have {reference.samples.shape} "
            "as the reference has."
        )
    if reference.num_samples == 0:
        raise ValueError("the waveforms are empty, but must have at least one sample.")
    if not reference.samples.any():
        raise ValueError("the reference is silent, so there is no level to compare with.")


def multi_resolution_stft_distance(reference: Waveform, estimate: Waveform) -> float:
    """Mean over window lengths of 512, 1024 and 2048 samples (hop a quarter) of spectral convergence + log distance.

    Spectral convergence is the Frobenius norm of the magnitude difference over that of the reference; the log distance
    is the mean absolute difference of the natural logarithms.

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Returns:
        0 (equal) and upwards.

    Raises:
        ValueError: see `validate`.
    """
    validate(reference, estimate)
    return float(np.mean([_stft_distance(reference, estimate, n_fft) for n_fft in RESOLUTIONS]))


def mel_distance(reference: Waveform, estimate: Waveform) -> float:
    """Compute the mean absolute difference of 80 mel bands in dB (window 2048, hop 512).

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Returns:
        0 dB and upwards.

    Raises:
        ValueError: see `validate`.
    """
    validate(reference, estimate)
    mel_reference, mel_estimate = (_mel(waveform) for waveform in (reference, estimate))
    floor = _power_floor(mel_reference)
    return float(np.mean(np.abs(decibels(mel_reference, floor) - decibels(mel_estimate, floor))))


def si_sdr(reference: Waveform, estimate: Waveform) -> float:
    """Scale-invariant signal-to-distortion ratio in dB over all channels together.

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Returns:
        Infinity for a perfect copy at any level, minus infinity for a silent estimate.

    Raises:
        ValueError: see `validate`.
    """
    validate(reference, estimate)
    target = reference.samples.astype(np.float64).ravel()
    signal = estimate.samples.astype(np.float64).ravel()
    projected = (signal @ target) / (target @ target) * target
    wanted, unwanted = np.sum(np.square(projected)), np.sum(np.square(signal - projected))
    # Below this the difference is the rounding of float64 itself.
    if unwanted <= 1e-24 * wanted:
        return float("inf") if wanted > 0 else float("-inf")
    return float(10 * np.log10(wanted / unwanted)) if wanted > 0 else float("-inf")


def stereo_error(reference: Waveform, estimate: Waveform) -> float:
    """Mean absolute difference, in dB, of the level difference left - right per mel band and frame.

    Spots weigh by their energy in the reference; level differences are limited to +-30 dB.

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Returns:
        0 to 60.

    Raises:
        ValueError: see `validate`, or if the waveforms are not stereo.
    """
    _validate_stereo(reference, estimate)
    mel_reference, mel_estimate = (_mel(waveform) for waveform in (reference, estimate))
    floor = _power_floor(mel_reference)
    difference = np.abs(_level_difference(mel_reference, floor) - _level_difference(mel_estimate, floor))
    return float(np.average(difference, weights=mel_reference.sum(axis=0)))


def coherence_error(reference: Waveform, estimate: Waveform) -> float:
    """Mean absolute difference of the channels' coherence per mel band, averaged over nine frames (0.1 s).

    Coherence is 1 for a source at one place and falls towards 0 for a wide, diffuse sound. Spots weigh by their energy
    in the reference.

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Returns:
        0 to 1.

    Raises:
        ValueError: see `validate`, or if the waveforms are not stereo.
    """
    _validate_stereo(reference, estimate)
    coherence_reference, energy = _coherence(reference)
    coherence_estimate, _ = _coherence(estimate)
    return float(np.average(np.abs(coherence_reference - coherence_estimate), weights=energy))


def log_spectral_correlation(reference: Waveform, estimate: Waveform) -> float:
    """Pearson correlation of the log magnitudes (window 2048, hop 512).

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Returns:
        -1 to 1; 0 if one of the two spectra is constant.

    Raises:
        ValueError: see `validate`.
    """
    validate(reference, estimate)
    power_reference, power_estimate = (np.square(magnitudes(w.samples, _N_FFT, _HOP)) for w in (reference, estimate))
    floor = _power_floor(power_reference)
    a, b = (decibels(power, floor).astype(np.float64).ravel() for power in (power_reference, power_estimate))
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else 0.0


def evaluate(reference: Waveform, estimate: Waveform) -> dict[str, float]:
    """Compute all measures; the two stereo measures only for stereo.

    Args:
        reference: Original sound.
        estimate: Sound to compare, of the same rate and shape.

    Returns:
        Values by name.

    Raises:
        ValueError: see `validate`.
    """
    measures = {
        "multi_resolution_stft_distance": multi_resolution_stft_distance(reference, estimate),
        "mel_distance_db": mel_distance(reference, estimate),
        "si_sdr_db": si_sdr(reference, estimate),
        "log_spectral_correlation": log_spectral_correlation(reference, estimate),
    }
    if reference.num_channels == 2:
        measures["stereo_error_db"] = stereo_error(reference, estimate)
        measures["coherence_error"] = coherence_error(reference, estimate)
    return measures


def _validate_stereo(reference: Waveform, estimate: Waveform) -> None:
    validate(reference, estimate)
    if reference.num_channels != 2:
        raise ValueError(f"the waveforms have {reference.num_channels} channel(s), but a stereo measure needs 2.")


def _stft_distance(reference: Waveform, estimate: Waveform, n_fft: int) -> float:
    a, b = (magnitudes(waveform.samples, n_fft, n_fft // 4) for waveform in (reference, estimate))
    convergence = np.linalg.norm(a - b) / np.linalg.norm(a)
    floor = np.sqrt(_power_floor(np.square(a)))
    log_distance = np.mean(np.abs(np.log(np.maximum(a, floor)) - np.log(np.maximum(b, floor))))
    return float(convergence + log_distance)


def _mel(waveform: Waveform) -> npt.NDArray[np.float32]:
    return mel_power(waveform.samples, waveform.sample_rate, _N_FFT, _HOP, NUM_MEL_BANDS)


def _power_floor(power: npt.NDArray[np.float32]) -> float:
    return float(power.max()) * 10 ** (-DYNAMIC_RANGE_DB / 10)


def _level_difference(mel: npt.NDArray[np.float32], floor: float) -> npt.NDArray[np.floating]:
    left, right = decibels(mel, floor)
    return np.asarray(np.clip(left - right, -MAX_LEVEL_DIFFERENCE_DB, MAX_LEVEL_DIFFERENCE_DB))


def _coherence(waveform: Waveform) -> tuple[FloatArray, FloatArray]:
    """Coherence and energy per frame and band, both [T, M]."""
    left, right = spectra(waveform.samples, _N_FFT, _HOP)
    filters = mel_filters(waveform.sample_rate, _N_FFT, NUM_MEL_BANDS)
    cross = left * right.conj() @ filters
    power_left, power_right = (_smoothed(np.abs(channel) ** 2 @ filters) for channel in (left, right))
    common = np.hypot(_smoothed(cross.real), _smoothed(cross.imag))
    energy = power_left + power_right
    norm = np.sqrt(power_left * power_right)
    floor = energy.max() * 10 ** (-DYNAMIC_RANGE_DB / 10)
    return np.where(norm > floor, common / np.maximum(norm, floor), 1.0), energy


def _smoothed(values: npt.NDArray[np.floating], num_frames: int = 9) -> FloatArray:
    """Sum of each frame and its neighbours, [T, M]."""
    padded = np.pad(values.astype(np.float64), ((num_frames // 2 + 1, num_frames // 2), (0, 0)))
    running = np.cumsum(padded, axis=0)
    return np.asarray(running[num_frames:] - running[:-num_frames])
