"""Memory of this process as the Linux kernel counts it, in MB (10^6 bytes)."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FIELDS = {"peak": "VmHWM", "resident": "VmRSS", "anonymous": "RssAnon", "mapped_files": "RssFile"}


def memory(status: Path = _STATUS) -> dict[str, float]:
    """peak: most that was ever resident. resident: now; of it anonymous, which nothing but ending gives back, and
    mapped_files, which the kernel can drop. Empty where there is no /proc.
    """
    try:
        text = status.read_text()
    except OSError:
        return {}
    found = {name: re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE) for name, field in _FIELDS.items()}
    return {name: round(int(match[1]) * 1024 / 1e6, 1) for name, match in found.items() if match}
