"""Everything that an emulated Arm process needs, in one folder: a small Debian, wheels for Arm, QEMU.

Packages are only downloaded and unpacked, never installed: no root, no chroot, no change to this machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Python of the suite decides which wheels fit; QEMU 7.2 of bookworm fails in LiteRT's constructor, 10 does not.
ROOT_SUITE, QEMU_SUITE = "bookworm", "trixie"
PYTHON = "3.11"
ROOT_PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


class ArmRoot:
    """The emulated machine's files under a cache folder; made at the first use, kept afterwards.

    Args: cache: a folder outside the repository; it takes 0.5 GB.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache.resolve()
        self.system = self._cache / "system"
        self.packages = self._cache / "packages"
        self.qemu = self._cache / "qemu" / "usr" / "bin" / "qemu-aarch64"

    def build(self, requirements: Path) -> None:
        """Download and unpack what is not there. Raises: subprocess.CalledProcessError if a download fails."""
        if not self.qemu.exists():
            self._unpack(QEMU_SUITE, _host(), ("qemu-user",), self._cache / "qemu", with_dependencies=False)
        if not self.python.exists():
            self._unpack(ROOT_SUITE, "arm64", ROOT_PACKAGES, self.system, with_dependencies=True)
        if not self.packages.exists():
            self._wheels(requirements)

    @property
    def python(self) -> Path:
        """The Arm Python."""
        return self.system / "usr" / "bin" / f"python{PYTHON}"

    def command(self, processor: str, more: tuple[str, ...] = ()) -> list[str]:
        """How the Arm Python is started on a processor of QEMU's names. Args: more: options of QEMU."""
        return [str(self.qemu), "-cpu", processor, *more, "-L", str(self.system), str(self.python)]

    def environment(self, source: Path) -> dict[str, str]:
        """Environment of the Arm Python. Args: source: folder of the package arctone."""
        return {
            "PYTHONHOME": str(self.system / "usr"),
            "PYTHONPATH": f"{self.packages}:{source}",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _unpack(self, suite: str, arch: str, names: tuple[str, ...], target: Path, *, with_dependencies: bool) -> None:
        apt = _Apt(self._cache / f"apt-{suite}-{arch}", suite, arch)
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for archive in apt.download(names, with_dependencies=with_dependencies):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(partial)], check=True)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def _wheels(self, requirements: Path) -> None:
        wheels = self._cache / "wheels"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        command += ["--python-version", PYTHON, "--abi", f"cp{PYTHON.replace('.', '')}", "--abi", "abi3"]
        subprocess.run([*command, "--dest", str(wheels), "-r", str(requirements)], check=True)
        partial = self.packages.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(partial)
        partial.rename(self.packages)


class _Apt:
    """Debian's package tool on lists and archives of its own; it knows no installed package."""

    def __init__(self, folder: Path, suite: str, architecture: str) -> None:
        self._folder = folder
        for name in ("etc", "state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "state" / "status").touch()
        sources = folder / "etc" / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
        settings = {
            "Dir::Etc": folder / "etc",
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State": folder / "state",
            "Dir::State::status": folder / "state" / "status",
            "Dir::Cache": folder / "cache",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "1",
        }
        self._apt = [
            "apt-get",
            "-qq",
            *(word for name, value in settings.items() for word in ("-o", f"{name}={value}")),
        ]

    def download(self, names: tuple[str, ...], *, with_dependencies: bool) -> list[Path]:
        """Archives of packages. Raises: subprocess.CalledProcessError."""
        subprocess.run([*self._apt, "update"], check=True)
        archives = self._folder / "cache" / "archives"
        if with_dependencies:
            words = ["install", "-y", "--no-install-recommends", "--download-only", *names]
            subprocess.run([*self._apt, *words], check=True, stdout=subprocess.DEVNULL)
        else:
            subprocess.run([*self._apt, "download", *names], check=True, cwd=archives)
        return sorted(archives.glob("*.deb"))


def _host() -> str:
    found = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
    return found.stdout.strip()
