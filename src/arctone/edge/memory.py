"""Memory of this process as the Linux kernel counts it, in MB (10^6 bytes)."""

from __future__ import annotations

import re
import threading
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


class AnonymousPeak:
    """The most anonymous memory while a block of code runs, which the kernel does not keep: asked for every few ms.

    After the block `megabytes` holds it; 0 where there is no /proc.
    """

    _INTERVAL_SECONDS = 0.005

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> AnonymousPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.megabytes = max(self.megabytes, memory().get("anonymous", 0.0))
            if self._done.wait(self._INTERVAL_SECONDS):
                return
