"""More readers for tests.fuzz: recordings of phones, uploads, HTTP requests, command lines, listeners' answers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from starlette.applications import Starlette

import arctone
from arctone.audio.files import encode_audio, read_audio
from arctone.audio.waveform import Waveform
from arctone.cli.main import UNEXPECTED, run
from arctone.data.layouts import read_table
from arctone.errors import InputFileError
from arctone.evaluation.listening.design import Key, Question
from arctone.evaluation.listening.results import parse_submission, read_results
from arctone.serving.http.app import create_app
from arctone.serving.http.formats import Limits
from arctone.serving.http.jobs import FINAL
from arctone.serving.http.uploads import read_shape, read_upload
from tests.fuzz_inputs import RECORD, REQUEST, TINY, Reader

BOUNDARY = b"x-x"
LIMITS = Limits(max_steps=4, max_variations=2, max_duration_seconds=1.0, max_audio_seconds=10.0)
# Words that are run with a model that does not exist, so that nothing is made of what can be read.
COMMANDS = (
    ["generate", "rain", "-d", "0.5", "-s", "3", "--steps", "2", "--inpaint", "0.1:0.2", "--cfg-scale", "1"],
    ["generate", "rain", "--sampler", "euler", "-n", "2", "--bpm", "120", "--key", "C minor", "--loop"],
    ["generate", "rain", "--init-audio", "a.wav", "--init-noise-level", "0.5", "--lora", "x:0.5", "--bit-depth", "16"],
    ["train", "flow", "--latents", "nowhere", "--set", "rate=1e-3", "--set", "betas=0.9,0.99", "--max-minutes", "1"],
    ["export", "litert", "nowhere", "--windows", "64,128", "--precision", "int8"],
    ["eval", "folder", "nowhere", "nowhere"],
    ["info", "nowhere.wav"],
    ["redo", "nowhere.wav", "--steps", "2"],
)


def program_readers() -> list[Reader]:
    """Readers of what reaches the programs from outside."""
    tone = Waveform((0.3 * np.sin(np.arange(8820) / 9)).astype(np.float32).reshape(2, 4410), 44_100)
    recordings = {f"r.{name}": recording(tone, *how) for name, how in RECORDINGS.items()}
    sounds = {f"u.{name}": encode_audio(tone, name, metadata=RECORD) for name in ("wav", "flac", "ogg", "opus", "mp3")}
    job = json.dumps({**REQUEST, "lora": None, "model": None}).encode()
    effect = json.dumps({"text": "rain", "duration_seconds": 0.5, "loop": None, "prompt_influence": 0.3}).encode()
    speech = json.dumps({"input": "rain", "model": "tiny", "voice": "x", "response_format": "mp3"}).encode()
    estimate = json.dumps({"request": {"prompt": "rain"}, "source_seconds": 1.5}).encode()
    edit = json.dumps({"prompt": "rain", "init_noise_level": 0.5, "steps": 1}).encode()
    listener = json.dumps({"test": "t", "listener": "a", "session": "0" * 16, "order": 0, "answers": [ANSWER]}).encode()
    form = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    return [
        *(Reader(name, (data,), lambda path: read_audio(path, max_seconds=60)) for name, data in recordings.items()),
        *(Reader(name, (data,), _upload) for name, data in (sounds | recordings).items()),
        Reader("job.json", (job,), _post("/v1/jobs", "application/json")),
        Reader("estimate.json", (estimate,), _post("/v1/estimates", "application/json")),
        Reader("effect.json", (effect,), _post("/v1/sound-generation", "application/json")),
        Reader("speech.json", (speech,), _post("/v1/audio/speech", "application/json")),
        Reader("form.txt", (_form(edit, sounds["u.wav"]), _form(edit, sounds["u.flac"])), _post("/v1/jobs", form)),
        Reader("posted.wav", (sounds["u.wav"], sounds["u.mp3"]), _post("/v1/records", "audio/wav")),
        Reader("words.json", tuple(json.dumps(words).encode() for words in COMMANDS), _command),
        Reader("answers.json", (listener,), lambda path: parse_submission(path.read_bytes(), KEY)),
        Reader("results.csv", (RESULTS,), lambda path: read_results([path], KEY)),
        Reader("m.parquet", (_parquet(),), read_table),
    ]


RECORDINGS = {
    "m4a": ("aac", 44_100, "ipod"),
    "aac": ("aac", 44_100, "adts"),
    "webm": ("libopus", 48_000, "webm"),
    "caf": ("pcm_s16le", 44_100, "caf"),
}


def recording(waveform: Waveform, codec: str, rate: int, container: str) -> bytes:
    """A sound in a format that libsndfile does not read."""
    import av

    buffer = io.BytesIO()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform.samples), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = waveform.sample_rate, 0
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="stereo")
        size = stream.codec_context.frame_size or 1024
        cut = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=rate, frame_size=size)
        for part in [*cut.resample(frame), *cut.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def _upload(path: Path) -> object:
    with path.open("rb") as file:
        shape = read_shape(file, LIMITS)
        return read_upload(file, shape, _server().state.service.engines["tiny"].config)


@functools.cache
def _server() -> Starlette:
    folder = Path(tempfile.mkdtemp(prefix="arctone-fuzz-"))
    app = create_app(arctone.load(TINY, engine="native", threads=1), LIMITS, folder=folder)
    _loop().run(app.state.service.start())
    return app


@functools.cache
def _loop() -> asyncio.Runner:
    return asyncio.Runner()


def _post(address: str, kind: str) -> Callable[[Path], object]:
    return lambda path: _loop().run(_answer(_server(), address, kind, path.read_bytes()))


async def _answer(app: Starlette, address: str, kind: str, body: bytes) -> str:
    """Send a request and wait for its job. Raises: AssertionError for what only a fault of the server answers with."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        answer = await client.post(address, content=body, headers={"Content-Type": kind})
    assert answer.status_code < 500, f"{answer.status_code}: {answer.text}"
    if answer.status_code >= 400:
        message = answer.json()["error"]["message"]
        assert message, "an empty sentence"
        assert "\n" not in message, f"two lines: {message!r}"
        raise InputFileError(message)
    if answer.status_code == 202:
        service = app.state.service
        job = service.store.get(answer.json()["id"])
        await job.finished()
        error = job.error
        assert job.state in FINAL
        assert error is None or error.status < 500, f"the job failed: {error}"
        service.store.forget(job)
    return ""


