"""The scripts of others that the studio page ships: fetched by name, checked by hash, kept in the repository.

python -m tools.vendor            fetches the pinned packages with npm and writes their files again
python -m tools.vendor --check    compares the files in the repository with the pinned hashes, offline
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "src" / "arctone" / "serving" / "http" / "web" / "vendor"


@dataclass(frozen=True)
class Package:
    """One npm package: `integrity` is the registry's SHA-512 of its tarball; `files` maps a path in it to our name and
    the file's SHA-256."""

    name: str
    version: str
    integrity: str
    files: dict[str, tuple[str, str]]


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
            (folder / name).write_bytes(member.read())


def problems(folder: Path = FOLDER) -> list[str]:
    """What is wrong with the files in a folder, one sentence each: missing, changed, or not pinned."""
    pinned = {name: digest for package in PACKAGES for name, digest in package.files.values()}
    found = []
    for name, digest in pinned.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing.")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            found.append(f"{name} is not the pinned file.")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return found + [f"{name} is not pinned." for name in sorted(present - pinned.keys())]


def main() -> int:
    """Fetch, or only check. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only, without a network")
    if not parser.parse_args().check:
        for package in PACKAGES:
            fetch(package, FOLDER)
    found = problems()
    for problem in found:
        print(f"{FOLDER.relative_to(ROOT)}: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
