"""The studio in a real browser on both of its engines: `arctone serve` with the tiny model, and an exported folder of
static files with the same model, whose engine runs in the page.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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


@pytest.fixture(scope="package")
def chromium() -> None:
    """Skips where there is no Chromium with its driver."""
    if IS_MISSING:
        pytest.skip("no Chromium: install chromium and chromium-driver to test the studio page")


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def address(serve: Callable[..., str], tiny_model_folder: Path) -> str:
    """The address of a server with the tiny model."""
    return serve("--model", str(tiny_model_folder))


@pytest.fixture(scope="package")
def driver(chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests of the studio; each gets an empty history."""
    folder = tmp_path_factory.mktemp("browser")
    browser = start_browser(folder, *FLAGS)
    browser.downloads = folder / "downloads"
    yield browser
    browser.quit()


class StaticHost:
    """A static file server for a folder, which can be slow with models, and stop.

    Args:
        folder: whose files are served.
    """

    def __init__(self, folder: Path) -> None:
        self.pause_seconds = 0.0  # between pieces of a model's graphs
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, host=self, directory=str(folder)))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.folder = folder
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *given: Any, host: StaticHost, **named: Any) -> None:
        self._host = host
        super().__init__(*given, **named)

    def do_GET(self) -> None:
        """Send a file; browsers ask for an icon of their own accord where a page names none."""
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file, in pieces if the host is slow."""
        while piece := source.read(32_768):
            if self.path.endswith(".tflite"):
                time.sleep(self._host.pause_seconds)
            outputfile.write(piece)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def exported(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `arctone export web` writes it, with the tiny model."""
    from arctone.export.web import export_web

    folder = tmp_path_factory.mktemp("exported") / "page"
    export_web(tiny_model_folder, folder)
    return folder


@pytest.fixture(scope="session")
def static_address(exported: Path) -> Iterator[str]:
    """The address of the exported folder."""
    host = StaticHost(exported)
    yield host.address
    host.close()


def clear(driver: Any, address: str) -> None:
    """Empty the history, the downloads, and the logs of what an earlier test asked of its own server."""
    for file in driver.downloads.iterdir():
        file.unlink()
    driver.get(f"{address}/static/icon.svg")  # the same origin without the page, so that nothing holds its history open
    driver.execute_async_script(
        "localStorage.clear(); localStorage.setItem('arctone-autoplay', 'off');"
        "const done = arguments[0]; const ask = indexedDB.deleteDatabase('arctone-studio');"
        "ask.onsuccess = ask.onerror = ask.onblocked = done"
    )
    for log in ("browser", "performance"):
        driver.get_log(log)


@pytest.fixture
def page(driver: Any, address: str) -> Iterator[Page]:
    """The page with an empty history; afterwards the console must be empty too."""
    clear(driver, address)
    page = Page(driver, address)
    page.open()
    yield page
    assert page.errors() == []


@pytest.fixture(params=["server", "page"])
def any_page(request: pytest.FixtureRequest, driver: Any) -> Iterator[Page]:
    """The page on each engine, ready to make sound; for what both can do."""
    own = request.getfixturevalue("address" if request.param == "server" else "static_address")
    clear(driver, own)
    page = Page(driver, own)
    page.open()
    if request.param == "page":
        page.fetch_model()
    yield page
    assert page.errors() == []
