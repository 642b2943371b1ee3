"""Encode a data source to latents, in several processes where there are cores.

A shard is a pure function of (source, encoder, settings) and is written whole, so a run that is killed at any moment
and started again leaves the same files as a run that was never disturbed.

B batch, C channels of the latents, N audio samples, T latent frames, L text tokens, D text width.
"""

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from arctone.audio.curves import measure_curves
from arctone.audio.waveform import Waveform
from arctone.data import latent_files as files
from arctone.data.latent_files import ClipRecord, LatentsHeader, TextEncoder, encode_captions
from arctone.data.sound import ClipInfo, ClipSource, prepare
from arctone.errors import ArctoneError, InputFileError, MemoryLimitError, ModelError, UsageError
from arctone.files.atomic import clear_leftovers
from arctone.files.strict_json import read_config, write_array, write_config, write_records

# How many clips are under way or wait to be fetched, for each worker: bounds the memory, hides uneven clips.
AHEAD_PER_WORKER = 4

T = TypeVar("T")
Rendered = Waveform | ArctoneError
# Called with the source and a clip's number.
Work = Callable[[ClipSource, int], T]

_job: tuple[ClipSource, Work[Any]] | None = None


def map_in_order(
    source: ClipSource, work: Work[T], order: Sequence[int], num_workers: int
) -> Generator[T | ArctoneError, None, None]:
    """Run work(source, index) for the clips `order`, in several processes.

    A clip that fails is handed over as the error, not raised, so that the others still come. Close the generator when
    leaving early.

    Args:
        source: Must be picklable where processes cannot be forked.
        work: Must be picklable where processes cannot be forked.
        order: Numbers of clips, in the order of the results.
        num_workers: 0 works in this process.

    Returns:
        Results in that order; an error of ours stands in the place of a result.

    Raises:
        UsageError: for a negative num_workers.
        MemoryLimitError: if a worker process died.
    """
    if num_workers < 0:
        raise UsageError(f"num_workers must be 0 or more, got {num_workers}.", field="num_workers")
    if num_workers == 0 or len(order) < 2:
        return (_done(source, work, index) for index in order)
    return _from_pool(source, work, order, num_workers)


def render_in_order(
    source: ClipSource, order: Sequence[int], num_workers: int
) -> Generator[Waveform | ArctoneError, None, None]:
    """Waveforms of the clips `order`, in that order: see map_in_order."""
    return map_in_order(source, _waveform, order, num_workers)


def _waveform(source: ClipSource, index: int) -> Waveform:
    return source.waveform(index)


