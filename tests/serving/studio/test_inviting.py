"""From a prompt to a sound without the mouse; undo, names, filter, ZIP, more like this; drops anywhere; a phone."""

import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.serving.studio.studio_page import Page

ENTER, ESCAPE, DELETE = "\ue007", "\ue00c", "\ue017"


def downloaded(page: Page, ending: str) -> Path:
    folder: Path = page.driver.downloads
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = sorted(folder.glob(f"*{ending}"), key=lambda path: path.stat().st_mtime)
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError(list(folder.iterdir()))


def test_type_enter_listen(any_page: Page) -> None:
    page = any_page
    page.script("localStorage.removeItem('arctone-autoplay')")
    page.open()
    page.generate("rain", seconds="2")
    page.wait("document.getElementById('audio').played.length > 0")  # a short one may be over by now
    page.press(ESCAPE)
    assert page.script("document.activeElement === document.body")
    page.press("j", "s")
    page.wait("document.querySelector('.star').getAttribute('aria-pressed') === 'true'")


def test_a_click_says_its_cost_before_it_is_made(any_page: Page) -> None:
    page = any_page
    page.type("duration_seconds", "1.5")
    page.type("variations", "2")
    page.type("prompt", "rain")
    page.wait("document.getElementById('cost').textContent.startsWith('2 takes of 1.5 s, 4 steps each')")


def test_a_deletion_is_undone(any_page: Page) -> None:
    page = any_page
    page.generate("rain", takes=2)
    before = page.sound(1)
    page.script("document.querySelectorAll('.take')[1].focus()")
    page.press(DELETE)
    page.wait("document.querySelectorAll('.take').length === 1")
    page.press("z")
    page.wait("document.querySelectorAll('.take').length === 2")
    assert page.sound(1) == before
    page.click("#batches button", "Delete batch")
    page.wait("document.querySelectorAll('.take').length === 0")
    page.click("#undo button", "Undo")
    page.wait("document.querySelectorAll('.take').length === 2")
    page.open()
    assert page.count("#batches .take") == 2


def test_takes_are_named_filtered_and_zipped(any_page: Page) -> None:
    page = any_page
    page.generate("rain", takes=4)
    page.script("document.querySelectorAll('.take')[2].focus()")
    page.press("n")
    page.wait("document.activeElement.matches('.bar input')")
    page.press(*"the good one", ENTER)
    page.wait("document.querySelectorAll('.take .name')[2].textContent === 'the good one'")
    page.script("document.getElementById('filter-words').focus()")
    page.press(*"good")
    page.wait("[...document.querySelectorAll('.take')].filter((card) => card.checkVisibility()).length === 1")
    page.press(ESCAPE)
    page.script("document.getElementById('filter-words').value = ''")
    page.script("document.getElementById('filter-words').dispatchEvent(new Event('input'))")
    page.click("#batches button", "ZIP")
    with zipfile.ZipFile(downloaded(page, ".zip")) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == ["rain-7.wav", "rain-8.wav", "the good one.wav", "rain-10.wav"]
        assert packed.read("rain-8.wav") == page.sound(1)


def test_more_like_this_makes_takes_from_the_take(page: Page) -> None:
    page.generate("rain", seconds="1")
    page.script("document.querySelector('.take').focus()")
    page.press("m")
    page.wait("document.querySelectorAll('#batches .take').length === 5")
    assert "restyled from rain-7.wav" in page.text("#batches .batch .facts")


def test_a_start_sound_from_a_take_goes_after_its_use_and_the_length_comes_back(page: Page) -> None:
    page.generate("rain", seconds="1")
    page.script("document.querySelector('.take').focus()")
    page.press("c")
    page.wait("!document.getElementById('source').hidden")
    assert page.value("duration_seconds") == "2"
    page.script("document.getElementById('field-prompt').focus()")
    page.press(ENTER)
    page.wait("document.querySelectorAll('#batches .take').length === 2")
    assert page.script("document.getElementById('source').hidden")
    assert page.value("duration_seconds") == "1"


