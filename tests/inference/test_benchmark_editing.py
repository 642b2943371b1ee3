"""The benchmark of editing: its distance, and the tables it writes."""

import numpy as np

from arctone.audio.waveform import Waveform
from benchmarks import editing

NOISE = np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32) * 0.1


def test_the_distance_heeds_the_spectrum_and_not_the_level() -> None:
    noise, louder = Waveform(NOISE, 44_100), Waveform(2 * NOISE, 44_100)
    darker = Waveform(np.cumsum(NOISE, axis=1) * 0.1, 44_100)
    assert editing.mel_distance_db(noise, noise) == 0
    assert editing.mel_distance_db(noise, louder) < 0.1
    assert editing.mel_distance_db(noise, darker) > 5


def test_the_tables_hold_every_level_and_every_seam() -> None:
    cell = {"value": 0.5, "low": -1e-9, "high": 0.7, "count": 3}
    measures = {"step_rank": cell, "click_rank": cell, "step_db": cell}
    result = {
        "distances": {"mel_db": [cell] * 5, "aisfx": [cell] * 5},
        "seams": dict.fromkeys(editing.SEAMS, measures),
    }
    levels, seams = editing.levels_block(result).splitlines(), editing.seams_block(result).splitlines()
    assert levels[0].split("|")[2:-1] == [f" {level:g} " for level in editing.LEVELS]
    assert levels[2].count("0.5 (0.0 to 0.7)") + levels[2].count("0.5 (0.0-0.7)") == 5
    assert len(seams) == 2 + len(editing.SEAMS)
    assert all("0.50 (" in row for row in seams[2:])
