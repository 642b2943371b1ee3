"""Published checkpoints by their name on the Hugging Face hub, or in a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from arctone.errors import ModelError

# Texts that belong to the weights. Code, pictures and examples are left where they are.
TEXTS = ("LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "README.md")
T5_FILES = ("config.json", "tokenizer.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


def is_hub_name(name: str) -> bool:
    """Whether a name has the form owner/model and is no folder."""
    return bool(_NAME.fullmatch(name)) and not Path(name).exists()


def chosen(files: list[str]) -> list[str]:
    """Which of a model's files are needed: one layout of it, and its weights once (tensor files before checkpoints)."""
    texts = [name for name in files if name in TEXTS]
    if "model_config.json" in files:
        return [*texts, "model_config.json", *_first(files, "model.safetensors", "model.ckpt")]
    if "model_index.json" in files:
        inner = [name for name in files if name.count("/") == 1 and name.endswith((".json", ".safetensors"))]
        return [*texts, "model_index.json", *inner]
    weights = _first(files, "model.safetensors", "pytorch_model.bin")
    return [*texts, *(name for name in T5_FILES if name in files), *weights]


def _first(files: list[str], *names: str) -> list[str]:
    return [name for name in names if name in files][:1]


def find(name: str, *, token: str | None = None, offline: bool = False) -> Path:
    """The folder itself, or the hub's model downloaded to the hub's own cache.

    Args: name: a folder, or owner/model. token: for models behind a licence; None = HF_TOKEN or
    the one stored by `hf auth login`. offline: only what the cache already holds. Raises: ModelError in one sentence.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_name(name):
        raise ModelError(f"{name} is neither a folder nor a name on the hub (owner/model).")
    return _downloaded(name, token, offline)


def _downloaded(name: str, token: str | None, offline: bool) -> Path:
    try:
        from huggingface_hub import HfApi, errors, snapshot_download
    except ImportError:
        raise ModelError(
            "models of the hub need huggingface_hub, which is not installed: pip install 'arctone[hub]'."
        ) from None
    try:
        wanted = None if offline else chosen(_files(HfApi(token=token).model_info(name)))
        return Path(snapshot_download(name, allow_patterns=wanted, token=token, local_files_only=offline))
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


def _files(info: Any) -> list[str]:
    return [file.rfilename for file in info.siblings or ()]
