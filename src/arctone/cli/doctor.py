"""`arctone doctor`: describe this machine and check the installation."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from arctone.cli.output import JsonOption, print_json, print_rows
from arctone.errors import ArctoneError, ModelError
from arctone.inference.load_options import usable_threads
from arctone.inference.request import GenerationRequest
from arctone.model_folder.folder import HASHES, check_hashes, find_model, folder_hash
from arctone.version import __version__

# What the engine's kernels make use of, on Intel and AMD and on Arm.
KNOWN_FLAGS = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sme", "sme2"),
)


def processor() -> str:
    """The processor's name as the system gives it."""
    for line in _cpuinfo():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """The instruction sets among KNOWN_FLAGS that this processor has; empty where the system does not say."""
    for line in _cpuinfo():
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return [flag for flag in KNOWN_FLAGS if flag in present]
    return []


def memory_bytes() -> tuple[int, int] | None:
    """Available and total memory; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return _memory_by_sysconf()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
    return kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024


def peak_memory_mb() -> int | None:
    """The most memory this process has had in use so far, in MB of 10^6 bytes; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return _peak_by_resource()
    kib = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
    return None if kib is None else round(kib * 1024 / 1e6)


def free_disk_bytes(folder: Path) -> int:
    """Free bytes where a folder lies."""
    return shutil.disk_usage(folder).free


def sentence() -> str:
    """The machine in one line."""
    cores = os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}"
    return f"{processor()}, {cores} core{'s' if cores > 1 else ''}, {system}, Python {platform.python_version()}"


def _memory_by_sysconf() -> tuple[int, int] | None:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_AVPHYS_PAGES" not in names:
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")


def _peak_by_resource() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    return round(size * (1 if platform.system() == "Darwin" else 1024) / 1e6)


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


EXAMPLES = """\b
Examples:
  arctone doctor
  arctone doctor --json
  arctone doctor --model path/to/my-model

\b
Exit code 0 if nothing failed, 4 otherwise."""

PACKAGES = ("ai-edge-litert", "msgspec", "numpy", "rich", "soundfile", "soxr", "tokenizers", "typer")
OPTIONAL = ("torch", "lightning-fabric", "litert-torch", "tinysoundfont")
# Below these a generation may fail.
ENOUGH_MEMORY = ENOUGH_DISK = 500_000_000

Verdict = Literal["ok", "note", "FAILED"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    verdict: Verdict
    detail: str


app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES)
def doctor(
    model: Annotated[str, typer.Option("-m", "--model", metavar="NAME", help="Name or folder of a model.")] = "spark",
    json: JsonOption = False,
) -> None:
    """Check that everything works on this machine."""
    findings = list(examined(model))
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_rows([[finding.verdict, finding.check, finding.detail] for finding in findings])
    failed = [finding.check for finding in findings if finding.verdict == "FAILED"]
    if failed:
        raise ModelError(f"not everything works: {', '.join(failed)}.")


def examined(model: str) -> Iterator[Finding]:
    """All checks, one after the other."""
    yield Finding("arctone", "ok", f"{__version__}, Python {platform.python_version()}")
    yield from (_package(name, needed=True) for name in PACKAGES)
    yield from (_package(name, needed=False) for name in OPTIONAL)
    yield Finding("processor", "ok", f"{processor()} ({' '.join(cpu_flags()) or 'flags unknown'})")
    yield Finding("threads", "ok", str(usable_threads()))
    yield _memory()
    yield _disk()
    yield _checked("model files", lambda: files_verdict(model))
    yield _checked("engine", lambda: engine_verdict(model))


def files_verdict(model: str) -> str:
    """Compare a model's files with its hashes.json.

    Args:
        model: Name or folder.

    Returns:
        One sentence.

    Raises:
        ModelError: If one is missing, changed or not listed.
    """
    folder = find_model(model)
    if not (folder / HASHES).is_file():
        raise ModelError(f"{folder} has no {HASHES}, so its files cannot be checked.")
    check_hashes(folder)
    return f"all files of {model} are whole (hash {folder_hash(folder)[:12]})"


def engine_verdict(model: str) -> str:
    """Generate one second of sound in two steps.

    Args:
        model: Name or folder.

    Returns:
        One sentence.

    Raises:
        ModelError: If it is silent or not finite.
    """
    import arctone

    start = time.perf_counter()
    result = arctone.load(model).engine.generate(
        GenerationRequest(prompt="a short test", duration_seconds=1.0, steps=2, seed=0, normalize="off")
    )
    seconds = time.perf_counter() - start
    samples = result.waveforms[0].samples
    if not np.isfinite(samples).all() or float(np.ptp(samples)) == 0.0:
        raise ModelError("the engine made silence or numbers that are not finite.")
    return f"one second of sound in {seconds:.2f} s, loading included ({result.engine})"


def _checked(check: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(check, "ok", work())
    except ArctoneError as problem:
        return Finding(check, "FAILED", str(problem))
    except Exception as problem:
        return Finding(check, "FAILED", f"unexpected {type(problem).__name__}: {problem}")


def _package(name: str, *, needed: bool) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "FAILED" if needed else "note", "not installed" + ("" if needed else " (optional)"))


def _memory() -> Finding:
    found = memory_bytes()
    if found is None:
        return Finding("memory", "note", "unknown")
    free, total = found
    return Finding(
        "memory", "ok" if free > ENOUGH_MEMORY else "note", f"{_gigabytes(free)} free of {_gigabytes(total)}"
    )


def _disk() -> Finding:
    free = free_disk_bytes(Path.cwd())
    return Finding("disk", "ok" if free > ENOUGH_DISK else "note", f"{_gigabytes(free)} free here")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
