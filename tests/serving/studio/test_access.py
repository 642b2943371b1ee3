"""The page for everyone: by keyboard alone, for screen readers, on a phone, without any other host."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.serving.studio.studio_page import Page

AXE = "axe.min.js"


def violations(page: Page) -> list[str]:
    """Findings of axe-core that are serious or critical."""
    page.driver.execute_script((files("axe_core_python") / AXE).read_text())
    found = page.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done)"
    )
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def theme(page: Page, name: str) -> None:
    page.script(f"localStorage.setItem('arctone-theme', '{name}')")
    page.open()
    page.wait(f"document.documentElement.dataset.theme === '{name}'")


@pytest.mark.parametrize("name", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, name: str):
    theme(page, name)
    assert violations(page) == []
    page.generate("bells", takes=2, seconds="0.5")
    page.leave_field()
    page.press("a", "s", "e")
    page.leave_field()
    page.press("w")
    page.wait("document.getElementById('source').dataset.ready !== undefined")
    page.wait("document.getElementById('closeup').dataset.ready !== undefined")
    assert violations(page) == []
    page.leave_field()
    page.press("v")
    assert violations(page) == []
    page.press("?")
    assert page.script("document.getElementById('help').open")
    assert violations(page) == []


def focus(page: Page) -> str:
    return str(
        page.script(
            "`${document.activeElement.id} ${document.activeElement.getAttribute('aria-label') ?? ''} "
            "${document.activeElement.textContent}`"
        )
    )


def test_everything_by_keyboard_alone(page: Page):
    """No mouse: prompt, generate, listen, compare, star, reuse, redo, help, live and back."""
    page.leave_field()
    page.press("g")
    assert focus(page).startswith("field-prompt")
    page.press("water drop")
    reached = []
    for _ in range(40):
        page.press("\ue004")
        reached.append(focus(page))
        if reached[-1].startswith("generate"):
            break
    assert any(words.startswith("field-duration_seconds") for words in reached)
    assert any("4 variations" in words for words in reached)
    assert reached[-1].startswith("generate")
    page.press("\ue007")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    page.leave_field()
    page.press("?")
    assert "Re-roll" in page.text("#help")
    page.press("\ue00c")
    page.press("r")
    page.wait("document.querySelectorAll('#batches .take').length === 2")
    page.leave_field()
    page.press("k", "k", "a", "j", "b", "s", " ")
    page.wait("document.querySelectorAll('[aria-pressed=true].slot').length === 2")
    assert page.count(".star[aria-pressed=true]") == 1
    page.wait("document.getElementById('audio').currentTime > 0")
    page.press(" ", "u")
    page.wait("document.activeElement.id === 'field-prompt'")
    page.leave_field()
    page.press("\ue017")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    page.press("v")
    assert page.script("!document.getElementById('live').hidden")
    page.press("v")
    assert page.script("document.getElementById('live').hidden")


def test_screen_readers_announce_what_happens(page: Page):
    assert page.script("document.getElementById('status').getAttribute('aria-live')") == "polite"
    page.generate("wind", seconds="0.25")
    page.wait("document.getElementById('status').textContent.startsWith('One take made')")
    nameless = page.script("""[...document.querySelectorAll('button, input, select, textarea')]
      .filter((e) => e.checkVisibility() && !e.getAttribute('aria-label') && !e.labels?.length && !e.textContent.trim()
      && !e.hasAttribute('aria-hidden'))
      .map((e) => e.outerHTML)""")
    assert nameless == []


def test_a_phone_shows_all_in_one_column(page: Page):
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        page.open()
        page.generate("wind", seconds="0.25")
        assert page.script("document.documentElement.scrollWidth <= innerWidth")
        assert page.script(
            "[...document.querySelectorAll('#form, #takes, #inspector')].every((e) => "
            "e.getBoundingClientRect().width > 340)"
        )
        small = page.script(
            "[...document.querySelectorAll('.take .button, #generate')].filter((e) => "
            "e.getBoundingClientRect().height < 36).length"
        )
        assert small == 0
        assert violations(page) == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_controls_come_from_the_model_and_what_has_no_effect_is_hidden(page: Page):
    assert page.text("#model-limits").startswith("up to ")
    assert page.count("#field-threads") == 0
    assert page.script("!document.querySelector('.field-negative_prompt').hidden")
    page.type("cfg_scale", "1")
    assert page.script("document.querySelector('.field-negative_prompt').hidden")
    assert page.script("document.querySelector('.field-bars').hidden")
    page.script("document.getElementById('field-loop').click()")
    assert page.script("!document.querySelector('.field-bars').hidden")


def test_words_to_avoid_are_offered_where_a_flow_model_heeds_them(
    page: Page, serve: Callable[..., str], tiny_model_folder: Path, tmp_path: Path
):
    """A post-trained model has no use for them itself; unset, the scale is its flow model's."""
    for name, more_files in (("without", ()), ("with", ("flow.tflite",))):
        folder = shutil.copytree(tiny_model_folder, tmp_path / name)
        (folder / "hashes.json").unlink()
        for file in more_files:
            shutil.copy(folder / "dit.tflite", folder / file)
        config = json.loads((folder / "config.json").read_text())
        config["sampling"] |= {"post_trained": True, "cfg_scale": 1.0}
        (folder / "config.json").write_text(json.dumps(config))
        page.address = serve("--model", str(folder))
        page.open()
        assert page.script("document.querySelector('.field-negative_prompt').hidden") == (not more_files)
    page.type("cfg_scale", "1")
    assert page.script("document.querySelector('.field-negative_prompt').hidden")


def test_nothing_is_asked_of_another_host(page: Page):
    page.generate("alone", seconds="0.25")
    hosts = set()
    for entry in page.driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = urlsplit(message["params"]["request"]["url"])
            if url.scheme not in ("blob", "data", "chrome", "devtools", "about"):
                hosts.add(f"{url.scheme}://{url.netloc}")
    assert hosts == {page.address.rstrip("/")}
