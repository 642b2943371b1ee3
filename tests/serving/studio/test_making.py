"""From a prompt to a take that is played, and what is done with takes."""

import io
import re
from pathlib import Path

import numpy as np
import soundfile

from arctone.audio.tags import read_metadata
from tests.serving.studio.studio_page import Page


def samples(wav: bytes) -> np.ndarray:
    """The samples of a WAV file as they are stored, [samples, channels]."""
    found, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert rate == 44100
    return found


def test_a_prompt_becomes_a_take_that_plays_and_is_exactly_as_long_as_asked(any_page: Page):
    page = any_page
    page.generate("rain & <b>tin</b>", seconds="0.75")
    assert len(samples(page.sound())) == 33075
    assert page.text("#batches h3") == "rain & <b>tin</b>"  # text stays text
    page.leave_field()
    page.press(" ")
    page.wait("document.getElementById('audio').currentTime > 0.1")
    assert page.script("document.getElementById('audio').duration") == 0.75
    page.wait("document.getElementById('audio').ended")
    page.wait("document.querySelector('[data-drawn]') !== null")
    assert page.script(DRAWN_PIXELS) > 100


DRAWN_PIXELS = """(() => {
  let drawn = 0;
  const canvases = [];
  const walk = (node) => {
    if (node.tagName === 'CANVAS') canvases.push(node);
    for (const child of [...node.children, ...(node.shadowRoot?.children ?? [])]) walk(child);
  };
  walk(document.querySelector('.spectrogram').parentElement);
  for (const canvas of canvases) {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let n = 3; n < data.length; n += 4) drawn += data[n] > 0;
  }
  return canvases.length >= 2 ? drawn : 0;
})()"""


def test_reroll_makes_others_with_the_same_settings(page: Page):
    page.generate("a dog", takes=4, seconds="0.25", seed="")
    before = page.script("[...document.querySelectorAll('.seed')].map((e) => Number(e.textContent))")
    assert before == list(range(before[0], before[0] + 4))
    page.leave_field()
    page.press("r")
    page.wait("document.querySelectorAll('#batches .take').length === 8")
    after = page.script("[...document.querySelectorAll('.batch .takes')][0].querySelectorAll('.seed').length")
    assert after == 4
    seeds = page.script("[...document.querySelectorAll('.seed')].map((e) => Number(e.textContent))")
    assert len(set(seeds)) == 8
    assert len(samples(page.sound(0))) == len(samples(page.sound(4))) == 11025


def test_takes_appear_one_after_another(any_page: Page):
    page = any_page
    page.script("""(() => {
      window.counts = [];
      new MutationObserver(() => {
        const count = document.querySelectorAll('#batches .take').length;
        if (count !== window.counts.at(-1)) window.counts.push(count);
      }).observe(document.getElementById('batches'), { childList: true, subtree: true });
    })()""")
    page.type("steps", "12")
    page.generate("rain", takes=3, seconds="0.5")
    assert page.script("window.counts") == [0, 1, 2, 3]


def test_history_survives_a_reload_and_redo_makes_the_same_sound(any_page: Page):
    page = any_page
    page.generate("wind", takes=2, seconds="0.5", seed="41")
    second = page.sound(1)
    page.open()
    assert page.count("#batches .take") == 2
    assert page.sound(1) == second
    page.leave_field()
    page.press("j", "y")
    page.wait("document.querySelectorAll('#batches .take').length === 3")
    assert page.text("#batches .seed") == "42"
    assert np.array_equal(samples(page.sound(0)), samples(second))


def test_diverse_takes_are_redone_by_their_own_seed(page: Page):
    assert page.script("document.querySelector('.field-diverse').hidden")
    page.type("variations", "2")
    assert page.script("!document.querySelector('.field-diverse').hidden")
    page.script("document.getElementById('field-diverse').click()")
    page.generate("wind", takes=2, seconds="0.5", seed="41")
    assert re.search(r"As different as possible\s+yes", page.text("#inspector"))
    second = page.sound(1)
    page.leave_field()
    page.press("j", "y")
    page.wait("document.querySelectorAll('#batches .take').length === 3")
    assert 41 <= int(page.text("#batches .seed")) < 49
    assert np.array_equal(samples(page.sound(0)), samples(second))