def test_a_sound_that_is_no_take_may_be_dropped_anywhere(page: Page, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(22_050) / 20)
    soundfile.write(tmp_path / "tone.wav", tone, 44_100)
    for zone in ("#start-part", "#takes", "#drop-restore"):
        page.drop(zone, tmp_path / "tone.wav")
        page.wait("!document.getElementById('source').hidden")
        assert "tone.wav" in page.text("#source")
        page.click("#source button", "Remove start sound")
    assert page.text("#problems") == ""
    page.errors()  # the server was asked for the file's record first, and answers 422 where there is none


def test_a_click_on_the_spectrogram_plays_from_there(page: Page) -> None:
    page.generate("rain", seconds="2.5")
    page.wait("document.querySelector('.take[data-drawn]')")
    page.click(".take .spectrogram")
    page.wait("document.getElementById('audio').currentTime > 1")


def test_seeds_beyond_what_a_browser_counts_stay_exact(any_page: Page) -> None:
    page = any_page
    seed = "9007199254740993"
    page.generate("rain", seed=seed)
    assert page.text(".take .seed") == seed
    record = soundfile.SoundFile(io.BytesIO(page.sound())).comment
    assert seed in record


def test_an_invalid_value_is_named_as_on_the_page_and_is_gone_after_a_reload(page: Page) -> None:
    page.type("prompt", "rain")
    page.type("duration_seconds", "9999")
    page.click("#generate")
    page.wait("document.getElementById('hint-duration_seconds').textContent")
    assert page.text("#hint-duration_seconds").startswith("Duration must be")
    page.open()
    assert (page.value("duration_seconds"), page.value("prompt")) == ("", "rain")
    page.errors()  # the refusal's status is in the console


def test_a_and_b_are_compared_at_one_level(page: Page) -> None:
    page.generate("rain", takes=2, seconds="1")
    page.script("document.querySelectorAll('.take')[0].focus()")
    page.press("a", "j", "b", "x")
    page.wait("document.querySelector('.sides').textContent.includes('levels matched')")
    levels = []
    for number in range(2):
        samples, _ = soundfile.read(io.BytesIO(page.sound(number)))
        levels.append(float(np.sqrt(np.mean(samples**2))))
    volumes = {}
    for _ in range(2):
        side = page.script("document.querySelector('.sides').textContent.includes('hearing A') ? 'A' : 'B'")
        volumes[side] = page.script("document.getElementById('audio').volume")
        page.press("x")
        page.wait(f"!document.querySelector('.sides').textContent.includes('hearing {side}')")
    assert volumes["A"] * levels[0] == pytest.approx(volumes["B"] * levels[1], rel=0.02)
    assert max(volumes.values()) == pytest.approx(1.0)


def test_a_trimmed_take_is_as_long_as_asked_and_fades(page: Page) -> None:
    page.generate("rain", seconds="1")
    page.script("document.querySelector('.take').focus()")
    page.wait("document.querySelector('.trim')")
    page.script("document.querySelector('.trim').open = true")
    for name, value in (("from", 0.25), ("to", 0.75), ("fade", 0.1)):
        page.script(f"document.getElementById('trim-{name}').value = {value}")
    page.click(".trim button", "Save as WAV")
    samples, rate = soundfile.read(downloaded(page, "-trimmed.wav"))
    assert len(samples) == rate // 2
    assert np.abs(samples[[0, -1]]).max() == 0


def test_on_a_phone_the_take_is_in_view_and_generate_is_not_covered(page: Page) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        page.open()
        covered = (
            "(() => { const box = document.getElementById('generate').getBoundingClientRect();"
            "const top = document.elementFromPoint(box.x + box.width / 2, box.bottom - 4);"
            "return box.bottom <= innerHeight && document.getElementById('generate').contains(top) })()"
        )
        page.wait(covered)
        page.generate("rain")
        page.wait(
            "(() => { const box = document.querySelector('.take').getBoundingClientRect();"
            "return box.top >= 0 && box.top < innerHeight - 100 })()",
            5,
        )
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
