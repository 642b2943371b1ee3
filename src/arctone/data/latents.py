"""Stored latents as a dataset: memory-mapped, so a corpus of any size opens at once.

C channels of the latents, T latent frames, L text tokens, D text width.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arctone.data import latent_files as files
from arctone.data.latent_files import CaptionTable, ClipRecord, LatentsHeader
from arctone.data.sound import ClipInfo, Split
from arctone.errors import InputFileError, ModelError
from arctone.files.strict_json import read_config, read_records

Array = npt.NDArray[Any]


class LatentDataset:
    """Clips of one split as latents and text embeddings; fits torch.utils.data.DataLoader.

    Args:
        folder: As encode_corpus wrote it.
        split: "train", "valid", "test" or None for all.
        autoencoder_hash: If given, latents of other weights are refused.
        keep: Which clips to take, of the split's.
        allow_partial: Open a folder whose encode has not finished.

    Raises:
        InputFileError: if the folder is missing, damaged or unfinished.
        ModelError: for another autoencoder.
    """

    def __init__(
        self,
        folder: str | Path,
        split: Split | None = None,
        *,
        autoencoder_hash: str | None = None,
        keep: Callable[[ClipInfo], bool] | None = None,
        allow_partial: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.header = read_config(files.header_path(self.folder), LatentsHeader, error=InputFileError)
        _refuse_other(self.folder, self.header, autoencoder_hash)
        self._places: list[tuple[int, ClipRecord]] = []
        for shard, record in _read_all(self.folder, self.header, allow_partial):
            wanted = record.frames > 0 and split in (None, record.info.split)
            if wanted and (keep is None or keep(record.info)):
                self._places.append((shard, record))
        text = files.text_folder(self.folder)
        self.captions = CaptionTable(text) if files.header_path(text).exists() else None
        self._maps: dict[Path, Array] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The clip with its first caption: see example."""
        return self.example(index)

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """Length of each clip in latent frames, [clips]."""
        return np.array([record.frames for _, record in self._places], dtype=np.int64)

    @property
    def num_channels(self) -> int:
        """C, or 0 for a dataset without clips."""
        return int(self._shard(self._places[0][0]).shape[1]) if self._places else 0

    @property
    def duration_seconds(self) -> float:
        """Length of all clips together."""
        return float(sum(record.info.duration_seconds for _, record in self._places))

    def info(self, index: int) -> ClipInfo:
        """Facts of a clip; duration_seconds is the length of the sound that was encoded."""
        return self._places[index][1].info

    def latents(self, index: int) -> npt.NDArray[np.float32]:
        """Latents of a clip, [C, T]."""
        shard, record = self._places[index]
        rows = self._shard(shard)[record.offset : record.offset + record.frames]
        return np.ascontiguousarray(rows.T, dtype=np.float32)

    @property
    def has_curves(self) -> bool:
        """Whether curves are stored next to the latents."""
        return self.header.curves == files.CURVES

    def curves(self, index: int) -> npt.NDArray[np.float32]:
        """Read loudness in dB, brightness and pitch of a clip; see `audio.curves`.

        Args:
            index: Number of the clip, from 0.

        Returns:
            [3, T].

        Raises:
            InputFileError: if none are stored.
        """
        if not self.has_curves:
            raise InputFileError(f"{self.folder} holds no curves: encode the corpus again into another folder.")
        shard, record = self._places[index]
        rows = self._map(files.curves_path(self.folder, shard))[record.offset : record.offset + record.frames]
        return np.ascontiguousarray(rows.T, dtype=np.float32)

    def example(self, index: int, caption: int = 0) -> dict[str, Any]:
        """One training example, what collate takes.

        Args:
            index: Number of the clip, from 0.
            caption: Which of the clip's captions, any whole number (taken modulo their count).

        Returns:
            Index, id, caption, latents [C, T], seconds, bpm (0 where there is none) and, if the folder has text,
            text_tokens [L, D] and text_pooled [D] (L = 0 and zeros for a clip without caption). Arrays are float32.
        """
        latents = {"latents": self.latents(index), "seconds": self.info(index).duration_seconds}
        return latents | self.prompt(index, caption)

    def caption(self, index: int, caption: int = 0) -> str:
        """One of a clip's captions, counted as in `example`; "" for a clip without."""
        captions = self.info(index).captions
        return captions[caption % len(captions)] if captions else ""

    def prompt(self, index: int, caption: int = 0) -> dict[str, Any]:
        """What of an example tells the prompt: index, id, caption, bpm, text_tokens and text_pooled."""
        info, text = self.info(index), self.caption(index, caption)
        prompt: dict[str, Any] = {"index": index, "id": info.id, "caption": text, "bpm": info.bpm or 0.0}
        if self.captions is not None:
            prompt |= {"text_tokens": self.captions.tokens(text), "text_pooled": self.captions.pooled(text)}
        return prompt

    def statistics(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and standard deviation of the latents over all frames of all clips, [C] each."""
        if not self._places:
            raise InputFileError(f"{self.folder} holds no clips of this split, so the latents have no statistics.")
        count, total, square = 0, np.zeros(self.num_channels), np.zeros(self.num_channels)
        for index in range(len(self)):
            latents = self.latents(index).astype(np.float64)
            count += latents.shape[1]
            total += latents.sum(axis=1)
            square += (latents**2).sum(axis=1)
        mean = total / count
        return mean, np.sqrt(np.maximum(square / count - mean**2, 0.0))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # a pickled memory map would be a copy of the file

    def _shard(self, shard: int) -> Array:
        return self._map(files.latents_path(self.folder, shard))

    def _map(self, path: Path) -> Array:
        if path not in self._maps:
            self._maps[path] = _opened(path)
        return self._maps[path]


def left_out(folder: str | Path) -> list[tuple[str, str]]:
    """Clips that the encode could not use, as (id, problem)."""
    header = read_config(files.header_path(Path(folder)), LatentsHeader, error=InputFileError)
    records = _read_all(Path(folder), header, allow_partial=True)
    return [(record.info.id, record.problem) for _, record in records if record.problem]


def _refuse_other(folder: Path, header: LatentsHeader, autoencoder_hash: str | None) -> None:
    if autoencoder_hash is not None and header.autoencoder_hash != autoencoder_hash:
        raise ModelError(
            f"{folder} holds latents of the autoencoder {header.autoencoder_hash[:12]}, but the model's is "
            f"{autoencoder_hash[:12]}: encode the corpus again into another folder."
        )


def _read_all(folder: Path, header: LatentsHeader, allow_partial: bool) -> list[tuple[int, ClipRecord]]:
    paths = [files.clips_path(folder, shard) for shard in range(header.num_shards)]
    present = [shard for shard, path in enumerate(paths) if path.exists()]
    if len(present) < len(paths) and not allow_partial:
        raise InputFileError(
            f"{folder} holds {len(present)} of {len(paths)} shards: run the encode again to finish it."
        )
    return [(shard, record) for shard in present for record in read_records(paths[shard], ClipRecord)]


def _opened(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r")
        return array
    except FileNotFoundError:
        raise InputFileError(f"{path} does not exist.") from None
    except (OSError, ValueError) as problem:
        raise InputFileError(f"{path} is damaged: {str(problem).lower()}.") from None
