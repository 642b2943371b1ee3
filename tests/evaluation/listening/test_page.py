"""The listening page in a real browser: by keyboard from the first screen to the analysis."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arctone.evaluation.listening.build import BuildSettings, Built, build
from arctone.evaluation.listening.results import read_results
from arctone.evaluation.listening.scores import analyse
from arctone.evaluation.listening.serve import make_server
from tests.browser import IS_MISSING, start_browser
from tests.evaluation.listening.made_systems import SYSTEMS, make_systems

pytestmark = pytest.mark.skipif(
    IS_MISSING, reason="no Chromium: install chromium and chromium-driver to test the listening page"
)


def small_test(folder: Path, **settings: Any) -> Built:
    """One prompt and one for practice, two systems, a reference, sounds of 0.3 s."""
    sounds = make_systems(folder / "sounds", prompts=("rain <b>on</b> tin", "wind & rain", "a dog"))
    systems = {name: sounds / name for name in SYSTEMS[:2]}
    chosen = BuildSettings(seed=2, title="A <tiny> test", num_prompts=1, num_repeats=1, **settings)
    return build(systems, folder / "test", chosen, reference=sounds / "real")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All three dimensions."""
    return small_test(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiniest(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Prompt adherence only."""
    return small_test(tmp_path_factory.mktemp("tiniest"), dimensions=("adherence",))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests of the page."""
    folder = tmp_path_factory.mktemp("browser")
    browser = start_browser(folder)
    browser.downloads = folder / "downloads"
    yield browser
    browser.quit()


@pytest.fixture
def browser(driver: Any) -> Iterator[Any]:
    """The browser, afterwards without what the test left in it: answers, downloads, emulated devices, logs."""
    yield driver
    driver.execute_script("localStorage.clear(); sessionStorage.clear()")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.get("about:blank")
    for path in driver.downloads.iterdir():
        path.unlink()
    for log in ("browser", "performance"):
        driver.get_log(log)


class Listener:
    """A person with a keyboard."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def tab_to(self, words: str) -> None:
        """Move the focus with Tab until it is on something with these words."""
        for _ in range(12):
            self.press("\ue004")
            focused = self.driver.execute_script(
                "const e = document.activeElement; return e.innerText || (e.labels && e.labels[0]?.innerText) || ''"
            )
            if words in focused:
                return
        raise AssertionError(f"Tab never reaches '{words}', but {focused!r}")

    def wait(self, ready: Callable[[], Any]) -> None:
        end = time.monotonic() + 15
        while not ready():
            if time.monotonic() > end:
                raise AssertionError(
                    f"nothing happens at {self.heading!r}: {self.script('return document.body.innerText')}"
                )
            time.sleep(0.02)

    def script(self, text: str) -> Any:
        return self.driver.execute_script(text)

    @property
    def heading(self) -> str:
        return str(self.script("return document.querySelector('h1').innerText"))

    @property
    def status(self) -> str:
        return str(self.script("return document.getElementById('status').innerText"))

    def begin(self, code: str) -> None:
        self.tab_to("Listener code")
        self.press(code, "\ue007")
        self.wait(lambda: self.heading == "Volume")
        self.tab_to("Play noise")
        self.press(" ")
        self.tab_to("Next")
        self.press("\ue007")

    def hear_all(self) -> None:
        """Press P until everything was heard to its end."""
        clips = self.script("return document.querySelectorAll('.clips li').length")
        for number in range(clips):
            assert self.script("return document.querySelector('fieldset').disabled")
            self.press("p")
            self.wait(
                lambda n=number: self.script("return document.querySelectorAll('.heard:not(:empty)').length") == n + 1
            )
        assert not self.script("return document.querySelector('fieldset').disabled")

    def answer(self, number: int) -> None:
        step = self.step
        self.hear_all()
        self.press(str(number), "\ue007")
        self.wait(lambda: self.step != step)

    @property
    def step(self) -> str:
        return str(self.script("return document.getElementById('progress-words').innerText"))

    def walk(self, choose: Callable[[int], int], stop: Callable[[str], bool]) -> int:
        """Answer and go on until a heading; returns the number of answers."""
        count = 0
        while not stop(self.heading):
            if self.script("return document.querySelector('fieldset') === null"):
                step = self.step
                self.tab_to("Next")
                self.press("\ue007")
                self.wait(lambda old=step: self.step != old)
            else:
                self.answer(choose(count))
                count += 1
        return count


def downloaded(folder: Path) -> list[str]:
    """Return the endings of the files in the folder of downloads; an unfinished one counts as such.

    While Chromium writes, a file ends in .crdownload, and its final name may be there already, but empty.
    """
    return sorted(path.suffix if path.stat().st_size else "unfinished" for path in folder.iterdir())


def requested(driver: Any) -> set[str]:
    """Addresses that the page asked for, without those inside the browser or the page."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    return {url for url in urls if not url.startswith(("blob:", "data:", "chrome:"))}


def complaints(driver: Any) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser")]


def test_a_listener_with_a_keyboard_goes_from_the_first_screen_to_the_analysis(tiny, browser):
    """From a disk, with a reload in the middle."""
    address = (tiny.folder / "listeners/index.html").as_uri()
    browser.get(f"{address}?listener=2")
    listener = Listener(browser)
    assert listener.heading == "A <tiny> test"
    listener.begin("ann, é")
    listener.walk(lambda n: 1 + n % 5, lambda heading: heading == "Quality: 3 of 5")
    before = listener.step

    # Neither a number nor Enter does anything before the sound was heard.
    listener.press("3", "\ue007")
    assert listener.step == before
    assert listener.script("return document.querySelector(':checked') === null")

    browser.refresh()
    listener.wait(lambda: listener.step == before)
    assert listener.heading == "Quality: 3 of 5"
    listener.walk(lambda n: 1 + n % 5, lambda heading: heading == "The end")

    listener.tab_to("Download answers (CSV)")
    listener.press("\ue007")
    listener.tab_to("Download answers (JSON)")
    listener.press(" ")
    downloads = browser.downloads
    listener.wait(lambda: downloaded(downloads) == [".csv", ".json"])

    from_csv = read_results(downloads.glob("*.csv"), tiny.key)
    from_json = read_results(downloads.glob("*.json"), tiny.key)
    assert from_csv == from_json
    assert {rating.question for rating in from_csv.ratings} == set(tiny.key.questions)
    assert {rating.listener for rating in from_csv.ratings} == {"ann, é"}
    assert {score.num_listeners for score in analyse([downloads], tiny.key, keep_all=True).scores} == {1}
    # The second of the orders was heard: quality comes first there.
    saved = json.loads(next(downloads.glob("*.json")).read_text())
    assert saved["order"] == 1
    assert saved["answers"][0]["dimension"] == "quality"

    folder = (tiny.folder / "listeners").as_uri()
    urls = requested(browser)
    assert f"{folder}/test.js" in urls
    assert all(url.startswith(folder) for url in urls)
    assert complaints(browser) == []


def test_a_served_page_sends_its_answers(tiniest, browser, tmp_path):
    """Answers arrive on the server as they were given; the browser talks to that server only."""
    server = make_server(tiniest.folder, tmp_path / "answers")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        browser.get(address)
        listener = Listener(browser)
        listener.begin("bob")
        given = iter([2, 5, 4, 1, 3] * 20)
        chosen: list[int] = []

        def choose(_: int) -> int:
            chosen.append(next(given))
            return chosen[-1]

        count = listener.walk(choose, lambda heading: heading == "The end")
        listener.wait(lambda: listener.status == "Your answers have arrived.")
        saved = json.loads(next((tmp_path / "answers").glob("*.json")).read_text())
        assert [answer["rating"] for answer in saved["answers"]] == chosen
        assert count == len(tiniest.key.questions) == len(saved["answers"])
        assert all(answer["plays"] >= 1 and answer["seconds"] > 0.25 for answer in saved["answers"])
        browser.refresh()  # does not send twice
        listener.wait(lambda: listener.heading == "The end")
        urls = requested(browser)
        assert f"{address}/results" in urls
        assert all(url.startswith(address) for url in urls)
        assert complaints(browser) == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_page_is_labelled_shows_prompts_as_text_and_fits_a_phone(tiny, browser):
    browser.get((tiny.folder / "listeners/index.html").as_uri() + "?listener=1")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    listener = Listener(browser)
    listener.begin("eve")
    listener.walk(lambda n: 3, lambda heading: heading == "Diversity: 1 of 3")
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {(n["role"]["value"], n["name"]["value"]) for n in nodes if n.get("role") and n.get("name")}
    assert {("button", "Play sound 1"), ("button", "Play sound 2"), ("button", "Next")} <= named
    assert ("group", "How different are these sounds from each other?") in named
    assert {name for role, name in named if role == "radio"} == {
        "1 Nearly identical",
        "2 Slightly different",
        "3 Moderately different",
        "4 Very different",
        "5 Entirely different",
    }
    assert listener.script("return document.documentElement.lang") == "en"
    assert listener.script("return document.querySelector('.prompt').innerText.split('\\n').at(-1)") in (
        "rain <b>on</b> tin",
        "wind & rain",
        "a dog",
    )
    assert listener.script("return document.documentElement.scrollWidth") <= 360
    tops = listener.script("return [...document.querySelectorAll('.answers label')].map(e => e.offsetTop)")
    assert sorted(set(tops)) == tops  # one below the other
    heights = listener.script("return [...document.querySelectorAll('button')].map(e => e.offsetHeight)")
    assert min(heights) >= 44


def test_text_stands_out_in_both_colour_schemes(tiny, browser):
    browser.get((tiny.folder / "listeners/index.html").as_uri())
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        colours = browser.execute_script(
            "const of = (e, name) => getComputedStyle(e)[name];"
            "const button = document.querySelector('button.main');"
            "return [[of(document.body, 'color'), of(document.body, 'backgroundColor')],"
            " [of(button, 'color'), of(button, 'backgroundColor')],"
            " [of(document.querySelector('header'), 'color'), of(document.body, 'backgroundColor')]]"
        )
        light = luminance(colours[0][1]) > 0.5
        assert light == (scheme == "light")
        for text, back in colours:
            brighter, darker = sorted((luminance(text), luminance(back)), reverse=True)
            assert (brighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, AA


def luminance(colour: str) -> float:
    """Relative luminance of "rgb(r, g, b)" as WCAG defines it."""
    shares = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
