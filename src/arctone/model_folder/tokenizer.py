"""From a prompt to the fixed number of tokens that a text encoder reads."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from arctone.errors import ModelError, UsageError

if TYPE_CHECKING:
    import tokenizers

NUM_TOKENS = 64
FILE_NAME = "tokenizer.json"
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
        """Tokens of a prompt; what does not fit is cut before the final special token, which always stays."""
        encoding = self._tokenizer.encode(prompt)
        num_real = len(encoding.ids)
        ids = np.full(self.num_tokens, self._pad_id, np.int32)
        ids[:num_real] = encoding.ids
        return Tokens(ids, np.arange(self.num_tokens) < num_real, bool(encoding.overflowing))


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
