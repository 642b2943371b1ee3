"""The scripts of others in the page are the pinned ones, and a changed one is noticed."""

import gzip
import shutil
import tarfile
from pathlib import Path

import pytest

from tools.vendor import FOLDER, PACKAGES, RUNTIME, problems, unpack


def test_the_files_in_the_repository_are_the_pinned_ones():
    assert problems() == []
    assert problems(RUNTIME, RUNTIME) == []


def test_changed_webassembly_is_noticed_behind_its_compression(tmp_path: Path):
    folder = tmp_path / "runtime"
    shutil.copytree(RUNTIME, folder)
    name = "litert_wasm_internal.wasm.gz"
    data = gzip.decompress((folder / name).read_bytes())
    (folder / name).write_bytes(gzip.compress(data, 0))
    assert problems(folder, RUNTIME) == []
    (folder / name).write_bytes(gzip.compress(data[:-1] + b"?", 0))
    assert problems(folder, RUNTIME) == [f"{name} is not the pinned file."]
    (folder / name).write_bytes(b"no gzip")
    assert problems(folder, RUNTIME) == [f"{name} is not the pinned file."]


def test_a_changed_a_missing_and_an_unknown_file_are_named(tmp_path: Path):
    folder = tmp_path / "vendor"
    shutil.copytree(FOLDER, folder)
    with (folder / "wavesurfer.esm.js").open("a") as file:
        file.write(" ")
    (folder / "LICENSE").unlink()
    (folder / "more.js").write_text("")
    assert sorted(problems(folder)) == [
        "LICENSE is missing.",
        "more.js is not pinned.",
        "wavesurfer.esm.js is not the pinned file.",
    ]


def test_another_tarball_is_refused_and_nothing_is_written(tmp_path: Path):
    tarball = tmp_path / "other.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        archive.add(FOLDER / "LICENSE", "package/LICENSE")
    with pytest.raises(ValueError, match=r"wavesurfer\.js 8\.0\.1 has the hash sha512-"):
        unpack(PACKAGES[0], tarball.read_bytes(), tarball, tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()
