"""What is asked for and what comes back: the only home of the defaults and limits that users meet."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from arctone.audio.keys import key_number
from arctone.audio.loops import MAX_BARS
from arctone.audio.waveform import Waveform
from arctone.errors import UsageError, shown
from arctone.flow.noise import MAX_SEED
from arctone.inference.near import MAX_NEAR_LENGTH, parse_near
from arctone.inference.request_fields import RequestField as RequestField
from arctone.inference.request_fields import check, field, fields_of
from arctone.version import __version__

Stage = Literal["text", "encoding", "sampling", "decoding"]
Normalize = Literal["peak", "loudness", "off"]

MAX_PROMPT_LENGTH = 2000
MAX_DURATION_SECONDS = 300.0
# Of all variations of a request together, or of all candidates: they are kept in memory until the last is made.
MAX_TOTAL_SECONDS = 1200.0
INIT_NOISE_LEVEL = 0.7
# Candidates that are drawn for each sound of a diverse request; `benchmarks/diverse_takes.py` compares numbers.
CANDIDATES_PER_SOUND = 4
METADATA_SCHEMA = 1

_PROMPT = field("What the sound should be, in plain words.", min_length=1, max_length=MAX_PROMPT_LENGTH)
_NEGATIVE_PROMPT = field("What the sound should not be; works when cfg_scale is above 1.", max_length=MAX_PROMPT_LENGTH)
_DURATION = field(
    "Length of the sound; beyond the model's own length it is made in overlapping windows.",
    gt=0,
    le=MAX_DURATION_SECONDS,
    unit="seconds",
    short="d",
    aliases=("duration", "seconds", "seconds_total"),
)
_VARIATIONS = field(
    "How many different sounds; sound i has seed + i.", ge=1, le=64, short="n", aliases=("batch_size", "num_variations")
)
_SEED = field("Number that fixes the sound; drawn and reported if not given.", ge=0, le=MAX_SEED, short="s")
_STEPS = field("Sampling steps; more is slower and often finer.", ge=1, le=200, aliases=("num_steps",))
_CFG_SCALE = field(
    "How strongly the prompt is followed; 1 is without guidance.", ge=0, le=20, aliases=("cfg", "guidance_scale")
)
_SAMPLER = field("Sampler (ODE or SDE solver).")
_THREADS = field("CPU threads; all that the process may use if not given.", ge=1, le=1024)
MIN_BPM, MAX_BPM = 20, 400
_BPM = field(
    'Tempo; if not given, what the prompt states ("120 BPM"), else free.',
    ge=MIN_BPM,
    le=MAX_BPM,
    unit="beats per minute",
    aliases=("tempo",),
)
_KEY = field(
    'Key such as "C minor"; if not given, what the prompt states, else free. For models that receive keys.',
    max_length=40,
)
_NORMALIZE = field(
    "Level of the result: peak at -1 dBFS, loudness at -14 LUFS, or off to leave it as it is. Default: peak, but off "
    "where parts of a source are kept (inpaint, extend, init_noise_level 0)."
)
_INIT_NOISE_LEVEL = field(
    f"How much of the source audio may change: 0 returns it, 1 forgets it; {INIT_NOISE_LEVEL} if not given.",
    ge=0,
    le=1,
)
_INPAINT = field(
    "Parts of the source audio that are generated again, A:B in seconds; all else stays as it is.",
    aliases=("inpaint_range",),
)
_EXTEND = field("The source audio comes first, and new sound continues it up to duration_seconds in all.")
_LOOP = field("The sound repeats without a seam.")
_DIVERSE = field(
    f"Draw {CANDIDATES_PER_SOUND} candidates for each of the variations, and keep those that differ most; outliers are "
    "left out."
)
_NEAR = field(
    'Draw near another seed: SEED:AMOUNT such as "7:0.3", from 0, its own sound, to 1, any other; seeds joined by + '
    'are mixed first, "7+12:0.3".',
    max_length=MAX_NEAR_LENGTH,
)
_BARS = field("Length in bars of four beats at the tempo, exact to the sample.", ge=1, le=MAX_BARS)


class GenerationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for sounds. None means: the default of the model, from its config.

    Building one checks nothing, so that interfaces can fill it step by step; `validate` and `resolve` do.
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
    key: Annotated[str, _KEY] | None = None
    normalize: Annotated[Normalize, _NORMALIZE] | None = None
    init_noise_level: Annotated[float, _INIT_NOISE_LEVEL] | None = None
    inpaint: Annotated[tuple[str, ...], _INPAINT] = ()
    extend: Annotated[bool, _EXTEND] = False
    loop: Annotated[bool, _LOOP] = False
    bars: Annotated[int, _BARS] | None = None
    diverse: Annotated[bool, _DIVERSE] = False
    near: Annotated[str, _NEAR] | None = None

    @property
    def keeps_source(self) -> bool:
        """Whether parts of a source come back as they are."""
        return bool(self.inpaint) or self.extend or self.init_noise_level == 0

    @property
    def num_candidates(self) -> int:
        """How many sounds are sampled; `variations` of them are kept."""
        return self.variations * (CANDIDATES_PER_SOUND if self.diverse else 1)


class SourceRecord(Struct, frozen=True, kw_only=True):
    """What is remembered of a source: SHA-256 of its samples and rate, the name of its file, its length."""

    sha256: str
    name: str
    sample_rate: int
    num_channels: int
    num_samples: int


class Selection(Struct, frozen=True, kw_only=True):
    """Which candidates of a diverse request were kept: candidate i of `num_candidates` has the seed first_seed + i."""

    num_candidates: int
    first_seed: int
    kept: tuple[int, ...]


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
    source: SourceRecord | None = None
    adapters: tuple[AdapterUse, ...] = ()
    precision: str = "auto"
    num_over: tuple[int, ...] = ()
    selection: Selection | None = None

    def to_metadata(self, item: int) -> dict[str, Any]:
        """Build the JSON-ready record of one sound, enough to generate it again alone.

        Args:
            item: Number of the sound, from 0.

        Returns:
            The record, whose request has the sound's own seed and one variation.
        """
        request = msgspec.structs.replace(self.request, seed=self.seeds[item], variations=1, diverse=False)
        record = to_metadata(
            request, model_name=self.model_name, model_hash=self.model_hash, version=self.version, engine=self.engine
        )
        if self.source is not None:
            record["source"] = msgspec.to_builtins(self.source)
        if self.adapters:
            record["adapters"] = [msgspec.to_builtins(adapter) for adapter in self.adapters]
        if self.precision != "auto":
            record["precision"] = self.precision
        if any(self.num_over[item : item + 1]):
            record["num_samples_over_full_scale"] = self.num_over[item]
        if self.selection is not None:
            record["selection"] = msgspec.json.decode(msgspec.json.encode(self.selection))
        return record

    def to_record(self) -> dict[str, Any]:
        """The JSON-ready record of all sounds: that of the first one, with the request for all."""
        record = self.to_metadata(0)
        record["request"] |= {"variations": len(self.waveforms)}
        if self.selection is not None:
            record["request"] |= {"seed": self.selection.first_seed, "diverse": True}
        return record


def to_metadata(
    request: GenerationRequest, *, model_name: str, model_hash: str, version: str = __version__, engine: str = ""
) -> dict[str, Any]:
    """Build the JSON-ready record of a request: the same that reading it back from a file gives.

    The native engine gives the same samples with any number of threads, so its records leave the number out.

    Args:
        request: The request, with every open field filled in.
        model_name: Name of the model.
        model_hash: SHA-256 of the model, see `folder_hash`.
        version: Of arctone.
        engine: Name of the engine, such as "native".

    Returns:
        The record.
    """
    fields = msgspec.json.decode(msgspec.json.encode(request)) | ({"threads": None} if engine == "native" else {})
    made_by = {"version": version, "model": model_name, "model_hash": model_hash, "engine": engine}
    return {"schema": METADATA_SCHEMA, **made_by, "request": fields}


def source_from_metadata(record: Mapping[str, Any]) -> SourceRecord | None:
    """Read the source that a record names.

    Args:
        record: As to_metadata wrote it.

    Returns:
        The source; None if the sound was made from text alone.

    Raises:
        UsageError: If what the record says of it cannot be used.
    """
    if record.get("source") is None:
        return None
    try:
        return msgspec.convert(record["source"], SourceRecord)
    except msgspec.ValidationError as problem:
        raise UsageError(f"the record's source cannot be used: {str(problem)[:1].lower()}{str(problem)[1:]}.") from None


def from_metadata(record: Mapping[str, Any]) -> GenerationRequest:
    """Read the request in a record that to_metadata wrote.

    Args:
        record: The record.

    Returns:
        The request, checked.

    Raises:
        UsageError: If the record holds none, is of another schema or its values are out of range.
    """
    schema = record.get("schema")
    if schema != METADATA_SCHEMA:
        raise UsageError(f"the record's schema is {schema!r}, but this version reads {METADATA_SCHEMA}.")
    values = record.get("request")
    if not isinstance(values, Mapping):
        raise UsageError(f"the record's request must be an object, got {shown(values)}.")
    return from_dict(values)


def from_dict(values: Mapping[str, Any]) -> GenerationRequest:
    """Make a request from names and values, as HTTP and files bring them; common other names are accepted.

    Args:
        values: Values by name.

    Returns:
        The request, checked.

    Raises:
        UsageError: In one sentence for an unknown name (with the nearest known one), a field named twice, a missing
            prompt or a value out of range.
    """
    named = named_fields(values)
    if "prompt" not in named:
        raise UsageError("prompt is required but missing.", field="prompt")
    request = GenerationRequest(**named)
    validate(request)
    return request


def named_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Bring values under the names of their fields.

    Args:
        values: Values by name; common other names are accepted.

    Returns:
        Values by the name of the field.

    Raises:
        UsageError: For an unknown name or a field named twice.
    """
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = _known_name(key)
        if name in named:
            raise UsageError(f"{name} is given twice, the second time as {key}.", field=name)
        named[name] = _as_regions(value) if name == "inpaint" else value
    return named


