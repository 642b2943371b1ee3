"""The studio of an exported folder, whose engine runs in the page: fetched once, checked, offline, installable."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arctone.export.web import export_web
from tests.serving.studio.conftest import StaticHost, clear
from tests.serving.studio.studio_page import Page
from tests.serving.studio.test_access import violations

STORED = "document.body.dataset.model"
FORGET = """(async () => {
  for (const name of await caches.keys()) await caches.delete(name);
  for (const one of await navigator.serviceWorker.getRegistrations()) await one.unregister();
})()"""


@pytest.fixture
def own_host(exported: Path, tmp_path: Path) -> Iterator[StaticHost]:
    """A server of its own for a copy of the exported folder."""
    host = StaticHost(shutil.copytree(exported, tmp_path / "page"))
    yield host
    host.close()


@pytest.fixture
def visit(driver: Any, own_host: StaticHost) -> Iterator[Page]:
    """The first visit of a folder: nothing is in the browser."""
    clear(driver, own_host.address)
    page = Page(driver, own_host.address)
    page.open()
    yield page
    page.errors()


@pytest.fixture
def slim_visit(driver: Any, tiny_model_folder: Path, tmp_path: Path) -> Iterator[Page]:
    """The first visit of a folder without an encoder."""
    export_web(tiny_model_folder, tmp_path / "slim", slim=True)
    host = StaticHost(tmp_path / "slim")
    clear(driver, host.address)
    page = Page(driver, host.address)
    page.open()
    yield page
    host.close()


def test_the_first_visit_asks_for_the_model_and_shows_only_what_the_engine_can(slim_visit: Page) -> None:
    page = slim_visit
    assert "fetched once" in page.text("#model-panel")
    assert page.script("document.getElementById('start-part').hidden")
    assert page.script("document.getElementById('lora-part').hidden")
    assert violations(page) == []
    page.generate("rain")  # asks for the model itself
    assert page.script(f"{STORED} === 'ready' && document.getElementById('model-panel').hidden")
    shown = page.script("[...document.querySelectorAll('#inspector button span')].map((one) => one.textContent)")
    assert "Redo" in shown
    assert not {"Restyle", "Remake a part", "Continue", "More like this"} & set(shown)
    assert page.script("[...document.getElementById('format').options].map(({ value }) => value)") == ["wav"]
    assert violations(page) == []
    assert page.errors() == []


def test_a_second_visit_works_without_a_network(visit: Page, own_host: StaticHost) -> None:
    page = visit
    page.wait("navigator.serviceWorker.controller !== null")
    page.fetch_model()
    page.generate("rain", seed="5")
    first = page.sound()
    own_host.close()
    page.open()
    page.fetch_model()
    assert page.sound() == first
    page.generate("rain", seed="5")
    assert page.count("#batches .take") == 2
    assert page.sound(0) == first
    assert page.errors() == []


def test_a_damaged_file_is_refused_and_fetched_again(visit: Page, own_host: StaticHost) -> None:
    page = visit
    file = own_host.folder / "model" / "dit.tflite"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    page.click("#fetch-model")
    page.wait(f"{STORED} === 'failed'")
    assert "dit.tflite" in page.text("#model-panel")
    file.write_bytes(whole)
    page.click("#fetch-model", "Try again")
    page.wait(f"{STORED} === 'ready'")
    # The same within the browser's storage: one byte of the stored file is another.
    page.script("""(async () => {
      const cache = await caches.open('arctone-models');
      const key = (await cache.keys()).find(({ url }) => url.includes('dit.tflite'));
      const bytes = new Uint8Array(await (await cache.match(key)).arrayBuffer());
      bytes[bytes.length - 1] ^= 1;
      await cache.put(key, new Response(bytes));
    })()""")
    page.open()
    page.wait(f"{STORED} === 'ready'")
    last = page.script("""(async () => {
      const cache = await caches.open('arctone-models');
      const key = (await cache.keys()).find(({ url }) => url.includes('dit.tflite'));
      return new Uint8Array(await (await cache.match(key)).arrayBuffer()).at(-1);
    })()""")
    assert last == whole[-1]


def test_the_download_shows_how_far_it_is_and_can_be_cancelled(visit: Page, own_host: StaticHost) -> None:
    page = visit
    own_host.pause_seconds = 0.05
    page.click("#fetch-model")
    page.wait("document.querySelector('#model-panel .standing')?.textContent.includes(' of ')")
    page.wait("document.querySelector('#model-panel progress').value > 0")
    page.click("#cancel-fetch")
    page.wait(f"{STORED} === 'absent'")
    own_host.pause_seconds = 0.0
    page.fetch_model()
    page.generate("rain")


def test_takes_appear_one_by_one_and_stay_when_the_rest_is_cancelled(visit: Page) -> None:
    page = visit
    page.fetch_model()
    page.type("steps", "60")
    page.type("duration_seconds", "2.9")
    page.type("variations", "16")
    page.type("prompt", "rain")
    page.press("\ue007")
    page.wait("document.querySelector('[data-state=waiting] .take') !== null")
    assert page.count("#batches .ghost") > 0
    page.leave_field()
    page.press("\ue00c")
    page.wait("document.querySelector('[data-state=waiting]') === null")
    made = page.count("#batches .take")
    assert 0 < made < 16
    page.open()
    assert page.count("#batches .take") == made
    assert page.sound(made - 1)[:4] == b"RIFF"


def test_the_page_can_be_installed(visit: Page) -> None:
    page = visit
    page.wait("navigator.serviceWorker.controller !== null")
    found = page.driver.execute_cdp_cmd("Page.getAppManifest", {})
    assert found["errors"] == []
    manifest = json.loads(found["data"])
    assert manifest["display"] == "standalone"
    for one in manifest["icons"]:
        assert page.script(f"(await fetch('{one['src']}')).ok")
    assert page.driver.execute_cdp_cmd("Page.getInstallabilityErrors", {})["installabilityErrors"] == []


def test_a_newer_export_takes_the_place_of_the_kept_one(visit: Page, own_host: StaticHost) -> None:
    page = visit
    page.wait("navigator.serviceWorker.controller !== null")
    script = own_host.folder / "static" / "js" / "theme.js"
    worker = own_host.folder / "sw.js"
    script.write_text(script.read_text() + "document.body.dataset.newer = '';\n")
    worker.write_text(worker.read_text().replace('const VERSION = "', 'const VERSION = "newer'))
    page.open()
    assert page.script("document.body.dataset.newer === undefined")
    page.wait("(await navigator.serviceWorker.getRegistration()).waiting !== null")
    # The new version takes over once no page of the old one is left; a browser lets go of a page some time after it.
    for _ in range(20):
        page.driver.get("about:blank")
        time.sleep(0.3)
        page.open()
        if page.script("document.body.dataset.newer !== undefined"):
            break
    assert page.script("document.body.dataset.newer !== undefined")


def test_a_phone_has_the_panel_and_the_takes_in_one_column(visit: Page) -> None:
    page = visit
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        page.open()
        page.fetch_model()
        page.generate("rain", seconds="0.25")
        assert page.script("document.documentElement.scrollWidth <= innerWidth")
        assert violations(page) == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_server_page_knows_nothing_of_it(page: Page) -> None:
    assert page.script("document.getElementById('model-panel').hidden")
    assert page.script("(await navigator.serviceWorker.getRegistrations()).length") == 0
