"""The table of versions: figures come from the results of the right model and say how they were measured; a version
has one row.
"""

import json

from benchmarks import leaderboard, results

HASH = "a" * 64


def _store(folder, name, **values):
    (folder / f"{name}.json").write_text(json.dumps({"name": name, "settings": {}, **values}))


def test_figures_are_those_of_the_models_hash(tmp_path):
    row = {"text_audio_score/corpus-clap": {"value": 0.47}, "frechet_distance/aisfx": {"value": 41.0}, "cost": {}}
    _store(tmp_path, "generation_table", rows={
        "other": {**row, "text_audio_score/corpus-clap": {"value": 0.1}, "settings": {"model_hash": "b" * 64}},
        "this": {**row, "settings": {"model_hash": HASH}},
    })  # fmt: skip
    _store(tmp_path, "silence_table", settings={"model_hash": HASH}, lengths={"0.3": {"silent": 1, "count": 250}})
    _store(tmp_path, "adherence", settings={"model_hash": "b" * 64}, conditions={"generated": {"key": {"value": 1}}})
    found = leaderboard.figures(HASH, tmp_path)
    assert (found["score"], found["distance"], found["silent"]) == (0.47, 41.0, "1 of 250")
    assert found["key"] is found["kind"] is found["latency_ms"] is None


def test_a_row_says_with_how_many_steps_and_where_it_was_measured(tmp_path):
    rows = {
        f"{steps} steps": {
            "settings": {"model_hash": HASH, "steps": steps, "cfg_scale": 4.0},
            "cost": {"stages_ms": {"total": 10.0 * steps}},
        }
        for steps in (100, 20)
    }
    there, here = {"processor": "Fast(R) Processor"}, {"processor": "Slow"}
    earlier = [{"rows": ["20 steps"], "machine": there}]
    _store(tmp_path, "generation_table", rows=rows, earlier=earlier, machine=here)
    found = leaderboard.figures(HASH, tmp_path, steps=20)
    assert (found["latency_ms"], found["steps"], found["processor"]) == (200.0, "20, guided", "Fast")
    found = leaderboard.figures(HASH, tmp_path)
    assert (found["latency_ms"], found["steps"], found["processor"]) == (1000.0, "100, guided", "Slow")


def test_a_result_names_the_version_of_its_model(monkeypatch):
    rows = [{"name": "spark", "version": "7", "model_hash": HASH}]
    monkeypatch.setattr(leaderboard.results, "read", lambda name: {"rows": rows})
    assert leaderboard.model_of({"settings": {"model_hash": HASH}}) == "spark 7"
    assert leaderboard.model_of({"settings": {"model_hash": "c" * 64}}) == "model cccccccc"
    assert leaderboard.model_of({"settings": {}}) == "model not recorded"


def test_a_version_has_one_row_and_the_newest_comes_first(tmp_path):
    for version, day, hours in (("6", "2026-11-29", "11"), ("7", "2026-12-03", "40"), ("6", "2026-11-29", "12")):
        leaderboard.main([
            "--add", "spark", "--version", version, "--model-hash", HASH, "--hours", hours, "--date", day,
            "--results", str(tmp_path), "--key", "0.5",
        ])  # fmt: skip
    board = results.read("leaderboard", tmp_path)
    assert [(row["version"], row["hours"]) for row in board["rows"]] == [("7", 40.0), ("6", 12.0)]
    # Columns that nothing was measured for are left out.
    assert leaderboard.block(board).splitlines()[0] == "| version | date | hours | key |"
    assert "| spark 7 | 2026-12-03 | 40 | 50 % |" in leaderboard.block(board)
