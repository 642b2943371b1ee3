"""A model in a page as people use it: its files are checked and kept, work can be stopped, no server is needed."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from arctone.cli.main import run
from arctone.errors import ModelError, UsageError
from arctone.export.web import export_web, manifest, open_model
from tests.web.static_page import EnginePage, StaticFiles

SOUND = """
const model = await load("model/"), sound = await model.generate("rain", { seconds: 0.5, seed: 7, steps: 1 });
model.close();
return packed(sound.samples[0]);
"""


@pytest.fixture
def own_page(engine_page: EnginePage, web_folder: Path, tmp_path: Path) -> Iterator[EnginePage]:
    """The same browser on a copy of the folder, at an address of its own, so with an empty storage."""
    folder = tmp_path / "out"
    shutil.copytree(web_folder, folder)
    files = StaticFiles(folder)
    page = EnginePage(engine_page.browser, files)
    page.open()
    yield page
    files.close()
    engine_page.open()


def test_a_second_visit_reads_the_storage_and_a_corrupted_file_is_fetched_again(own_page: EnginePage):
    first = own_page.run(SOUND)
    assert "/model/encoder.tflite" not in own_page.files.paths
    assert own_page.run("return await storedBytes('model/');") > 100_000
    own_page.files.paths.clear()
    second = own_page.run(SOUND)
    assert [path for path in own_page.files.paths if path.startswith("/model/")] == ["/model/web.json"]
    corrupt = """
    const cache = await caches.open("arctone-models"), keys = await cache.keys();
    const key = keys.find(({ url }) => url.includes("dit.tflite"));
    const bytes = new Uint8Array(await (await cache.match(key)).arrayBuffer());
    bytes[bytes.length >> 1] ^= 1;
    await cache.put(key, new Response(bytes));
    """
    own_page.run(corrupt)
    own_page.files.paths.clear()
    third = own_page.run(SOUND)
    fetched = [path for path in own_page.files.paths if path.startswith("/model/")]
    assert fetched == ["/model/web.json", "/model/dit.tflite"]
    assert (first == second).all()
    assert (first == third).all()
    own_page.run("await forget('model/');")
    assert own_page.run("return await storedBytes('model/');") == 0


REFUSED = """
try { await load("model/"); return null; } catch (error) { return [error.name, error.message, error.status]; }
"""


def test_a_file_that_is_not_the_described_one_is_fetched_twice_and_refused(own_page: EnginePage):
    path = own_page.files.folder / "model" / "decoder.tflite"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    name, message, _ = own_page.run(REFUSED)
    assert (name, message) == (
        "ModelError",
        "decoder.tflite is not the file that web.json describes, although it was fetched twice.",
    )
    assert own_page.files.paths.count("/model/decoder.tflite") == 2
    path.write_bytes(data[:1000])
    assert "fetched twice" in own_page.run(REFUSED)[1]
    path.unlink()
    name, message, status = own_page.run(REFUSED)
    assert (name, status) == ("ModelError", 404)
    assert message.endswith("/model/decoder.tflite cannot be fetched: the server answers 404.")


def test_what_is_no_model_is_said(own_page: EnginePage):
    (own_page.files.folder / "model" / "web.json").write_text('{"schema": 99}')
    assert own_page.run(REFUSED)[1].endswith("does not describe a model that this version of arctone.js reads.")
    script = 'try { await load("nowhere/"); } catch (error) { return [error.name, error.status]; }'
    assert own_page.run(script) == ["ModelError", 404]
    script = 'try { await load("model/", { storage: "disk" }); } catch (error) { return [error.name, error.message]; }'
    assert own_page.run(script) == ["UsageError", "storage must be one of cache, none, got 'disk'."]


@pytest.mark.parametrize("name", ["worker.js", "synthesis.js"])
def test_a_folder_that_lacks_a_script_says_so(own_page: EnginePage, name: str):
    (own_page.files.folder / "engine" / name).unlink()
    kind, message, _ = own_page.run(REFUSED)
    assert kind == "ModelError"
    assert message.startswith("The engine's")


def test_sound_is_made_with_the_network_cut(own_page: EnginePage):
    script = """
    const sound = await (await opened("model/")).generate("rain", { seconds: 0.5, seed: given[0], steps: 1 });
    return packed(sound.samples[0]);
    """
    own_page.run("await opened('model/');")
    own_page.files.is_cut = True
    assert own_page.run("return fetch('example.html', {cache: 'no-store'}).catch(() => 'cut');") == "cut"
    first, second, again = (own_page.run(script, seed) for seed in (7, 8, 7))
    assert (first == again).all()
    assert not (first == second).all()


def test_progress_comes_in_order_and_work_stops_between_steps(engine_page: EnginePage):
    script = """
    const model = await opened("model/"), seen = [], stop = new AbortController();
    const onProgress = (progress) => {
      seen.push([progress.stage, progress.step, progress.num_steps]);
      if (given[0] && progress.stage === "sampling" && progress.step === 2) stop.abort();
    };
    const ask = { seconds: 0.5, seed: 7, steps: given[0] ? 200 : 5, onProgress, signal: stop.signal };
    const waiting = model.generate("rain", ask).then(() => "done", (error) => error.name);
    const next = await model.generate("wind", { seconds: 0.5, steps: 1, seed: 1 });
    return [seen, await waiting, next.seed];
    """
    seen, end, seed = engine_page.run(script, False)
    sampling = [["sampling", step, 5] for step in range(6)]
    assert seen == [["text", 0, 1], ["text", 1, 1], *sampling, ["decoding", 1, 1]]
    assert (end, seed) == ("done", 1)
    seen, end, seed = engine_page.run(script, True)
    assert seen[:5] == [["text", 0, 1], ["text", 1, 1], *([name, step, 200] for name, step, _ in sampling[:3])]
    assert {stage for stage, *_ in seen} == {"text", "sampling"}
    assert len(seen) < 150
    assert (end, seed) == ("AbortError", 1)


def test_a_stopped_download_and_a_closed_model_say_so(own_page: EnginePage):
    stopped = """
    const stop = new AbortController();
    const onProgress = ({ stage }) => { if (stage === "downloading") stop.abort(new Error("enough")); };
    try { await load("model/", { signal: stop.signal, onProgress }); } catch (error) { return error.message; }
    """
    assert own_page.run(stopped) == "enough"
    closed = """
    const model = await load("model/"), first = model.generate("rain").catch((error) => error.message);
    model.close();
    return [await first, await model.generate("rain").catch((error) => error.message)];
    """
    assert own_page.run(closed) == ["The model tiny is closed."] * 2


def test_a_drawn_seed_is_reported_and_makes_the_sound_again(engine_page: EnginePage):
    script = """
    const model = await opened("model/"), ask = { seconds: 0.5, steps: 1 };
    const [one, other] = [await model.generate("rain", ask), await model.generate("rain", ask)];
    const again = await model.generate(one.request);
    return [one, other, again].map((sound) => [sound.seed, packed(sound.samples[0])]);
    """
    (seed, one), (other_seed, other), (again_seed, again) = engine_page.run(script)
    assert seed == again_seed != other_seed
    assert (one == again).all()
    assert not (one == other).all()


def test_the_description_is_that_of_the_command(engine_page: EnginePage, tiny_model_folder: Path):
    script = """
    const model = await opened("model/"), cost = await model.estimate({ prompt: "rain", seconds: 1 });
    const { name, hash, sampleRate, channels, maxDurationSeconds, windowSeconds, features, defaults } = model;
    return [await describe("model/"), cost.steps, cost.duration_seconds,
            { name, hash, sampleRate, channels, maxDurationSeconds, windowSeconds, features, defaults }];
    """
    described, steps, seconds, shown = engine_page.run(script)
    opened = open_model(tiny_model_folder)
    assert described["fields"][0]["name"] == "prompt"
    assert (steps, seconds) == (4, 1)
    assert shown == {
        "name": "tiny",
        "hash": described["model_hash"],
        "sampleRate": 44_100,
        "channels": 2,
        "maxDurationSeconds": 300,
        "windowSeconds": 2.97,
        "features": opened.features,
        "defaults": {"duration_seconds": 1.0, "steps": 4, "cfg_scale": 2.0, "sampler": "euler"},
    }


def test_the_example_page_makes_a_sound_without_a_word_in_the_console(own_page: EnginePage):
    own_page.console()
    browser = own_page.browser
    seconds = browser.find_element(By.NAME, "seconds")
    seconds.clear()
    seconds.send_keys("1")
    browser.find_element(By.NAME, "seed").send_keys("7")
    browser.find_element(By.TAG_NAME, "button").click()
    output = browser.find_element(By.TAG_NAME, "output")
    WebDriverWait(browser, 60).until(lambda _: output.text.startswith("Seed 7"))
    assert browser.find_element(By.TAG_NAME, "audio").is_displayed()
    assert own_page.run("return document.querySelector('audio').duration;") == pytest.approx(1, abs=0.01)
    assert own_page.console() == []


# --- the command's side ---


def test_a_slim_folder_leaves_out_what_loops_need(tiny_model_folder: Path):
    whole, slim = open_model(tiny_model_folder), open_model(tiny_model_folder, slim=True)
    assert set(whole.files) - set(slim.files) == {"encoder.tflite"}
    names: list[list[str]] = [
        [field["name"] for field in manifest(model)["description"]["fields"]] for model in (whole, slim)
    ]
    assert set(names[0]) - set(names[1]) == {"loop", "init_noise_level", "inpaint", "extend"}


def test_a_folder_holds_the_studio_and_the_hashes_of_its_files(tiny_model_folder: Path, tmp_path: Path):
    sizes = export_web(tiny_model_folder, tmp_path / "out")
    made: dict[str, Any] = json.loads((tmp_path / "out" / "model" / "web.json").read_text())
    for file in made["files"]:
        data = (tmp_path / "out" / "model" / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
        assert file["needed"] == (file["path"] != "encoder.tflite")
    for name in ("index.html", "sw.js", "example.html", "arctone.js", "engine/worker.js", "LICENSE", "NOTICE"):
        assert (tmp_path / "out" / name).is_file()
    assert "model/web.json" in (tmp_path / "out" / "sw.js").read_text()
    assert sizes["download"] < sizes["all"]
    with pytest.raises(UsageError, match="exists"):
        export_web(tiny_model_folder, tmp_path / "out")


def test_the_command_writes_the_folder_and_its_sizes(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["export", "web", str(tiny_model_folder), str(tmp_path / "out"), "--slim", "--no-studio", "--json"]
    assert run(words) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made["megabytes"]) == {"model", "runtime", "page", "all", "download"}
    assert not (tmp_path / "out" / "sw.js").exists()
    assert (tmp_path / "out" / "index.html").read_bytes() == (tmp_path / "out" / "example.html").read_bytes()
    assert run(words) == 2
    assert "exists" in capsys.readouterr().err
    assert run([*words, "--force"]) == 0


def test_models_of_other_kinds_are_refused(tmp_path: Path):
    published = Path(__file__).parents[1] / "exports" / "tiny-published" / "small-int8"
    with pytest.raises(ModelError, match="a page can run only theirs"):
        export_web(published, tmp_path / "out")
    assert not (tmp_path / "out").exists()
