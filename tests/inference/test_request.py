"""Requests: every limit just inside and just outside, nothing clamped, nothing forgotten in the record."""

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctone.audio.waveform import Waveform
from arctone.errors import UsageError
from arctone.inference.load_options import usable_threads
from arctone.inference.request import (
    FIELDS,
    Defaults,
    GenerationRequest,
    GenerationResult,
    from_dict,
    from_metadata,
    to_metadata,
    validate,
)
from arctone.inference.resolution import resolve
from arctone.version import __version__

DEFAULTS = Defaults(duration_seconds=8, max_duration_seconds=11.89, steps=24, cfg_scale=4, sampler="euler")


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"prompt": "rain", **fields})


GOOD: list[tuple[str, Any]] = [
    ("prompt", "x"),
    ("prompt", "🎵" * 2000),
    ("negative_prompt", ""),
    ("negative_prompt", "y" * 2000),
    ("duration_seconds", 1e-9),
    ("duration_seconds", 8),
    ("duration_seconds", np.float32(2.5)),
    ("variations", 1),
    ("variations", 64),
    ("seed", 0),
    ("seed", 2**63 - 1),
    ("seed", np.int64(5)),
    ("steps", 1),
    ("steps", 200),
    ("cfg_scale", 0),
    ("cfg_scale", 20.0),
    ("sampler", "ping_pong"),
    ("threads", 1),
    ("bpm", 20),
    ("bpm", 400.0),
    ("normalize", "off"),
    ("normalize", None),
    ("duration_seconds", 300),
    ("init_noise_level", 0),
    ("init_noise_level", 1.0),
    ("inpaint", ("0:1", "1:2.5")),
    ("loop", True),
    ("bars", 64),
    ("duration_seconds", None),
    ("seed", None),
    ("bpm", None),
]


@pytest.mark.parametrize("name, value", GOOD, ids=[f"{name}-{number}" for number, (name, _) in enumerate(GOOD)])
def test_within_the_limits(name: str, value: Any) -> None:
    validate(request(**{name: value}))


NUMBERS = ["duration_seconds", "variations", "seed", "steps", "cfg_scale", "threads", "bpm"]
BAD: list[tuple[str, Any, str]] = [
    ("prompt", "", "prompt must say what the sound should be, but it is empty."),
    ("prompt", " \n\t\u3000", "prompt must say what the sound should be, but it is empty."),
    ("prompt", "x" * 2001, "prompt must be text of at most 2000 characters, got 2001."),
    ("prompt", "x" * 100_000, "prompt must be text of at most 2000 characters, got 100000."),
    ("prompt", None, "prompt must be text of at most 2000 characters, got None."),
    ("prompt", b"rain", "prompt must be text of at most 2000 characters, got b'rain'."),
    ("prompt", "\ud800", "prompt must be valid Unicode, but it holds broken characters: '\\ud800'."),
    ("negative_prompt", "x" * 2001, "negative_prompt must be text of at most 2000 characters, got 2001."),
    ("duration_seconds", 0, "duration_seconds must be a number above 0 and at most 300 seconds, got 0."),
    ("duration_seconds", -1, "duration_seconds must be a number above 0 and at most 300 seconds, got -1."),
    ("duration_seconds", 10**400, "duration_seconds must be a number above 0 and at most 300 seconds, got 1000"),
    ("variations", 0, "variations must be a whole number from 1 to 64, got 0."),
    ("variations", 65, "variations must be a whole number from 1 to 64, got 65."),
    ("variations", None, "variations must be a whole number from 1 to 64, got None."),
    ("variations", 2.0, "variations must be a whole number from 1 to 64, got 2.0."),
    ("seed", -1, "seed must be a whole number from 0 to 2**63 - 1, got -1."),
    ("seed", 2**63, "seed must be a whole number from 0 to 2**63 - 1, got 9223372036854775808."),
    ("seed", 10**5000, "seed must be a whole number from 0 to 2**63 - 1, got a number of thousands of digits."),
    ("seed", 1.5, "seed must be a whole number from 0 to 2**63 - 1, got 1.5."),
    ("steps", 0, "steps must be a whole number from 1 to 200, got 0."),
    ("steps", 201, "steps must be a whole number from 1 to 200, got 201."),
    ("cfg_scale", -0.1, "cfg_scale must be a number from 0 to 20, got -0.1."),
    ("cfg_scale", 20.1, "cfg_scale must be a number from 0 to 20, got 20.1."),
    ("bpm", 19.9, "bpm must be a number from 20 to 400 beats per minute, got 19.9."),
    ("bpm", 0, "bpm must be a number from 20 to 400 beats per minute, got 0."),
    ("threads", 0, "threads must be a whole number from 1 to 1024, got 0."),
    (
        "sampler",
        "euller",
        "sampler must be one of euler, heun, dpmpp_2m, ping_pong, dpmpp_3m_sde, got 'euller' (did you mean 'euler'?).",
    ),
    ("init_noise_level", -0.01, "init_noise_level must be a number from 0 to 1, got -0.01."),
    ("init_noise_level", 1.01, "init_noise_level must be a number from 0 to 1, got 1.01."),
    ("bars", 0, "bars must be a whole number from 1 to 64, got 0."),
    ("bars", 65, "bars must be a whole number from 1 to 64, got 65."),
    ("loop", "yes", "loop must be true or false, got 'yes'."),
    ("extend", 1, "extend must be true or false, got 1."),
    ("inpaint", "1:2", "inpaint must be regions A:B in seconds with A < B, got '1:2'."),
    ("inpaint", (1, 2), "inpaint must be regions A:B in seconds with A < B, got (1, 2)."),
    ("inpaint", ("2:1",), "inpaint region A:B must have 0 <= A < B, got '2:1'."),
    ("normalize", "loud", "normalize must be one of peak, loudness, off, got 'loud'"),
]


