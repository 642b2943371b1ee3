"""Every engine and precision within its stated error of torch in float32, for one seed."""

from pathlib import Path

import pytest

from arctone.inference.backends.base import Backend
from arctone.model_folder.folder import read_model_config
from benchmarks.engine_table import Case, block, engines, errors

# The errors that docs/benchmarks.md states, with room for another CPU: text, velocity, magnitudes of the audio in dB.
FLOORS = {
    ("torch", "float32"): (200, 200, 200),
    ("torch", "bfloat16"): (35, 30, 10),
    ("native", "float32"): (100, 90, 30),
    ("native", "int8"): (20, 25, 10),
}


@pytest.fixture(scope="module")
def found(tiny_model_folder: Path, tiny_float_folder: Path) -> dict[tuple[str, str], Backend]:
    return engines(tiny_float_folder, tiny_model_folder)


@pytest.fixture(scope="module")
def rows(found: dict[tuple[str, str], Backend], tiny_float_folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    case = Case(tiny_float_folder, read_model_config(tiny_float_folder), found["torch", "float32"], 4, 7)
    return {(row["engine"], row["precision"]): row for row in errors(found, case)}


@pytest.mark.parametrize("engine", FLOORS)
def test_an_engine_is_within_its_error(engine: tuple[str, str], rows: dict[tuple[str, str], dict[str, float]]) -> None:
    measured = [rows[engine][f"snr_db_{name}"] for name in ("text", "velocity", "magnitudes")]
    assert all(value >= floor for value, floor in zip(measured, FLOORS[engine], strict=True)), measured


def test_narrow_precisions_do_differ(rows: dict[tuple[str, str], dict[str, float]]) -> None:
    assert all(rows[engine]["snr_db_velocity"] < 80 for engine in (("torch", "bfloat16"), ("native", "int8")))


def test_the_table_shows_what_was_measured() -> None:
    row = {
        "snr_db_text": 200,
        "snr_db_velocity": 38.24,
        "snr_db_latents": 9,
        "snr_db_magnitudes": 20,
        "snr_db_decoded": -3.2,
    }
    machine = {"processor": "P", "cores": 2, "memory_gib": 8, "system": "Linux", "python": "3"}
    result = {"rows": [{"engine": "native", "precision": "int8", **row}], "date": "d", "version": "0", "command": "c"}
    text = block({**result, "machine": machine, "settings": {"seed": 7}})
    assert "| native int8 | equal | 38.2 | 9.0 | 20.0 | -3.2 |" in text
