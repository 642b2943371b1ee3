"""Model folders: find them by name, read the config, check hashes, names of graph files."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from arctone.errors import ModelError
from arctone.files.strict_json import read_config
from arctone.files.text import parse_json, read_bytes
from arctone.model_folder.config import ModelConfig, OobleckConfig

TEXT, DIT, DECODER, ENCODER = "text.tflite", "dit.tflite", "decoder.tflite", "encoder.tflite"
# The flow model that a post-trained transformer was made from.
FLOW = "flow.tflite"
# The fine blocks of an oobleck decoder; its coarse ones are in DECODER.
DECODER_TAIL = "decoder_tail.tflite"
TEXT_SIGNATURE = "text"

NUM_FINE_BLOCKS = 3
"""How many blocks of an oobleck decoder, counted from its end, are in DECODER_TAIL."""


def network_graph(network: str) -> str:
    """Return the graph of a network, see `config.NETWORK`."""
    return f"{network}.tflite"


def list_needed_graphs(config: ModelConfig) -> tuple[str, ...]:
    """The graphs that making sound from text reads; editing reads ENCODER besides."""
    tail = (DECODER_TAIL,) if isinstance(config.sounding, OobleckConfig) else ()
    return (TEXT, DIT, DECODER, *tail)


BUNDLED = Path(__file__).parent.parent / "bundled"
CONFIG, HASHES = "config.json", "hashes.json"


def find_pulled_folder() -> Path:
    """Where fetched models are kept: $ARCTONE_MODELS, or arctone/models in the user's data folder."""
    given = os.environ.get("ARCTONE_MODELS")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(given) if given else Path(data) / "arctone" / "models"


def list_known_models() -> tuple[str, ...]:
    """Names of the bundled and the fetched models."""
    return tuple(
        sorted({path.parent.name for root in (BUNDLED, find_pulled_folder()) for path in root.glob(f"*/{CONFIG}")})
    )


def find_model(name_or_folder: str | Path) -> Path:
    """Find the folder of a model.

    Args:
        name_or_folder: Name of a bundled or fetched model, or a folder.

    Returns:
        The folder.

    Raises:
        ModelError: With the known names, if there is no such model.
    """
    name = str(name_or_folder)
    if name in list_known_models():
        bundled = BUNDLED / name
        return bundled if bundled.is_dir() else find_pulled_folder() / name
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    known = ", ".join(list_known_models()) or "none"
    near = difflib.get_close_matches(name, list_known_models(), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ModelError(f"model {name!r} is neither a folder nor a known name; known are: {known}.{hint}")


def read_model_config(folder: Path) -> ModelConfig:
    """Read the config of a model.

    Args:
        folder: Folder of the model.

    Returns:
        The config.

    Raises:
        ModelError: If it is missing or wrong.
    """
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} has no {CONFIG}, so it is no model folder.")
    return read_config(folder / CONFIG, ModelConfig)


def write_hashes(folder: Path) -> None:
    """Write hashes.json: the SHA-256 of every other file of the folder.

    Args:
        folder: Folder of a model.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != HASHES)
    found = {name: file_hash(folder / name) for name in names}
    (folder / HASHES).write_text(json.dumps(found, indent=2) + "\n")


def check_hashes(folder: Path) -> None:
    """Compare every file with hashes.json; a folder without one is not checked.

    Args:
        folder: The folder of a model.

    Raises:
        ModelError: With the name of the file that is missing or altered.
    """
    hashes = read_hashes(folder)
    for name in hashes:
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name} is missing, but {HASHES} lists it; get the model again.")
    # The largest first, two at a time: of a model of half a gigabyte this is most of what opening it takes.
    names = sorted(hashes, key=lambda name: -(folder / name).stat().st_size)
    with ThreadPoolExecutor(2) as threads:
        for name, found in zip(names, threads.map(lambda name: file_hash(folder / name), names), strict=True):
            if found != hashes[name]:
                raise ModelError(f"{folder / name} is not the file that {HASHES} describes; get the model again.")


def folder_hash(folder: Path) -> str:
    """Compute the hash that identifies a model in records and results.

    Args:
        folder: Folder of the model.

    Returns:
        SHA-256 in hex of hashes.json, or of the config where there is none.
    """
    path = folder / HASHES
    return file_hash(path if path.is_file() else folder / CONFIG)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_hashes(folder: Path) -> dict[str, str]:
    """Read hashes.json.

    Args:
        folder: Folder of a model.

    Returns:
        SHA-256 in hex by file name; empty without that file.

    Raises:
        ModelError: If the file is damaged.
    """
    path = folder / HASHES
    if not path.is_file():
        return {}
    try:
        found = parse_json(read_bytes(path, max_bytes=1_000_000, error=ModelError))
    except ValueError:
        found = None
    fits = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    if not fits or any(Path(name).name != name or len(name.encode(errors="replace")) > 255 for name in found):
        raise ModelError(f"{path} is not a list of file names with their SHA-256.")
    return dict(found)
