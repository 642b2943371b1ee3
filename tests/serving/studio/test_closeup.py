"""A take over the whole width: zoom, a part chosen by dragging, saved and remade; examples and links with settings."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
import soundfile

import arctone
from arctone.audio.tags import read_metadata
from tests.serving.studio.studio_page import Page
from tests.serving.studio.test_inviting import downloaded
from tests.web.test_numbers import snr_db
from tests.web.test_sounds import MAGNITUDES_DB, magnitudes
from tools import site

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


def test_finished_examples_play_at_once(any_page: Page) -> None:
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
        f"{page.address.rstrip('/')}/#prompt=deep%20drum&seed=9007199254740993&duration_seconds=1.5&loop=true&pitch=1"
    )
    page.wait("document.body.dataset.ready !== undefined")
    assert (page.value("prompt"), page.value("duration_seconds")) == ("deep drum", "1.5")
    assert page.value("seed") == "9007199254740993"
    assert page.script("document.getElementById('field-loop').checked")
    assert page.script("location.hash") == ""
    assert "The link also sets pitch, which tiny does not take here" in page.text("#problems")
    page.script("(() => { location.hash = 'prompt=door&variations=4&steps=3' })()")
    page.wait("document.getElementById('field-prompt').value === 'door'")
    assert [page.value(name) for name in ("variations", "steps", "seed")] == ["4", "3", ""]


def test_a_link_of_the_gallery_makes_its_sound_again(any_page: Page, tiny_model_folder: Path, tmp_path: Path) -> None:
    """Every setting of the record comes with the link; the seed is 0, which is a setting too."""
    page = any_page
    fields = {"bars": 1, "loop": True, "seed": 0, "steps": 3, "cfg_scale": 2.5, "normalize": "loudness"}
    model = arctone.load(tiny_model_folder, engine="native", threads=1)
    made = model.generate("rain & wind, 150 BPM", negative_prompt="voices", **fields)
    arctone.write_audio(tmp_path / "rain.opus", made.waveforms[0], metadata=made.to_metadata(0))
    link = re.findall('href="studio/index.html#([^"]+)"', site.studio_link(tmp_path / "rain.opus"))
    page.driver.get("about:blank")
    page.driver.get(f"{page.address.rstrip('/')}/#{link[0]}")
    page.wait("document.body.dataset.ready !== undefined")
    page.click("#form button[type=submit]")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    page.wait('document.querySelector("#batches [data-state=waiting]") === null')
    (tmp_path / "again.wav").write_bytes(page.sound())
    record, sound = read_metadata(tmp_path / "again.wav"), arctone.read_audio(tmp_path / "again.wav")
    assert record is not None
    assert record["request"] == made.to_metadata(0)["request"]
    assert sound.num_samples == made.waveforms[0].num_samples
    assert snr_db(magnitudes(sound.samples), magnitudes(made.waveforms[0].samples)) >= MAGNITUDES_DB
