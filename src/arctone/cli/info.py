"""`arctone info`: what a sound file or a model says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from arctone.audio.files import read_audio
from arctone.audio.tags import read_metadata
from arctone.cli.models import model_record
from arctone.cli.output import JsonOption, print_json, print_pairs
from arctone.errors import InputFileError
from arctone.model_folder.folder import find_model, list_known_models

EXAMPLES = """\b
Examples:
  arctone info take.wav
  arctone info take.wav --json
  arctone info spark"""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES, no_args_is_help=True)
def info(
    what: Annotated[str, typer.Argument(metavar="FILE|MODEL", help="A sound file, the name of a model or its folder.")],
    json: JsonOption = False,
) -> None:
    """Show what a sound file or a model says about itself."""
    is_model = what in list_known_models() or Path(what).is_dir()
    if not is_model and not Path(what).exists():
        known = ", ".join(list_known_models()) or "none"
        raise InputFileError(f"{what} does not exist, and it is no known model either; known are: {known}.")
    record = model_record(find_model(what), whole=True) if is_model else sound_record(Path(what))
    if json:
        print_json(record)
    else:
        print_pairs(_flat(record))
    if record.get("has_sound") is False:
        raise InputFileError(f"{what} holds no sound: every sample of a channel has the same value.")


def sound_record(path: Path) -> dict[str, Any]:
    """Collect the facts of a sound file: format, length, level, and the record arctone wrote, if any.

    Args:
        path: The file.

    Returns:
        JSON-ready values by name.

    Raises:
        InputFileError: If it cannot be read as sound.
    """
    waveform = read_audio(path)
    peak = float(np.abs(waveform.samples).max())
    return {
        "file": str(path),
        "duration_seconds": waveform.duration_seconds,
        "sample_rate": waveform.sample_rate,
        "channels": waveform.num_channels,
        "peak_dbfs": round(20 * float(np.log10(peak)), 2) if peak else None,
        "has_sound": bool(np.ptp(waveform.samples, axis=1).max() > 0),
        "made_by_arctone": read_metadata(path),
    }


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as one level of names with dots."""
    pairs: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            pairs.update(_flat(value, f"{prefix}{name}."))
        else:
            pairs[prefix + name] = "-" if value is None else str(msgspec.to_builtins(value))
    return pairs
