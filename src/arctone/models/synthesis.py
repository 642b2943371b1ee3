"""The synthesis of `audio.spectral.synthesis` in torch: for batches, on any device.

The same draws give the same sound, but for rounding. On a processor numpy is faster. Here no step depends on the values
and nothing waits for the host, so that a whole request can be recorded as one CUDA graph.
Shapes: B batch, A = 2 channels, M frames of 512 samples, K = 1025 bins, N_B = 48 bands.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional

from arctone.audio.spectral import stft
from arctone.audio.spectral.features import DIFFERENCE_SCALE, FLOOR, LEVEL_CENTRE, LEVEL_SCALE, NUM_BANDS, interpolation
from arctone.audio.spectral.phase import MOMENTUM
from arctone.audio.spectral.stft import HOP, N_FFT, NUM_BINS, NUM_OVERLAPS, PADDING
from arctone.audio.spectral.synthesis import COHERENCE_FRAMES, NOISE_SCATTER


def synthesise(parameters: Tensor, noise: Tensor, start: Tensor, signs: Tensor, iterations: int = 1) -> Tensor:
    """Synthesise stereo audio from spectral parameters.

    Args:
        parameters: [B, 1169, M], see `audio.spectral.synthesis`.
        noise: White noise, [B, 512 M + 1536].
        start: Phases before the first frame, [B, K], radians.
        signs: To which side the channels are parted, [B, K].
        iterations: Griffin-Lim refinements.

    Returns:
        [B, A, 512 M].
    """
    level, difference, coherence, scatter = parameters.float().mT.split([NUM_BINS, *[NUM_BANDS] * 3], dim=-1)
    amount = _to_bins(scatter.exp() * (LEVEL_SCALE / NOISE_SCATTER)).clamp(max=1).square()
    drawn = level * LEVEL_SCALE + LEVEL_CENTRE + amount * _deviation(noise)
    common = phases(drawn, start)
    magnitude = (drawn.clamp(max=9).exp() - FLOOR).clamp(min=0)
    half_spread = _to_bins(0.5 * _smoothed(coherence.clamp(-1, 1)).clamp(-1, 1).acos()) * signs.unsqueeze(1)
    ratio = (difference * DIFFERENCE_SCALE).clamp(-8, 8).exp()
    norm = (0.5 * (ratio + 1 / ratio)).rsqrt()
    gains = torch.stack([ratio.sqrt() * norm, norm / ratio.sqrt()], dim=1)
    wanted = _to_bins(gains) * magnitude.unsqueeze(1)
    angle = torch.stack([common + half_spread, common - half_spread], dim=1)
    return refined(wanted, angle, iterations)[..., PADDING:-PADDING]


def phases(log_magnitude: Tensor, start: Tensor) -> Tensor:
    """Compute the phase of each bin at the frame centres, see `audio.spectral.phase`: every bin follows its nearest
    peak.

    What a frame does to the phases, taking each from a peak and turning it, and what several do one after another are
    of the same kind, so all frames are found in log2(M) rounds.

    Args:
        log_magnitude: [B, M, K].
        start: Phase before the first frame, [B, K].

    Returns:
        [B, M, K], radians.
    """
    owners = _owners(log_magnitude)
    turns = _advance(log_magnitude).gather(-1, owners)
    num_frames, reach = owners.shape[1], 1
    while reach < num_frames:
        later, earlier = owners[:, reach:], owners[:, :-reach]
        turns = torch.cat([turns[:, :reach], _wrapped(turns[:, reach:] + turns[:, :-reach].gather(-1, later))], dim=1)
        owners = torch.cat([owners[:, :reach], earlier.gather(-1, later)], dim=1)
        reach *= 2
    return turns + start.unsqueeze(1).expand_as(turns).gather(-1, owners)


def refined(magnitude: Tensor, angle: Tensor, iterations: int) -> Tensor:
    """Compute waveforms whose spectrograms come near to the wanted magnitudes: fast Griffin-Lim, see
    `audio.spectral.phase`.

    Args:
        magnitude: [..., M, K].
        angle: [..., M, K], radians.
        iterations: 0 = the inverse transform only.

    Returns:
        [..., 512 M + 1536], with 768 zeros at each end.
    """
    centre = _constant("centre", magnitude.device)
    samples = overlap_add(torch.polar(magnitude, angle) * centre)
    before: Tensor | None = None
    for _ in range(iterations):
        projected = _spectrum(samples)
        ahead = projected if before is None else projected + MOMENTUM * (projected - before)
        before = projected
        samples = overlap_add(ahead * (magnitude / ahead.abs().clamp(min=1e-9)))
    return samples


def overlap_add(spectrum: Tensor) -> Tensor:
    """Compute the waveforms whose frames are nearest to a spectrum: `istft` in torch.

    Args:
        spectrum: [..., M, K], complex.

    Returns:
        [..., 512 M + 1536].
    """
    frames = torch.fft.irfft(spectrum, n=N_FFT) * _constant("window", spectrum.device)
    parts = frames.unflatten(-1, (NUM_OVERLAPS, HOP))
    num_hops = frames.shape[-2] + NUM_OVERLAPS - 1
    hops = sum(
        functional.pad(parts[..., part, :], (0, 0, part, NUM_OVERLAPS - 1 - part)) for part in range(NUM_OVERLAPS)
    )
    assert isinstance(hops, Tensor)
    samples = (hops / _coverage(num_hops, spectrum.device)).flatten(-2)
    return functional.pad(samples[..., PADDING:-PADDING], (PADDING, PADDING))


def _spectrum(padded: Tensor) -> Tensor:
    return torch.fft.rfft(padded.unfold(-1, N_FFT, HOP) * _constant("window", padded.device))


def _deviation(noise: Tensor) -> Tensor:
    return 0.5 * (_spectrum(noise).abs().square() + 1e-4).log()


def _owners(log_magnitude: Tensor) -> Tensor:
    """The peak that is nearest to each bin, the lower of two, [B, M, K]; the middle bin where there is no peak."""
    rising = log_magnitude[..., 1:] > log_magnitude[..., :-1]
    is_peak = functional.pad(rising[..., :-1] & ~rising[..., 1:], (1, 1))
    bins = torch.arange(NUM_BINS, device=log_magnitude.device).expand_as(is_peak)
    is_peak = is_peak | (~is_peak.any(-1, keepdim=True) & (bins == NUM_BINS // 2))
    none_below, none_above = -4 * NUM_BINS, 4 * NUM_BINS
    below = torch.where(is_peak, bins, none_below).cummax(-1).values
    above = torch.where(is_peak, bins, none_above).flip(-1).cummin(-1).values.flip(-1)
    return torch.where(bins - below <= above - bins, below, above)


def _advance(log_magnitude: Tensor) -> Tensor:
    """How far a peak at each bin would turn in a hop, [B, M, K], -pi to pi."""
    before, here, after = log_magnitude[..., :-2], log_magnitude[..., 1:-1], log_magnitude[..., 2:]
    curvature = (2 * (before + after - 2 * here)).clamp(max=-1e-6)
    offset = functional.pad(((before - after) / curvature).clamp(-0.5, 0.5), (1, 1))
    bins = torch.arange(NUM_BINS, device=log_magnitude.device)
    # Whole turns are taken out first, or float32 loses the phase.
    return _wrapped(((bins % (N_FFT // HOP)) + offset) * (2 * math.pi * HOP / N_FFT))


def _wrapped(angle: Tensor) -> Tensor:
    return angle - (2 * math.pi) * torch.round(angle / (2 * math.pi))


def _to_bins(bands: Tensor) -> Tensor:
    return bands @ _constant("interpolation", bands.device)


def _smoothed(rows: Tensor) -> Tensor:
    """Moving average over time of [B, M, N_B]."""
    half = COHERENCE_FRAMES // 2
    padded = functional.pad(rows.mT, (half, half), mode="replicate")
    return functional.avg_pool1d(padded, COHERENCE_FRAMES, stride=1).mT


@functools.cache
def _constant(name: str, device: torch.device) -> Tensor:
    """Kept on the device: while a graph is recorded nothing may be copied there."""
    made = {
        "window": lambda: torch.from_numpy(stft.hann()),
        "centre": lambda: 1.0 - 2.0 * (torch.arange(NUM_BINS) % 2),
        "interpolation": lambda: torch.from_numpy(interpolation()),
    }
    return made[name]().float().to(device)


@functools.lru_cache(maxsize=16)
def _coverage(num_hops: int, device: torch.device) -> Tensor:
    """Sum of the squared windows over each sample, [hops, 512]; fewer frames lie over the ends."""
    squared = torch.from_numpy(stft.hann()).square().view(NUM_OVERLAPS, HOP)
    num_frames = num_hops - NUM_OVERLAPS + 1
    found = torch.zeros(num_hops, HOP)
    for part in range(NUM_OVERLAPS):
        found[part : part + num_frames] += squared[part]
    return found.clamp(min=1e-3).to(device)
