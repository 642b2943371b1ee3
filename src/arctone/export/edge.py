"""A model folder for small devices: what generation reads, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from arctone.errors import ModelError
from arctone.export.rare_words import has_words_to_narrow, narrow_rare_words
from arctone.files.atomic import folder_atomically
from arctone.model_folder.config import TextConfig
from arctone.model_folder.folder import CONFIG, check_hashes, find_model, read_model_config, write_hashes
from arctone.model_folder.graph_names import TEXT, needed_for_generation
from arctone.model_folder.tokenizer import FILE_NAME as TOKENIZER

_PAPERS = ("card.md", "LICENSE", "licence", "NOTICE", "parity.json")


def copy_for_edge(
    model: str | Path, out: Path | str, *, exact_words: bool = False, force: bool = False
) -> dict[str, float]:
    """Copy a model folder without its encoder and without the way back to torch weights; rare words get 4 bits.

    Args: model: name of a bundled model, or a folder with graphs. out: the new folder; it appears whole or not at all.
    exact_words: keep the table of words as it is; that of T5, and float32 ones, always stay. force: replace a folder
    that is there.
    Returns: megabytes of each file.
    Raises: ModelError if the model is unknown, altered or has no graphs; UsageError if `out` exists.
    """
    folder = find_model(model)
    config = read_model_config(folder)
    needed = (CONFIG, TOKENIZER, *needed_for_generation(config))
    check_hashes(folder)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} has no {', '.join(missing)}, so it cannot run on a small device; export it first.")
    with folder_atomically(out, force=force) as new:
        for name in (*needed, *_PAPERS):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        if not exact_words and isinstance(config.text, TextConfig) and has_words_to_narrow(folder / TEXT):
            narrow_rare_words(folder / TEXT, new / TEXT)
        write_hashes(new)
        return {path.name: round(path.stat().st_size / 1e6, 3) for path in sorted(new.iterdir())}
