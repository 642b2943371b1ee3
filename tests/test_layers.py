"""The layers of docs/architecture.md, as the import linter sees them."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent


def test_imports_point_downwards(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", cache_dir=str(tmp_path)) == EXIT_STATUS_SUCCESS


def test_an_import_that_points_upwards_is_found(tmp_path):
    """The linter with our contracts is not asleep: the same contracts refuse a house built the wrong way."""
    package = tmp_path / "arctone"
    layers = contract("layers")["layers"]
    for name in (part.strip() for layer in layers for part in layer.split(":")):
        (package / name).mkdir(parents=True)
        (package / name / "__init__.py").touch()
    (package / "inference" / "loading.py").touch()
    (package / "__init__.py").write_text("import arctone.errors, arctone.inference.loading\n")
    (package / "flow" / "__init__.py").write_text("import arctone.cli\n")
    settings = (ROOT / "pyproject.toml").read_text()
    start, end = (settings.index(f'id = "{name}"') for name in ("layers", "ground-floor"))
    house = settings[start:end].rpartition("[[")[0]
    head = '[tool.importlinter]\nroot_packages = ["arctone"]\n\n[[tool.importlinter.contracts]]\n'
    (tmp_path / "pyproject.toml").write_text(head + house)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "arctone.flow is not allowed to import arctone.cli" in done.stdout


@pytest.mark.parametrize("name", ["ground-floor", "native-engine", "engine", "server", "faces"])
def test_torch_is_forbidden_below_the_models(name):
    assert "torch" in contract(name)["forbidden_modules"]


def contract(name: str) -> dict[str, list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return next(contract for contract in settings["contracts"] if contract["id"] == name)
