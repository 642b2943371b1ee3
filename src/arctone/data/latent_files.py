"""Latents and captions on disk: tensors with their index, and the table of captions.

header.json            what made them, how many clips and shards there must be
latents/00000.npy      float16 [frames, C]: the clips of one shard end to end, memory-mappable
latents/00000.curves.npy  float16 [frames, curves]: the header's curves of the same clips, see audio.curves; the level
                       is in dB. Folders of format 1 have none
latents/00000.jsonl    one ClipRecord a line; written after its .npy, so its presence says the shard is whole
text/header.json       what made the text embeddings
text/00000.npy         float16 [tokens, D]: the captions of one shard end to end
text/00000.pooled.npy  float16 [captions, D]
text/00000.jsonl       one CaptionRecord a line; written last
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from arctone.data.sound import ClipInfo
from arctone.errors import InputFileError, ModelError, UsageError
from arctone.files.atomic import clear_leftovers
from arctone.files.strict_json import read_config, read_records, write_array, write_config, write_records

FORMAT_VERSION = 2
# In the order of their columns.
CURVES = ("loudness", "brightness", "pitch")


class LatentsHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says what the latents are, and refuses mixtures.

    Args:
        autoencoder_hash: SHA-256 in hex.
        source_hash: SHA-256 in hex.
        num_clips: Clips of the source.
        clips_per_shard: How the work is cut; both change the arithmetic's order, so a restart must use the same.
        batch_frames: As `clips_per_shard`.
        curves: Names of those that are stored.
        num_files: Shards, where they came as files with unequal numbers of clips, and `num_clips` is 0.
    """

    autoencoder_hash: str
    source_hash: str
    num_clips: int
    clips_per_shard: int
    batch_frames: int
    hop_length: int
    sample_rate: int
    precision: str = "32-true"
    curves: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION
    num_files: int = 0

    @property
    def num_shards(self) -> int:
        """Shards of a finished folder."""
        return self.num_files or -(-self.num_clips // self.clips_per_shard)


class ClipRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stored clip.

    problem: empty, or why the clip could not be used; then frames is 0.

    Args:
        index: Its number in the source.
        offset: First row in the shard's array.
        frames: Rows.
    """

    index: int
    offset: int
    frames: int
    info: ClipInfo
    problem: str = ""


class TextHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says what the text embeddings are.

    Args:
        encoder_hash: SHA-256 in hex.
        captions_hash: SHA-256 in hex.
    """

    encoder_hash: str
    captions_hash: str
    num_captions: int
    captions_per_shard: int
    format_version: int = FORMAT_VERSION

    @property
    def num_shards(self) -> int:
        """Shards of a finished folder."""
        return -(-self.num_captions // self.captions_per_shard)


class CaptionRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One embedded caption.

    Args:
        offset: First row in the shard's token array.
        tokens: Rows.
    """

    caption: str
    offset: int
    tokens: int


def header_path(folder: Path) -> Path:
    """The header of latents or of text embeddings."""
    return folder / "header.json"


def latents_path(folder: Path, shard: int) -> Path:
    """Latents of one shard, float16 [frames, C]."""
    return folder / "latents" / f"{shard:05d}.npy"


def curves_path(folder: Path, shard: int) -> Path:
    """Curves of one shard, float16 [frames, curves]."""
    return folder / "latents" / f"{shard:05d}.curves.npy"


def clips_path(folder: Path, shard: int) -> Path:
    """Records of one shard's clips."""
    return folder / "latents" / f"{shard:05d}.jsonl"


def text_folder(folder: Path) -> Path:
    """Return the path of the text embeddings of a file of latents."""
    return folder / "text"


def tokens_path(text: Path, shard: int) -> Path:
    """Token states of one shard, float16 [tokens, D]."""
    return text / f"{shard:05d}.npy"


def pooled_path(text: Path, shard: int) -> Path:
    """Pooled vectors of one shard, float16 [captions, D]."""
    return text / f"{shard:05d}.pooled.npy"


def captions_path(text: Path, shard: int) -> Path:
    """Records of one shard's captions."""
    return text / f"{shard:05d}.jsonl"


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

    Args:
        captions: All different.
        text_encoder: A list of captions to a list of (tokens [L, D], pooled [D]).
        folder: Folder of latents.
        encoder_hash: Names its weights.
        captions_per_shard: Captions of one file.
        progress: Called with (done, total).

    Raises:
        ModelError: if the folder holds embeddings of another text encoder.
        UsageError: if of other captions.
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
        if not captions_path(folder, shard).exists():
            _write_shard(folder, shard, part, text_encoder, _shifted(report, start, len(captions)))
        report(start + len(part), len(captions))


def _start_folder(folder: Path, wanted: TextHeader) -> None:
    path = header_path(folder)
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
    write_array(tokens_path(folder, shard), np.concatenate([tokens for tokens, _ in embeddings]).astype(np.float16))
    write_array(pooled_path(folder, shard), np.stack([pooled for _, pooled in embeddings]).astype(np.float16))
    records = [
        CaptionRecord(caption=caption, offset=int(offset), tokens=len(tokens))
        for caption, offset, (tokens, _) in zip(captions, offsets, embeddings, strict=False)
    ]
    write_records(captions_path(folder, shard), records)


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

    Args:
        folder: As encode_captions wrote it.

    Raises:
        InputFileError: if the folder is missing or unfinished.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.header = read_config(header_path(self.folder), TextHeader, error=InputFileError)
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
        return int(self._array(pooled_path(self.folder, 0)).shape[1]) if self._places else 0

    def tokens(self, caption: str) -> npt.NDArray[np.float32]:
        """Token states [L, D] of a caption; [0, D] for an empty one, which means: no text is given."""
        if not caption.strip():
            return np.zeros((0, self.width), np.float32)
        place = self._place(caption)
        rows = self._array(tokens_path(self.folder, place.shard))[place.offset : place.offset + place.tokens]
        return np.asarray(rows, dtype=np.float32)

    def pooled(self, caption: str) -> npt.NDArray[np.float32]:
        """Pooled vector [D] of a caption; zeros for an empty one."""
        if not caption.strip():
            return np.zeros(self.width, np.float32)
        place = self._place(caption)
        return np.asarray(self._array(pooled_path(self.folder, place.shard))[place.row], dtype=np.float32)

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
        shards = [s for s in range(self.header.num_shards) if captions_path(self.folder, s).exists()]
        return [
            (record.caption, _Place(shard, row, record.offset, record.tokens))
            for shard in shards
            for row, record in enumerate(read_records(captions_path(self.folder, shard), CaptionRecord))
        ]
