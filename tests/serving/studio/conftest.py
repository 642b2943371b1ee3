"""A real `arctone serve` with the tiny model, and a real browser on its page."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import IS_MISSING, start_browser
from tests.serving.studio.studio_page import Page

ROOT = Path(__file__).parents[3]
FLAGS = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--force-prefers-reduced-motion",
    "--window-size=1440,900",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", action="store_true", help="take the pictures of docs/images with the bundled model (a minute)"
    )


@pytest.fixture(scope="session")
def chromium() -> None:
    """Skips where there is no Chromium with its driver."""
    if IS_MISSING:
        pytest.skip("no Chromium: install chromium and chromium-driver to test the studio page")


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., str]]:
    """Starts `arctone serve` with arguments; returns its address."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> str:
        command = [sys.executable, "-m", "arctone", "serve", "--port", "0", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
        processes.append(process)
        assert process.stdout
        return process.stdout.readline().strip()

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(20)


@pytest.fixture(scope="session")
def address(serve: Callable[..., str], tiny_model_folder: Path) -> str:
    """The address of a server with the tiny model."""
    return serve("--model", str(tiny_model_folder))


@pytest.fixture(scope="session")
def driver(chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests; each gets an empty history."""
    folder = tmp_path_factory.mktemp("browser")
    browser = start_browser(folder, *FLAGS)
    browser.downloads = folder / "downloads"
    yield browser
    browser.quit()


@pytest.fixture
def page(driver: Any, address: str) -> Iterator[Page]:
    """The page with an empty history; afterwards the console must be empty too."""
    driver.get(f"{address}/static/icon.svg")  # the same origin without the page, so that nothing holds its history open
    driver.execute_async_script(
        "localStorage.clear(); localStorage.setItem('arctone-autoplay', 'off');"
        "const done = arguments[0]; const ask = indexedDB.deleteDatabase('arctone-studio');"
        "ask.onsuccess = ask.onerror = ask.onblocked = done"
    )
    for log in ("browser", "performance"):  # what an earlier test asked of its own server is none of this one's
        driver.get_log(log)
    page = Page(driver, address)
    page.open()
    yield page
    assert page.errors() == []
