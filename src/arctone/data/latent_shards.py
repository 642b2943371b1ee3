"""Latents that were encoded elsewhere, from WebDataset shards: read once as a stream, stored as a folder of latents.

A shard is a tar file, or a command that writes one (`pipe:aws s3 cp s3://bucket/000.tar -`), and is opened by the
library `webdataset`. A sample is KEY.npy, latents [C, T], and KEY.json with its facts: the layout in which the public
trainer writes encoded data. Training needs any clip at any step, so that a resumed run is the same run and processes
split a batch: so all of it is stored, at 2.8 kB a second of sound for 64 channels. A shard is stored whole or not at
all; what is stored is not read again.

C channels, T latent frames.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from arctone.checkpoints.folder import encoder_hash, load_config
from arctone.data import latent_files as files
from arctone.data.encode import Encoded, start_folder, write_shard
from arctone.data.encoders import open_text_encoder
from arctone.data.latent_files import ClipRecord, LatentsHeader, encode_captions
from arctone.data.sound import ClipInfo, Split
from arctone.errors import InputFileError, install_hint
from arctone.files.strict_json import read_records

Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]
PIPE = "pipe:"
# Where training stores shards, in the folder that it writes.
STORED_LATENTS = "stored-latents"
# Longest sound that a fact may state, in seconds.
_MAX_SECONDS = 86_400.0


class LatentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample's JSON may say; everything may be left out, and what else it says is not read.

    Args:
        prompt: The caption, as the public trainer calls it.
        caption: The caption.
        captions: All wordings.
        padding_mask: 1 for frames of the sound, 0 for those behind its end, [T].
        seconds_total: Length of the sound in seconds, which the model is conditioned on; the frames' if not given.
        bpm: Tempo.
        key: Tonic and mode.
        split: "train", "valid" or "test".
        licence: Of the sound.
        source: Where it comes from.
    """

    prompt: str = ""
    caption: str = ""
    captions: tuple[str, ...] = ()
    padding_mask: list[bool | int | float] | None = None
    seconds_total: float | None = None
    bpm: float | None = None
    key: str | None = None
    split: Split = "train"
    licence: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.seconds_total is not None and not 0 < self.seconds_total <= _MAX_SECONDS:
            raise ValueError(f"seconds_total must be above 0 and at most {_MAX_SECONDS:g}, got {self.seconds_total:g}")

    def wordings(self) -> tuple[str, ...]:
        """All captions, each once, without empty ones."""
        stripped = (text.strip() for text in (self.prompt, self.caption, *self.captions))
        return tuple(dict.fromkeys(text for text in stripped if text))


def are_shards(spec: str | Path) -> bool:
    """Returns whether a name means shards of latents, not a folder of them.

    Args:
        spec: A path, a pattern of tar files such as `latents/{000..099}.tar`, or `pipe:` and a command.

    Returns:
        Whether it means shards.
    """
    text = str(spec)
    return text.startswith(PIPE) or (".tar" in text and not Path(text).is_dir())


def read_stored_latents(spec: str | Path, model: Path, out: Path, progress: Progress | None = None) -> Path:
    """Returns the folder of latents that a name means; shards are stored in `out` first, where they are not yet.

    Args:
        spec: A folder of latents, or shards; see `are_shards`.
        model: Folder of the model whose autoencoder encoded them, and whose text encoder embeds their captions.
        out: Folder that shards are stored in; called again after an interruption, it goes on.
        progress: Called with (done, total, stage).

    Returns:
        A folder that LatentDataset opens.

    Raises:
        InputFileError: If a shard cannot be read, or a sample does not fit the model.
        ModelError: If the folder holds latents of another autoencoder.
        UsageError: If it holds other shards.
    """
    if not are_shards(spec):
        return Path(spec)
    config, names = load_config(model), shard_names(str(spec))
    text = open_text_encoder(model)
    header = LatentsHeader(
        autoencoder_hash=encoder_hash(model),
        source_hash=hashlib.sha256("\n".join(names).encode()).hexdigest(),
        num_clips=0,
        clips_per_shard=1,
        batch_frames=0,
        hop_length=config.hop_length,
        sample_rate=config.sample_rate,
        num_files=len(names),
    )
    report = progress or (lambda done, total, stage: None)
    start_folder(out, header)
    for number, name in enumerate(names):
        report(number, len(names), "shards")
        if not files.clips_path(out, number).exists():
            samples = _read_shard(name, config.dit.latent_channels, config.hop_length / config.sample_rate)
            write_shard(out, number, dict(enumerate(samples)), has_curves=False)
    found = {caption for record in _records(out, len(names)) for caption in record.info.captions}
    encode_captions(
        sorted(found),
        text.encode,
        files.text_folder(out),
        encoder_hash=text.hash,
        progress=lambda done, total: report(done, total, "text"),
    )
    return out


