"""The studio page, used as a person would."""

from pathlib import Path
from typing import Any


class Page:
    """The studio page, used as a person would."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self) -> None:
        """Load the page and wait until it knows its models."""
        self.driver.get(self.address)
        self.wait("document.body.dataset.ready !== undefined")

    def fetch_model(self) -> None:
        """Fetch the model of the page's own engine, unless the browser has it, and wait until it is open."""
        state = self.wait("['absent', 'ready'].find((state) => state === document.body.dataset.model)")
        if state == "absent":
            self.click("#fetch-model")
        self.wait("document.body.dataset.model === 'ready'")

    def script(self, text: str, *arguments: Any) -> Any:
        """The value of an expression; a promise is awaited."""
        return self.driver.execute_script(f"return (async () => ({text}))()", *arguments)

    def wait(self, condition: str, seconds: float = 60) -> Any:
        """Wait until an expression is true. Returns: its value."""
        self.driver.set_script_timeout(seconds + 30)
        value = self.driver.execute_script(
            "const end = performance.now() + 1000 * arguments[0];"
            "return (async () => { for (;;) {"
            f"  const value = await (async () => ({condition}))();"
            "  if (value || performance.now() > end) return value;"
            "  await new Promise((wake) => setTimeout(wake, 15));"
            "} })()",
            seconds,
        )
        if not value:
            raise AssertionError(f"never true: {condition}\n{self.script('document.body.innerText')}")
        return value

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def click(self, selector: str, words: str = "") -> None:
        """Click the first visible element with these words (or this label)."""
        found = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].find((e) => e.checkVisibility() && "
            "`${e.textContent} ${e.getAttribute('aria-label') ?? ''}`.includes(arguments[1]))",
            selector,
            words,
        )
        assert found, f"no {selector} with '{words}'"
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def type(self, field: str, words: str) -> None:
        """Put words into a field, instead of what is there."""
        element = self.driver.find_element("id", f"field-{field}")
        self.driver.execute_script(
            "arguments[0].closest('details')?.setAttribute('open', ''); arguments[0].focus(); arguments[0].select()",
            element,
        )
        element.send_keys(words or "\ue017")

    def generate(self, prompt: str, takes: int = 1, seconds: str = "0.5", seed: str = "7") -> None:
        """Fill the form, press Enter in the prompt, and wait for the takes."""
        before = self.count("#batches .take")
        self.type("duration_seconds", seconds)
        self.type("variations", str(takes))
        self.type("seed", seed)
        self.type("prompt", prompt)
        self.press("\ue007")
        self.wait(f"document.querySelectorAll('#batches .take').length === {before + takes}")
        self.wait('document.querySelector("#batches [data-state=waiting]") === null')

    def leave_field(self) -> None:
        """Take the focus from the form, so that keys are the page's."""
        self.script("document.activeElement.blur()")

    def count(self, selector: str) -> int:
        return int(self.script(f"document.querySelectorAll('{selector}').length"))

    def text(self, selector: str) -> str:
        return str(self.script(f"document.querySelector('{selector}').innerText"))

    def value(self, field: str) -> Any:
        return self.script(f"document.getElementById('field-{field}').value")

    def drop(self, zone: str, path: Path) -> None:
        """Let a file fall onto an element, as a drag from a folder does."""
        self.driver.execute_script(
            "const input = document.createElement('input'); input.type = 'file'; input.id = 'test-file';"
            "input.hidden = true; document.body.append(input)"
        )
        self.driver.find_element("id", "test-file").send_keys(str(path))
        self.driver.execute_script(
            "const input = document.getElementById('test-file'); const dataTransfer = new DataTransfer();"
            "dataTransfer.items.add(input.files[0]); input.remove();"
            "const zone = document.querySelector(arguments[0]);"
            "for (const name of ['dragenter', 'dragover', 'drop'])"
            "  zone.dispatchEvent(new DragEvent(name, {dataTransfer, bubbles: true, cancelable: true}))",
            zone,
        )

    def sound(self, number: int = 0) -> bytes:
        """The WAV file of a take that is shown, by its place on the page."""
        numbers = self.script(
            "(async () => { const { sound } = await import('/static/js/store.js');"
            f"const id = document.querySelectorAll('#batches .take')[{number}].dataset.id;"
            "return [...new Uint8Array(await (await sound(id)).arrayBuffer())] })()"
        )
        return bytes(numbers)

    def errors(self) -> list[str]:
        """What the browser's console complained about since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
