"""Answers of the HTTP API: structures that are sent as JSON and headers, names of takes, output folder."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from arctone.audio.files import encode_audio
from arctone.errors import UsageError
from arctone.files.atomic import write_to_first_free
from arctone.inference.request import GenerationResult, Progress, Selection
from arctone.serving.http.formats import Limits

_WORDS_LENGTH = 40


def take_name(prompt: str, seed: int, format: str) -> str:
    """A speaking file name.

    >>> take_name("Funky drum loop, 120 BPM!", 7, "wav")
    'funky-drum-loop-120-bpm-7.wav'
    >>> take_name("../../etc/passwd", 1, "flac")
    'etc-passwd-1.flac'
    """
    text = ""
    for word in re.findall(r"\w+", prompt.lower()):
        if len(text) + len(word) + 1 > _WORDS_LENGTH:
            break
        text = f"{text}-{word}" if text else word
    return f"{text or 'sound'}-{seed}.{format}"


log = logging.getLogger("arctone.serving.http")


class OutputFolder:
    """A folder that receives every take.

    Args:
        folder: Must exist and be writable.

    Raises:
        UsageError: If it is not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            reason = (problem.strerror or str(problem)).lower()
            raise UsageError(f"output_folder {folder} cannot be used: {reason}.", field="output_folder") from None

    def write(self, result: GenerationResult) -> list[str]:
        """Write all takes as WAV files with their records. Called off the event loop.

        Args:
            result: The sounds.

        Returns:
            Warnings; a sound that the folder does not take is not lost, because clients still get it.
        """
        for item, waveform in enumerate(result.waveforms):
            name = take_name(result.request.prompt, result.seeds[item], "wav")
            try:
                # The same prompt and seed with other settings is another take.
                write_to_first_free(self._names(name), encode_audio(waveform, "wav", metadata=result.to_metadata(item)))
            except (OSError, UsageError) as problem:
                log.error("the output folder does not take %s: %s", name, problem)
                return ["the take could not be written to the server's output folder."]
        return []

    def _names(self, name: str) -> Iterator[Path]:
        yield self._folder / name
        for number in itertools.count(2):
            yield self._folder / f"{Path(name).stem}-{number}.wav"


State = Literal["queued", "running", "done", "failed", "cancelled"]
FieldKind = Literal["text", "integer", "number", "boolean", "regions", "choice"]
_Count = Annotated[int, Meta(ge=0)]


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all bodies."""


class ErrorDetail(Answer, frozen=True):
    """A refusal or a failure: a stable word for programs, one sentence for people, the field or part at fault."""

    type: str
    message: str
    parameter: str | None
    request_id: str


class ErrorAnswer(Answer, frozen=True):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail


class Take(Answer, frozen=True):
    """One sound of a finished job, without its samples."""

    index: _Count
    seed: _Count
    num_samples: _Count
    num_channels: Annotated[int, Meta(ge=1)]
    sample_rate: Annotated[int, Meta(ge=1)]
    duration_seconds: float
    audio_url: Annotated[str, Meta(extra_json_schema={"format": "uri-reference"})]


class JobResult(Answer, frozen=True):
    """How the takes of a job were made."""

    model_name: str
    model_hash: str
    version: str
    warnings: tuple[str, ...]
    timings_ms: dict[str, float]
    takes: tuple[Take, ...]
    selection: Annotated[
        Selection | None, Meta(description="Candidates that a diverse request drew, and the seeds of those kept.")
    ]


class JobAnswer(Answer, frozen=True):
    """A job as it is now."""

    id: str
    state: State
    position: Annotated[_Count | None, Meta(description="Jobs that wait before this one; null once it does not wait.")]
    eta_seconds: Annotated[float, Meta(ge=0)] | None
    progress: Progress | None
    error: ErrorDetail | None
    request: Annotated[dict[str, Any], Meta(description="The request as it is carried out.")]
    result: Annotated[
        JobResult | None,
        Meta(description="Null until the first sound is finished; while the job runs it holds the sounds so far."),
    ]


class EstimateAnswer(Answer, frozen=True):
    """The cost of a request: steps of each sound, its length, and seconds for all sounds, null before the first job."""

    steps: Annotated[int, Meta(ge=1)]
    duration_seconds: Annotated[float, Meta(gt=0)]
    seconds: Annotated[float, Meta(ge=0)] | None


class RecordAnswer(Answer, frozen=True):
    """What a sound file that arctone made says about itself."""

    record: dict[str, Any]


class FieldAnswer(Answer, frozen=True):
    """A field of a request, for building forms."""

    name: str
    kind: FieldKind
    default: Any
    help: str
    minimum: float | None
    exclusive_minimum: float | None
    maximum: float | None
    max_length: int | None
    choices: tuple[str, ...]
    unit: str
    aliases: tuple[str, ...]
    optional: bool
    required: bool
    allowed: str


class ModelAnswer(Answer, frozen=True):
    """A model, its limits and the fields of its requests. `id`, `object`, `created` and `owned_by` are OpenAI's."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    is_default: bool
    sample_rate: int
    channels: int
    max_duration_seconds: float
    window_seconds: Annotated[float, Meta(description="What the model makes at a time; longer sounds take longer.")]
    post_trained: bool
    has_flow: bool
    model_hash: str
    engine: str
    defaults: dict[str, Any]
    fields: tuple[FieldAnswer, ...]
    capabilities: tuple[str, ...]
    adapters: Annotated[tuple[str, ...], Meta(description="Names that a request's lora may give strengths to.")]


class ModelsAnswer(Answer, frozen=True):
    """All models, the default one first. `object` and `data` are OpenAI's names for the same list."""

    object: Literal["list"]
    data: tuple[ModelAnswer, ...]
    models: tuple[ModelAnswer, ...]


class LimitsAnswer(Limits, frozen=True):
    """What this server takes on at most, and the formats of its sounds."""

    file_formats: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()


class HealthAnswer(Answer, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class ReadyAnswer(Answer, frozen=True):
    """Whether new jobs are taken on, and how many wait and run."""

    status: Literal["ready", "draining"]
    waiting: _Count
    running: _Count


ANSWERS: tuple[type[Struct], ...] = (
    ErrorAnswer,
    JobAnswer,
    EstimateAnswer,
    RecordAnswer,
    ModelAnswer,
    ModelsAnswer,
    LimitsAnswer,
    HealthAnswer,
    ReadyAnswer,
)


def json_response(answer: Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(msgspec.json.encode(answer), status, headers, media_type="application/json")