def test_the_settings_of_a_past_take_are_shown_and_reused(page: Page):
    page.type("steps", "3")
    page.generate("bell", seconds="0.5", seed="9")
    assert re.search(r"Steps\s+3", page.text("#inspector"))
    page.type("steps", "")
    page.type("prompt", "something else")
    page.click("#inspector button", "Reuse settings")
    page.wait("document.getElementById('field-prompt').value === 'bell'")
    assert (page.value("steps"), page.value("seed"), page.value("duration_seconds")) == ("3", "9", "0.5")


def test_a_downloaded_take_restores_its_settings_when_it_is_dropped(any_page: Page):
    page = any_page
    page.type("steps", "5")
    page.generate("Église, 90 BPM", seconds="0.5", seed="123")
    page.click("#inspector button", "Download")
    file = page.driver.downloads / "eglise-90-bpm-123.wav"
    page.wait("true")
    for _ in range(100):
        if file.is_file():
            break
        page.wait("new Promise((wake) => setTimeout(() => wake(true), 30))")
    record = read_metadata(file)
    assert record
    assert record["request"]["prompt"] == "Église, 90 BPM"
    page.type("prompt", "x")
    page.type("steps", "")
    page.type("seed", "")
    page.drop("#drop-restore", file)
    page.wait("document.getElementById('field-seed').value === '123'")
    assert page.value("prompt") == "Église, 90 BPM"
    assert page.value("steps") == "5"
    assert page.value("bpm") == "90"
    file.unlink()


def test_new_takes_are_also_written_into_the_drop_folder(page: Page):
    """The browser's own private folder stands for the one that people would choose."""
    page.script("(await import('/static/js/folder.js')).use(await navigator.storage.getDirectory())")
    page.generate("drum hit", takes=2, seconds="0.25", seed="60")
    page.wait("document.getElementById('status').textContent.startsWith('2 takes made')")
    for number, seed in enumerate((60, 61)):
        written = page.script(f"""(async () => {{
          const folder = await navigator.storage.getDirectory();
          const file = await (await folder.getFileHandle('drum-hit-{seed}.wav')).getFile();
          return [...new Uint8Array(await file.arrayBuffer())];
        }})()""")
        assert bytes(written) == page.sound(number)


def test_a_take_is_dragged_out_as_a_file(page: Page):
    page.generate("drag me", seconds="0.25", seed="5")
    page.wait("document.querySelector('[data-drawn]') !== null")
    reported = page.script("""(() => {
      const dataTransfer = new DataTransfer();
      document.querySelector('.take').dispatchEvent(new DragEvent('dragstart', { dataTransfer, bubbles: true }));
      return dataTransfer.getData('DownloadURL');
    })()""")
    kind, name, url = reported.split(":", 2)
    assert (kind, name) == ("audio/wav", "drag-me-5.wav")
    fetched = page.script(f"[...new Uint8Array(await (await fetch('{url}')).arrayBuffer())]")
    assert bytes(fetched) == page.sound()


def test_takes_are_compared_at_the_same_place(page: Page):
    page.generate("two", takes=2, seconds="2.5")
    page.leave_field()
    page.press("a", "j", "b", "k", " ")
    page.wait("document.getElementById('audio').currentTime > 0.3")
    page.press("x")
    page.wait("document.querySelector('.sides').textContent.startsWith('hearing B')")
    assert 0.3 < page.script("document.getElementById('audio').currentTime") < 2.5
    page.press("x")
    page.wait("document.querySelector('.sides').textContent.startsWith('hearing A')")
    page.press(" ")


