"""The site: links between pages survive the move into it, sounds become players, everything is in the navigation."""

import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import soundfile

from tools import site

PAGE = site.DOCS / "how-to" / "serve.md"
PLACES = {path.resolve(): place for path, place in site.staged_pages().items()}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[a](edit.md#loops)", "[a](edit.md#loops)"),
        ("[card](../../MODEL_CARD.md)", "[card](../model_card.md)"),
        ("[engine](../../src/arctone/inference/engine.py)", "[engine](../reference/api/arctone.inference.engine.md)"),
        ("[programs](../../benchmarks)", "programs (`benchmarks`)"),
        ("![studio](../images/studio-dark.png)", "![studio](../images/studio-dark.png)"),
        ("[elsewhere](https://example.org)", "[elsewhere](https://example.org)"),
        ("`[code](edit.md)`", "`[code](edit.md)`"),
    ],
)
def test_links_lead_to_the_same_thing(written, expected):
    assert site.rewritten(written, PAGE, PLACES) == expected


def test_a_sound_becomes_a_player(tmp_path):
    sound = tmp_path / "rain.opus"
    sound.touch()
    found = site.rewritten(
        "[rain](rain.opus)", tmp_path / "p.md", {sound: Path("s/rain.opus"), tmp_path / "p.md": Path("p.md")}
    )
    assert found == '<audio controls preload="none" style="width: 9em" src="s/rain.opus" title="rain"></audio>'


def test_the_link_to_the_studio_has_every_setting_of_the_record_and_of_its_source(tmp_path):
    request = {"prompt": "a & b", "seed": 0, "bpm": None, "loop": False, "inpaint": [], "threads": 2, "steps": 3}
    rate = {"sample_rate": 48_000, "num_channels": 1, "num_samples": 1, "sha256": ""}
    looped = {**request, "loop": True, "bars": 2, "bpm": 90.0, "duration_seconds": 5.3}
    edited = {**request, "inpaint": ["0:1", "2:3"], "init_noise_level": 0.5}
    records = {"a": looped, "b": edited}
    for name, values in records.items():
        record = {"request": values} | ({"source": {"name": "a.wav", **rate}} if name == "b" else {})
        with soundfile.SoundFile(tmp_path / f"{name}.opus", "w", 48_000, 1, format="OGG", subtype="OPUS") as file:
            file.comment = json.dumps(record)
            file.write([0.0])
    first, second = (dict(parse_qsl(site.address(tmp_path / f"{name}.opus"))) for name in records)
    assert first == {"prompt": "a & b", "seed": "0", "steps": "3", "loop": "true", "bars": "2", "bpm": "90.0"}
    plain = {"prompt": "a & b", "seed": "0", "steps": "3"}
    source = second.pop("source")
    assert second == {**plain, "inpaint": "0:1,2:3", "init_noise_level": "0.5"}
    assert dict(parse_qsl(source)) == first


def test_every_sound_of_the_gallery_links_to_the_studio():
    for path in site.GALLERY.glob("*.opus"):
        settings = dict(parse_qsl(site.address(path)))
        assert {"prompt", "seed", "steps", "sampler"} <= set(settings), path
        assert ("source" in settings) == bool({"init_noise_level", "inpaint", "extend"} & set(settings)), path


def test_a_broken_link_ends_the_build():
    with pytest.raises(SystemExit, match=r"nowhere\.md"):
        site.rewritten("[a](nowhere.md)", PAGE, PLACES)


def test_every_page_is_in_the_navigation():
    contents = (site.DOCS / "index.md").read_text()
    navigation = site.navigation(site.rewritten(contents, site.DOCS / "index.md", PLACES))
    generated = {Path("reference/cli"), Path("reference/api"), Path("results")}
    for place in PLACES.values():
        if place.suffix == ".md" and place.name != "index.md" and place.parent not in generated:
            assert f"\n{place}\n" in navigation, place


def test_what_a_page_loads_from_another_host_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "SITE", tmp_path)
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">fine</a><script src="https://cdn.example.org/x.js">'
    )
    (tmp_path / "b.css").write_text("@import url('//fonts.example.org/x.css');")
    assert site.foreign_hosts() == [
        "a.html loads https://cdn.example.org/x.js.",
        "b.css loads from another host.",
    ]


def test_a_player_without_its_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<audio controls src="gallery/there.opus"></audio><audio src="gone.opus"></audio>')
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "there.opus").write_bytes(b"")
    assert site.missing_sounds(tmp_path) == ["a.html plays gone.opus, which is not part of the site."]