def _form(request: bytes, sound: bytes) -> bytes:
    head = b'Content-Disposition: form-data; name="%s"'
    file = head % b"audio" + b'; filename="a.wav"\r\nContent-Type: audio/wav'
    parts = ((head % b"request", request), (file, sound))
    return b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY, *part) for part in parts) + b"--%s--\r\n" % BOUNDARY


def _command(path: Path) -> object:
    """A command line, as a JSON list of words, with a model or folder that does not exist."""
    try:
        words = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, list) or not words or words[0] not in [command[0] for command in COMMANDS]:
        return None
    # No system passes more than this as a word, or a zero byte in one.
    given = [str(word).replace("\0", "")[:100_000] for word in words]
    if words[0] == "generate":
        given += ["-m", str(path.parent / "nowhere"), "-o", str(path.parent / "{n}.wav")]
    elif words[0] in ("train", "redo"):
        given += ["-o", str(path.parent / "out")]
    elif words[0] == "export":
        given += [str(path.parent / "out")]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(given)
    sentence = err.getvalue().rstrip("\n")
    assert code != UNEXPECTED, sentence
    if code:
        # Before it there may be warnings, and what a library says of its settings.
        last = sentence.split("\n")[-1]
        assert last.startswith("error: "), f"no sentence: {sentence!r}"
        assert last.isprintable(), f"not printable: {sentence!r}"
        raise InputFileError(last)
    return out.getvalue()


ANSWER: dict[str, Any] = {"trial": "q", "dimension": "quality", "rating": 4, "plays": 1, "seconds": 2.0}
RESULTS = b"test,listener,session,order,trial,dimension,practice,position,plays,seconds,rating\n" + (
    b"t,a,0000000000000000,0,q,quality,false,1,1,2.0,4\n"
)
KEY = Key(
    format_version=1,
    arctone="0.1.0",
    test="t",
    kind="page",
    title="x",
    seed=0,
    systems=("a",),
    has_reference=False,
    prompts=("rain",),
    limits={"quality": (1, 7)},
    loudness_lufs=-23.0,
    questions=(Question(trial="q", stimulus="", dimension="quality", system="a", prompt=0),),
    stimuli=(),
)


def _parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    rows = {"file_name": ["a.wav", "b.wav"], "text": ["rain", "wind"], "bpm": [120, None]}
    pyarrow.parquet.write_table(pyarrow.table(rows), buffer)
    return buffer.getvalue()
