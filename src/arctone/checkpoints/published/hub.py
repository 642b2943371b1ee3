"""Published checkpoints by their name on the Hugging Face hub, or in a folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from arctone.checkpoints.published.source import ENDINGS, INDEX, TEXT_FOLDERS, is_licence_or_card
from arctone.errors import ModelError, install_hint

T5_FILES = ("config.json", "tokenizer.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


def is_hub_name(name: str) -> bool:
    """Whether a name has the form owner/model and is no folder."""
    return bool(_NAME.fullmatch(name)) and not Path(name).exists()


def chosen(files: list[str], *, base: bool = False) -> list[str]:
    """This function chooses which of a repository's files are needed.

    Args:
        files: All of its files.
        base: Whether the base model is meant, not the post-trained one next to it.

    Returns:
        One layout of the model and its weights once (tensor files before checkpoints), the text encoder if it lies
        there, and all licences and cards.
    """
    stem = "base_model" if base else "model"
    texts = [name for name in files if is_licence_or_card(name)]
    if f"{stem}_config.json" in files:
        return [*texts, f"{stem}_config.json", *_weights(files, stem), *_text_files(files)]
    if "model_index.json" in files:
        inner = [name for name in files if name.count("/") == 1 and name.endswith((".json", ".safetensors"))]
        return [*texts, "model_index.json", *inner]
    return [*texts, *(name for name in T5_FILES if name in files), *_weights(files, "model", "pytorch_model")]


def _weights(files: list[str], *stems: str) -> list[str]:
    """The first form that is there; of shards, the index and all of them."""
    for name in (stem + ending for stem in stems for ending in ENDINGS):
        if name in files:
            if not name.endswith(INDEX):
                return [name]
            start, _, suffix = name.removesuffix(INDEX).rpartition(".")
            shard = re.compile(rf"{re.escape(start)}-\d{{5}}-of-\d{{5}}\.{suffix}")
            return [name, *(each for each in files if shard.fullmatch(each))]
    return []


def _text_files(files: list[str]) -> list[str]:
    """Of a text encoder in a folder of its own: `t5...`, or `text_encoder` and `tokenizer`."""
    found: list[str] = []
    for folder in dict.fromkeys(name.partition("/")[0] for name in files if name.count("/") == 1):
        if folder.startswith("t5") or folder in TEXT_FOLDERS:
            inner = [name.partition("/")[2] for name in files if name.startswith(f"{folder}/")]
            found += [f"{folder}/{name}" for name in chosen(inner)]
    return found


def find(name: str, *, token: str | None = None, offline: bool = False, base: bool = False) -> Path:
    """This function finds a folder or file, or downloads the hub's model to the hub's own cache and verifies it.

    A download that was stopped goes on where it stopped.

    Args:
        name: A folder, a file, or owner/model.
        token: For models behind a licence; None = HF_TOKEN or the one stored by `hf auth login`.
        offline: Only what the cache already holds.
        base: See `chosen`.

    Returns:
        The folder or file.

    Raises:
        ModelError: In one sentence, what is missing, forbidden or damaged.
    """
    place = Path(name).expanduser()
    if place.exists():
        return place
    if not is_hub_name(name):
        raise ModelError(f"{name} is neither a folder nor a name on the hub (owner/model).")
    return _downloaded(name, token, offline, base)


def _downloaded(name: str, token: str | None, offline: bool, base: bool) -> Path:
    try:
        from huggingface_hub import HfApi, errors, snapshot_download
    except ImportError:
        raise ModelError(
            f"models of the hub need huggingface_hub, which is not installed: {install_hint('hub')}."
        ) from None
    try:
        if offline:
            return Path(snapshot_download(name, token=token, local_files_only=True))
        info = HfApi(token=token).model_info(name, files_metadata=True)
        wanted = chosen(_files(info), base=base)
        folder = Path(snapshot_download(name, allow_patterns=wanted, token=token))
        _verify(folder, info, wanted)
        return folder
    except ModelError:
        raise
    except errors.GatedRepoError:
        raise ModelError(
            f"{name} is only given to those who accepted its licence: do so at https://huggingface.co/{name}, then set "
            "HF_TOKEN or --token."
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(f"the hub has no model {name}, or not for this token.") from None
    except errors.LocalEntryNotFoundError:
        hint = "and --offline forbids to fetch it" if offline else "and the hub cannot be reached"
        raise ModelError(f"{name} is not in the hub's cache, {hint}.") from None
    except Exception as problem:  # the client passes on the errors of whichever transport it is built on
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise ModelError(f"{name} cannot be fetched: {reason.rstrip('.')}.") from None


def _verify(folder: Path, info: Any, wanted: list[str]) -> None:
    """Large files are compared with the SHA-256 that the hub states, others with their size."""
    for file in info.siblings or ():
        path = folder / file.rfilename
        if file.rfilename not in wanted or not path.is_file():
            continue
        lfs = getattr(file, "lfs", None)
        if lfs is not None:
            with path.open("rb") as content:
                whole = hashlib.file_digest(content, "sha256").hexdigest() == lfs.sha256
        else:
            size = getattr(file, "size", None)
            whole = size is None or path.stat().st_size == size
        if not whole:
            raise ModelError(f"{path} is not the file that the hub states; delete it and fetch again.")


def _files(info: Any) -> list[str]:
    return [file.rfilename for file in info.siblings or ()]
