"""Sound files in and out, through libsndfile and for m4a, AAC and WebM through PyAV; written whole or not at all."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from arctone.audio import formats as ogg
from arctone.audio import tags as riff
from arctone.audio import tags as tags
from arctone.audio.formats import (
    MAX_SECONDS,
    check_container,
    check_shape,
    reason,
    refuse_unreadable,
    rounded,
    too_long,
)
from arctone.audio.loops import num_beats
from arctone.audio.media import decode_media, is_media
from arctone.audio.waveform import Waveform, resample
from arctone.errors import InputFileError, UsageError
from arctone.files.atomic import refuse_target, write_atomically

Subtype = Literal["pcm16", "pcm24", "float32"]

OPUS_SAMPLE_RATE = 48_000
# What libsndfile gives for a stream of unknown length.
_UNKNOWN_LENGTH = 2**62


@dataclass(frozen=True)
class FileFormat:
    """How one format is named in libsndfile, which sample formats it takes, and its encoder settings."""

    container: str
    subtypes: dict[str, str]
    options: dict[str, Any]


# compression_level runs from 0 (best) to 1: MP3 as V0, Vorbis at quality 6, Opus at about 160 kbit/s in stereo, for
# which libsndfile takes (1 - level) * 250 + 6 kbit/s a channel.
FORMATS: dict[str, FileFormat] = {
    "wav": FileFormat("WAV", {"pcm16": "PCM_16", "pcm24": "PCM_24", "float32": "FLOAT"}, {}),
    "flac": FileFormat("FLAC", {"pcm16": "PCM_16", "pcm24": "PCM_24"}, {"compression_level": 0.625}),
    "ogg": FileFormat("OGG", {"lossy": "VORBIS"}, {"compression_level": 0.4}),
    "opus": FileFormat("OGG", {"lossy": "OPUS"}, {"compression_level": 0.704}),
    "mp3": FileFormat("MP3", {"lossy": "MPEG_LAYER_III"}, {"compression_level": 0.0, "bitrate_mode": "VARIABLE"}),
}


def read_audio(path: str | Path, *, max_seconds: float = MAX_SECONDS, require_sound: bool = False) -> Waveform:
    """Read a sound file whole.

    Args:
        path: Of one of the formats in `formats.READ_FORMATS`.
        max_seconds: Longer files are refused before they are decoded.
        require_sound: Refuse a file that holds silence or a constant only.

    Returns:
        Float32 samples at the file's own rate.

    Raises:
        InputFileError: In one sentence, whatever is wrong.
    """
    path = Path(path)
    if is_media(refuse_unreadable(path)):
        samples, rate = decode_media(path, str(path), max_seconds)
    else:
        samples, rate = _decoded(path, max_seconds)
    try:
        waveform = Waveform(samples, rate)
    except UsageError as problem:
        raise InputFileError(f"{path} cannot be used: {problem}") from None
    if require_sound and float(np.ptp(waveform.samples, axis=1).max()) == 0.0:
        raise InputFileError(f"{path} holds no sound: every sample of a channel has the same value.")
    return waveform


def encode_audio(
    waveform: Waveform,
    format: str = "wav",
    *,
    subtype: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> bytes:
    """Encode a sound file; the same input gives the same bytes.

    Whole-number samples are rounded to the nearest step without dither and stop at full scale instead of wrapping.

    Args:
        waveform: The sound.
        format: "wav", "flac", "ogg", "opus" (always at 48 kHz) or "mp3".
        subtype: "pcm16" (default), "pcm24" or "float32" (WAV only); lossy formats take none.
        metadata: A JSON-ready record for the comment tag; if its request is for a loop or has a tempo, the file also
            says so where samplers, sequencers and game engines look for it.

    Returns:
        The bytes of the file.

    Raises:
        UsageError: If the format cannot hold this waveform.
    """
    file_format, chosen = _choose(format, subtype)
    if format == "opus" and waveform.sample_rate != OPUS_SAMPLE_RATE:
        waveform = resample(waveform, OPUS_SAMPLE_RATE)
    values = tags.as_tags(metadata, format) if metadata else {}
    buffer = io.BytesIO()
    try:
        _encode(buffer, waveform, file_format, chosen, values)
    except (soundfile.LibsndfileError, ValueError) as problem:
        shape = f"{waveform.num_channels} channels at {waveform.sample_rate} Hz"
        raise UsageError(f"{format} cannot hold {shape}: {reason(problem)}.") from None
    data = _with_loop_and_tempo(buffer.getvalue(), format, waveform, metadata or {})
    return ogg.with_serial(data, 1) if data[:4] == b"OggS" else data


def _with_loop_and_tempo(data: bytes, format: str, waveform: Waveform, record: dict[str, Any]) -> bytes:
    """Loop points and tempo where the format has a place for them, as samplers, sequencers and game engines read them.

    WAV files have chunks for a loop and its tempo, FLAC, Ogg and Opus files comments for both, MP3 files a frame for
    the tempo; their encoder adds samples at both ends, so that they do not loop to the sample.
    """
    if format == "wav":
        data = riff.without_time(data)
    request = record.get("request", {})
    if not isinstance(request, dict):
        return data
    bpm, is_loop = request.get("bpm"), bool(request.get("loop"))
    if format == "wav":
        beats = num_beats(waveform.duration_seconds, bpm) if bpm else 0
        return riff.with_loop(data, waveform.num_samples, waveform.sample_rate, bpm, beats) if is_loop else data
    # ID3v2.3 wants a whole number.
    tempo = "" if not bpm else f"{bpm:.0f}" if format == "mp3" else f"{bpm:.6g}"
    if format == "mp3":
        return tags.with_id3_tempo(data, tempo) if tempo else data
    comments = {"LOOPSTART": "0", "LOOPLENGTH": str(waveform.num_samples)} if is_loop else {}
    return tags.with_comments(data, comments | ({"BPM": tempo} if tempo else {}))


def write_audio(
    path: str | Path,
    waveform: Waveform,
    format: str | None = None,
    *,
    subtype: str | None = None,
    metadata: dict[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write a sound file whole or not at all.

    Args:
        path: Where the file goes.
        waveform: The sound.
        format: As in encode_audio; None = by the ending of the path.
        subtype: As in encode_audio.
        metadata: As in encode_audio.
        force: Replace a file that is already there.

    Raises:
        UsageError: In one sentence: unknown ending, file exists, folder missing or not writable, disk full; then
            nothing is left behind.
    """
    path = Path(path)
    name = (format or path.suffix.lstrip(".")).lower()
    _choose(name, subtype, path if format is None else None)
    refuse_target(path, force=force)
    write_atomically(path, encode_audio(waveform, name, subtype=subtype, metadata=metadata), force=force)


