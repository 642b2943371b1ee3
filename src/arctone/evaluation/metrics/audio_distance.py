"""How far a reconstruction is from its original.

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

import numpy as np
import numpy.typing as npt

from arctone.audio.waveform import Waveform
from arctone.evaluation.metrics.spectra import FloatArray, decibels, magnitudes, mel_filters, mel_power, spectra

RESOLUTIONS = (512, 1024, 2048)
DYNAMIC_RANGE_DB = 80.0
NUM_MEL_BANDS = 80
MAX_LEVEL_DIFFERENCE_DB = 30.0
_N_FFT, _HOP = 2048, 512


def validate(reference: Waveform, estimate: Waveform) -> None:
    """Raises: ValueError if the two cannot be compared or the reference is silent, which leaves no scale to judge
    by.
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
    is the mean absolute difference of the natural logarithms. Returns: 0 (equal) and upwards. Raises: ValueError, see
    `validate`.
    """
    validate(reference, estimate)
    return float(np.mean([_stft_distance(reference, estimate, n_fft) for n_fft in RESOLUTIONS]))


def mel_distance(reference: Waveform, estimate: Waveform) -> float:
    """Mean absolute difference of 80 mel bands in dB (window 2048, hop 512). Raises: ValueError, see `validate`."""
    validate(reference, estimate)
    mel_reference, mel_estimate = (_mel(waveform) for waveform in (reference, estimate))
    floor = _power_floor(mel_reference)
    return float(np.mean(np.abs(decibels(mel_reference, floor) - decibels(mel_estimate, floor))))


def si_sdr(reference: Waveform, estimate: Waveform) -> float:
    """Scale-invariant signal-to-distortion ratio in dB over all channels together.

    Returns: infinity for a perfect copy at any level, minus infinity for a silent estimate. Raises: ValueError, see
    `validate`.
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
    Returns: 0 to 60. Raises: ValueError, see `validate`, or if the waveforms are not stereo.
    """
    _validate_stereo(reference, estimate)
    mel_reference, mel_estimate = (_mel(waveform) for waveform in (reference, estimate))
    floor = _power_floor(mel_reference)
    difference = np.abs(_level_difference(mel_reference, floor) - _level_difference(mel_estimate, floor))
    return float(np.average(difference, weights=mel_reference.sum(axis=0)))


def coherence_error(reference: Waveform, estimate: Waveform) -> float:
    """Mean absolute difference of the channels' coherence per mel band, averaged over nine frames (0.1 s).

    Coherence is 1 for a source at one place and falls towards 0 for a wide, diffuse sound. Spots weigh by their energy
    in the reference. Returns: 0 to 1. Raises: ValueError, see `validate`, or if the waveforms are not stereo.
    """
    _validate_stereo(reference, estimate)
    coherence_reference, energy = _coherence(reference)
    coherence_estimate, _ = _coherence(estimate)
    return float(np.average(np.abs(coherence_reference - coherence_estimate), weights=energy))


def log_spectral_correlation(reference: Waveform, estimate: Waveform) -> float:
    """Pearson correlation of the log magnitudes (window 2048, hop 512).

    Returns: -1 to 1; 0 if one of the two spectra is constant. Raises: ValueError, see `validate`.
    """
    validate(reference, estimate)
    power_reference, power_estimate = (np.square(magnitudes(w.samples, _N_FFT, _HOP)) for w in (reference, estimate))
    floor = _power_floor(power_reference)
    a, b = (decibels(power, floor).astype(np.float64).ravel() for power in (power_reference, power_estimate))
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else 0.0


def evaluate(reference: Waveform, estimate: Waveform) -> dict[str, float]:
    """All measures by name; the two stereo measures only for stereo. Raises: ValueError, see `validate`."""
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
