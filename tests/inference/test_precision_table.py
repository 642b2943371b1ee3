"""The table of precisions, on a small model."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from arctone.checkpoints.published.convert import convert  # noqa: E402
from benchmarks import precision_table, results  # noqa: E402
from tests.checkpoints.published_folders import published_folder, t5_folder  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("table")
    convert(published_folder("small", root / "published"), root / "small", t5_folder(root / "t5-base"), name="small")
    return root / "small"


@pytest.mark.parametrize("rounds", [0, 1])
def test_precisions_are_ranked_and_seconds_are_reported_only_if_measured(
    rounds: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # it would hold for all tests
    words = [str(folder), "--frames", "4", "--rounds", str(rounds), "--results", str(tmp_path)]
    precision_table.main(words)
    result = results.read("precision_table", tmp_path)
    assert result is not None
    float32, bfloat16, int8 = (row["velocity_snr_db"] for row in result["rows"])
    assert float32 == 200 > bfloat16 > int8 > 25
    # One kind of layer alone errs less than all of them.
    assert all(int8 < row["velocity_snr_db"] < 200 for row in result["layers"])
    table = precision_table.block(result)
    assert "| float32 | equal | equal | equal |" in table
    assert ("one step, s" in table) == (rounds > 0)
