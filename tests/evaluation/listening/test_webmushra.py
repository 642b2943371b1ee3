"""The webMUSHRA project: against the keys that its doc/experimenter.md documents and what its pages refuse."""

from collections.abc import Iterator
from typing import Any

import pytest
import soundfile
import yaml

from arctone.errors import UsageError
from arctone.evaluation.listening.build import BuildSettings, build
from arctone.evaluation.listening.webmushra import to_yaml
from tests.evaluation.listening.made_systems import PROMPTS, SYSTEMS

# doc/experimenter.md of audiolabs/webMUSHRA at 07130f2, with what its example configs use beyond it.
TOP = {"testname", "testId", "bufferSize", "stopOnErrors", "showButtonPreviousPage", "remoteService", "pages"}
KEYS = {
    "generic": {"id", "name", "content"},
    "volume": {"id", "name", "content", "stimulus", "defaultVolume"},
    "mushra": {
        *("id", "name", "content", "showWaveform", "enableLooping", "strict", "reference", "createAnchor35"),
        *("createAnchor70", "randomize", "showConditionNames", "stimuli", "switchBack"),
    },
    "likert_multi_stimulus": {"id", "name", "content", "mustRate", "mustPlayback", "stimuli", "response"},
    "likert_single_stimulus": {
        *("id", "name", "content", "showWaveform", "mustRate", "mustPlayback", "stimuli", "maxStimuli", "response"),
    },
    "finish": {"name", "content", "popupContent", "showResults", "showErrors", "writeResults", "questionnaire"},
}
OPTIONAL = {"switchBack", "showWaveform", "mustPlayback", "maxStimuli"}
RESPONSE = {"value", "label", "img", "imgSelected", "imgHigherResponseSelected"}


@pytest.fixture
def config(mushra_test) -> dict[str, Any]:
    return yaml.safe_load((mushra_test.folder / f"listeners/configs/{mushra_test.key.test}.yaml").read_text())


def pages(listed: list[Any]) -> Iterator[dict[str, Any]]:
    for page in listed:
        if isinstance(page, list):
            yield from pages(page)
        elif page != "random":
            yield page


def judged(config: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [page for page in pages(config["pages"]) if page["type"] == kind and page["id"] != "comfort"]


def test_every_page_has_the_documented_keys_and_no_other(config):
    assert set(config) == TOP
    assert config["bufferSize"] in (256, 512, 1024, 2048, 4096, 8192, 16384)
    for page in pages(config["pages"]):
        known = KEYS[page["type"]]
        assert set(page) - {"type"} <= known
        assert known - OPTIONAL <= set(page) - {"type"}
        for response in page.get("response", ()):
            assert {"value", "label"} <= set(response) <= RESPONSE
    assert list(pages(config["pages"]))[-1]["type"] == "finish"


def test_titles_and_prompts_survive_quoting_and_html(config):
    assert config["testname"] == 'Rain & "wind": <1> é'
    contents = " ".join(page["content"] for page in judged(config, "likert_multi_stimulus"))
    assert "sound number 3 &amp; &lt;3&gt;" in contents
    assert "<3>" not in contents


def test_each_file_exists_and_every_stimulus_is_used(config, mushra_test):
    root = mushra_test.folder / "listeners"
    used = {page[name] for page in pages(config["pages"]) for name in ("reference", "stimulus") if name in page}
    used |= {path for page in pages(config["pages"]) for path in page.get("stimuli", {}).values()}
    assert {path.relative_to(root).as_posix() for path in root.rglob("*.wav")} == used


def test_mushra_pages_meet_what_webmushra_checks(config, mushra_test):
    """Same rate, length and channels, at most 12 s and 12 conditions; anchors are ours, the hidden reference is not."""
    found = judged(config, "mushra")
    assert len(found) == 1 + 8 + 1
    for page in found:
        paths = [page["reference"], *page["stimuli"].values()]
        infos = {
            (info.samplerate, info.frames, info.channels)
            for info in (soundfile.info(mushra_test.folder / "listeners" / path) for path in paths)
        }
        assert len(infos) == 1
        assert infos.pop()[1] <= 12 * 44_100
        assert page["reference"] not in page["stimuli"].values()
        assert len(page["stimuli"]) == len(SYSTEMS) + 2
        assert not page["createAnchor35"]


def test_every_rating_that_webmushra_stores_is_in_the_key(config, mushra_test):
    questions = mushra_test.key.by_trial()
    stored = {
        (page["id"], name)
        for kind in ("mushra", "likert_multi_stimulus")
        for page in judged(config, kind)
        for name in page["stimuli"]
    } | {(page["id"], "reference") for page in judged(config, "mushra")}
    assert stored == set(questions)
    assert {q.system for q in questions.values() if q.stimulus == "reference"} == {"reference"}
    for dimension, conditions in (("diversity", 3), ("quality", 6), ("adherence", 4)):
        first = [q for q in questions.values() if q.dimension == dimension and q.occasion == 1 and not q.is_practice]
        assert len(first) == conditions * (len(PROMPTS) - 1)


def test_repeats_come_after_their_originals(config, mushra_test):
    questions = mushra_test.key.questions
    prompts = {q.trial: (q.dimension, q.prompt) for q in questions if not q.is_practice}
    seconds = {q.trial for q in questions if q.occasion == 2}
    assert len(seconds) == 2 + 1 + 1  # four ratings of three, six and four conditions are two, one and one pages
    for block in next(page for page in config["pages"] if isinstance(page, list))[1:]:
        first_half, second_half = ({page["id"] for page in half[1:]} for half in block if isinstance(half, list))
        for page in second_half & seconds:
            original = next(p for p, text in prompts.items() if text == prompts[page] and p not in seconds)
            assert original in first_half
        assert not first_half & seconds


def test_the_first_stored_page_is_a_likert_single_stimulus_page(config):
    """Otherwise write.php fails under PHP 8."""
    storing = [page for page in pages(config["pages"]) if page["type"] not in ("generic", "volume", "finish")]
    assert storing[0]["type"] == "likert_single_stimulus"


def test_too_many_systems_for_a_mushra_page_are_refused(sounds, tmp_path):
    systems = {f"system{number}": sounds / SYSTEMS[number % 3] for number in range(11)}
    with pytest.raises(UsageError, match="11 times, but a mushra page takes at most 10 systems"):
        build(systems, tmp_path / "t", BuildSettings(seed=1, kind="webmushra"), reference=sounds / "real")
    assert list(tmp_path.iterdir()) == []


def test_without_references_quality_is_a_likert_page(sounds, tmp_path):
    settings = BuildSettings(seed=1, kind="webmushra", dimensions=("quality",), num_repeats=0)
    test = build({name: sounds / name for name in SYSTEMS}, tmp_path / "t", settings)
    text = next((tmp_path / "t/listeners/configs").glob("*.yaml")).read_text()
    found = list(pages(yaml.safe_load(text)["pages"]))
    assert not any(page["type"] == "mushra" for page in found)
    assert test.key.limits == {"quality": (1, 5)}
    assert {question.system for question in test.key.questions} == set(SYSTEMS)


def test_block_yaml_is_what_a_yaml_library_reads():
    value = {
        "text": 'a "quote": # no comment, é, \\n \n new line',
        "flags": [True, False],
        "nested": ["random", [{"a": 1.5, "b": {"c": "1e5"}}, ["x"]], {"d": ["- y"]}],
    }
    assert yaml.safe_load(to_yaml(value)) == value