def _choose(name: str, subtype: str | None, path: Path | None = None) -> tuple[FileFormat, str]:
    allowed = ", ".join(FORMATS)
    if name not in FORMATS:
        ending = f"{path} ends in '{path.suffix}'" if path is not None else f"format is '{name}'"
        raise UsageError(f"{ending}, but sound is written as {allowed}.")
    file_format = FORMATS[name]
    if subtype is None:
        return file_format, next(iter(file_format.subtypes.values()))
    if subtype not in file_format.subtypes or subtype == "lossy":
        fit = [key for key in file_format.subtypes if key != "lossy"]
        raise UsageError(
            f"subtype is '{subtype}', but {name} takes {' or '.join(fit) if fit else 'no subtype'}.", field="subtype"
        )
    return file_format, file_format.subtypes[subtype]


def _encode(
    buffer: io.BytesIO, waveform: Waveform, file_format: FileFormat, subtype: str, values: dict[str, str]
) -> None:
    with soundfile.SoundFile(
        buffer,
        "w",
        samplerate=waveform.sample_rate,
        channels=waveform.num_channels,
        format=file_format.container,
        subtype=subtype,
        **file_format.options,
    ) as file:
        for tag, value in values.items():
            setattr(file, tag, value)
        file.write(_as_stored(waveform, subtype))


def _as_stored(waveform: Waveform, subtype: str) -> npt.NDArray[Any]:
    """[samples, channels] in the type that libsndfile copies without scaling of its own."""
    frames = waveform.samples.T
    if subtype == "PCM_16":
        return rounded(frames, 16).astype(np.int16)
    if subtype == "PCM_24":
        return rounded(frames, 24).astype(np.int32) << 8
    return np.ascontiguousarray(frames)


def _decoded(path: Path, max_seconds: float) -> tuple[npt.NDArray[np.float32], int]:
    try:
        with soundfile.SoundFile(path) as file:
            check_container(str(path), file.format)
            return _decode(path, file, max_seconds), int(file.samplerate)
    except (soundfile.LibsndfileError, RuntimeError) as problem:
        raise InputFileError(f"{path} is not a sound file that can be read: {reason(problem)}.") from None


def _decode(path: Path, file: soundfile.SoundFile, max_seconds: float) -> npt.NDArray[np.float32]:
    announced = int(file.frames) if file.frames < _UNKNOWN_LENGTH else 0
    limit = check_shape(str(path), int(file.samplerate), int(file.channels), announced, max_seconds)
    frames = file.read(limit + 1, dtype="float32", always_2d=True)
    if len(frames) > limit:
        raise too_long(str(path), limit / file.samplerate)
    if len(frames) == 0:
        raise InputFileError(f"{path} holds no samples.")
    if len(frames) < announced or _is_cut(path, file.format):
        raise InputFileError(f"{path} is cut off: it ends before the length that it announces.")
    return np.ascontiguousarray(frames.T)


def _is_cut(path: Path, container: str) -> bool:
    if container in ("WAV", "WAVEX"):
        return riff.is_cut(path)
    if container == "AIFF":
        return riff.is_form_cut(path)
    return container == "OGG" and ogg.is_cut(path)
