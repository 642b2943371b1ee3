"""A model folder for small devices: what generation reads, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from arctone.atomic import folder_atomically
from arctone.engines.native import DECODER, DIT, TEXT
from arctone.errors import ModelError
from arctone.model_folder import CONFIG, check_hashes, find_model, read_model_config, write_hashes
from arctone.tokenizer import FILE_NAME as TOKENIZER

_NEEDED = (CONFIG, TOKENIZER, TEXT, DIT, DECODER)
_PAPERS = ("card.md", "LICENSE", "licence", "NOTICE", "parity.json")


def copy_for_edge(model: str | Path, out: Path | str, *, force: bool = False) -> dict[str, float]:
    """Copy a model folder without its encoder and without the way back to torch weights.

    Args: model: name of a bundled model, or a folder with graphs. out: the new folder; it appears whole or not at all.
    force: replace a folder that is there.
    Returns: megabytes of each file.
    Raises: ModelError if the model is unknown, altered or has no graphs; UsageError if `out` exists.
    """
    folder = find_model(model)
    read_model_config(folder)
    check_hashes(folder)
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} has no {', '.join(missing)}, so it cannot run on a small device; export it first.")
    with folder_atomically(out, force=force) as new:
        for name in (*_NEEDED, *_PAPERS):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        write_hashes(new)
        return {path.name: round(path.stat().st_size / 1e6, 3) for path in sorted(new.iterdir())}
