import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from arctone.model_folder.folder import folder_hash
from benchmarks import autoencoder_table, clips, engines, latency, machine, opus, report, results
from tests.evaluation.metrics.metric_sounds import drums, noise, notes, tone
from tests.evaluation.metrics.stand_ins import NoisyBackend, PerfectBackend, TinyCorpus, TinyEngine, program

SOUNDS = [drums(110, seconds=2.0), notes([[60], [64]]), noise(1.0), tone(300.0, 1.0)]
needs_opus = pytest.mark.skipif(not opus.available(), reason="neither opusenc nor ffmpeg is installed")


def test_a_perfect_autoencoder_has_no_distance_and_the_rate_of_its_latents() -> None:
    measures = autoencoder_table.measure(SOUNDS, autoencoder_table.autoencoder(PerfectBackend(), 64))
    assert measures["mel_distance_db"]["value"] == 0
    assert measures["si_sdr_db"]["value"] == autoencoder_table.SI_SDR_LIMIT_DB
    assert measures["kilobits_per_second"]["value"] == pytest.approx(64 * 16 * 44.1 / 2048, abs=1e-3)


def test_a_noisy_autoencoder_has_the_known_ratio() -> None:
    measures = autoencoder_table.measure([tone(300.0, 1.0)], autoencoder_table.autoencoder(NoisyBackend(), 64))
    assert measures["si_sdr_db"]["value"] == pytest.approx(20 * np.log10(0.3 / np.sqrt(2) / 0.1), abs=0.3)


@needs_opus
def test_opus_keeps_length_and_time_and_more_bits_are_better() -> None:
    sound = drums(110, seconds=3.0)
    low, high = (opus.round_trip(sound, rate) for rate in (24, 64))
    for trip, rate in ((low, 24), (high, 64)):
        assert trip.waveform.samples.shape == sound.samples.shape
        assert abs(trip.delay) < 100
        assert trip.bits_per_second == pytest.approx(1000 * rate, rel=0.5)
    better, worse = (autoencoder_table.measure([sound], lambda _, t=trip: (t.waveform, 1)) for trip in (high, low))
    assert better["si_sdr_db"]["value"] > worse["si_sdr_db"]["value"]
    assert better["mel_distance_db"]["value"] < worse["mel_distance_db"]["value"]


@pytest.mark.parametrize("delay", [-312, 0, 1, 500])
def test_a_delay_is_found_and_removed(delay: int) -> None:
    sound = noise(1.0)
    moved = sound.with_samples(np.roll(sound.samples, delay, axis=1))
    back, found = opus.aligned(moved, sound)
    assert found == delay
    assert np.array_equal(back.samples[:, 600:-600], sound.samples[:, 600:-600])


def test_autoencoder_table_from_start_to_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    corpus = TinyCorpus(48)
    monkeypatch.setattr(clips, "open_corpus", lambda options: corpus)
    monkeypatch.setattr(engines, "load", lambda model, threads: TinyEngine(corpus))
    monkeypatch.setattr(opus, "available", lambda: False)
    autoencoder_table.main(["--clips", "8", "--repeats", "1", "--results", str(tmp_path)])
    result = json.loads((tmp_path / "autoencoder_table.json").read_text())
    assert result["settings"]["clips"] == 8
    text = autoencoder_table.block(result)
    assert "| spark (latents, 16 bit) | 1411.2 | 0.00 (0.00-0.00) |" in text


def test_latency_of_a_program(tmp_path: Path) -> None:
    command = f"{sys.executable} {program(tmp_path)}"
    options = ["--program", command, "--duration", "0.5", "--repeats", "2", "--results", str(tmp_path)]
    latency.main([*options, "--prompt", "steady"])
    result = json.loads((tmp_path / "latency.json").read_text())
    assert result["same_bytes"]
    assert result["stages_ms"]["sampling"] == {"median": 20.0, "best": 20.0}
    assert result["process_seconds"]["best"] <= result["process_seconds"]["median"]
    assert result["audio_seconds"] == 0.5
    assert str(tmp_path) not in json.dumps(result)
    assert "gave the same bytes" in latency.block(result)
    assert "0.50 s of stereo sound" in latency.summary_block(result)


