"""The base install: all that `generate` needs comes with the packages in `dependencies`; torch is not among them."""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import soundfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FORBIDDEN = ("torch", "lightning_fabric", "litert_torch", "jax", "transformers", "scipy", "tensorboard", "safetensors")

# Refuses every import from a package that the base install does not bring.
PROGRAM = """
import json, sys
allowed = set(json.loads(sys.argv[1]))
known = set(json.loads(sys.argv[2]))

class Door:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root in known and root not in allowed:
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)

sys.meta_path.insert(0, Door())
from arctone.cli.main import run
codes = [run(words) for words in json.loads(sys.argv[3])]
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([codes, loaded]))
"""


def base_packages() -> set[str]:
    """Names of all distributions that the base dependencies pull in."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found: set[str] = set()
    todo = [Requirement(line) for line in dependencies]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        todo += [Requirement(line) for line in metadata.requires(name) or []]
    return found


def run_in_base(*commands: list[str], folder: Path) -> tuple[list[int], set[str], str]:
    """Exit codes, the top modules that were loaded, and stderr of commands run where only the base install is seen."""
    base = base_packages()
    owners = metadata.packages_distributions()
    allowed = {module for module, owned in owners.items() if {canonicalize_name(name) for name in owned} & base}
    arguments = [json.dumps(sorted(allowed | {"arctone"})), json.dumps(sorted(owners)), json.dumps(commands)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    codes, loaded = json.loads(done.stdout.splitlines()[-1])
    return codes, set(loaded), done.stderr


def test_base_dependencies_do_not_pull_in_any_framework():
    assert base_packages() & {name.replace("_", "-") for name in FORBIDDEN} == set()


def test_a_user_needs_the_base_only(tmp_path, tiny_model_folder):
    model = ["-m", str(tiny_model_folder)]
    codes, loaded, stderr = run_in_base(
        ["generate", "rain", "-d", "1", "-s", "7", "-o", "x.wav", *model],
        ["redo", "x.wav", *model],
        ["info", "x.wav"],
        ["models"],
        ["doctor", *model],
        ["bench", "-d", "0.5", "--repeats", "1", *model],
        folder=tmp_path,
    )
    assert codes == [0] * 6, stderr
    assert loaded & set(FORBIDDEN) == set()
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "x-redo.wav").read_bytes()


def test_listening_tests_need_the_base_only(tmp_path):
    for system in "ab":
        for number in range(4):
            noise = np.random.default_rng(number).normal(0, 0.1, (22_050, 2))
            (tmp_path / system).mkdir(exist_ok=True)
            soundfile.write(tmp_path / system / f"{number}.wav", noise, 44_100)
            (tmp_path / system / f"{number}.txt").write_text(f"noise {number // 2}")
    codes, loaded, stderr = run_in_base(
        ["listen", "build", "--system", "a=a", "--system", "b=b", "-o", "page", "-s", "1"],
        ["listen", "build", "--system", "a=a", "--system", "b=b", "-o", "mushra", "--kind", "webmushra"],
        ["listen", "analyse", "nowhere.csv", "--key", "page", "-o", "report"],
        folder=tmp_path,
    )
    assert codes == [0, 0, 3], stderr
    assert loaded & {*FORBIDDEN, "ai_edge_litert"} == set()


def test_training_without_torch_says_what_to_install(tmp_path):
    codes, _, stderr = run_in_base(
        ["train", "--help"], ["train", "autoencoder", "--recipe", "spark-minutes", "--out", "run"], folder=tmp_path
    )
    assert codes == [0, 2], stderr
    assert '[train]"' in stderr
    assert "pip install" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "run").exists()


def test_serving_without_its_packages_says_what_to_install(tmp_path, tiny_model_folder):
    codes, _, stderr = run_in_base(
        ["serve", "--help"], ["serve", "--port", "0", "-m", str(tiny_model_folder)], folder=tmp_path
    )
    assert codes == [0, 2], stderr
    assert '[serve]"' in stderr
    assert "pip install" in stderr
    assert "Traceback" not in stderr


def test_the_torch_engine_without_torch_says_what_to_install(tmp_path, tiny_model_folder):
    codes, _, stderr = run_in_base(
        ["generate", "rain", "--engine", "torch", "-o", "x.wav", "-m", str(tiny_model_folder)], folder=tmp_path
    )
    assert codes == [4]
    assert "pip install" in stderr
    assert list(tmp_path.iterdir()) == []
