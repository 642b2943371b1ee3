"""A take over the whole width: zoom, a part chosen by dragging, saved and remade; examples and links with settings."""

import io
from typing import Any

import pytest
import soundfile

from tests.serving.studio.studio_page import Page
from tests.serving.studio.test_inviting import downloaded

WIDTH = "document.querySelector('#closeup .wave').firstChild.shadowRoot.querySelector('.wrapper').clientWidth"


def open_closeup(page: Page) -> Any:
    page.generate("rain", seconds="2")
    page.leave_field()
    page.press("w")
    page.wait("document.getElementById('closeup').dataset.ready !== undefined")
    return page.driver.find_element("css selector", "#closeup .wave")


def drag(page: Page, strip: Any, start: float, end: float) -> None:
    """Drag over the waveform; places are parts of its width."""
    from selenium.webdriver.common.action_chains import ActionChains

    width, height = strip.size["width"], strip.size["height"]
    up = -int(height / 2) + 40
    actions = ActionChains(page.driver, duration=20)
    actions.move_to_element_with_offset(strip, int((start - 0.5) * width), up).click_and_hold()
    for step in range(1, 5):
        actions.move_to_element_with_offset(strip, int((start + (end - start) * step / 4 - 0.5) * width), up)
    actions.release().perform()


def test_the_close_up_is_zoomed_and_played_by_a_click(page: Page) -> None:
    strip = open_closeup(page)
    before = page.script(WIDTH)
    page.press("+", "+")
    page.wait(f"Math.abs({WIDTH} - 4 * {before}) < 8")
    assert page.text("#closeup .factor") == "4 ×"
    page.press("-", "-", "-")
    page.wait(f"Math.abs({WIDTH} - {before}) < 8")
    strip.click()
    page.wait("document.getElementById('audio').currentTime > 0.9")
    page.wait("!document.querySelector('#closeup .playhead').hidden")
    page.leave_field()
    page.press("w")
    assert page.script("document.getElementById('closeup').hidden")


def test_a_part_is_chosen_by_dragging_saved_and_remade(page: Page) -> None:
    strip = open_closeup(page)
    drag(page, strip, 0.25, 0.5)
    page.wait("document.querySelector('#closeup .chosen') !== null")
    start, end = (float(word) for word in page.text("#closeup .chosen").split()[:3:2])
    assert (start, end) == (pytest.approx(0.5, abs=0.03), pytest.approx(1.0, abs=0.03))
    page.click("#closeup button", "Save the part")
    samples, rate = soundfile.read(downloaded(page, "-trimmed.wav"))
    assert len(samples) / rate == pytest.approx(end - start, abs=0.002)
    whole, _ = soundfile.read(io.BytesIO(page.sound()))
    middle = len(samples) // 2
    assert abs(samples[middle] - whole[round(start * rate) + middle]).max() < 2e-4
    page.click("#closeup button", "Remake the part")
    page.wait("document.querySelector('.parts input') !== null")
    assert page.script("document.querySelector('input[name=mode]:checked').value") == "inpaint"
    values = page.script("[...document.querySelectorAll('.parts input')].map((one) => Number(one.value))")
    assert values == [pytest.approx(start, abs=0.002), pytest.approx(end, abs=0.002)]


def test_the_close_up_follows_the_choice_and_goes_with_its_take(page: Page) -> None:
    open_closeup(page)
    page.generate("wind", seconds="0.5")
    page.leave_field()
    page.press("k", "k")
    page.wait("document.querySelector('#closeup .filename').textContent.startsWith('wind')")
    page.press("\ue017")
    page.wait("!document.querySelector('#closeup .filename')?.textContent.startsWith('wind')")


def test_finished_examples_can_be_heard_at_once(any_page: Page) -> None:
    page = any_page
    page.wait("!document.getElementById('examples').hidden")
    assert page.count("#examples button") == 4
    words = page.text("#examples button")
    page.click("#examples button")
    page.wait("document.getElementById('audio').currentTime > 0.05")
    assert page.value("prompt") == words.strip()
    assert page.value("seed")
    page.leave_field()
    page.press(" ")


def test_a_link_brings_settings_into_the_form(any_page: Page) -> None:
    page = any_page
    page.driver.get("about:blank")
    page.driver.get(
        f"{page.address.rstrip('/')}/#prompt=deep%20drum&seed=9007199254740993&duration_seconds=1.5&loop=true&x=1"
    )
    page.wait("document.body.dataset.ready !== undefined")
    assert (page.value("prompt"), page.value("duration_seconds")) == ("deep drum", "1.5")
    assert page.value("seed") == "9007199254740993"
    assert page.script("document.getElementById('field-loop').checked")
    assert page.script("location.hash") == ""
