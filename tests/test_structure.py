"""The structure of the repository stays within its limits, and the counting is right where the answer is known."""

from pathlib import Path

import pytest

import arctone
from tools import structure


@pytest.fixture(scope="module")
def files() -> dict[str, structure.File]:
    """All Python files of the repository, parsed once."""
    return structure.read_files()


def test_the_counts_stay_within_their_limits(files: dict[str, structure.File]) -> None:
    counts = structure.count(files, structure.layers_of())
    most = structure.LIMITS
    over = {name: counts[name] for name in most if counts[name] > most[name]}
    assert not over, f"python -m tools.structure lists them: {over}"


def small_repository(root: Path, files: dict[str, str]) -> dict[str, structure.File]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return structure.read_files(root)


def test_packages_imports_cycles_and_lone_modules_of_a_small_repository_are_counted(tmp_path: Path) -> None:
    files = small_repository(
        tmp_path,
        {
            "src/arctone/__init__.py": "from arctone.top.a import f\n",
            "src/arctone/top/__init__.py": "",
            "src/arctone/top/a.py": "from arctone.top.b import g\nfrom arctone.low import h\n\ndef f():\n    g()\n",
            "src/arctone/top/b.py": "def g():\n    pass\n",
            "src/arctone/low.py": "import arctone.top.c\n\ndef h():\n    pass\n",
            "src/arctone/top/c.py": "def k():\n    from arctone.low import h\n",
            "tests/test_a.py": "from arctone.top.a import f\n",
        },
    )
    pairs = structure.package_imports(files)
    assert pairs == {("top", "low"), ("low", "top"), ("tests", "top")}
    assert structure.import_cycles(files) == [["arctone.low", "arctone.top.c"]]
    assert structure.upward_imports(pairs, ["top", "low"]) == [("low", "top")]
    assert structure.lone_modules(files) == [("arctone.top.b", "arctone.top.a")]
    counts = structure.count(files, ["top", "low"])
    assert (counts["packages"], counts["files"], counts["median function"]) == (3, 6, 2)


def test_the_picture_has_a_box_for_every_package(files: dict[str, structure.File]) -> None:
    picture = structure.draw_svg(files, structure.layers_of())
    assert all(f">{file.package}</text>" in picture for file in files.values() if file.package)


def test_every_public_name_is_there() -> None:
    assert all(getattr(arctone, name) is not None for name in arctone.__all__)
