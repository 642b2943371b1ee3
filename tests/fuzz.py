"""Damaged and hostile inputs for every reader of what others wrote: `python -m tests.fuzz --minutes 5`.

Each reader is given mutations of good inputs. It must answer with a value or with one sentence (an ArctoneError) within
five seconds, whatever is in them. tests/test_fuzz.py runs a fixed number of them; what the long run finds becomes a
case there. The seed makes a run repeatable.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import random
import re
import resource
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from arctone.audio.files import encode_audio, read_audio
from arctone.audio.tags import read_metadata
from arctone.audio.waveform import Waveform
from arctone.data.file_source import Facts
from arctone.data.folder import list_folder
from arctone.data.layouts import read_table
from arctone.data.sources import open_webdataset
from arctone.errors import ArctoneError, InputFileError
from arctone.files.strict_json import read_config
from arctone.files.text import parse_json, read_any_text
from arctone.inference.request import from_dict, from_metadata, source_from_metadata
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.folder import read_hashes
from arctone.model_folder.tokenizer import Tokenizer
from arctone.serving.batch import Report, read_lines
from tests.fuzz_inputs import RECORD, REQUEST, TINY, Reader
from tests.fuzz_programs import program_readers

MAX_SECONDS = 5.0
MAX_MEGABYTES = 1024
# Wall time after which a run says where it stands: an input that never ends is not found otherwise.
_HANG_SECONDS = 120.0
_EXTREMES: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 2**64, 10**400, 1e308, -1e308, "", "\x1b[2J", "\0", "\ud800", "a" * 5000,
    "../../etc/passwd", "CON", [], {}, [[]], [None], {"": {}}, "NaN", "2" * 5000, ["x"] * 300,
)  # fmt: skip


def readers() -> list[Reader]:
    """Every reader of foreign input that needs no torch."""
    tone = Waveform((0.3 * np.sin(np.arange(8820) / 9)).astype(np.float32).reshape(2, 4410), 44_100)
    sounds = {name: encode_audio(tone, name, metadata=RECORD) for name in ("wav", "flac", "ogg", "opus", "mp3")}
    record, request = _json(RECORD), _json(REQUEST)
    facts = _json({"caption": "a dog", "bpm": 120, "key": "C major", "attributes": {"a": "b"}, "held_out": ["x"]})
    musicgen = _json({"description": "x", "bpm": 90, "moods": ["calm"], "key": "", "duration": 1.0, "genre": "jazz"})
    tables = {
        "m.csv": (
            b"path,caption,bpm\na.wav,rain,120\n",
            b"file_name,text\na.wav,rain\n",
            b"file_name,caption_1\na,b\n",
        ),
        "m.jsonl": (
            b'{"path": "a.wav", "caption": "x"}\n',
            b'{"audio_filepath": "a.wav", "text": "x", "duration": 1}\n',
        ),
        "m.json": (_json({"data": [{"wav": "a.wav", "caption": "x"}]}), _json([{"location": "a", "captions": "x"}])),
    }
    return [
        *(Reader(f"a.{name}", (data,), _sound) for name, data in sounds.items()),
        Reader("comment.txt", (record,), _comment),
        Reader("record.json", (record,), lambda path: _record(_object(path))),
        Reader("request.json", (request,), lambda path: from_dict(_object(path))),
        Reader("batch.jsonl", (request + b"\n" + _json({**REQUEST, "id": "x"}),), _batch),
        Reader("config.json", ((TINY / "config.json").read_bytes(),), lambda path: read_config(path, ModelConfig)),
        Reader("hashes.json", ((TINY / "hashes.json").read_bytes(),), lambda path: read_hashes(path.parent)),
        Reader("tokenizer.json", ((TINY / "tokenizer.json").read_bytes(),), lambda path: Tokenizer(path.parent, 16)),
        Reader("facts.json", (facts,), lambda path: read_config(path, Facts, error=InputFileError)),
        Reader("a.json", (facts, musicgen), _folder),
        Reader("a.txt", (b"rain\nit rains\n", "größe".encode("utf-16")), lambda path: read_any_text(path)),
        *(Reader(name, seeds, read_table) for name, seeds in tables.items()),
        Reader("shard.tar", (_shard(sounds["wav"], facts),), lambda path: open_webdataset([path])),
    ]


def torch_readers() -> list[Reader]:
    """Readers of weights and of published configs."""
    import torch
    from safetensors.torch import save

    from arctone.checkpoints.lora import load_adapter
    from arctone.checkpoints.published.stable_audio_open import read_published
    from arctone.checkpoints.published.t5 import t5_config
    from arctone.checkpoints.tensor_files import read_checkpoint, read_tensors
    from arctone.checkpoints.weights_map import load_from_graphs

    weights = {"a.weight": torch.ones(3, 4), "b": torch.zeros(2)}
    buffer = io.BytesIO()
    torch.save({"state_dict": weights}, buffer)
    adapter = {"r": 2, "lora_alpha": 4, "peft_type": "LORA", "target_modules": ["x"]}
    t5 = {"vocab_size": 32, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}

    def lora(path: Path) -> object:
        (path.parent / "adapter_model.safetensors").write_bytes(save(weights))
        return load_adapter(path.parent)

    def graphs(path: Path) -> object:
        for name in ("rest.safetensors", "text.tflite", "dit.tflite", "decoder.tflite", "encoder.tflite"):
            if not (path.parent / name).exists():
                (path.parent / name).symlink_to(TINY / name)
        return load_from_graphs(path.parent)

    return [
        Reader("x.safetensors", (save(weights),), read_tensors),
        Reader("x.ckpt", (buffer.getvalue(),), read_checkpoint),
        Reader("adapter_config.json", (_json(adapter),), lora),
        Reader("weights_map.json", (_small_map(),), graphs),
        Reader("model_config.json", (_published(),), lambda path: read_published(path, "x")),
        Reader("config.json", (_json(t5),), lambda path: t5_config(path.parent, 16)),
    ]


def run(reader: Reader, draws: random.Random, folder: Path) -> str:
    """Give a reader one mutated input. Returns: the sentence that it answered with; "" if it could read it.

    Raises: AssertionError if it took too long or its sentence is no sentence; whatever unforeseen the reader raised.
    """
    return answer(reader, folder / reader.name, mutated(draws.choice(reader.seeds), draws))


def answer(reader: Reader, path: Path, data: bytes) -> str:
    """Give a reader an input as a file. Returns and raises: see `run`."""
    path.write_bytes(data)
    before = peak_megabytes()
    started = time.process_time()  # not wall time: other programs may need the processor
    try:
        reader.read(path)
        sentence = ""
    except ArctoneError as problem:
        sentence = str(problem)
        assert sentence, "an empty sentence"
        assert "\n" not in sentence, f"two lines: {sentence!r}"
    took = time.process_time() - started
    assert took < MAX_SECONDS, f"{took:.1f} seconds"
    after = peak_megabytes()
    assert after == before or after < MAX_MEGABYTES, f"memory rose from {before} to {after} MB"
    return sentence


def peak_megabytes() -> int:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def mutated(data: bytes, draws: random.Random) -> bytes:
    """The input with one to four changes; JSON is changed as JSON half of the time."""
    for _ in range(draws.choice((1, 1, 2, 4))):
        changed = _changed_json(data, draws) if draws.random() < 0.5 else None
        data = changed if changed is not None else draws.choice(_CHANGES)(data, draws)
    return data


def _changed_json(data: bytes, draws: random.Random) -> bytes | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    places = _places(value)
    if not places:
        return None
    holder, key = draws.choice(places)
    if draws.random() < 0.15 and isinstance(holder, dict):
        holder[draws.choice(("x", "\x1b", "", "a" * 300))] = holder.pop(key)
    else:
        holder[key] = draws.choice(_EXTREMES)
    return _json(value)


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, inner in pairs:
            found.append((item, key))
            waiting.append(inner)
    return found


def _flipped(data: bytes, draws: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draws.choice((1, 3, 20))):
        if changed:
            changed[draws.randrange(len(changed))] = draws.randrange(256)
    return bytes(changed)


def _cut(data: bytes, draws: random.Random) -> bytes:
    return data[: draws.randrange(len(data) + 1)]


def _repeated(data: bytes, draws: random.Random) -> bytes:
    start = draws.randrange(len(data) + 1)
    piece = data[start : start + draws.choice((1, 8, 100))]
    return data[:start] + piece * draws.choice((2, 50, 1000)) + data[start:]


def _nested(data: bytes, draws: random.Random) -> bytes:
    at = draws.randrange(len(data) + 1)
    return data[:at] + draws.choice((b"[", b'{"a":', b"(", b"<")) * draws.choice((10, 100_000)) + data[at:]


def _numbered(data: bytes, draws: random.Random) -> bytes:
    """A 32-bit field with an extreme value, in either byte order."""
    at = draws.randrange(max(1, len(data) - 4))
    value = draws.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, len(data)))
    return data[:at] + value.to_bytes(4, draws.choice(("little", "big"))) + data[at + 4 :]


def _signed(data: bytes, draws: random.Random) -> bytes:
    at = draws.randrange(len(data) + 1)
    return (
        data[:at]
        + draws.choice((b"\x1b[31m", b"\0", b"\xff\xfe", b"\r\n", b"\xed\xa0\x80", b"," * 99, b'"'))
        + data[at:]
    )


_CHANGES = (_flipped, _flipped, _cut, _repeated, _nested, _numbered, _numbered, _signed)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _object(path: Path) -> dict[str, Any]:
    """A JSON object as the HTTP server reads it."""
    try:
        value = parse_json(path.read_bytes())
    except ValueError as problem:
        raise InputFileError(f"the request is not valid JSON: {problem}.") from None
    if not isinstance(value, dict):
        raise InputFileError("the request must be a JSON object.")
    return value


def _record(record: dict[str, Any]) -> object:
    source_from_metadata(record)
    return from_metadata(record)


def _sound(path: Path) -> object:
    record = read_metadata(path)
    if record is not None:
        _refused(lambda: _record(record))
    return read_audio(path, max_seconds=60)


def _comment(path: Path) -> object:
    """A hostile comment inside a WAV file that is whole otherwise."""
    data = path.read_bytes()
    sound = encode_audio(Waveform(np.zeros((1, 100), np.float32), 44_100), "wav")
    inside = b"INFOICMT" + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
    whole = sound + b"LIST" + len(inside).to_bytes(4, "little") + inside
    file = path.with_suffix(".wav")
    file.write_bytes(b"RIFF" + (len(whole) - 8).to_bytes(4, "little") + whole[8:])
    return _sound(file)


def _batch(path: Path) -> object:
    report = Report()
    read_lines(path, {}, path.parent, "wav", report)
    for sentence in report.sentences():
        assert "\n" not in sentence
    return report


def _folder(path: Path) -> object:
    path.with_suffix(".wav").write_bytes(b"")
    return list_folder(path.parent)


def _refused(work: Callable[[], object]) -> None:
    with contextlib.suppress(ArctoneError):
        work()


def _shard(sound: bytes, facts: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in (("a.wav", sound), ("a.json", facts), ("a.txt", b"rain")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _small_map() -> bytes:
    entries = json.loads((TINY / "weights_map.json").read_bytes())
    return _json(dict(list(entries.items())[:6]))


def _published() -> bytes:
    from benchmarks.parity.shapes import model_config

    return _json(model_config("small", shrunken=True))


def main() -> None:
    """Fuzz every reader in turn until the time is over; print the count and every finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose file name matches this pattern")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that were found")
    given = parser.parse_args()
    known = [*readers(), *torch_readers(), *program_readers()]
    chosen = [each for each in known if re.search(given.only, each.name)]
    draws, count, found = random.Random(given.seed), 0, 0
    ends = time.monotonic() + given.minutes * 60
    with tempfile.TemporaryDirectory() as scratch:
        while time.monotonic() < ends:
            for number, reader in enumerate(chosen):
                folder = Path(scratch) / f"{number}-{reader.name}"
                folder.mkdir(exist_ok=True)
                count += 1
                faulthandler.dump_traceback_later(_HANG_SECONDS)
                try:
                    run(reader, draws, folder)
                except BaseException as problem:
                    if isinstance(problem, KeyboardInterrupt):
                        raise
                    found += 1
                    print(f"{reader.name}: {type(problem).__name__}: {str(problem)[:300]}", flush=True)
                    if given.keep:
                        given.keep.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(folder / reader.name, given.keep / f"{found}-{reader.name}")
    print(f"{count} inputs for {len(chosen)} readers, {found} findings, at most {peak_megabytes()} MB")


if __name__ == "__main__":
    main()
