"""What is asked for and what comes back: the only home of the defaults and limits that users meet."""

import difflib
import math
import os
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta, Struct

from arctone import __version__
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.flow.noise import MAX_SEED, draw_seed
from arctone.flow.samplers import SAMPLERS
from arctone.tempo_words import stated_bpm

Stage = Literal["text", "sampling", "decoding"]
Normalize = Literal["peak", "loudness", "off"]

MAX_PROMPT_LENGTH = 2000
METADATA_SCHEMA = 1


def _field(help: str, *, unit: str = "", aliases: tuple[str, ...] = (), short: str = "", **limits: Any) -> Meta:
    """Limits as msgspec and JSON schema know them, and what a face needs besides: unit, short flag, other names."""
    extra = {"unit": unit, "aliases": aliases, "short": short}
    return Meta(description=help, extra=extra, extra_json_schema={"x-unit": unit} if unit else None, **limits)


_PROMPT = _field("What the sound should be, in plain words.", min_length=1, max_length=MAX_PROMPT_LENGTH)
_NEGATIVE_PROMPT = _field(
    "What the sound should not be; works when cfg_scale is above 1.", max_length=MAX_PROMPT_LENGTH
)
_DURATION = _field(
    "Length of the sound.", gt=0, unit="seconds", short="d", aliases=("duration", "seconds", "seconds_total")
)
_VARIATIONS = _field(
    "How many different sounds; sound i has seed + i.", ge=1, le=64, short="n", aliases=("batch_size", "num_variations")
)
_SEED = _field("Number that fixes the sound; drawn and reported if not given.", ge=0, le=MAX_SEED, short="s")
_STEPS = _field("Sampling steps; more is slower and often finer.", ge=1, le=200, aliases=("num_steps",))
_CFG_SCALE = _field(
    "How strongly the prompt is followed; 1 is without guidance.", ge=0, le=20, aliases=("cfg", "guidance_scale")
)
_SAMPLER = _field("How the way from noise to sound is stepped.")
_THREADS = _field("CPU threads; all that the process may use if not given.", ge=1, le=1024)
MIN_BPM, MAX_BPM = 20, 400
_BPM = _field(
    'Tempo; if not given, what the prompt states ("120 BPM"), else free.',
    ge=MIN_BPM,
    le=MAX_BPM,
    unit="beats per minute",
    aliases=("tempo",),
)
_NORMALIZE = _field("Level of the result: peak at -1 dBFS, loudness at -14 LUFS, or off to leave it as it is.")


class GenerationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order of sound. None means: the model's own default, from its config.

    Building one checks nothing, so that faces can fill it step by step; `validate` and `resolve` do.
    """

    prompt: Annotated[str, _PROMPT]
    negative_prompt: Annotated[str, _NEGATIVE_PROMPT] = ""
    duration_seconds: Annotated[float, _DURATION] | None = None
    variations: Annotated[int, _VARIATIONS] = 1
    seed: Annotated[int, _SEED] | None = None
    steps: Annotated[int, _STEPS] | None = None
    cfg_scale: Annotated[float, _CFG_SCALE] | None = None
    sampler: Annotated[str, _SAMPLER] | None = None
    threads: Annotated[int, _THREADS] | None = None
    bpm: Annotated[float, _BPM] | None = None
    normalize: Annotated[Normalize, _NORMALIZE] = "peak"


class RequestField(Struct, frozen=True, kw_only=True):
    """One field of GenerationRequest as faces need it, to build options, forms and schemas from."""

    name: str
    kind: type
    default: Any
    help: str
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    short: str = ""
    aliases: tuple[str, ...] = ()
    optional: bool = False
    required: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, in words that complete "must be ..."."""
        unit = f" {self.unit}" if self.unit else ""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is str:
            return f"text of at most {self.max_length} characters" if self.max_length else "text"
        number = "a whole number" if self.kind is int else "a number"
        if self.exclusive_minimum is not None:
            return f"{number} above {self.exclusive_minimum:g}{unit}"
        return f"{number} from {self.minimum:g} to {_plain(self.maximum)}{unit}"


class Defaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model does when the request leaves it open, and how long its sounds may be (seconds)."""

    duration_seconds: Annotated[float, Meta(gt=0)]
    max_duration_seconds: Annotated[float, Meta(gt=0)]
    steps: Annotated[int, Meta(ge=1, le=200)]
    cfg_scale: Annotated[float, Meta(ge=0, le=20)]
    sampler: str


class Progress(Struct, frozen=True):
    """Where a generation is: item and step count from 0; num_steps is that of the stage."""

    stage: Stage
    item: int
    step: int
    num_steps: int


class AdapterUse(Struct, frozen=True):
    """An adapter that was laid over the model. digest: SHA-256 of its weights file. strength: 0 = no effect."""

    name: str
    digest: str
    strength: float


class GenerationResult(Struct, frozen=True, kw_only=True):
    """The sounds and how they were made; the request is resolved, so that only a free tempo is still None."""

    waveforms: tuple[Waveform, ...]
    seeds: tuple[int, ...]
    request: GenerationRequest
    model_name: str
    model_hash: str
    version: str
    engine: str
    timings_ms: dict[str, float]
    warnings: tuple[str, ...] = ()
    adapters: tuple[AdapterUse, ...] = ()

    def to_metadata(self, item: int) -> dict[str, Any]:
        """The JSON-ready record of one sound, enough to make it again alone: its own seed and one variation."""
        request = msgspec.structs.replace(self.request, seed=self.seeds[item], variations=1)
        record = to_metadata(
            request, model_name=self.model_name, model_hash=self.model_hash, version=self.version, engine=self.engine
        )
        return record | ({"adapters": [msgspec.to_builtins(one) for one in self.adapters]} if self.adapters else {})


def to_metadata(
    request: GenerationRequest, *, model_name: str, model_hash: str, version: str = __version__, engine: str = ""
) -> dict[str, Any]:
    """JSON-ready record of a request and of what made the sound."""
    return {
        "schema": METADATA_SCHEMA,
        "version": version,
        "model": model_name,
        "model_hash": model_hash,
        "engine": engine,
        "request": msgspec.to_builtins(request),
    }


def from_metadata(record: Mapping[str, Any]) -> GenerationRequest:
    """The request in a record that to_metadata made, checked.

    Raises: UsageError if the record holds none, is of another schema or its values are out of range.
    """
    schema = record.get("schema")
    if schema != METADATA_SCHEMA:
        raise UsageError(f"the record's schema is {schema!r}, but this version reads {METADATA_SCHEMA}.")
    values = record.get("request")
    if not isinstance(values, Mapping):
        raise UsageError(f"the record's request must be an object, got {_shown(values)}.")
    return from_dict(values)


def from_dict(values: Mapping[str, Any]) -> GenerationRequest:
    """A checked request from names and values, as HTTP and files bring them; other names people know are accepted.

    Raises: UsageError in one sentence for an unknown name (with the nearest known one), a field named twice, a
    missing prompt or a value out of range.
    """
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = _known_name(key)
        if name in named:
            raise UsageError(f"{name} is given twice, the second time as {key}.")
        named[name] = value
    if "prompt" not in named:
        raise UsageError("prompt is required but missing.")
    request = GenerationRequest(**named)
    validate(request)
    return request


def request_fields() -> tuple[RequestField, ...]:
    """Every field of GenerationRequest with its type, default, limits, unit, help and other names."""
    hints = get_type_hints(GenerationRequest, include_extras=True)
    return tuple(_described(info, hints[info.name]) for info in msgspec.structs.fields(GenerationRequest))


def validate(request: GenerationRequest) -> None:
    """Check every field against its limits.

    Raises: UsageError in one sentence that names the field, its value and what is allowed.
    """
    for field in FIELDS:
        _check(field, getattr(request, field.name))
    if not request.prompt.strip():
        raise UsageError("prompt must say what the sound should be, but it is empty.")
    if request.seed is not None and request.seed + request.variations - 1 > MAX_SEED:
        raise UsageError(f"seed must leave room for {request.variations} variations below 2**63, got {request.seed}.")


def resolve(request: GenerationRequest, defaults: Defaults) -> GenerationRequest:
    """The same request, checked, with every open field filled in; only bpm may stay None (free tempo).

    Nothing is clamped: a duration beyond the model's limit is refused. A missing seed is drawn.
    Raises: UsageError in one sentence.
    """
    validate(request)
    filled = {
        "duration_seconds": _first(request.duration_seconds, defaults.duration_seconds),
        "steps": _first(request.steps, defaults.steps),
        "cfg_scale": _first(request.cfg_scale, defaults.cfg_scale),
        "sampler": _first(request.sampler, defaults.sampler),
        "seed": _first(request.seed, draw_seed()),
        "threads": _first(request.threads, usable_threads()),
        "bpm": _first(request.bpm, stated_bpm(request.prompt, MIN_BPM, MAX_BPM)),
    }
    resolved = msgspec.structs.replace(request, **filled)
    _check_against_model(resolved, defaults)
    return _with_plain_numbers(resolved)


def usable_threads() -> int:
    """CPU threads this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _known_name(key: str) -> str:
    names = {alias: field.name for field in FIELDS for alias in (field.name, *field.aliases)}
    if key in names:
        return names[key]
    near = difflib.get_close_matches(str(key), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(field.name for field in FIELDS)}."
    raise UsageError(f"{_shown(key)} is not a field of a request; {hint}")