def test_a_loop_repeats_without_a_seam_and_follows_the_tempo(any_page: Page):
    page = any_page
    page.script("document.getElementById('field-loop').click()")
    page.type("bpm", "120")
    page.type("bars", "1")
    page.type("duration_seconds", "")
    page.type("variations", "1")
    page.type("seed", "3")
    page.type("prompt", "drums")
    page.press("\ue007")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    assert len(samples(page.sound())) == 88200  # one bar of 4/4 at 120 BPM: 2 s
    page.leave_field()
    page.press("l", " ")
    page.wait(f"{PLAYER}.playing && {PLAYER}.position > 0.2")
    page.press("]")
    page.wait(f"{PLAYER}.rate > 1.01")
    page.wait("document.querySelector('output[for=tempo]').textContent === '122.4 BPM'")
    first = page.wait(f"{PLAYER}.position", 5)
    page.wait(f"{PLAYER}.position < {first}", 5)  # it came round
    assert page.script(f"{PLAYER}.playing")
    page.press(" ", "l", "\\")


PLAYER = "(await import('/static/js/main.js')).player"


def test_a_stretched_loop_has_the_asked_length_the_same_pitch_and_no_click(page: Page):
    """A sine whose period divides the loop: at another tempo it is the same sine, also across the seam."""
    for rate in (0.8, 1.25):
        found = page.script(f"""(async () => {{
          const {{ stretchLoop }} = await import('/static/js/stretch.js');
          const tone = Float32Array.from({{ length: 44100 }}, (_, n) => Math.sin(2 * Math.PI * 441 * n / 44100));
          return [...stretchLoop([tone, tone], 44100, {rate})[1]];
        }})()""")
        tone = np.array(found)
        assert len(tone) == round(44100 / rate)
        twice = np.concatenate([tone, tone])
        spectrum = np.abs(np.fft.rfft(twice * np.hanning(len(twice))))
        assert abs(np.argmax(spectrum) * 44100 / len(twice) - 441) < 2
        # A sine of 441 Hz moves at most 0.063 from sample to sample; a click would move more.
        assert np.abs(np.diff(twice)).max() < 0.075
        assert np.sqrt(np.mean(tone**2)) > 0.6


def test_cancel_stops_the_server_and_keeps_nothing(any_page: Page):
    page = any_page
    page.type("steps", "200")
    page.type("duration_seconds", "2.9")
    page.type("variations", "16")
    page.type("prompt", "too long")
    page.press("\ue007")
    page.wait("document.querySelector('progress')?.value > 0")
    page.leave_field()
    page.press("\ue00c")
    page.wait("document.querySelector('.ended')?.textContent.includes('ancel')")
    assert page.count("#batches .take") == 0
    page.generate("after it", seconds="0.25")


def test_a_mistake_is_reported_next_to_its_field(any_page: Page):
    page = any_page
    page.type("prompt", "x")
    page.type("steps", "999")
    page.press("\ue007")
    page.wait("document.getElementById('hint-steps').textContent !== ''")
    assert page.text("#hint-steps") == "Steps must be a whole number from 1 to 200, got 999."
    assert page.script("document.activeElement.id") == "field-steps"
    assert page.script("document.activeElement.getAttribute('aria-describedby')") == "hint-steps"
    assert page.count("#batches .batch") == 0
    refused = [message for message in page.errors() if "400" not in message and "422" not in message]
    assert refused == []  # the browser notes the refusal itself; nothing else
    page.type("steps", "2")
    page.generate("now it is right", seconds="0.25")
    assert page.text("#hint-steps") == ""


def test_an_empty_prompt_is_reported_without_asking_the_server(page: Page):
    page.type("prompt", "")
    page.press("\ue007")
    assert page.text("#hint-prompt") == "Say what the sound should be."


def test_a_file_without_settings_becomes_the_start_sound(page: Page, tmp_path: Path):
    soundfile.write(tmp_path / "plain.wav", np.zeros((4410, 2), np.float32), 44100)
    page.drop("#drop-restore", tmp_path / "plain.wav")
    page.wait("document.getElementById('source').innerText.includes('plain.wav')")
    page.errors()  # the browser notes the refusal (422)
