"""The pictures of README and docs, taken from the page with the bundled model: pytest tests/studio --screenshots."""

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.studio.studio_page import Page

IMAGES = Path(__file__).parents[3] / "docs" / "images"
MAX_BYTES = 300_000
DESK = {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture
def studio(request: pytest.FixtureRequest, driver: Any, serve: Callable[..., str]) -> Iterator[Page]:
    """The page of a server with the bundled model."""
    if not request.config.getoption("--screenshots", False):
        pytest.skip("pictures are taken with --screenshots")
    page = Page(driver, serve())
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    yield page
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def shoot(page: Page, name: str) -> None:
    """Keep what is to be seen as a PNG of few colours."""
    from PIL import Image

    page.wait("[...document.querySelectorAll('#batches .take')].slice(0, 8).every((e) => 'drawn' in e.dataset)")
    page.wait("new Promise((wake) => setTimeout(() => wake(true), 400))")
    shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    picture.quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size <= MAX_BYTES


def theme(page: Page, name: str) -> None:
    page.script(f"localStorage.setItem('arctone-theme', '{name}')")
    page.open()
    page.wait(f"document.documentElement.dataset.theme === '{name}'")


def test_pictures(studio: Page):
    page = studio
    page.open()
    theme(page, "dark")
    page.generate("heavy rain and thunder", takes=4, seconds="8", seed="4")
    page.generate("warm analog pad, slow attack", takes=4, seconds="6", seed="3")
    page.generate("funky drum loop, 120 BPM", takes=8, seconds="4", seed="7")
    page.leave_field()
    page.press("j", "a", "j", "b", "s", "l", " ")
    page.wait("document.querySelector('[data-playing]') !== null")
    page.wait("new Promise((wake) => setTimeout(() => wake(true), 1300))")
    shoot(page, "studio-dark")
    page.press(" ", "l", "w")
    page.wait("document.getElementById('closeup').dataset.ready !== undefined")
    page.press("+", "+")
    page.script("document.getElementById('takes').scrollTo(0, 0)")
    page.wait("new Promise((wake) => setTimeout(() => wake(true), 1500))")
    shoot(page, "studio-closeup")
    page.press("w")
    page.press("i")
    page.wait("document.getElementById('source').dataset.ready !== undefined")
    page.click("#source button", "Add a part")
    page.leave_field()
    page.script("document.getElementById('takes').scrollTo(0, 0)")
    page.script(
        "(() => { localStorage.setItem('arctone-theme', 'light'); document.documentElement.dataset.theme = 'light' })()"
    )
    page.script("matchMedia('(prefers-color-scheme: dark)').dispatchEvent(new Event('change'))")
    page.press("t", "t", "t")
    page.click("#source button", "Remove start sound")
    page.press("i")
    page.wait("document.querySelector('#source .wave') !== null")
    page.click("#source button", "Add a part")
    page.leave_field()
    page.script("document.getElementById('takes').scrollTo(0, 0)")
    shoot(page, "studio-light")
    theme(page, "dark")
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.open()
    page.leave_field()
    page.script("document.querySelector('#batches').scrollIntoView()")
    page.script("scrollBy(0, -80)")
    shoot(page, "studio-phone")
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    page.open()
    page.leave_field()
    page.press("v")
    page.script(
        "(() => { const e = document.getElementById('live-prompt'); e.value = 'slow ambient pad, warm, evolving' })()"
    )
    page.click("#live-toggle", "Start")
    page.wait("(await import('/static/js/main.js')).live.played.length >= 2", 120)
    shoot(page, "live-dark")
    page.click("#live-toggle", "Stop")