@pytest.mark.parametrize("name, value, message", BAD, ids=[f"{name}-{number}" for number, (name, *_) in enumerate(BAD)])
def test_outside_the_limits(name: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(request(**{name: value}))
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "8", [8], {}, 8j, np.float32("nan"), np.True_])
def test_what_is_no_number(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name} must be a (whole )?number"):
        validate(request(**{name: value}))


def test_seeds_of_all_variations_must_exist() -> None:
    validate(request(seed=2**63 - 4, variations=4))
    with pytest.raises(UsageError, match="seed must leave room for 4 variations"):
        validate(request(seed=2**63 - 3, variations=4))


def test_resolving_fills_from_the_model_and_keeps_what_was_asked() -> None:
    resolved = resolve(request(steps=3), DEFAULTS)
    assert (resolved.duration_seconds, resolved.steps, resolved.cfg_scale, resolved.sampler) == (8.0, 3, 4.0, "euler")
    assert resolved.threads == usable_threads() >= 1
    assert resolved.seed is not None
    assert [field.name for field in FIELDS if getattr(resolved, field.name) is None] == [
        "bpm",
        "key",
        "init_noise_level",
        "bars",
        "near",
    ]


def test_resolving_twice_changes_nothing_more() -> None:
    resolved = resolve(request(), DEFAULTS)
    assert resolve(resolved, DEFAULTS) == resolved


def test_drawn_seeds_differ() -> None:
    assert len({resolve(request(), DEFAULTS).seed for _ in range(20)}) > 1


def test_durations_beyond_the_model_are_refused_not_clamped() -> None:
    assert resolve(request(duration_seconds=11.89), DEFAULTS).duration_seconds == 11.89
    with pytest.raises(UsageError, match=r"^duration_seconds is 11\.9, but this model makes at most 11\.89 seconds\.$"):
        resolve(request(duration_seconds=11.9), DEFAULTS)


def test_all_variations_together_are_limited() -> None:
    wide = msgspec.structs.replace(DEFAULTS, max_duration_seconds=300)
    assert resolve(request(duration_seconds=20, variations=60), wide).variations == 60
    with pytest.raises(UsageError, match=r"variations must leave the whole request at 1200 seconds .* got 61 of 20"):
        resolve(request(duration_seconds=20, variations=61), wide)


def test_resolving_checks_first() -> None:
    with pytest.raises(UsageError, match="steps must be"):
        resolve(request(steps=0), DEFAULTS)


def test_numpy_numbers_become_plain() -> None:
    resolved = resolve(request(seed=np.int64(7), duration_seconds=np.float32(2.5), bpm=np.int32(120)), DEFAULTS)
    assert [type(value) for value in (resolved.seed, resolved.duration_seconds, resolved.bpm)] == [int, float, float]
    json.dumps(to_metadata(resolved, model_name="m", model_hash="h"))


def test_fields_tell_faces_what_they_need() -> None:
    by_name = {field.name: field for field in FIELDS}
    assert [field.name for field in FIELDS if field.required] == ["prompt"]
    assert all(field.help.endswith(".") for field in FIELDS)
    assert (by_name["steps"].minimum, by_name["steps"].maximum, by_name["steps"].kind) == (1, 200, int)
    assert by_name["duration_seconds"].exclusive_minimum == 0
    assert by_name["duration_seconds"].unit == "seconds"
    assert by_name["duration_seconds"].short == "d"
    assert "cfg" in by_name["cfg_scale"].aliases
    assert by_name["normalize"].choices == ("peak", "loudness", "off")
    assert by_name["normalize"].default is None
    assert "heun" in by_name["sampler"].choices
    names = [name for field in FIELDS for name in (field.name, *field.aliases)]
    assert len(names) == len(set(names))
    shorts = [field.short for field in FIELDS if field.short]
    assert len(shorts) == len(set(shorts))


