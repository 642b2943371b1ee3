"""A model with adapters laid over it for good: a folder of its own, which needs no adapter any more."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from arctone.checkpoints.copying import copy_autoencoder, copy_text
from arctone.checkpoints.folder import DIT, load_config, load_state, save_part
from arctone.checkpoints.lora import applied, load_adapter, refuse_other_base
from arctone.errors import UsageError
from arctone.files.atomic import folder_atomically, refuse_folder

_PAPERS = ("LICENSE", "NOTICE", "licence")


def merge(model: Path, adapters: Sequence[tuple[Path, float]], out: Path) -> None:
    """Write a model's folder with adapters merged into its transformer, each at its strength.

    Args: out: appears whole or not at all. It can be generated from with the torch engine, and exported.
    Raises: UsageError if `out` exists or no adapter is given; ModelError if an adapter belongs to other weights.
    """
    refuse_folder(out, "model")
    if not adapters:
        raise UsageError("lora: at least one adapter is needed to merge", field="lora")
    config = load_config(model)
    laid = [(load_adapter(folder), strength) for folder, strength in adapters]
    for adapter, _ in laid:
        refuse_other_base(adapter, model)
    names = "+".join([config.name, *dict.fromkeys(adapter.name for adapter, _ in laid)])
    # The flow model that a post-trained one was made from does not hold the adapters, so it is not carried over.
    merged = msgspec.structs.replace(config, name=names, flow_hash="")
    state = applied(load_state(model, DIT), laid, origin=str(model))
    with folder_atomically(out, "model") as folder:
        copy_autoencoder(model, folder, merged)
        copy_text(model, folder)
        save_part(folder, DIT, state, merged)
        for name in _PAPERS:
            if (model / name).is_file():
                shutil.copyfile(model / name, folder / name)
