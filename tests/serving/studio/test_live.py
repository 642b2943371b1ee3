"""Live mode: endless sound without a gap, steered while it plays."""

from typing import Any

import pytest

from benchmarks.live import WATCH
from tests.serving.studio.studio_page import Page

LIVE = "(await import('/static/js/main.js')).live"
# Listens to what leaves the page: the longest silence (ms) since it was switched on.
LISTEN = """(async () => {
  const { player } = await import('/static/js/main.js');
  const ear = player.context.createAnalyser();
  ear.fftSize = 2048;
  player.output.connect(ear);
  window.monitor = { longest: 0, polls: 0, stall: 0 };
  const window_ = new Float32Array(2048);
  let last = performance.now();
  let poll = last;
  window.ear = setInterval(() => {
    ear.getFloatTimeDomainData(window_);
    const now = performance.now();
    window.monitor.polls += 1;
    window.monitor.stall = Math.max(window.monitor.stall, now - poll);
    poll = now;
    if (window_.some((value) => Math.abs(value) > 1e-4)) last = now;
    window.monitor.longest = Math.max(window.monitor.longest, now - last);
  }, 15);
})()"""


def check_gaps(page: Page) -> None:
    """No gap was planned and no silence played; a machine that stops the page itself for long cannot tell."""
    gaps, monitor = page.script(f"{LIVE}.stats.gaps"), page.script("window.monitor")
    if monitor["stall"] > 200:
        pytest.skip(f"this machine is too busy to measure gaps: the page stood still for {monitor['stall']:.0f} ms")
    assert gaps == 0
    assert monitor["polls"] > 60
    assert monitor["longest"] < 100


def test_live_plays_on_without_a_gap_and_is_steered(page: Page):
    page.leave_field()
    page.press("v")
    page.script("document.getElementById('live-prompt').focus()")
    page.press("endless sea")
    page.click("#live-toggle", "Start")
    page.wait(f"{LIVE}.parts.length > 0 && {LIVE}.current !== null")
    page.script(LISTEN)
    page.wait(f"{LIVE}.stats.made >= 3")
    page.script(
        "(() => { const e = document.getElementById('live-prompt'); e.value = 'storm at night'; "
        "e.dispatchEvent(new Event('input')) })()"
    )
    page.wait(f"{LIVE}.current?.settings.words === 'storm at night'")
    assert "storm at night" in page.text(".timeline")
    page.script(
        "(() => { const e = document.getElementById('live-tempo'); e.value = '120'; "
        "e.dispatchEvent(new Event('input')) })()"
    )
    page.wait(f"{LIVE}.current?.settings.request.bpm === 120")
    part = page.script(f"{LIVE}.current.end - {LIVE}.current.start")
    assert part / 0.5 == pytest.approx(round(part / 0.5), abs=1e-4)  # whole beats
    page.wait("new Promise((wake) => setTimeout(() => wake(true), 2500))")
    assert page.script("document.getElementById('live-meter').value") > 0.1
    page.script("clearInterval(window.ear)")
    page.click("#live button", "Keep this part")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    page.click("#live-toggle", "Stop")
    page.wait(f"!{LIVE}.running")
    check_gaps(page)


def test_live_repeats_a_part_rather_than_fall_silent(page: Page):
    """A server that makes one part and then nothing more: the part goes on, and the page says so."""
    page.leave_field()
    page.press("v")  # a key: browsers give no sound to pages that nobody touched
    page.script(f"""(async () => {{
      const live = {LIVE};
      const {{ toWav }} = await import('/static/js/wav.js');
      const tone = new AudioBuffer({{ numberOfChannels: 1, length: 44100, sampleRate: 44100 }});
      tone.getChannelData(0).forEach((_, n, all) => {{ all[n] = 0.3 * Math.sin(n / 10) }});
      window.calls = 0;
      live.keptMake = live.make;
      const never = new Promise(() => {{}});
      live.make = () => (window.calls++ ? never : Promise.resolve({{ blob: toWav(tone), job: null }}));
      live.start({{ words: 'tone', request: {{}}, seconds: 1, fade: 0.25, strength: null }});
    }})()""")
    page.wait(f"{LIVE}.current !== null")
    page.script(LISTEN)
    page.wait(f"{LIVE}.stats.repeats >= 3")
    assert "repeated, because making was slower than playing" in page.script(
        "document.getElementById('live-facts').textContent"
    )
    page.script(
        f"(async () => {{ const live = {LIVE}; live.stop(); live.make = live.keptMake; clearInterval(window.ear) }})()"
    )
    check_gaps(page)


TONES = f"""(async () => {{
  const live = {LIVE};
  const {{ toWav }} = await import('/static/js/wav.js');
  const tone = (seconds) => {{
    const buffer = new AudioBuffer({{ numberOfChannels: 1, length: 44100 * seconds, sampleRate: 44100 }});
    buffer.getChannelData(0).forEach((_, n, all) => {{ all[n] = 0.3 * Math.sin(n / 10) }});
    return toWav(buffer);
  }};
  window.settings = (words, bpm) =>
    ({{ words, request: bpm ? {{ bpm }} : {{}}, seconds: 10, fade: 0.5, strength: null }});
  window.made = 0;
  window.later = new Promise((give) => {{ window.give = () => give({{ blob: tone(4), job: null }}) }});
  live.keptMake = live.make;
  live.make = (_, settings) =>
    (window.made++ < window.most ? Promise.resolve({{ blob: tone(settings.seconds), job: null }}) : window.later);
}})()"""
END = f"(async () => {{ const live = {LIVE}; live.stop(); live.make = live.keptMake; clearInterval(window.ear) }})()"