def validate(request: GenerationRequest) -> None:
    """Check every field against its limits.

    Args:
        request: The request.

    Raises:
        UsageError: In one sentence that names the field, its value and what is allowed.
    """
    for described in FIELDS:
        check(described, getattr(request, described.name))
    if not request.prompt.strip():
        raise UsageError("prompt must say what the sound should be, but it is empty.", field="prompt")
    if request.seed is not None and request.seed + request.num_candidates - 1 > MAX_SEED:
        counted = f"{request.num_candidates} {'candidates' if request.diverse else 'variations'}"
        raise UsageError(f"seed must leave room for {counted} below 2**63, got {request.seed}.", field="seed")
    if request.key is not None and not key_number(request.key):
        raise UsageError(
            f'key must be one such as "C minor" or "F sharp major", got {shown(request.key)}.', field="key"
        )
    if request.near is not None:
        parse_near(request.near)
    _check_combinations(request)


def _known_name(key: str) -> str:
    names = {alias: field.name for field in FIELDS for alias in (field.name, *field.aliases)}
    if key in names:
        return names[key]
    near = difflib.get_close_matches(str(key)[:100], names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(field.name for field in FIELDS)}."
    raise UsageError(f"{shown(key)} is not a field of a request; {hint}", field=str(key)[:100])


def _check_combinations(request: GenerationRequest) -> None:
    if request.inpaint and request.extend:
        raise UsageError(
            "inpaint and extend cannot be combined: extend the result of the one by the other.", field="inpaint"
        )
    if request.loop and (request.inpaint or request.extend):
        asked = "inpaint" if request.inpaint else "extend"
        raise UsageError(
            f"loop cannot be combined with {asked}, because a loop changes the sound around its seam.", field="loop"
        )
    if request.diverse and request.variations < 2:
        raise UsageError("diverse needs at least 2 variations that can differ, got 1.", field="diverse")
    if request.extend and request.init_noise_level not in (None, 1):
        raise UsageError(
            f"init_noise_level must be 1 or not given with extend, got {request.init_noise_level:g}.",
            field="init_noise_level",
        )


def _as_regions(value: Any) -> Any:
    """Regions as JSON and forms bring them: a list of texts, or one text with commas."""
    if isinstance(value, str):
        return tuple(text.strip() for text in value.split(",") if text.strip())
    return tuple(value) if isinstance(value, list) else value


FIELDS: tuple[RequestField, ...] = fields_of(GenerationRequest)
