"""Start sounds, on both engines: restyled, remade in parts, continued; dropped, recorded, taken from a take."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

import arctone
from arctone.audio.regions import EXTEND_FADE_SECONDS
from arctone.audio.tags import read_metadata
from tests.serving.studio.studio_page import Page
from tools import site

JOIN = 33075 - round(EXTEND_FADE_SECONDS * 44100)  # from here on 0.75 s flow into what follows


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """One second of 330 Hz, stereo."""
    times = np.arange(44100) / 44100
    sound = 0.5 * np.sin(2 * np.pi * 330 * times).astype(np.float32)
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.stack([sound, sound], axis=1), 44100, subtype="PCM_16")
    return path


def stored(page: Page, number: int = 0) -> np.ndarray:
    found: np.ndarray = soundfile.read(io.BytesIO(page.sound(number)), dtype="int16")[0]
    return found


def ready(page: Page, name: str) -> None:
    """Wait until a start sound is shown and its waveform takes ranges."""
    page.wait(f"document.querySelector('#source .filename')?.textContent.startsWith('{name}')")
    page.wait("document.getElementById('source').dataset.ready !== undefined")


def start_in_the_form(page: Page, prompt: str) -> None:
    page.type("duration_seconds", "")
    page.type("variations", "1")
    page.type("seed", "4")
    page.type("prompt", prompt)
    page.press("\ue007")


def likeness(sound: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two sounds as they lie in time, over their common length."""
    length = min(len(sound), len(other))
    return float(np.corrcoef(sound[:length, 0].astype(float), other[:length, 0].astype(float))[0, 1])


def test_dropped_audio_is_restyled_as_far_as_the_slider_says(any_page: Page, tone: Path):
    page = any_page
    page.drop("#drop-start", tone)
    ready(page, "tone.wav")
    likenesses = []
    for number, style in enumerate((0, 1)):
        page.script(
            f"(() => {{ const s = document.getElementById('style'); s.value = {style}; "
            "s.dispatchEvent(new Event('input')) })()"
        )
        start_in_the_form(page, "organ")
        page.wait(f"document.querySelectorAll('#batches .take').length === {number + 1}")
        likenesses.append(abs(likeness(stored(page), soundfile.read(tone, dtype="int16")[0])))
        assert "restyled from tone.wav" in page.text(".facts")
    assert len(stored(page)) == 44100
    kept, forgotten = likenesses
    assert kept > 0.99
    assert forgotten < 0.2


def test_a_range_dragged_over_the_waveform_is_remade_and_all_else_stays(any_page: Page, tone: Path):
    page = any_page
    from selenium.webdriver.common.action_chains import ActionChains

    page.drop("#drop-start", tone)
    ready(page, "tone.wav")
    wave = page.driver.find_element("css selector", "#source .wave")
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", wave)
    width = wave.size["width"]
    actions = ActionChains(page.driver, duration=20)
    actions.move_to_element_with_offset(wave, int(-0.1 * width), 0).click_and_hold()
    for step in range(5):
        actions.move_to_element_with_offset(wave, int((-0.08 + 0.06 * step) * width), 0)
    actions.release().perform()
    page.wait("document.querySelectorAll('.parts li').length === 1")
    assert page.script("document.querySelector('input[name=mode]:checked').value") == "inpaint"
    begin, end = (
        float(number) for number in page.script("[...document.querySelectorAll('.parts input')].map((e) => e.value)")
    )
    assert begin == pytest.approx(0.4, abs=0.03)
    assert end == pytest.approx(0.66, abs=0.03)
    start_in_the_form(page, "a gap in it")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    made, before = stored(page), soundfile.read(tone, dtype="int16")[0]
    changed = np.flatnonzero((made != before).any(axis=1)) / 44100
    assert begin - 0.001 <= changed.min() <= begin + 0.1
    assert end - 0.1 <= changed.max() <= end + 0.001


