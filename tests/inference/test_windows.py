"""Windows: everything unknown is made, always next to something known, on bar lines where there are bars."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arctone.inference.edit_plan import Window, windows


def test_a_sound_that_fits_is_one_window() -> None:
    assert windows(np.ones(256, bool), 256) == [Window(0, 256, 256)]
    assert windows(np.arange(200) > 150, 256) == [Window(0, 200, 200)]


def test_nothing_unknown_needs_no_window() -> None:
    assert windows(np.zeros(500, bool), 256) == []


def test_a_long_sound_is_made_with_a_quarter_known_before_and_an_eighth_drafted_after() -> None:
    assert windows(np.ones(600, bool), 256) == [
        Window(0, 256, 224),
        Window(160, 416, 384),
        Window(320, 576, 544),
        Window(344, 600, 600),
    ]


def test_a_short_gap_in_a_long_sound_needs_one_window_around_it() -> None:
    unknown = np.zeros(2000, bool)
    unknown[1000:1040] = True
    assert windows(unknown, 256) == [Window(936, 1192, 1160)]


@given(st.integers(8, 64), st.lists(st.booleans(), min_size=1, max_size=400), st.none() | st.floats(1, 60))
def test_every_unknown_frame_is_made_next_to_known_ones(max_frames: int, flags: list[bool], bar: float | None) -> None:
    unknown = np.array(flags)
    before = -1
    for window in windows(unknown, max_frames, bar):
        assert 0 <= window.start < window.kept_stop <= window.stop <= len(unknown)
        assert window.stop - window.start <= max_frames
        first = int(np.flatnonzero(unknown)[0])
        assert window.start <= first < window.kept_stop
        assert window.start == 0 or first - window.start >= max_frames // 4
        assert window.kept_stop > before
        unknown[window.start : window.kept_stop] = False
        before = window.kept_stop
    assert not unknown.any()


def test_windows_begin_on_bar_lines() -> None:
    bar_frames = 2.0 * 44_100 / 2048  # 4 beats at 120 BPM
    found = windows(np.ones(2000, bool), 256, bar_frames)
    assert len(found) > 5
    for window in found:
        assert abs(window.start - round(window.start / bar_frames) * bar_frames) <= 0.5