def test_a_new_prompt_is_played_before_the_part_that_plays_is_over(page: Page):
    page.leave_field()
    page.press("v")
    page.script("window.most = 100")
    page.script(TONES)
    page.script(f"{LIVE}.start(window.settings('sea'))")
    page.wait(f"{LIVE}.current !== null && {LIVE}.parts.length >= 3")
    page.script(LISTEN)
    page.script(f"{LIVE}.steer(window.settings('storm'))")
    page.wait(f"{LIVE}.current.settings.words === 'storm'", 4)
    ends = page.script(f"{LIVE}.parts.map((part) => part.end)")
    assert ends == sorted(ends)
    page.script(f"{LIVE}.steer(window.settings('storm', 120))")
    page.wait(f"{LIVE}.current.settings.request.bpm === 120", 4)
    page.script(f"{LIVE}.steer(window.settings('drums', 120))")
    # Asked in one go: on a busy machine the part before it may be over by the next question.
    apart = page.wait(
        f"(async () => {{ const {{ parts }} = {LIVE};"
        "const n = parts.findIndex((part) => part.settings.words === 'drums');"
        "return n > 0 ? parts[n].start - parts[n - 1].start : null })()",
        4,
    )
    assert apart / 0.5 == pytest.approx(round(apart / 0.5), abs=1e-4)  # on the beat
    page.wait(f"{LIVE}.current.settings.words === 'drums'", 4)
    page.wait("new Promise((wake) => setTimeout(() => wake(true), 700))")
    page.script(END)
    check_gaps(page)


def test_a_part_that_has_played_can_still_be_kept(page: Page):
    page.leave_field()
    page.press("v")
    page.script("document.getElementById('live-prompt').focus()")
    page.press("sea")
    page.script(
        f"(async () => {{ const live = {LIVE}; const usual = live.make; window.usual = usual;"
        "live.make = (signal, settings) => usual(signal,"
        "{...settings, request: {...settings.request, duration_seconds: 0.5}}, null) })()"
    )
    page.click("#live-toggle", "Start")
    page.wait(f"{LIVE}.played.length > 0")
    page.wait("document.querySelector('.played li button') !== null")
    assert "sea" in page.text(".played")
    page.script("document.querySelector('.played button').click()")
    page.wait("document.querySelectorAll('#batches .take').length === 1")
    assert page.sound()[:4] == b"RIFF"
    page.click("#live-toggle", "Stop")
    page.script(f"(async () => {{ {LIVE}.make = window.usual }})()")


def test_what_comes_during_a_repeat_takes_its_place(page: Page):
    page.leave_field()
    page.press("v")
    page.script("window.most = 1")
    page.script(TONES)
    page.script(f"{LIVE}.start({{...window.settings('sea'), seconds: 4, fade: 0.3}})")
    page.wait(f"{LIVE}.current?.isRepeat === true")
    page.script(LISTEN)
    page.script("window.give()")
    page.wait(f"{LIVE}.current.isRepeat === false", 2)  # the repeat would go on for more than three seconds
    page.wait("new Promise((wake) => setTimeout(() => wake(true), 1200))")
    page.script(END)
    check_gaps(page)


def test_parts_with_a_tempo_are_whole_bars_and_fades_whole_beats(page: Page):
    page.script("import('/static/js/live.js')")
    found = page.script("(await import('/static/js/live.js')).partTimes(12, 11.89, 120)")
    assert found == {"seconds": 10, "fade": 1}  # five bars of 2 s; two beats
    found = page.script("(await import('/static/js/live.js')).partTimes(12, 8, null)")
    assert found == {"seconds": 8, "fade": 2}


def test_the_measurement_sees_a_gap_and_takes_no_silent_sound_for_one(driver: Any, page: Page):
    """What benchmarks.live counts: a part that breaks off is a gap, one that is silent for a while is not."""
    driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    page.open()
    page.leave_field()
    page.press("v")
    page.script("window.most = 100")
    page.script(TONES)
    page.script(
        f"(async () => {{ const live = {LIVE}; const make = live.make;"
        "live.make = async (...given) => { const made = await make(...given);"
        "const data = new Int16Array(await made.blob.arrayBuffer()); data.fill(0, 22 + 66150, 22 + 110250);"
        "return { blob: new Blob([data], { type: 'audio/wav' }), job: null } };"
        "live.start({...window.settings('sea'), seconds: 6}) })()"
    )
    page.wait(f"{LIVE}.current !== null")
    driver.execute_script(f"return (async () => {{{WATCH}}})()")
    page.wait("window.watch.silences > 0", 15)  # every part has one; a busy machine may miss that of the first
    assert page.script("window.watch.gaps") == []
    page.script(f"{LIVE}.current.source.stop()")
    page.wait("window.watch.gaps.length > 0", 8)
    assert page.script("window.watch.gaps[0]") > 0.2
    page.script(f"(async () => {{ const live = {LIVE}; live.stop(); live.make = live.keptMake }})()")
    driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
