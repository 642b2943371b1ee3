"""The tiny model exported for pages, and one browser for all tests of the engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from arctone.export.web import export_web, open_model, write_model
from tests.browser import IS_MISSING, start_browser
from tests.web.static_page import EnginePage, StaticFiles


@pytest.fixture(scope="session")
def web_folder(tiny_model_folder: Path, tiny_float_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder with the tiny model, and in "float32" the same, which both engines compute nearly alike."""
    out = tmp_path_factory.mktemp("web") / "out"
    export_web(tiny_model_folder, out, studio=False)
    write_model(open_model(tiny_float_folder), out / "float32")
    return out


@pytest.fixture(scope="package")
def engine_page(web_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnginePage]:
    """A browser on the example page; skips where there is no Chromium with its driver."""
    if IS_MISSING:
        pytest.skip("no Chromium: install chromium and chromium-driver to test the engine in a page")
    files, browser = StaticFiles(web_folder), start_browser(tmp_path_factory.mktemp("browser"))
    browser.set_script_timeout(120)
    page = EnginePage(browser, files)
    page.open()
    yield page
    browser.quit()
    files.close()