def test_parts_are_also_given_by_keyboard_and_a_missing_part_is_reported(any_page: Page):
    page = any_page
    page.generate("first", seconds="1")
    page.leave_field()
    page.press("i")
    ready(page, "first-7.wav")
    page.leave_field()
    start_in_the_form(page, "first")
    page.wait("document.getElementById('hint-source').textContent.startsWith('Drag over the start sound')")
    page.click("#source button", "Add a part")
    assert page.script("document.activeElement.getAttribute('aria-label')") == "Part 1 from, seconds"
    page.press("0", ".", "2", "\ue004", "\ue004")
    page.wait("document.querySelector('.parts input').value.endsWith('2')")


def test_a_take_is_continued_and_the_batch_can_be_made_again_after_a_reload(any_page: Page):
    page = any_page
    page.generate("start", seconds="0.75")
    first = stored(page)
    page.leave_field()
    page.press("c")
    ready(page, "start-7.wav")
    assert page.script("document.querySelector('input[name=mode]:checked').value") == "extend"
    assert page.value("duration_seconds") == "1.5"
    page.type("prompt", "go on")
    page.press("\ue007")
    page.wait("document.querySelectorAll('#batches .take').length === 2")
    longer = stored(page)
    assert len(longer) == 66150
    changed = np.flatnonzero((longer[: len(first)] != first).any(axis=1))
    assert changed.size == 0 or changed.min() >= JOIN
    page.open()
    page.click("#batches button", "Re-roll")
    page.wait("document.querySelectorAll('#batches .take').length === 3")
    again = stored(page)
    assert np.array_equal(again[:JOIN], first[:JOIN])
    assert not np.array_equal(again[33075:], longer[33075:])


def test_a_recording_becomes_the_start_sound(any_page: Page):
    page = any_page
    page.click("#record")
    page.wait("document.getElementById('record').textContent === 'Stop recording'")
    page.wait("new Promise((wake) => setTimeout(() => wake(true), 700))")
    page.click("#record")
    ready(page, "recording.wav")
    start_in_the_form(page, "what I sang")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    assert 0.3 < len(stored(page)) / 44100 < 60


def test_what_is_not_sound_is_refused_in_words(any_page: Page, tmp_path: Path):
    page = any_page
    (tmp_path / "notes.txt").write_text("no sound")
    page.drop("#drop-start", tmp_path / "notes.txt")
    page.wait("document.querySelector('.problem') !== null")
    assert "notes.txt is not a sound that this browser can read." in page.text(".problem")


def test_a_link_to_an_edit_makes_its_start_sound_first(any_page: Page, tiny_model_folder: Path, tmp_path: Path):
    page = any_page
    model = arctone.load(tiny_model_folder, engine="native", threads=1)
    start = model.generate("rain", duration_seconds=0.6, seed=3, steps=2)
    arctone.write_audio(tmp_path / "start.opus", start.waveforms[0], metadata=start.to_metadata(0))
    source = {"source": start.waveforms[0], "source_name": "start.wav"}
    edit = model.generate("organ", **source, inpaint=["0.2:0.4"], seed=4, steps=2)
    arctone.write_audio(tmp_path / "edit.opus", edit.waveforms[0], metadata=edit.to_metadata(0))
    page.driver.get("about:blank")
    page.driver.get(f"{page.address.rstrip('/')}/#{site.address(tmp_path / 'edit.opus')}")
    page.wait("document.body.dataset.ready !== undefined")
    assert "rain · made first" in page.text("#source")
    page.click("#form button[type=submit]")
    page.wait("document.querySelectorAll('#batches .take').length === 2")
    page.wait('document.querySelector("#batches [data-state=waiting]") === null')
    made, before = stored(page), stored(page, 1)
    changed = np.flatnonzero((made != before).any(axis=1)) / 44100
    assert 0.2 <= changed.min() < changed.max() < 0.4
    for number, wanted in enumerate((edit, start)):
        (tmp_path / f"{number}.wav").write_bytes(page.sound(number))
        record = read_metadata(tmp_path / f"{number}.wav")
        assert record is not None
        assert record["request"] == wanted.to_metadata(0)["request"]
