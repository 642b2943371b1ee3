"""Run one `arctone` command and write how much memory its process took at most (VmHWM).

python -m benchmarks.measured_run RESULT.json generate "rain" -o rain.wav
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from arctone.cli.main import run
from arctone.evaluation.metrics.cost import peak_memory_bytes


def main(arguments: list[str]) -> int:
    """Returns the exit code of the command."""
    code = run(arguments[1:])
    Path(arguments[0]).write_text(json.dumps({"peak_memory_bytes": peak_memory_bytes()}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
