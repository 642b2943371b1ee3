"""What a window made, put into the sound: level matched to what it adjoins, cross-faded inside what is made."""

from __future__ import annotations

import numpy as np

from arctone.audio.crossfade import FADE_SECONDS, matching_gain_db, replaced
from arctone.audio.waveform import Samples
from arctone.config_model import ModelConfig
from arctone.generation.job import Job, Span
from arctone.generation.windows import Window

# Between two windows, both of which hold the same sound there.
WINDOW_FADE_SECONDS = 0.1
# How much of the kept sound beside a seam its level is compared with.
LEVEL_SECONDS = 1.0


def joined(
    sound: Samples, decoded: Samples, window: Window, kept_before: int | None, job: Job, config: ModelConfig
) -> Samples:
    """The sound with what a window made.

    Args: sound: [channels, N] so far. decoded: [channels, M], the whole window's sound, known frames too.
        kept_before: the kept_stop of the window before; None for the first.
    """
    hop = config.hop_length
    begin = window.start * hop
    fade = round(WINDOW_FADE_SECONDS * config.sample_rate)
    low = begin if kept_before is None else max(begin, kept_before * hop - fade)
    is_last = window.kept_stop >= job.num_frames(config)
    high = min(job.num_samples if is_last else window.kept_stop * hop, begin + decoded.shape[1])
    for span in job.spans:
        first, end = max(span[0], low), min(span[1], high)
        if first < end:
            fades = (
                fade if first > span[0] else _edge(first, config),
                _edge(job.num_samples - end, config) if end == span[1] else 0,
            )
            part = _levelled(sound, decoded, begin, (first, end), span, config)
            sound = replaced(sound, part, first, *fades)
    return sound


def _edge(room: int, config: ModelConfig) -> int:
    """Length of the fade at the edge of a span: none where the sound itself ends."""
    return round(FADE_SECONDS * config.sample_rate) if room > 0 else 0


def _levelled(sound: Samples, decoded: Samples, begin: int, part: Span, span: Span, config: ModelConfig) -> Samples:
    """The decoded part at the level of what is kept before it and, where its span ends there, after it."""
    first, end = part
    reach = round(LEVEL_SECONDS * config.sample_rate)
    before = (max(begin, first - reach), first)
    after = (end, min(begin + decoded.shape[1], sound.shape[1], end + reach)) if end == span[1] else (end, end)
    found = [_gain_db(sound, decoded, begin, where) for where in (before, after)]
    known = [gain for gain in found if gain is not None]
    out = decoded[:, first - begin : end - begin]
    if not known:
        return out
    ramp = np.linspace(known[0], known[-1], end - first, dtype=np.float64)
    return out * (10 ** (ramp / 20)).astype(np.float32)


def _gain_db(sound: Samples, decoded: Samples, begin: int, where: Span) -> float | None:
    first, end = where
    if end <= first:
        return None
    return matching_gain_db(decoded[:, first - begin : end - begin], sound[:, first:end])