def _check_against_model(request: GenerationRequest, defaults: Defaults) -> None:
    seconds = request.duration_seconds
    if seconds is not None and seconds > defaults.max_duration_seconds:
        raise UsageError(
            f"duration_seconds is {seconds}, but this model makes at most {defaults.max_duration_seconds} seconds."
        )


def _with_plain_numbers(request: GenerationRequest) -> GenerationRequest:
    """numpy numbers become Python's, so that the record can be written as JSON."""
    plain = {f.name: f.kind(getattr(request, f.name)) for f in FIELDS if getattr(request, f.name) is not None}
    return msgspec.structs.replace(request, **plain)


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value


def _check(field: RequestField, value: Any) -> None:
    if value is None and field.optional:
        return
    if field.kind is str:
        _check_text(field, value)
    elif not _is_number(field.kind, value) or not _in_range(field, value):
        raise UsageError(f"{field.name} must be {field.allowed}, got {_shown(value)}.")


def _check_text(field: RequestField, value: Any) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{field.name} must be {field.allowed}, got {_shown(value)}.")
    if field.max_length is not None and len(value) > field.max_length:
        raise UsageError(f"{field.name} must be {field.allowed}, got {len(value)}.")
    if not _is_unicode(value):
        raise UsageError(f"{field.name} must be valid Unicode, but it holds broken characters: {_shown(value)}.")
    if field.choices and value not in field.choices:
        near = difflib.get_close_matches(value, field.choices, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UsageError(f"{field.name} must be {field.allowed}, got {_shown(value)}{hint}.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(kind: type, value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return False
    if kind is int:
        return isinstance(value, int | np.integer)
    return isinstance(value, int | float | np.integer | np.floating) and _is_finite(value)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _in_range(field: RequestField, value: Any) -> bool:
    if field.exclusive_minimum is not None and value <= field.exclusive_minimum:
        return False
    if field.minimum is not None and value < field.minimum:
        return False
    return field.maximum is None or value <= field.maximum


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to spell out whole numbers of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: float | None) -> str:
    return "2**63 - 1" if value == MAX_SEED else f"{value:g}"


def _described(info: msgspec.structs.FieldInfo, hint: Any) -> RequestField:
    optional, annotated = _without_none(hint)
    kind, meta = get_args(annotated)[:2]
    choices = tuple(SAMPLERS) if info.name == "sampler" else get_args(kind) if get_origin(kind) is Literal else ()
    return RequestField(
        name=info.name,
        kind=str if choices else kind,
        default=None if info.required else info.default,
        help=meta.description,
        minimum=meta.ge,
        exclusive_minimum=meta.gt,
        maximum=meta.le,
        max_length=meta.max_length,
        choices=choices,
        optional=optional,
        required=info.required,
        **meta.extra,
    )


def _without_none(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return True, next(member for member in get_args(hint) if member is not type(None))
    return False, hint


FIELDS = request_fields()
