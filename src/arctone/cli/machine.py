"""Facts about the machine: processor, its instructions, cores, memory, disk."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

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