def shard_names(spec: str) -> list[str]:
    """Returns the names of single shards that a pattern means, as webdataset expands its braces.

    Args:
        spec: See `are_shards`.

    Returns:
        One name for each shard.

    Raises:
        InputFileError: If webdataset is not installed.
    """
    return [str(name) for name in _webdataset().shardlists.expand_urls(spec)]


def _webdataset() -> Any:
    try:
        import webdataset
    except ImportError:
        raise InputFileError(
            f"shards of latents need webdataset to be read, which is not installed: {install_hint('shards')}."
        ) from None
    return webdataset


def _records(folder: Path, number: int) -> Iterator[ClipRecord]:
    return itertools.chain.from_iterable(
        read_records(files.clips_path(folder, shard), ClipRecord) for shard in range(number)
    )


def _read_shard(name: str, channels: int, seconds_per_frame: float) -> list[Encoded]:
    """All samples of a shard, in its order."""
    library = _webdataset()
    pipeline = library.DataPipeline(library.SimpleShardList([name]), library.tarfile_to_samples())
    found: list[Encoded] = []
    stream = iter(pipeline)
    while True:
        try:
            sample = next(stream, None)
        # What a broken stream or a failing command raises is the library's, tarfile's or the system's.
        except Exception as problem:
            reason = str(problem).splitlines()[0][:200] if str(problem) else type(problem).__name__
            raise InputFileError(f"{name} cannot be read as a shard: {reason}.") from None
        if sample is None:
            break
        found.append(_encoded(name, sample, channels, seconds_per_frame))
    if not found:
        raise InputFileError(f"{name} holds no sample.")
    return found


def _encoded(shard: str, sample: dict[str, Any], channels: int, seconds_per_frame: float) -> Encoded:
    title = f"{Path(shard).name if not shard.startswith(PIPE) else shard}: the sample {sample['__key__']}"
    if "npy" not in sample:
        raise InputFileError(f"{title} has no .npy file with its latents.")
    facts = _facts(title, sample.get("json", b"{}"))
    latents = _latents(title, sample["npy"], channels)
    if facts.padding_mask is not None:
        latents = latents[:, : _sounding(title, facts.padding_mask, latents.shape[1])]
    captions = facts.wordings()
    info = ClipInfo(
        id=sample["__key__"],
        caption=captions[0] if captions else "",
        captions=captions,
        duration_seconds=facts.seconds_total or latents.shape[1] * seconds_per_frame,
        bpm=facts.bpm,
        key=facts.key,
        split=facts.split,
        licence=facts.licence,
        source=facts.source,
    )
    return Encoded(info, latents.T)


def _facts(title: str, raw: bytes) -> LatentFacts:
    try:
        return msgspec.json.decode(raw, type=LatentFacts)
    except (msgspec.DecodeError, ValueError) as problem:
        detail = str(problem)
        raise InputFileError(f"{title} has facts that are not valid: {detail[:1].lower()}{detail[1:]}.") from None


def _latents(title: str, raw: bytes, channels: int) -> Array:
    """[C, T] in the precision in which latents are stored."""
    try:
        latents: Array = np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        raise InputFileError(f"{title} has no readable array: {str(problem).lower()}.") from None
    if latents.ndim != 2 or latents.shape[0] != channels or latents.shape[1] == 0:
        raise InputFileError(f"{title} has the shape {[*latents.shape]}, but the model's is [{channels}, frames].")
    if latents.dtype.kind != "f":
        raise InputFileError(f"{title} holds {latents.dtype}, but latents are floats.")
    if not np.isfinite(latents).all() or np.abs(latents).max() > np.finfo(np.float16).max:
        raise InputFileError(f"{title} holds numbers that are not finite, or too great for latents.")
    return latents.astype(np.float16)


def _sounding(title: str, mask: list[bool | int | float], frames: int) -> int:
    """Frames up to the end of the sound."""
    if len(mask) != frames:
        raise InputFileError(f"{title} has a padding_mask of {len(mask)} places for {frames} frames.")
    last = max((place for place, value in enumerate(mask) if value and not math.isnan(value)), default=-1)
    if last < 0:
        raise InputFileError(f"{title} has a padding_mask without any sound.")
    return last + 1