def _from_pool(
    source: ClipSource, work: Work[T], order: Sequence[int], num_workers: int
) -> Generator[T | ArctoneError, None, None]:
    # Forked workers share what the source has loaded before (soundfonts) instead of loading it again, each of them.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    if context.get_start_method() == "fork":
        with suppress(ArctoneError):  # the clips say so themselves
            prepare(source, order)
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker, initargs=(source, work))
    pending: deque[Future[Any]] = deque()
    try:
        for index in order:
            pending.append(pool.submit(_do, index))
            if len(pending) >= AHEAD_PER_WORKER * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise MemoryLimitError(
            f"a worker process ended unexpectedly, most often for lack of memory: try fewer than {num_workers} workers."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(source: ClipSource, work: Work[Any]) -> None:
    global _job
    _job = (source, work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """A worker whose main process was killed would otherwise wait for work for ever."""
    connection.wait([sentinel])
    os._exit(1)


def _do(index: int) -> Any:
    assert _job is not None
    return _done(*_job, index)


def _done(source: ClipSource, work: Work[T], index: int) -> T | ArctoneError:
    try:
        return work(source, index)
    except ArctoneError as problem:
        return problem
    except OSError as problem:
        return InputFileError(f"clip {index} cannot be read: {(problem.strerror or str(problem)).lower()}.")


Array = npt.NDArray[Any]
Encoder = Callable[[Array], Array]
ProgressFn = Callable[["EncodeProgress"], None]


@dataclass(frozen=True)
class EncodeProgress:
    """How far an encode is.

    Args:
        stage: "text" or "latents".
        done: Captions or clips.
        total: Captions or clips.
    """

    stage: str
    done: int
    total: int
    seconds_of_audio: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """How the work is cut.

    Args:
        clips_per_shard: Clips lost at most when a run is killed.
        batch_frames: Latent frames of one encoder call, padding included.
        frames_multiple: Clips are padded with silence to whole multiples of this many frames, so that the encoder sees
            few different lengths.
        precision: What the encoder computes in; only recorded, so that a restart in another is refused.
        num_workers: Rendering processes, 0 renders in this one; does not change the files.
        skip_bad: Leave unusable clips out (their records say why) instead of stopping.
        curves: Whether loudness, brightness and pitch of each frame are stored next to the latents.
    """

    clips_per_shard: int = 256
    batch_frames: int = 2048
    frames_multiple: int = 32
    hop_length: int = 2048
    sample_rate: int = 44_100
    precision: str = "32-true"
    num_workers: int = 2
    skip_bad: bool = False
    curves: bool = True

    def __post_init__(self) -> None:
        for name in ("clips_per_shard", "batch_frames", "frames_multiple", "hop_length", "sample_rate"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more, got {getattr(self, name)}.", field=name)


def encode_corpus(
    source: ClipSource,
    encoder: Encoder,
    text_encoder: TextEncoder | None,
    folder: str | Path,
    *,
    autoencoder_hash: str,
    text_encoder_hash: str = "",
    settings: EncodeSettings | None = None,
    progress: ProgressFn | None = None,
) -> None:
    """Encode every clip of a source, and every caption of it, into a folder that LatentDataset opens.

    Shards that are already there are kept. The folder then holds the same bytes as after one undisturbed run.

    Args:
        source: Source of clips.
        encoder: Float32 [B, 2, N] to latents [B, C, N / hop_length], deterministic.
        text_encoder: Captions to a list of (token states [L, D], pooled [D]), or None to store no text.
        folder: New folder of latents.
        autoencoder_hash: Name the weights, so that others are refused later.
        text_encoder_hash: Name the weights, so that others are refused later.
        settings: Sizes and processes.
        progress: Called with (done, total).

    Raises:
        ModelError: if the folder holds latents of another autoencoder or text encoder.
        UsageError: if it holds another source or other settings.
        InputFileError: for an unusable clip unless settings.skip_bad.
    """
    report = progress or (lambda _: None)
    folder = Path(folder)
    infos = [source.info(index) for index in range(len(source))]
    if not infos:
        raise InputFileError("the source holds no clips, so there is nothing to encode.")
    settings = settings or EncodeSettings()
    header = _header(infos, autoencoder_hash, settings)
    start_folder(folder, header)
    # Text first: it takes minutes, and what is wrong with it should not come out after hours of sound.
    if text_encoder is not None:
        captions = sorted({caption for info in infos for caption in info.captions if caption.strip()})
        encode_captions(
            captions,
            text_encoder,
            files.text_folder(folder),
            encoder_hash=text_encoder_hash,
            progress=lambda done, total: report(EncodeProgress("text", done, total)),
        )
    _encode_missing_shards(source, infos, encoder, folder, header, settings, report)


def _header(infos: Sequence[ClipInfo], autoencoder_hash: str, settings: EncodeSettings) -> LatentsHeader:
    return LatentsHeader(
        autoencoder_hash=autoencoder_hash,
        source_hash=hash_of(infos),
        num_clips=len(infos),
        clips_per_shard=settings.clips_per_shard,
        batch_frames=settings.batch_frames,
        hop_length=settings.hop_length,
        sample_rate=settings.sample_rate,
        precision=settings.precision,
        curves=files.CURVES if settings.curves else (),
    )


def _encode_missing_shards(
    source: ClipSource,
    infos: Sequence[ClipInfo],
    encoder: Encoder,
    folder: Path,
    header: LatentsHeader,
    settings: EncodeSettings,
    report: ProgressFn,
) -> None:
    missing = [shard for shard in range(header.num_shards) if not files.clips_path(folder, shard).exists()]
    plans = [_plan_shard(shard, infos, settings) for shard in missing]
    order = [index for plan in plans for batch in plan for index in batch]
    done = len(infos) - len(order)
    report(EncodeProgress("latents", done, len(infos)))
    seconds = 0.0
    with closing(render_in_order(source, order, settings.num_workers)) as rendered:
        for shard, plan in zip(missing, plans, strict=True):
            clips: dict[int, Encoded] = {}
            for batch in plan:
                clips |= _encode_batch(batch, infos, rendered, encoder, settings)
                done += len(batch)
                seconds += sum(infos[index].duration_seconds for index in batch)
                report(EncodeProgress("latents", done, len(infos), seconds))
            write_shard(folder, shard, clips, settings.curves)


def hash_of(infos: Sequence[ClipInfo]) -> str:
    """SHA-256 in hex over the facts of all clips, in order."""
    digest = hashlib.sha256()
    for info in infos:
        digest.update(msgspec.json.encode(info) + b"\n")
    return digest.hexdigest()


@dataclass(frozen=True)
class Encoded:
    """A clip as it is stored.

    Args:
        info: Its facts.
        latents: Float16 [T, C].
        problem: Why it could not be used.
        curves: Float16 [T, curves]; None where none are stored.
    """

    info: ClipInfo
    latents: Array
    problem: str = ""
    curves: Array | None = None


def start_folder(folder: Path, header: LatentsHeader) -> None:
    """Begin a folder of latents, or go on with it; what a killed run left half-written is cleared.

    Args:
        folder: Of the latents.
        header: What they are.

    Raises:
        ModelError: if the folder holds latents of another autoencoder.
        UsageError: if it was begun with other settings.
    """
    path = files.header_path(folder)
    if path.exists():
        _refuse_mixture(folder, read_config(path, LatentsHeader), header)
    else:
        (folder / "latents").mkdir(parents=True, exist_ok=True)
        write_config(path, header)
    clear_leftovers(folder)
    clear_leftovers(folder / "latents")


def _refuse_mixture(folder: Path, there: LatentsHeader, wanted: LatentsHeader) -> None:
    if there.autoencoder_hash != wanted.autoencoder_hash:
        raise ModelError(
            f"{folder} holds latents of the autoencoder {there.autoencoder_hash[:12]}, not of "
            f"{wanted.autoencoder_hash[:12]}: choose another folder."
        )
    for name in LatentsHeader.__struct_fields__:
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new:
            raise UsageError(f"{folder} was begun with {name} = {old}, not {new}: choose another folder.")


def _plan_shard(shard: int, infos: Sequence[ClipInfo], settings: EncodeSettings) -> list[list[int]]:
    """Batches of clips of nearly equal length, from the known durations alone: the same in every run."""
    first = shard * settings.clips_per_shard
    indices = range(first, min(first + settings.clips_per_shard, len(infos)))
    groups: dict[int, list[int]] = {}
    for index in indices:
        groups.setdefault(_padded_frames(infos[index].duration_seconds, settings), []).append(index)
    plan = []
    for frames in sorted(groups):
        size = max(1, settings.batch_frames // frames)
        plan += [groups[frames][start : start + size] for start in range(0, len(groups[frames]), size)]
    return plan


def _padded_frames(duration_seconds: float, settings: EncodeSettings) -> int:
    unit = settings.hop_length * settings.frames_multiple
    return max(1, -(-round(duration_seconds * settings.sample_rate) // unit)) * settings.frames_multiple


def _encode_batch(
    batch: list[int],
    infos: Sequence[ClipInfo],
    rendered: Iterator[Rendered],
    encoder: Encoder,
    settings: EncodeSettings,
) -> dict[int, Encoded]:
    waveforms: dict[int, Waveform] = {}
    encoded: dict[int, Encoded] = {}
    for index in batch:
        result = _checked(next(rendered), infos[index], settings)
        if isinstance(result, Waveform):
            waveforms[index] = result
        elif settings.skip_bad:
            encoded[index] = Encoded(infos[index], np.zeros((0, 0), np.float16), str(result))
        else:
            raise result
    if waveforms:
        latents = _encode_waveforms(list(waveforms.values()), encoder, settings)
        for index, one in zip(waveforms, latents, strict=True):
            exact = msgspec.structs.replace(infos[index], duration_seconds=waveforms[index].duration_seconds)
            encoded[index] = Encoded(exact, one, curves=_curves(waveforms[index], settings))
    return encoded


def _curves(waveform: Waveform, settings: EncodeSettings) -> Array | None:
    """Curves float16 [T, curves] of a sound, in the order of `latent_files.CURVES`."""
    if not settings.curves:
        return None
    measured = measure_curves(waveform.samples, settings.sample_rate, settings.hop_length)
    return np.stack([getattr(measured, name) for name in files.CURVES], axis=1).astype(np.float16)


def _checked(result: Rendered, info: ClipInfo, settings: EncodeSettings) -> Rendered:
    if isinstance(result, ArctoneError):
        return result
    if result.num_channels != 2 or result.sample_rate != settings.sample_rate or result.num_samples == 0:
        return InputFileError(
            f"clip {info.id} has {result.num_channels} channels and {result.num_samples} samples at "
            f"{result.sample_rate} Hz, but stereo at {settings.sample_rate} Hz is needed."
        )
    return result


def _encode_waveforms(waveforms: list[Waveform], encoder: Encoder, settings: EncodeSettings) -> list[Array]:
    """Latents float16 [T, C] of each waveform; padding to a common length is silence and is cut off again."""
    longest = max(waveform.num_samples for waveform in waveforms)
    frames = _padded_frames(longest / settings.sample_rate, settings)
    audio = np.zeros((len(waveforms), 2, frames * settings.hop_length), np.float32)
    for row, waveform in zip(audio, waveforms, strict=True):
        row[:, : waveform.num_samples] = waveform.samples
    latents = np.asarray(encoder(audio))  # [B, C, T]
    if latents.ndim != 3 or latents.shape[0] != len(waveforms) or latents.shape[2] != frames:
        raise ModelError(f"the autoencoder gave {list(latents.shape)} where [{len(waveforms)}, C, {frames}] is needed.")
    if not np.isfinite(latents).all() or np.abs(latents).max() > np.finfo(np.float16).max:
        raise ModelError("the autoencoder gave latents that are not finite numbers in the range of float16.")
    counts = [-(-waveform.num_samples // settings.hop_length) for waveform in waveforms]
    return [one[:, :count].T.astype(np.float16) for one, count in zip(latents, counts, strict=True)]


def write_shard(folder: Path, shard: int, clips: dict[int, Encoded], has_curves: bool) -> None:
    """Write the clips of one shard; the list of clips comes last, so its presence says the shard is whole.

    Args:
        folder: Of the latents.
        shard: Its number.
        clips: By their number in the source.
        has_curves: Whether curves are stored.
    """
    offset = 0
    records, arrays, curves = [], [], []
    for index in sorted(clips):
        clip = clips[index]
        frames = len(clip.latents)
        records.append(ClipRecord(index=index, offset=offset, frames=frames, info=clip.info, problem=clip.problem))
        offset += frames
        if frames:
            arrays.append(clip.latents)
        if clip.curves is not None:
            curves.append(clip.curves)
    stored = np.concatenate(arrays) if arrays else np.zeros((0, 0), np.float16)
    write_array(files.latents_path(folder, shard), stored)
    if has_curves:
        found = np.concatenate(curves) if curves else np.zeros((0, len(files.CURVES)), np.float16)
        write_array(files.curves_path(folder, shard), found)
    write_records(files.clips_path(folder, shard), records)
