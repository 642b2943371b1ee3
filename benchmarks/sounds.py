"""The sounds of the README: generate them with fixed prompts and seeds, and write docs/sounds and the stored result.

python -m benchmarks.sounds            all of them
python -m benchmarks.sounds rain       one of them
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import results
from benchmarks.results import JSON, ROOT

FOLDER = ROOT / "docs" / "sounds"
# All files together: a clone should not become slow for the sake of samples.
MAX_KILOBYTES = 400


@dataclass(frozen=True)
class Sound:
    """One sound: its file name without the ending, its prompt, and the options of `arctone generate`."""

    name: str
    prompt: str
    options: str

    @property
    def command(self) -> str:
        """The command as a reader types it."""
        return f'arctone generate "{self.prompt}" {self.options} -o {self.name}.ogg'


SOUNDS = (
    Sound("drums", "funky drum loop, 120 BPM", "--bpm 120 -d 4 -s 7"),
    Sound("rain", "rain on a tin roof", "-d 5 -s 1"),
    Sound("pad", "warm analog pad, C minor, slow", "-d 6 -s 2"),
    Sound("laser", "short laser shot, retro arcade", "-d 2 -s 100"),
)


def generate(sound: Sound, folder: Path) -> JSON:
    """Run the command of a sound in a folder.

    Returns:
        Name, prompt, command, size in bytes and SHA-256 of the file.
    """
    program = [sys.executable, "-m", "arctone", "generate", sound.prompt, *sound.options.split()]
    path = folder / f"{sound.name}.ogg"
    subprocess.run([*program, "-o", str(path), "--force", "--quiet"], check=True)
    data = path.read_bytes()
    return {
        "name": sound.name,
        "prompt": sound.prompt,
        "command": sound.command,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def block(result: JSON) -> str:
    """Render the table: a link to each sound, and the command that generated it."""
    rows = [[f"[{row['prompt']}](docs/sounds/{row['name']}.ogg)", f"`{row['command']}`"] for row in result["sounds"]]
    lines = ["| sound | command |", "| --- | --- |", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Generate the named sounds, or all, and store what was made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sounds", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *(sound.name for sound in SOUNDS)], default=[])
    names = parser.parse_args(arguments).names or [sound.name for sound in SOUNDS]
    FOLDER.mkdir(parents=True, exist_ok=True)
    stored = {row["name"]: row for row in (results.read("sounds") or {}).get("sounds", [])}
    stored |= {sound.name: generate(sound, FOLDER) for sound in SOUNDS if sound.name in names}
    total = sum(row["bytes"] for row in stored.values()) / 1000
    if total > MAX_KILOBYTES:
        raise SystemExit(f"the sounds take {total:.0f} kB, but must stay below {MAX_KILOBYTES} kB.")
    rows = [stored[sound.name] for sound in SOUNDS if sound.name in stored]
    print(results.write("sounds", {"model": "spark"}, {"sounds": rows}))


if __name__ == "__main__":
    main()
