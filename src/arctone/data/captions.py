"""Text embeddings of all captions, made once and stored beside the latents.

L text tokens (differs from caption to caption), D width.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.data import latent_files as files
from arctone.data.latent_files import CaptionRecord, TextHeader
from arctone.errors import InputFileError, ModelError, UsageError
from arctone.files.atomic import clear_leftovers
from arctone.files.json_lines import read_records, write_array, write_records
from arctone.files.strict_json import read_config, write_config

Array = npt.NDArray[Any]
TextEncoder = Callable[[list[str]], list[tuple[Array, Array]]]

CAPTIONS_PER_SHARD = 4096
CAPTIONS_PER_BATCH = 64


def encode_captions(
    captions: Sequence[str],
    text_encoder: TextEncoder,
    folder: str | Path,
    *,
    encoder_hash: str,
    captions_per_shard: int = CAPTIONS_PER_SHARD,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Embed captions and store them; shards that are already there are kept.

    Args: captions: all different. text_encoder: a list of captions to a list of (tokens [L, D], pooled [D]).
    encoder_hash: names its weights. progress: called with (done, total).
    Raises: ModelError if the folder holds embeddings of another text encoder, UsageError if of other captions.
    """
    folder, report = Path(folder), progress or (lambda done, total: None)
    _start_folder(
        folder,
        TextHeader(
            encoder_hash=encoder_hash,
            captions_hash=hashlib.sha256("\n".join(captions).encode()).hexdigest(),
            num_captions=len(captions),
            captions_per_shard=captions_per_shard,
        ),
    )
    report(0, len(captions))
    for shard, start in enumerate(range(0, len(captions), captions_per_shard)):
        part = list(captions[start : start + captions_per_shard])
        if not files.captions_path(folder, shard).exists():
            _write_shard(folder, shard, part, text_encoder, _shifted(report, start, len(captions)))
        report(start + len(part), len(captions))


def _start_folder(folder: Path, wanted: TextHeader) -> None:
    path = files.header_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    if not path.exists():
        write_config(path, wanted)
        return
    there = read_config(path, TextHeader)
    if there.encoder_hash != wanted.encoder_hash:
        raise ModelError(
            f"{folder} holds embeddings of the text encoder {there.encoder_hash[:12]}, not of "
            f"{wanted.encoder_hash[:12]}: choose another folder."
        )
    if there != wanted:
        raise UsageError(f"{folder} holds the embeddings of other captions: choose another folder.")


def _write_shard(
    folder: Path, shard: int, captions: list[str], text_encoder: TextEncoder, report: Callable[[int], None]
) -> None:
    embeddings: list[tuple[Array, Array]] = []
    for start in range(0, len(captions), CAPTIONS_PER_BATCH):
        batch = captions[start : start + CAPTIONS_PER_BATCH]
        made = text_encoder(batch)
        if len(made) != len(batch):
            raise ModelError(f"the text encoder gave {len(made)} embeddings for {len(batch)} captions.")
        embeddings += made
        report(len(embeddings))
    offsets = np.cumsum([0] + [len(tokens) for tokens, _ in embeddings])
    write_array(
        files.tokens_path(folder, shard), np.concatenate([tokens for tokens, _ in embeddings]).astype(np.float16)
    )
    write_array(files.pooled_path(folder, shard), np.stack([pooled for _, pooled in embeddings]).astype(np.float16))
    records = [
        CaptionRecord(caption=caption, offset=int(offset), tokens=len(tokens))
        for caption, offset, (tokens, _) in zip(captions, offsets, embeddings, strict=False)
    ]
    write_records(files.captions_path(folder, shard), records)


def _shifted(report: Callable[[int, int], None], start: int, total: int) -> Callable[[int], None]:
    return lambda done: report(start + done, total)


@dataclass(frozen=True)
class _Place:
    shard: int
    row: int
    offset: int
    tokens: int


class CaptionTable:
    """Stored text embeddings, looked up by caption.

    Args: folder: as encode_captions wrote it. Raises: InputFileError if the folder is missing or unfinished.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.header = read_config(files.header_path(self.folder), TextHeader, error=InputFileError)
        self._places = dict(self._read_places())
        self._maps: dict[Path, Array] = {}
        if len(self._places) != self.header.num_captions:
            raise InputFileError(
                f"{self.folder} holds {len(self._places)} of {self.header.num_captions} captions: run the encode again."
            )

    def __len__(self) -> int:
        return len(self._places)

    @cached_property
    def width(self) -> int:
        """D."""
        return int(self._array(files.pooled_path(self.folder, 0)).shape[1]) if self._places else 0

    def tokens(self, caption: str) -> npt.NDArray[np.float32]:
        """Token states [L, D] of a caption; [0, D] for an empty one, which means: no text is given."""
        if not caption.strip():
            return np.zeros((0, self.width), np.float32)
        place = self._place(caption)
        rows = self._array(files.tokens_path(self.folder, place.shard))[place.offset : place.offset + place.tokens]
        return np.asarray(rows, dtype=np.float32)

    def pooled(self, caption: str) -> npt.NDArray[np.float32]:
        """Pooled vector [D] of a caption; zeros for an empty one."""
        if not caption.strip():
            return np.zeros(self.width, np.float32)
        place = self._place(caption)
        return np.asarray(self._array(files.pooled_path(self.folder, place.shard))[place.row], dtype=np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # a pickled memory map would be a copy of the file

    def _place(self, caption: str) -> _Place:
        place = self._places.get(caption)
        if place is None:
            raise InputFileError(f"{self.folder} holds no embedding of the caption '{caption[:60]}'.")
        return place

    def _array(self, path: Path) -> Array:
        if path not in self._maps:
            self._maps[path] = np.load(path, mmap_mode="r")
        return self._maps[path]

    def _read_places(self) -> list[tuple[str, _Place]]:
        shards = [s for s in range(self.header.num_shards) if files.captions_path(self.folder, s).exists()]
        return [
            (record.caption, _Place(shard, row, record.offset, record.tokens))
            for shard in shards
            for row, record in enumerate(read_records(files.captions_path(self.folder, shard), CaptionRecord))
        ]