def test_json_schema_carries_the_limits() -> None:
    properties = msgspec.json.schema(GenerationRequest)["$defs"]["GenerationRequest"]["properties"]
    steps = next(option for option in properties["steps"]["anyOf"] if option["type"] == "integer")
    assert (steps["minimum"], steps["maximum"]) == (1, 200)
    assert properties["prompt"]["maxLength"] == 2000
    assert properties["variations"]["description"]


def test_plain_values_and_the_names_people_know() -> None:
    made = from_dict({"prompt": "rain", "seconds": 4, "cfg": 2, "batch_size": 3, "tempo": 90})
    assert made == request(duration_seconds=4, cfg_scale=2, variations=3, bpm=90)


@pytest.mark.parametrize("regions", [["1:2", "4:5"], ("1:2", "4:5"), "1:2,4:5", "1:2, 4:5"])
def test_regions_come_as_lists_and_as_text(regions: Any) -> None:
    assert from_dict({"prompt": "rain", "inpaint_range": regions}).inpaint == ("1:2", "4:5")


SECONDS = st.none() | st.floats(0.001, 400)


@given(SECONDS, SECONDS, st.booleans(), st.booleans(), st.none() | st.floats(0, 1), st.none() | st.integers(1, 64))
def test_an_edit_is_resolved_once_and_for_all_or_refused(
    source: float | None, seconds: float | None, extend: bool, loop: bool, level: float | None, bars: int | None
) -> None:
    asked = request(
        duration_seconds=seconds, extend=extend, loop=loop, init_noise_level=level, bars=bars, bpm=120, seed=1
    )
    try:
        resolved = resolve(asked, DEFAULTS, source)
    except UsageError:
        return
    assert resolve(resolved, DEFAULTS, source) == resolved
    assert from_metadata(json.loads(json.dumps(to_metadata(resolved, model_name="m", model_hash="h")))) == resolved
    assert (resolved.init_noise_level is None) == (source is None)
    if source is not None and level is None:
        assert resolved.init_noise_level == (1.0 if extend else 0.7)
    if bars is not None:
        assert resolved.duration_seconds == 2 * bars


@pytest.mark.parametrize(
    "values, message",
    [
        ({}, "prompt is required but missing"),
        ({"prompt": "a", "step": 3}, "'step' is not a field of a request; did you mean steps?"),
        ({"prompt": "a", "zzz": 3}, "'zzz' is not a field of a request; known are prompt, negative_prompt,"),
        ({"prompt": "a", "seconds": 3, "duration": 4}, "duration_seconds is given twice, the second time as duration."),
        ({"prompt": "a", "steps": "3"}, "steps must be a whole number from 1 to 200, got '3'."),
    ],
)
def test_wrong_plain_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_dict(values)
    assert str(caught.value).startswith(message)


def result(num_items: int = 3) -> GenerationResult:
    resolved = resolve(request(prompt='🎵 "x"\n', seed=10, variations=num_items, bpm=120), DEFAULTS)
    return GenerationResult(
        waveforms=tuple(Waveform(np.zeros((2, 4)), 44_100) for _ in range(num_items)),
        seeds=tuple(range(10, 10 + num_items)),
        request=resolved,
        model_name="spark",
        model_hash="abc",
        version=__version__,
        engine="native",
        timings_ms={"text": 1.0},
    )


def test_a_record_makes_one_item_again() -> None:
    made = result()
    record = json.loads(json.dumps(made.to_metadata(2)))
    again = from_metadata(record)
    # Threads change no sample of the native engine, so that its records leave them out.
    assert again == msgspec.structs.replace(made.request, seed=12, variations=1, threads=None)
    assert msgspec.structs.replace(resolve(again, DEFAULTS), threads=None) == again
    assert (record["model"], record["model_hash"], record["version"]) == ("spark", "abc", __version__)


@pytest.mark.parametrize(
    "record, message",
    [
        ({}, "the record's schema is None, but this version reads 1"),
        ({"schema": 2}, "schema is 2"),
        ({"schema": 1}, "the record's request must be an object, got None"),
        ({"schema": 1, "request": {"prompt": ""}}, "prompt must say"),
        ({"schema": 1, "request": {"prompt": "a", "evil": 1}}, "'evil' is not a field"),
    ],
)
def test_records_that_cannot_be_used(record: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_metadata(record)


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3)


@given(st.fixed_dictionaries({field.name: ANYTHING for field in FIELDS}))
def test_any_request_is_resolved_or_refused_in_one_sentence(values: dict[str, Any]) -> None:
    answer = what_resolving_says(GenerationRequest(**values))
    assert answer.endswith(".")
    assert "\n" not in answer


def what_resolving_says(made: GenerationRequest) -> str:
    try:
        resolve(made, DEFAULTS)
    except UsageError as error:
        return str(error)
    return "fine."