def test_latency_tells_when_the_bytes_differ(tmp_path: Path) -> None:
    command = [sys.executable, str(program(tmp_path))]
    runs = [latency.run(command, "loose", 0.2, 7) for _ in range(2)]
    assert latency.summary(runs)["same_bytes"] is False


def test_latency_says_why_a_program_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the model is missing"):
        latency.run([sys.executable, str(program(tmp_path))], "fail", 0.2, 7)


def test_folder_size_counts_files_and_not_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(3_000_000))
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert latency.folder_megabytes(tmp_path) == pytest.approx(3.0, abs=0.01)


def test_a_block_is_made_from_the_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(report.BLOCKS, "answer", ("answer", lambda result: f"The answer is {result['values']}."))
    page = "# Page\n<!-- generated:answer -->\nold\n<!-- /generated -->\nend\n"
    assert "Not measured yet: `python -m benchmarks.answer`" in report.refreshed(page, tmp_path)
    results.write("answer", {}, {"values": 42}, tmp_path)
    fresh = report.refreshed(page, tmp_path)
    assert fresh == page.replace("old", "The answer is 42.")
    assert report.refreshed(fresh, tmp_path) == fresh


def test_stale_pages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- generated:latency -->\n12 seconds\n<!-- /generated -->\n")
    assert report.stale([path], tmp_path) == [path]
    path.write_text(report.refreshed(path.read_text(), tmp_path))
    assert report.stale([path], tmp_path) == []


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("<!-- generated:unknown -->\n<!-- /generated -->", 'called "unknown"'),
        ("<!-- generated:latency -->\nno end", "no end"),
    ],
)
def test_broken_markers_are_refused(page: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        report.refreshed(page, tmp_path)


def test_the_pages_of_the_project_show_the_stored_results() -> None:
    stale = [path.name for path in report.stale(report.pages())]
    assert not stale, f"stale: {stale}; run python -m benchmarks.report"


def test_the_dated_tables_show_the_stored_results() -> None:
    stale = [path.name for path in report.full_pages()]
    assert not stale, f"stale: {stale}; run python -m benchmarks.report"


def test_a_dated_table_is_written_for_every_result_and_linked_from_the_pages(tmp_path: Path) -> None:
    assert {source for name, (source, _) in report.BLOCKS.items() if name not in report.SHORT} == report.TITLES.keys()
    page = "<!-- generated:decoder -->\n<!-- /generated -->\n"
    shown = report.refreshed(page, page=results.ROOT / "docs" / "how-to" / "page.md")
    (link,) = re.findall(r"\]\(([^)]+)\)", shown)
    path = results.ROOT / "docs" / "how-to" / link
    assert "Command: `python -m benchmarks.decoder_table`" in path.read_text()


@pytest.mark.parametrize("name", ["how-fast", "how-good", "how-many-steps", "against-others"])
def test_a_question_is_answered_in_at_most_eight_rows(name: str) -> None:
    rows = [line for line in report.render(name).splitlines() if line.startswith("| ")]
    assert 2 < len(rows) <= 2 + 8


def test_stored_results_name_settings_machine_and_no_folders() -> None:
    for path in sorted(results.FOLDER.glob("*.json")):
        result = json.loads(path.read_text())
        assert {"name", "date", "version", "command", "machine", "settings"} <= result.keys()
        assert not re.search(r'"[^"]*(?:/home|/root|/work|/tmp)', path.read_text())


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    described = machine.describe()
    assert described["cores"] >= 1
    assert platform.node() not in machine.sentence(described).split()


def test_cells() -> None:
    assert results.percent({"value": 0.714, "low": 0.65, "high": 0.775}) == "71 % (65-78)"
    assert results.number({"value": -3.0, "low": -4.0, "high": -2.5}, 1) == "-3.0 (-4.0 to -2.5)"
    assert results.percent(None) == results.number(None) == "-"
    assert results.table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"


def test_latency_of_the_command_line_itself(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(results.ROOT / "src"))
    runs = [
        latency.run([sys.executable, "-m", "arctone"], "drums", 1.5, 7, 1, str(tiny_model_folder)) for _ in range(2)
    ]
    measured = latency.summary(runs)
    assert measured["same_bytes"]
    assert measured["audio_seconds"] == 1.5
    assert {run.model_hash for run in runs} == {folder_hash(tiny_model_folder)}
    assert {"text", "sampling", "decoding"} <= measured["stages_ms"].keys()
